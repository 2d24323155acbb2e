package check

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jstemmer/go-junit-report/v2/junit"
)

// WriteJUnit writes the report as JUnit XML: a test suite for each suite, a test
// case for each assertion, with failures apart from errors.
func (r *Report) WriteJUnit(w io.Writer) error {
	all := junit.Testsuites{Name: "bakery-spec", Time: seconds(r.Took)}
	for i, s := range r.Suites {
		suite := junit.Testsuite{Name: xmlText(s.Name), ID: i, Time: seconds(r.Took), File: xmlText(s.File)}
		suite.SetTimestamp(r.Started.UTC())
		for _, p := range [][2]string{
			{"mode", string(r.Mode)}, {"mode.reason", r.ModeReason}, {"suite", s.Name}, {"digest", s.Digest}, {"os", r.OS},
		} {
			if p[1] != "" {
				suite.AddProperty(p[0], xmlText(p[1]))
			}
		}
		for _, result := range s.Results {
			suite.AddTestcase(testcase(s, result))
		}
		if len(r.Warnings) > 0 {
			suite.SystemErr = &junit.Output{Data: xmlText(strings.Join(r.Warnings, "\n"))}
		}
		all.AddSuite(suite)
	}
	if _, err := io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"); err != nil {
		return fmt.Errorf("write JUnit report: %w", err)
	}
	if err := all.WriteXML(w); err != nil {
		return fmt.Errorf("write JUnit report: %w", err)
	}
	return nil
}

// testcase turns a result into a test case. Viewers group class names at dots,
// so a suite's kinds appear as its classes.
func testcase(s SuiteReport, r Result) junit.Testcase {
	tc := junit.Testcase{
		Classname: xmlText(strings.ReplaceAll(s.Name, ".", "_") + "." + r.Kind),
		Name:      xmlText(shortSubject(r.Subject) + " " + r.Property),
		Time:      seconds(r.Took),
	}
	text := r.ID() + ": " + r.Message() + "\nseverity " + r.Severity.String()
	if at := r.Source.String(); at != "" {
		text += "\nat " + at
	}
	result := &junit.Result{Message: xmlText(r.Message()), Type: r.Property, Data: xmlText(text)}
	switch r.Outcome {
	case Failed:
		tc.Failure = result
	case Errored:
		result.Type = "undecided"
		tc.Error = result
	case Deferred, Waived:
		result.Type = string(r.Outcome)
		tc.Skipped = result
	}
	return tc
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

// xmlText replaces what XML 1.0 cannot hold, and what would end a CDATA section
// in viewers that do not join split ones.
func xmlText(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t', r == '\n', r == '\r', r >= 0x20 && r <= 0xD7FF, r >= 0xE000 && r <= 0xFFFD, r >= 0x10000:
			return r
		}
		return '\uFFFD'
	}, text)
}
