//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type Waiver

package check

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// Waiver lets a check fail that is known to, until a date and for a reason.
// It does not cover checks that could not be decided.
type Waiver struct {
	// Id of the check, as reports show it, for example
	// `file:/etc/ssh/sshd_config:mode`; without the last part, all checks of
	// the subject. A rule of hygiene can be waived for a path, in which `*` stands
	// for any text without a slash, and for a kind of secret:
	// `hygiene:private-keys:/etc/ssl/private/*`,
	// `hygiene:secrets:/etc/shop.conf:aws-access-token`. In a suite file the
	// block's label is the id.
	Check string `mapstructure:"check" required:"true"`
	// Last day, as `2027-01-31`, in UTC. A waiver that has ended is an error.
	Until string `mapstructure:"until" required:"true"`
	// Why, and who knows about it: a ticket, for example.
	Reason string `mapstructure:"reason" required:"true"`

	source Source
}

func (w *Waiver) covers(a *Assertion) bool { return w.Check == a.ID() || w.Check == a.SubjectID() }

// waives tells whether w is about one thing that an assertion has found, by its
// path, which may have * in it, and by the kind of secret, if that is named:
// hygiene:secrets:/etc/shop.conf:aws-access-token.
func (w *Waiver) waives(a *Assertion, s strike) bool {
	rest, ok := strings.CutPrefix(w.Check, a.SubjectID()+":")
	if !ok {
		return false
	}
	for _, name := range []string{s.path, s.path + ":" + s.of} {
		if matched, err := path.Match(rest, name); rest == name || err == nil && matched {
			return true
		}
	}
	return false
}

// isForPath tells whether w is about some of what an assertion finds.
func (w *Waiver) isForPath(a *Assertion) bool {
	return a.finds != nil && strings.HasPrefix(w.Check, a.SubjectID()+":/")
}

func (w *Waiver) note() string { return fmt.Sprintf("waived until %s: %s", w.Until, w.Reason) }

// waiveStrikes takes off a failed assertion what is waived of its findings.
func (p *Plan) waiveStrikes(result *Result, f *facts) {
	list, rest := result.finds(f)
	var left []strike
	var notes []string
	for _, s := range list {
		i := slices.IndexFunc(p.allWaivers(), func(w Waiver) bool { return w.waives(result.Assertion, s) })
		if i < 0 {
			left = append(left, s)
			continue
		}
		w := p.allWaivers()[i]
		result.waivers = appendNew(result.waivers, w.Check)
		notes = appendNew(notes, w.note())
	}
	switch {
	case len(notes) == 0:
	case len(left) > 0:
		result.Actual = printable(firstOf(textsOf(left)))
		result.Note = fmt.Sprintf("%d more are waived", len(list)-len(left))
	case rest.outcome != Passed:
		result.Outcome, result.Actual = rest.outcome, printable(rest.actual)
	default:
		result.Outcome, result.Note = Waived, strings.Join(notes, "; ")
	}
}

func (p *Plan) allWaivers() []Waiver {
	var all []Waiver
	for _, s := range p.Suites {
		all = append(all, s.waivers...)
	}
	return all
}

// checkWaivers records what is wrong with the waivers of a suite.
func (c *compiler) checkWaivers(s Suite, now time.Time) {
	for _, w := range s.Waivers {
		problem := func(format string, args ...any) {
			c.problems = append(c.problems, fmt.Errorf("%swaiver %q: %s", sourcePrefix(w.source), w.Check, fmt.Sprintf(format, args...)))
		}
		if IsUnknown(w.Check) || IsUnknown(w.Until) || IsUnknown(w.Reason) {
			c.plan.Partial = true
			continue
		}
		if w.Check == "" {
			problem("names no check; set check to the id of one, for example \"file:/etc/timezone:mode\"")
		} else if !c.plan.Partial && !c.plan.has(w) {
			problem("there is no such check; the ids of this run's checks are %s", c.plan.someIDs())
		}
		if strings.TrimSpace(w.Reason) == "" {
			problem("gives no reason; set reason")
		}
		day, err := time.Parse(time.DateOnly, w.Until)
		switch {
		case w.Until == "":
			problem("has no end; set until to its last day, as 2027-01-31")
		case err != nil:
			problem("until = %q is not a day; write it as 2027-01-31", w.Until)
		case !now.Before(day.AddDate(0, 0, 1)):
			problem("ended on %s (%s); repair what it waives, or renew it", w.Until, w.Reason)
		}
	}
}

func (p *Plan) has(w Waiver) bool {
	for _, s := range p.Suites {
		if slices.ContainsFunc(s.Assertions, func(a *Assertion) bool { return w.covers(a) || w.isForPath(a) }) {
			return true
		}
	}
	return false
}

// someIDs lists the first ids of the plan, for an error.
func (p *Plan) someIDs() string {
	const most = 8
	var ids []string
	for _, s := range p.Suites {
		for _, a := range s.Assertions {
			if len(ids) == most {
				return strings.Join(ids, ", ") + ", …"
			}
			ids = append(ids, a.ID())
		}
	}
	return strings.Join(ids, ", ")
}

// waiver returns the waiver that covers an assertion. One in any suite of the
// run will do: a template may waive a check of a suite file.
func (p *Plan) waiver(a *Assertion) (Waiver, bool) {
	for _, s := range p.Suites {
		for _, w := range s.waivers {
			if w.covers(a) {
				return w, true
			}
		}
	}
	return Waiver{}, false
}

// idleWaivers names the waivers that had nothing to waive, because all that they
// cover passed.
func (p *Plan) idleWaivers(report *Report) []string {
	var idle []string
	for _, s := range p.Suites {
		for _, w := range s.waivers {
			var outcomes []Outcome
			for _, suite := range report.Suites {
				for _, r := range suite.Results {
					switch {
					case w.covers(r.Assertion):
						outcomes = appendNew(outcomes, r.Outcome)
					case w.isForPath(r.Assertion) && slices.Contains(r.waivers, w.Check):
						outcomes = appendNew(outcomes, Waived)
					case w.isForPath(r.Assertion) && r.Outcome != Errored && r.Outcome != Deferred:
						outcomes = appendNew(outcomes, Passed)
					}
				}
			}
			if len(outcomes) == 1 && outcomes[0] == Passed {
				idle = append(idle, fmt.Sprintf("%s passed: its waiver is no longer needed", w.Check))
			}
		}
	}
	return idle
}
