package check

import (
	"fmt"
	"strings"
	"time"
)

// Details shows a result that is not as it should be: its outcome and id, and
// below a line for each thing that one wants to know.
func (r Result) Details() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n  expected: %s\n", r.Outcome, r.ID(), r.Expected)
	if r.Outcome == Errored {
		fmt.Fprintf(&b, "  undecided: %s", r.Actual)
	} else {
		fmt.Fprintf(&b, "  actual:   %s", r.Actual)
	}
	if at := r.Source.String(); at != "" {
		fmt.Fprintf(&b, "\n  at:       %s", at)
	}
	return b.String()
}

// Summary is one line: suite shop: 3 checks: 2 passed, 1 failed.
func (s SuiteReport) Summary() string {
	text := fmt.Sprintf("suite %s: %s: %s", s.Name, CountChecks(len(s.Results)), s.Counts())
	switch s.Inapplicable {
	case 0:
		return text
	case 1:
		return text + "; 1 block does not apply"
	}
	return fmt.Sprintf("%s; %d blocks do not apply", text, s.Inapplicable)
}

// Summary is one line on all suites, with the time that the run took.
func (r *Report) Summary() string {
	counts := r.Counts()
	return fmt.Sprintf("%s in %v: %s", CountChecks(counts.Total()), r.Took.Round(time.Millisecond), counts)
}

// CountChecks writes a number of checks: 1 check, 2 checks.
func CountChecks(n int) string {
	if n == 1 {
		return "1 check"
	}
	return fmt.Sprintf("%d checks", n)
}
