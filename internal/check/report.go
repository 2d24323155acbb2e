package check

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Result is what became of one assertion.
type Result struct {
	*Assertion
	Outcome Outcome
	Actual  string // what was found, or why nothing could be decided
	Note    string // of a waiver
	Took    time.Duration
	// Attempts is how often it was decided; 0 is once.
	Attempts int

	waivers []string // ids of those that cover something that was found
}

// Message says what was expected and what was found.
func (r Result) Message() string {
	switch r.Outcome {
	case Errored:
		return fmt.Sprintf("expected %s, but it could not be decided: %s", r.Expected, r.Actual)
	case Deferred:
		return "left to the booted run"
	}
	text := fmt.Sprintf("expected %s, got %s", r.Expected, r.Actual)
	if r.Attempts > 1 {
		text += fmt.Sprintf(", after %d attempts", r.Attempts)
	}
	if r.Note != "" {
		text += " (" + r.Note + ")"
	}
	return text
}

// SuiteReport is what became of a suite.
type SuiteReport struct {
	Name    string
	File    string
	Digest  string
	Results []Result
	// Inapplicable is the number of blocks whose condition does not hold.
	Inapplicable int
}

// Report is what a run found.
type Report struct {
	Mode       Mode
	ModeReason string
	OS         string // debian 12; empty when the image does not say
	Started    time.Time
	Took       time.Duration
	Warnings   []string
	Suites     []SuiteReport
}

// Counts are the numbers of assertions by outcome.
type Counts map[Outcome]int

// Total is the number of all of them.
func (c Counts) Total() int {
	n := 0
	for _, k := range c {
		n += k
	}
	return n
}

// String lists the outcomes that occurred: 7 passed, 1 failed.
func (c Counts) String() string {
	var texts []string
	for _, o := range []Outcome{Passed, Failed, Errored, Waived, Deferred} {
		if c[o] > 0 {
			texts = append(texts, fmt.Sprintf("%d %s", c[o], o))
		}
	}
	return cmp.Or(strings.Join(texts, ", "), "nothing decided")
}

// Counts counts the results of a suite.
func (s SuiteReport) Counts() Counts {
	counts := Counts{}
	for _, r := range s.Results {
		counts[r.Outcome]++
	}
	return counts
}

// Outcome is that of the suite: Errored, Failed or Passed, where only results
// of at least the given severity count. decided is false when every check was
// deferred: such a suite says nothing about the image.
func (s SuiteReport) Outcome(failOn Severity) (outcome Outcome, decided bool) {
	outcome = Passed
	for _, r := range s.Results {
		decided = decided || r.Outcome != Deferred
		if r.Severity < failOn {
			continue
		}
		switch {
		case r.Outcome == Errored:
			outcome = Errored
		case r.Outcome == Failed && outcome == Passed:
			outcome = Failed
		}
	}
	return outcome, decided
}

// Counts counts the results of all suites.
func (r *Report) Counts() Counts {
	counts := Counts{}
	for _, s := range r.Suites {
		for o, n := range s.Counts() {
			counts[o] += n
		}
	}
	return counts
}

// Bad returns the results that failed or could not be decided, the most severe
// first.
func (r *Report) Bad() []Result {
	var bad []Result
	for _, s := range r.Suites {
		for _, result := range s.Results {
			if result.Outcome == Failed || result.Outcome == Errored {
				bad = append(bad, result)
			}
		}
	}
	slices.SortStableFunc(bad, func(a, b Result) int { return cmp.Compare(b.Severity, a.Severity) })
	return bad
}

// Deferred returns the assertions that were left to the booted run.
func (r *Report) Deferred() []Result {
	var deferred []Result
	for _, s := range r.Suites {
		for _, result := range s.Results {
			if result.Outcome == Deferred {
				deferred = append(deferred, result)
			}
		}
	}
	return deferred
}

// Failure is the error of a run with results that failed or could not be
// decided.
type Failure struct {
	Total int
	Bad   []Result
	// OnlyFailed is set when all of them were decided.
	OnlyFailed bool
}

// errorLimit is how many results an error tells in full.
const errorLimit = 10

func (e *Failure) Error() string {
	failed := 0
	for _, r := range e.Bad {
		if r.Outcome == Failed {
			failed++
		}
	}
	var b strings.Builder
	switch {
	case failed == len(e.Bad):
		fmt.Fprintf(&b, "%d of %d checks failed: ", failed, e.Total)
	case failed == 0:
		fmt.Fprintf(&b, "%d of %d checks could not be decided: ", len(e.Bad), e.Total)
	default:
		fmt.Fprintf(&b, "%d of %d checks failed, and %d could not be decided: ", failed, e.Total, len(e.Bad)-failed)
	}
	for i, r := range e.Bad {
		if i == errorLimit {
			fmt.Fprintf(&b, "; and %d more", len(e.Bad)-i)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s: %s", r.ID(), r.Message())
		if at := r.Source.String(); at != "" {
			fmt.Fprintf(&b, " (%s)", at)
		}
	}
	return b.String()
}

// Err returns a [*Failure] when results of at least the given severity failed
// or could not be decided.
func (r *Report) Err(failOn Severity) error {
	failure := &Failure{Total: r.Counts().Total(), OnlyFailed: true}
	for _, result := range r.Bad() {
		if result.Severity >= failOn {
			failure.Bad = append(failure.Bad, result)
			failure.OnlyFailed = failure.OnlyFailed && result.Outcome == Failed
		}
	}
	if len(failure.Bad) == 0 {
		return nil
	}
	return failure
}
