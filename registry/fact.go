package registry

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Outcome is how a suite or a check ended.
type Outcome string

// The outcomes of a suite.
const (
	Passed  Outcome = "passed"
	Failed  Outcome = "failed"
	Errored Outcome = "error" // it could not be decided
)

// TestResult is one run of one suite against an image. Results are appended,
// never changed: a later run is another result.
type TestResult struct {
	ID          string    `json:"id"`    // ULID
	Image       string    `json:"image"` // id of the image
	Suite       string    `json:"suite"`
	SuiteDigest string    `json:"suite_digest,omitempty"` // sha256 of what the suite demanded
	Mode        string    `json:"mode,omitempty"`         // offline or booted
	Outcome     Outcome   `json:"outcome"`
	Counts      Counts    `json:"counts"`
	Problems    []Problem `json:"problems,omitempty"` // checks that neither passed nor were put off
	Tool        string    `json:"tool,omitempty"`     // name and version of what ran it
	Report      string    `json:"report,omitempty"`   // sha256 of the report that it was read from
	Actor       string    `json:"actor,omitempty"`
	StartedAt   time.Time `json:"started_at"`
	Seconds     float64   `json:"seconds"`
}

// Counts is how many checks of a suite ended in which way.
type Counts struct {
	Passed  int `json:"passed"`
	Failed  int `json:"failed,omitempty"`
	Errors  int `json:"errors,omitempty"`
	Skipped int `json:"skipped,omitempty"` // deferred to another run, or waived
}

// Total returns the number of all checks.
func (c Counts) Total() int { return c.Passed + c.Failed + c.Errors + c.Skipped }

// Problem is a check that failed or could not be decided.
type Problem struct {
	Check   string  `json:"check"`
	Outcome Outcome `json:"outcome"`
	Message string  `json:"message,omitempty"` // expected against actual
}

// run is what a suite's results are counted by: a suite that is run offline and
// booted decides different checks, so that neither result replaces the other.
type suiteRun struct{ suite, mode string }

// Title names the suite of r and the way it was run.
func (r TestResult) Title() string {
	if r.Mode == "" {
		return r.Suite
	}
	return r.Suite + " (" + r.Mode + ")"
}

func (r TestResult) validate() error {
	var errs []error
	if r.Suite == "" {
		errs = append(errs, errors.New("a test result names no suite"))
	} else if why := unfit(r.Suite); why != "" {
		errs = append(errs, fmt.Errorf("suite %q %s", r.Suite, why))
	}
	if !slices.Contains([]Outcome{Passed, Failed, Errored}, r.Outcome) {
		errs = append(errs, fmt.Errorf("outcome of suite %s is %q, not passed, failed or error", r.Suite, r.Outcome))
	}
	if r.Outcome == Passed && r.Counts.Failed+r.Counts.Errors > 0 {
		errs = append(errs, fmt.Errorf("suite %s is said to have passed, with %d checks failed and %d in error",
			r.Suite, r.Counts.Failed, r.Counts.Errors))
	}
	if r.Outcome == Passed && r.Counts.Passed == 0 {
		errs = append(errs, fmt.Errorf("suite %s is said to have passed without a check that passed", r.Suite))
	}
	return errors.Join(errs...)
}

// MarkKind is what a mark says.
type MarkKind string

// The kinds of mark.
const (
	MarkPromoted   MarkKind = "promoted"   // made the head of a channel
	MarkDeprecated MarkKind = "deprecated" // use a newer one
	MarkRevoked    MarkKind = "revoked"    // do not use, nor anything baked from it
	MarkHeld       MarkKind = "held"       // not to be cleaned up
	MarkRetired    MarkKind = "retired"    // gone from its cloud; the record stays
)

// MarkKinds lists the kinds.
func MarkKinds() []MarkKind {
	return []MarkKind{MarkPromoted, MarkDeprecated, MarkRevoked, MarkHeld, MarkRetired}
}

// Mark is a decision about an image. Marks are appended, never changed: one is
// taken back by another that names it in Clears. So two people who mark and
// clear at once never undo what they have not seen.
type Mark struct {
	ID          string    `json:"id"`    // ULID
	Image       string    `json:"image"` // id of the image
	Kind        MarkKind  `json:"kind"`
	Channel     string    `json:"channel,omitempty"` // of a promotion
	At          time.Time `json:"at"`                // when it was decided
	EffectiveAt time.Time `json:"effective_at"`      // when it begins to count
	Reason      string    `json:"reason,omitempty"`
	Actor       string    `json:"actor,omitempty"`
	Clears      string    `json:"clears,omitempty"` // id of the mark that this one takes back

	// Artifact, of a retirement, is the one copy of the image that is gone. An
	// image is retired when it is, or when all of its copies are.
	Artifact Ref `json:"artifact,omitzero"`
}

// counts reports whether m has begun to count. One that is not scheduled counts
// at once, also where the clock is behind that of who made it.
func (m Mark) counts(now time.Time) bool {
	return !m.EffectiveAt.After(now) || !m.EffectiveAt.After(m.At)
}

func (m Mark) validate() error {
	var errs []error
	if !slices.Contains(MarkKinds(), m.Kind) {
		errs = append(errs, fmt.Errorf("mark %q is none of %v", m.Kind, MarkKinds()))
	}
	if m.Clears == "" && m.Kind == MarkRevoked && strings.TrimSpace(m.Reason) == "" {
		errs = append(errs, errors.New("a revocation needs a reason"))
	}
	if (m.Kind == MarkPromoted) != (m.Channel != "") {
		errs = append(errs, errors.New("a promotion, and nothing else, names a channel"))
	}
	if m.Artifact != (Ref{}) && m.Kind != MarkRetired {
		errs = append(errs, errors.New("only a retirement names a copy of the image"))
	}
	if why := unfitReason(m.Reason); why != "" {
		errs = append(errs, fmt.Errorf("the reason %s", why))
	}
	return errors.Join(errs...)
}

// maxReason is the length of the longest reason, in bytes.
const maxReason = 4096

func unfitReason(s string) string {
	switch {
	case len(s) > maxReason:
		return fmt.Sprintf("is longer than %d bytes", maxReason)
	case !utf8.ValidString(s):
		return "is not UTF-8"
	}
	return ""
}

// Channel points to the image of a line that consumers of it shall use. It is
// the only record that changes; Revision grows by one each time.
type Channel struct {
	Line     Line      `json:"line"`
	Name     string    `json:"name"`
	Image    string    `json:"image"`    // id of its head
	Revision int64     `json:"revision"` // 1 when it is made
	MovedAt  time.Time `json:"moved_at"`
	Actor    string    `json:"actor,omitempty"`
}

// Event is one thing that happened, for the history.
type Event struct {
	ID     string    `json:"id"` // ULID: orders events
	At     time.Time `json:"at"`
	Actor  string    `json:"actor,omitempty"`
	Op     Op        `json:"op"`
	Image  string    `json:"image"` // id of the image
	Detail string    `json:"detail,omitempty"`
}

// Op is what an event tells of.
type Op string

// The operations that events tell of.
const (
	OpRegister Op = "register"
	OpTest     Op = "test"
	OpMark     Op = "mark"
	OpClear    Op = "clear"
	OpPromote  Op = "promote"
	OpDemote   Op = "demote"
	OpReuse    Op = "reuse" // returned instead of baking an equal one
)
