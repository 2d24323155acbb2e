package spec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/imagebakery/packer-plugin-bakery/internal/check"
)

// show tells people what a run found.
func show(ui packersdk.Ui, report *check.Report, failOn check.Severity) {
	for _, warning := range report.Warnings {
		ui.Error("Warning: " + warning)
	}
	for _, suite := range report.Suites {
		for _, r := range suite.Results {
			switch r.Outcome {
			case check.Failed, check.Errored:
				lines := describe(r)
				if r.Severity < failOn {
					lines += fmt.Sprintf("\n  severity: %s, below fail_on", r.Severity)
				}
				ui.Error(lines)
			case check.Waived:
				ui.Say(fmt.Sprintf("waived %s: %s", r.ID(), r.Note))
			case check.Deferred:
				ui.Say(fmt.Sprintf("deferred %s: needs a booted system", r.ID()))
			}
		}
	}
	for _, suite := range report.Suites {
		ui.Say(fmt.Sprintf("suite %s: %s: %s", suite.Name, checks(len(suite.Results)), suite.Counts()))
	}
	counts := report.Counts()
	ui.Say(fmt.Sprintf("%s in %v: %s", checks(counts.Total()), report.Took.Round(time.Millisecond), counts))
}

func checks(n int) string {
	if n == 1 {
		return "1 check"
	}
	return fmt.Sprintf("%d checks", n)
}

// describe shows a result that is not as it should be, a line for each thing
// that one wants to know.
func describe(r check.Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n  expected: %s\n", r.Outcome, r.ID(), r.Expected)
	if r.Outcome == check.Errored {
		fmt.Fprintf(&b, "  undecided: %s", r.Actual)
	} else {
		fmt.Fprintf(&b, "  actual:   %s", r.Actual)
	}
	if at := r.Source.String(); at != "" {
		fmt.Fprintf(&b, "\n  at:       %s", at)
	}
	return b.String()
}

// suiteNames lists the suites of a plan with more than the template's own.
func suiteNames(plan *check.Plan) string {
	var names []string
	for _, s := range plan.Suites {
		if s.File != "" {
			names = append(names, s.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " (suites: " + strings.Join(names, ", ") + ")"
}

// writeFile writes a whole file or none, and the folders that lead to it.
func writeFile(file string, write func(io.Writer) error) (err error) {
	var content bytes.Buffer
	if err := write(&content); err != nil {
		return err
	}
	folder := filepath.Dir(file)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	part, err := os.CreateTemp(folder, "."+filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, part.Close(), os.Remove(part.Name()))
		}
	}()
	if _, err := part.Write(content.Bytes()); err != nil {
		return err
	}
	if err := part.Chmod(0o644); err != nil {
		return err
	}
	if err := part.Sync(); err != nil {
		return err
	}
	if err := os.Rename(part.Name(), file); err != nil {
		return err
	}
	return part.Close()
}
