package check

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// WriteTAP writes the report in the Test Anything Protocol, version 13
// (testanything.org): a line for each assertion, with a YAML block below those
// that are not as they should be. What could not be decided is not ok; deferred
// checks are skipped, waived ones are TODO, which readers do not count.
func (r *Report) WriteTAP(w io.Writer) error {
	var out strings.Builder
	fmt.Fprintf(&out, "TAP version 13\n1..%d\n", r.Counts().Total())
	number := 0
	for _, s := range r.Suites {
		fmt.Fprintf(&out, "# suite %s (%s)\n", tapText(s.Name), r.Mode)
		for _, result := range s.Results {
			number++
			status, directive := "ok", ""
			switch result.Outcome {
			case Failed, Errored:
				status = "not ok"
			case Waived:
				status, directive = "not ok", " # TODO "+tapText(result.Note)
			case Deferred:
				directive = " # SKIP left to the booted run"
			}
			fmt.Fprintf(&out, "%s %d - %s%s\n", status, number, tapText(s.Name+" "+result.ID()), directive)
			if status != "ok" {
				writeDiagnosis(&out, result)
			}
		}
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(&out, "# warning: %s\n", tapText(warning))
	}
	if _, err := io.WriteString(w, out.String()); err != nil {
		return fmt.Errorf("write TAP report: %w", err)
	}
	return nil
}

// writeDiagnosis writes the YAML block of a result. JSON's texts are YAML's too.
func writeDiagnosis(out *strings.Builder, r Result) {
	fmt.Fprintln(out, "  ---")
	for _, field := range [][2]string{
		{"outcome", string(r.Outcome)}, {"severity", r.Severity.String()}, {"expected", r.Expected}, {"actual", r.Actual}, {"at", r.Source.String()},
	} {
		if text, err := json.Marshal(field[1]); err == nil && field[1] != "" {
			fmt.Fprintf(out, "  %s: %s\n", field[0], text)
		}
	}
	fmt.Fprintln(out, "  ...")
}

// tapText is a text in one line in which no directive begins.
func tapText(text string) string { return strings.ReplaceAll(printable(text), "#", `\#`) }
