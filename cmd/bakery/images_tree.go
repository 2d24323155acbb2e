package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/imagebakery/packer-plugin-bakery/internal/graph"
	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// treeFormats are the values of --format, each with what writes it.
var treeFormats = map[string]func(io.Writer, drawing) error{
	"text":    func(w io.Writer, d drawing) error { return writeTree(w, d.forest) },
	"html":    writePage,
	"svg":     func(w io.Writer, d drawing) error { return graph.WriteSVG(w, d.forest) },
	"mermaid": func(w io.Writer, d drawing) error { return graph.WriteMermaid(w, d.forest) },
	"dot":     func(w io.Writer, d drawing) error { return graph.WriteDOT(w, d.forest) },
	"json":    func(w io.Writer, d drawing) error { return writeJSON(w, d.forest) },
}

// drawing is what is drawn, with its registry for what a format needs besides;
// nil when there is none yet.
type drawing struct {
	ctx    context.Context //nolint:containedctx // of the command, for the time of its call
	forest []registry.Tree
	reg    *registry.Registry
}

func newImagesTreeCommand(spec *string) *cobra.Command {
	names := strings.Join(slices.Sorted(maps.Keys(treeFormats)), ", ")
	cmd := &cobra.Command{
		Use:   "tree [IMAGE]",
		Short: "Draw what was baked from what",
		Long: `Draw what was baked from what: all images, or IMAGE and what was baked from it.

Behind each image stand its layer, its status, how many checks of its newest
test results passed, its id in the cloud, and its age.

As html it is one page that needs nothing from the network: the lineage, and for
each image its status, tests, copies and packages, with filters. As mermaid it can
be put into a page of GitHub or GitLab, as dot it is for Graphviz.`,
		Example: `  bakery images tree
  bakery images tree --format html --out lineage.html
  bakery images tree ami-0123456789abcdef0 --format mermaid`,
		Args: upToOneArg,
	}
	output := addOutputFlag(cmd)
	var format, file string
	cmd.Flags().StringVar(&format, "format", "text", "one of "+names)
	cmd.Flags().StringVar(&file, "out", "", "file to write to (default: the terminal)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *output == outputJSON {
			if cmd.Flags().Changed("format") && format != "json" {
				return usageError{errors.New("--output json and --format are two ways of naming the format; give one")}
			}
			format = "json"
		}
		write, ok := treeFormats[format]
		if !ok {
			return usageError{fmt.Errorf("--format is %q; want one of %s", format, names)}
		}
		// What is written is whole: nothing is when the registry cannot be read.
		var text bytes.Buffer
		draw := func(reg *registry.Registry) error {
			forest, err := readForest(cmd.Context(), reg, args)
			if err != nil {
				return err
			}
			return write(&text, drawing{cmd.Context(), forest, reg})
		}
		none := func() error { return write(&text, drawing{cmd.Context(), []registry.Tree{}, nil}) }
		if len(args) == 1 {
			none = nil
		}
		if err := readRegistry(cmd.Context(), *spec, draw, none); err != nil {
			return err
		}
		if file != "" {
			return os.WriteFile(file, text.Bytes(), 0o644)
		}
		_, err := cmd.OutOrStdout().Write(text.Bytes())
		return err
	}
	return cmd
}

// readForest reads all images, or the one that args names with what was baked
// from it.
func readForest(ctx context.Context, reg *registry.Registry, args []string) ([]registry.Tree, error) {
	if len(args) == 0 {
		return reg.Forest(ctx)
	}
	tree, err := reg.Descendants(ctx, args[0])
	return []registry.Tree{tree}, withRemedy(ctx, reg, args[0], err)
}

// writePage writes the page for browsers, with the packages of all its images.
func writePage(w io.Writer, d drawing) error {
	page := graph.Page{Forest: d.forest, Packages: map[string]registry.PackageList{}, Now: time.Now()}
	var views []registry.View
	for _, tree := range d.forest {
		views = append(append(views, tree.View), tree.Below()...)
	}
	for _, view := range views {
		if _, read := page.Packages[view.Packages]; read || view.Packages == "" {
			continue
		}
		list, err := d.reg.Packages(d.ctx, view.Image)
		if err != nil {
			return err
		}
		page.Packages[view.Packages] = list
	}
	return graph.WritePage(w, page)
}

// writeTree draws trees, a line for each image, columns aligned.
func writeTree(w io.Writer, forest []registry.Tree) error {
	buffer := &strings.Builder{}
	tw := tabwriter.NewWriter(buffer, 0, 0, 2, ' ', 0)
	for _, tree := range forest {
		branch(tw, tree, "", "")
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, buffer.String())
	return err
}

// branch writes a tree: its own line begins with first, all below it with rest.
func branch(w io.Writer, tree registry.Tree, first, rest string) {
	passed, total := tree.Checks()
	checks := "no tests"
	if total > 0 {
		checks = fmt.Sprintf("%d/%d checks", passed, total)
		if skipped := tree.Skipped(); skipped > 0 {
			checks += fmt.Sprintf(", %d skipped", skipped)
		}
	}
	// Flush says what went wrong.
	_, _ = fmt.Fprintf(w, "%s%s %s\t%s\t%s\t%s\t%s\t%s\n", first, tree.Application, tree.Version,
		tree.Layer, statusOf(tree.State), checks, imageIDs(tree.Image), ago(tree.CreatedAt))
	for i, child := range tree.Children {
		if i < len(tree.Children)-1 {
			branch(w, child, rest+"├─ ", rest+"│  ")
		} else {
			branch(w, child, rest+"└─ ", rest+"   ")
		}
	}
}
