package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

func newImagesShowCommand(spec *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show IMAGE",
		Short:   "Show all that is recorded about an image",
		Example: `  bakery images show ami-0123456789abcdef0`,
		Args:    exactArgs(1),
	}
	output := addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return readRegistry(cmd.Context(), *spec, func(reg *registry.Registry) error {
			detail, err := reg.Show(cmd.Context(), args[0])
			if err != nil {
				return withRemedy(cmd.Context(), reg, args[0], err)
			}
			if *output == outputJSON {
				return writeJSON(cmd.OutOrStdout(), detail)
			}
			return writeDetail(cmd.OutOrStdout(), detail)
		}, nil)
	}
	return cmd
}

// writeDetail writes the sections that have something to say.
func writeDetail(w io.Writer, d registry.Detail) error {
	for _, section := range []struct {
		title string
		empty bool
		write func(io.Writer) error
	}{
		{d.Application + " " + d.Version, false, func(w io.Writer) error { return writeAttributes(w, d.View) }},
		{"Images", false, func(w io.Writer) error { return writeArtifacts(w, d.Artifacts) }},
		{"Lineage", false, func(w io.Writer) error { return writeLineage(w, d.View) }},
		{"Baked from it", len(d.Children) == 0, func(w io.Writer) error { return writeTree(w, d.Children) }},
		{"Tests", len(d.Suites) == 0, func(w io.Writer) error { return writeSuites(w, d.State) }},
		{"Marks", len(d.Marks) == 0, func(w io.Writer) error { return writeMarks(w, d.Marks) }},
		{"History", len(d.Events) == 0, func(w io.Writer) error { return writeEvents(w, d.Events) }},
	} {
		if section.empty {
			continue
		}
		if _, err := fmt.Fprintf(w, "%s\n", section.title); err != nil {
			return err
		}
		if err := section.write(indented{w}); err != nil {
			return err
		}
	}
	return nil
}

// indented writes lines two columns to the right. Tables and trees write whole
// lines.
type indented struct{ w io.Writer }

func (i indented) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		if _, err := fmt.Fprint(i.w, "  ", line); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func writeAttributes(w io.Writer, v registry.View) error {
	buffer := &strings.Builder{}
	tw := tabwriter.NewWriter(buffer, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			_, _ = fmt.Fprintf(tw, "%s\t%s\n", name, value) // Flush says what went wrong
		}
	}
	row("status", statusOf(v.State)+": "+v.Reason)
	if v.Held != nil {
		row("held", cmp.Or(v.Held.Reason, "yes"))
	}
	if !v.RevokeAt.IsZero() {
		row("revocation", "scheduled for "+when(v.RevokeAt))
	}
	row("id", v.ID)
	row("layer", v.Layer)
	row("environment", v.Environment)
	row("release", v.Release)
	row("arch", v.Arch)
	row("owner", v.Owner)
	for _, name := range slices.Sorted(maps.Keys(v.Labels)) {
		row("label "+name, v.Labels[name])
	}
	row("baked", when(v.CreatedAt))
	if took := v.Bake.FinishedAt.Sub(v.Bake.StartedAt); took > 0 {
		row("took", took.String())
	}
	row("registered", when(v.RegisteredAt))
	row("builder", v.Bake.Builder)
	row("build", v.Bake.Build)
	row("run", v.Bake.Run)
	row("bake key", v.Bake.Key)
	row("packages", v.Packages)
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, buffer.String())
	return err
}

func writeArtifacts(w io.Writer, artifacts []registry.Artifact) error {
	rows := make([][]string, len(artifacts))
	for i, a := range artifacts {
		rows[i] = []string{a.Cloud, a.Region, a.Account, a.ID, a.Name, strings.Join(a.Snapshots, " ")}
	}
	return writeRows(w, []string{"CLOUD", "REGION", "ACCOUNT", "IMAGE", "NAME", "SNAPSHOTS"}, rows)
}

// writeLineage draws the way from the foundation down to the image.
func writeLineage(w io.Writer, v registry.View) error {
	var steps []string
	if root := v.Lineage.Root; root.ID != "" {
		steps = append(steps, root.String()+" (not registered)")
	}
	for _, img := range slices.Backward(v.Lineage.Ancestors) {
		steps = append(steps, img.String()+", "+img.Layer)
	}
	steps = append(steps, v.Image.String()+", "+v.Layer)
	for depth, step := range steps {
		branch := ""
		if depth > 0 {
			branch = strings.Repeat("   ", depth-1) + "└─ "
		}
		if _, err := fmt.Fprintf(w, "%s%s\n", branch, step); err != nil {
			return err
		}
	}
	return nil
}

func writeSuites(w io.Writer, s registry.State) error {
	var rows [][]string
	for _, r := range s.Suites {
		rows = append(rows, []string{
			r.Suite, r.Mode, string(r.Outcome), fmt.Sprintf("%d/%d", r.Counts.Passed, r.Counts.Total()),
			fmt.Sprint(r.Counts.Failed), fmt.Sprint(r.Counts.Errors), fmt.Sprint(r.Counts.Skipped), when(r.StartedAt), r.Tool,
		})
	}
	header := []string{"SUITE", "MODE", "OUTCOME", "PASSED", "FAILED", "ERRORS", "SKIPPED", "RUN AT", "BY"}
	if err := writeRows(w, header, rows); err != nil {
		return err
	}
	for _, r := range s.Suites {
		for _, p := range r.Problems {
			message := strings.ReplaceAll(p.Message, "\n", " ")
			if _, err := fmt.Fprintf(w, "%s: %s %s: %s\n", r.Suite, p.Check, p.Outcome, message); err != nil {
				return err
			}
		}
	}
	return nil
}

func writeMarks(w io.Writer, marks []registry.Mark) error {
	cleared := map[string]registry.Mark{}
	for _, m := range marks {
		if m.Clears != "" {
			cleared[m.Clears] = m
		}
	}
	var rows [][]string
	for _, m := range marks {
		if m.Clears != "" {
			continue
		}
		what := string(m.Kind)
		if m.Channel != "" {
			what += " to " + m.Channel
		}
		if m.Artifact.ID != "" {
			what += " in " + strings.TrimSuffix(m.Artifact.Cloud+"/"+m.Artifact.Region, "/")
		}
		state := "since " + when(m.EffectiveAt)
		if m.EffectiveAt.After(time.Now()) {
			state = "from " + when(m.EffectiveAt)
		}
		if by, ok := cleared[m.ID]; ok {
			state = "taken back " + when(by.At)
		}
		rows = append(rows, []string{what, state, m.Reason, m.Actor})
	}
	return writeRows(w, []string{"MARK", "COUNTS", "REASON", "BY"}, rows)
}

func writeEvents(w io.Writer, events []registry.Event) error {
	rows := make([][]string, len(events))
	for i, e := range events {
		rows[i] = []string{when(e.At), string(e.Op), e.Detail, e.Actor}
	}
	return writeRows(w, []string{"WHEN", "WHAT", "DETAIL", "BY"}, rows)
}

// writeRows writes a table in whole lines.
func writeRows(w io.Writer, header []string, rows [][]string) error {
	buffer := &strings.Builder{}
	if err := writeTable(buffer, header, rows); err != nil {
		return err
	}
	_, err := io.WriteString(w, buffer.String())
	return err
}

// when returns t to the second, in UTC.
func when(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }
