package check

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Outcome is what became of an assertion.
type Outcome string

// Outcomes.
const (
	Passed   Outcome = "passed"   // decided, and as expected
	Failed   Outcome = "failed"   // decided, and not as expected
	Errored  Outcome = "error"    // could not be decided
	Deferred Outcome = "deferred" // left to the run on a booted instance
	Waived   Outcome = "waived"   // failed, and known to
)

// Severity says how bad it is when an assertion does not hold.
type Severity int

// Severities, the least first.
const (
	Low Severity = iota + 1
	Medium
	High
	Critical
)

var severities = []string{Low: "low", Medium: "medium", High: "high", Critical: "critical"}

func (s Severity) String() string { return severities[s] }

// ParseSeverity reads low, medium, high or critical.
func ParseSeverity(text string) (Severity, error) {
	if i := slices.Index(severities, text); i >= int(Low) {
		return Severity(i), nil
	}
	return 0, fmt.Errorf("is not a severity; write low, medium, high or critical")
}

// class says what an assertion needs in order to be decided.
type class int

const (
	ofFiles   class = iota // the image's files; decidable in a chroot
	ofBoot                 // a running system
	ofNetwork              // a running system and the network that it is in
)

// Source is where a check was written. The zero value is the template: Packer
// does not tell plugins at which line of it a block stands.
type Source struct {
	File string
	Line int
}

func (s Source) String() string {
	if s.File == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d", s.File, s.Line)
}

// Assertion is one statement about an image that is either true or not.
type Assertion struct {
	Kind     string // file
	Subject  string // /etc/timezone
	Property string // contains
	Expected string // "Etc/UTC", for people
	Severity Severity
	Source   Source

	class    class
	deferred bool                 // requires = "boot"
	retry    time.Duration        // how long a booted run tries again
	additive bool                 // two of the same property do not contradict each other
	remedy   string               // what to write instead when it cannot be decided offline
	why      string               // why it cannot be
	handOver string               // what leaves it to the booted run; requires = "boot" when empty
	asks     []func(*needs)       // for what has to be read
	decide   func(*facts) verdict // from what was read
	// finds, when set, is why decide says that it does not hold, one by one, and
	// what it would say without any of that.
	finds func(*facts) ([]strike, verdict)
	block *Entry
}

// subjectLimit is how much of a subject an id shows; commands can be long.
const subjectLimit = 100

// ID names the assertion in reports and waivers: file:/etc/timezone:contains.
// White space of a command is folded, and a long one is cut and told apart by a
// digest.
func (a *Assertion) ID() string { return a.SubjectID() + ":" + a.Property }

// SubjectID names what the assertion is about: file:/etc/timezone.
func (a *Assertion) SubjectID() string { return a.Kind + ":" + shortSubject(a.Subject) }

func shortSubject(subject string) string {
	short := strings.Join(strings.Fields(subject), " ")
	if len(short) <= subjectLimit {
		return short
	}
	sum := sha256.Sum256([]byte(subject))
	cut := subjectLimit
	for cut > 0 && !utf8.RuneStart(short[cut]) {
		cut--
	}
	return short[:cut] + "…" + hex.EncodeToString(sum[:4])
}

// verdict is what deciding an assertion gives.
type verdict struct {
	outcome Outcome
	actual  string // what was found, or why nothing could be
}

func pass(actual string) verdict { return verdict{Passed, actual} }

func fail(format string, args ...any) verdict { return verdict{Failed, fmt.Sprintf(format, args...)} }

func undecided(format string, args ...any) verdict {
	return verdict{Errored, fmt.Sprintf(format, args...)}
}

// is passes when ok holds; actual is shown either way.
func is(ok bool, actual string) verdict {
	if ok {
		return pass(actual)
	}
	return fail("%s", actual)
}

// digest is the sha256, in hex, of what the assertions demand. It does not
// depend on their order, nor on comments or layout of a suite file.
func digest(assertions []*Assertion, waivers []Waiver) string {
	lines := make([]string, 0, len(assertions)+len(waivers))
	for _, a := range assertions {
		lines = append(lines, fmt.Sprintf("%q %q %q %q %s %t", a.Kind, a.Subject, a.Property, a.Expected, a.Severity, a.deferred))
	}
	for _, w := range waivers {
		lines = append(lines, fmt.Sprintf("waiver %q %q %q", w.Check, w.Until, w.Reason))
	}
	slices.SortFunc(lines, cmp.Compare[string])
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:])
}
