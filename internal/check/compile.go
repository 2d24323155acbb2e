package check

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Unknown is the text that Packer puts in place of a value that it does not
// know yet when it validates a template.
const Unknown = "<unknown>"

// IsUnknown tells whether Packer does not know the whole of a value yet: the
// text of "/srv/${build.ID}" has the mark somewhere in it.
func IsUnknown(value string) bool { return strings.Contains(value, Unknown) }

// Suite is a set of checks: the blocks of a template, or a suite file.
type Suite struct {
	Name    string
	File    string // empty for a template
	Entries []Entry
	Waivers []Waiver

	broken       bool // not all of it could be read
	declared     []string
	needsFacts   bool // it depends on what the image is
	inapplicable int  // blocks whose condition does not hold
	open         int  // blocks that are not known before the facts are
	reread       func(Facts) (Suite, []error)
}

// Entry is one block as it was written.
type Entry struct {
	Block  Block
	Source Source
	lines  map[string]int // of its attributes, when known
}

// Block is a check block of one kind.
type Block interface {
	kind() string
	// subjects returns the attribute that names one subject, its value, the
	// attribute that names several, and its value.
	subjects() subjects
	common() *Common
	// compile adds the assertions about one subject to the plan. It is also
	// called for a block whose subject is not known yet.
	compile(c *compiler, subject string)
}

// subjects is how a block names what it is about.
type subjects struct {
	fixed    string // the only subject that there is; then nothing below counts
	one      string // attribute of one subject: path
	value    *string
	several  string // attribute of several: paths; empty when there is none
	values   []string
	validate func(subject string) error
}

// Plan is what a run has to decide.
type Plan struct {
	Suites []PlannedSuite
	// Partial is set when a value was not known yet, or a suite could not be
	// read as a whole; such a plan was validated as far as possible and cannot
	// run.
	Partial bool

	suites     []Suite
	mode       Mode
	now        time.Time
	needsFacts bool // what it demands depends on what the image is
}

// PlannedSuite is a suite made ready.
type PlannedSuite struct {
	Name       string
	File       string
	Digest     string // sha256 of what the suite demands, in hex
	Assertions []*Assertion
	// Inapplicable is the number of blocks whose condition does not hold.
	Inapplicable int
	// Warnings tell what asserts nothing, when that is let pass.
	Warnings []string

	waivers []Waiver
}

// Len is the number of assertions of the plan.
func (p *Plan) Len() int {
	n := 0
	for _, s := range p.Suites {
		n += len(s.Assertions)
	}
	return n
}

// Compile makes suites ready to run. It returns every problem that it finds,
// each with the block, the attribute and the value that it is about. Waivers
// that have ended at now are problems. mode is the one that was asked for: what
// can be known to be undecidable in it is refused here.
func Compile(suites []Suite, mode Mode, now time.Time) (*Plan, []error) {
	c := &compiler{plan: &Plan{suites: suites, mode: mode, now: now}, mode: mode, seen: map[string]*seenAssertion{}}
	blocks := 0
	for _, s := range suites {
		planned := PlannedSuite{Name: s.Name, File: s.File, Inapplicable: s.inapplicable, waivers: s.Waivers}
		c.suite = &planned
		partial := c.plan.Partial
		for i := range s.Entries {
			c.compileEntry(&s.Entries[i])
		}
		if s.needsFacts {
			// What is not known is so because of the facts, or of a variable,
			// of which the caller knows.
			c.plan.Partial, c.plan.needsFacts = partial, true
		}
		c.plan.Partial = c.plan.Partial || s.broken || s.open > 0 && !s.needsFacts
		// What only warnings were made of is nothing either.
		nothing := len(s.Entries)+s.open == 0 || len(planned.Assertions) == 0 && len(planned.Warnings) > 0
		if s.File != "" && nothing && !s.broken {
			c.problems = append(c.problems, s.empty())
		}
		blocks += len(s.Entries)
		planned.Digest = digest(planned.Assertions, s.Waivers)
		c.plan.Suites = append(c.plan.Suites, planned)
	}
	fromFiles := slices.ContainsFunc(suites, func(s Suite) bool { return s.File != "" || s.broken })
	if blocks == 0 && len(suites) > 0 && !fromFiles {
		c.problems = append(c.problems, errors.New("no checks: write a block such as file, package or service, or name suite files with suite; a provisioner without checks would always pass"))
	}
	for _, s := range suites {
		if !s.needsFacts {
			c.checkWaivers(s, now)
		}
	}
	if mode == Offline {
		c.problems = append(c.problems, c.plan.Refusals()...)
	}
	return c.plan, c.problems
}

// empty is the problem of a suite without checks.
func (s Suite) empty() error {
	if s.inapplicable > 0 {
		return fmt.Errorf("%s: the conditions of all its checks do not hold: such a suite would always pass", s.File)
	}
	return fmt.Errorf("%s: no checks in it: an empty suite would always pass", s.File)
}

// NeedsFacts tells whether what the plan demands depends on the image: its
// length and its ids are final when the image is known.
func (p *Plan) NeedsFacts() bool { return p.needsFacts }

// resolve makes the plan for an image of which the facts are known.
func (p *Plan) resolve(facts Facts) (*Plan, error) {
	var suites []Suite
	var errs []error
	for _, s := range p.suites {
		if s.needsFacts {
			known, wrong := s.reread(facts)
			known.needsFacts = false
			errs = append(errs, wrong...)
			s = known
		}
		suites = append(suites, s)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	plan, errs := Compile(suites, p.mode, p.now)
	return plan, errors.Join(errs...)
}

// Refusals returns an error for each assertion that cannot be decided offline
// and does not say that it waits for the booted run.
func (p *Plan) Refusals() []error {
	var errs []error
	for _, a := range p.refused() {
		errs = append(errs, fmt.Errorf("%s%s", sourcePrefix(a.Source), a.refusal()))
	}
	return errs
}

func (p *Plan) refused() []*Assertion {
	var refused []*Assertion
	for _, s := range p.Suites {
		for _, a := range s.Assertions {
			if a.class != ofFiles && !a.deferred {
				refused = append(refused, a)
			}
		}
	}
	return refused
}

func (a *Assertion) refusal() string {
	why := a.why
	switch {
	case why != "":
	case a.class == ofNetwork:
		why = "the network is the build host's, and nothing of the image runs in it"
	default:
		why = "the image is mounted in a chroot; nothing is running in it"
	}
	handOver := cmp.Or(a.handOver, `requires = "boot"`)
	remedy := fmt.Sprintf("Write %s to hand this check to the booted run.", handOver)
	if a.remedy != "" {
		remedy = fmt.Sprintf("Write %s, or %s to hand this check to the booted run.", a.remedy, handOver)
	}
	return fmt.Sprintf("%s %q: %s = %s cannot be decided offline (%s). %s", a.Kind, a.Subject, a.Property, a.Expected, why, remedy)
}

// compiler gathers the plan and the problems.
type compiler struct {
	plan     *Plan
	mode     Mode
	suite    *PlannedSuite
	entry    *Entry
	subject  string
	severity Severity
	deferred bool
	retry    time.Duration
	found    int  // what is asserted of the current subject, right or wrong
	fresh    bool // report problems: they are those of the block's first subject
	seen     map[string]*seenAssertion
	problems []error
}

type seenAssertion struct {
	*Assertion
	suite string
}

func (c *compiler) compileEntry(e *Entry) {
	c.entry, c.fresh, c.subject = e, true, ""
	names := c.subjectsOf(e.Block.subjects())
	if len(names) > 0 {
		c.subject = names[0]
	}
	common := e.Block.common()
	c.severity, c.deferred = Medium, false
	if text, ok := c.text("severity", common.Severity); ok {
		s, err := ParseSeverity(text)
		if err != nil {
			c.problem("severity", "%q %v", text, err)
		} else {
			c.severity = s
		}
	}
	if text, ok := c.text("requires", common.Requires); ok {
		if text != "boot" {
			c.problem("requires", `%q is nothing that a check can require; write "boot" or leave it out`, text)
		}
		c.deferred = text == "boot"
	}
	c.retry = 0
	if text, ok := c.text("retry", common.Retry); ok {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 || d > maxTimeout {
			c.problem("retry", "%q is not a period of at most %v; write for example \"2m\"", text, maxTimeout)
		} else {
			c.retry = d
		}
	}
	for i, name := range names {
		// The values are the same for every subject, and so are their problems.
		c.subject, c.fresh, c.found = name, i == 0, 0
		e.Block.compile(c, name)
	}
}

// subjectsOf returns what a block is about. With a problem in it, the block is
// compiled all the same, so that all problems come at once.
func (c *compiler) subjectsOf(s subjects) []string {
	if s.fixed != "" {
		return []string{s.fixed}
	}
	one, several := *s.value != "", s.values != nil
	switch {
	case one && several:
		c.problem(s.several, "both %s and %s are set; use one of them", s.one, s.several)
	case several && len(s.values) == 0:
		c.problem(s.several, "an empty list checks nothing; name at least one")
	case !one && !several && s.several != "":
		c.problem("", "names nothing to check; set %s or %s", s.one, s.several)
	case !one && !several:
		c.problem("", "names nothing to check; set %s", s.one)
	}
	attr, all := s.several, s.values
	if one {
		attr, all = s.one, append([]string{*s.value}, s.values...)
	}
	var names []string
	for _, name := range all {
		if IsUnknown(name) {
			c.plan.Partial = true
			continue
		}
		if err := s.validate(name); err != nil {
			c.problem(attr, "%q %v", name, err)
			continue
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return []string{Unknown}
	}
	return names
}

// problem records that attr of the current block is wrong; attr "" is the block.
func (c *compiler) problem(attr, format string, args ...any) {
	if !c.fresh {
		return
	}
	source := c.entry.Source
	if line, ok := c.entry.lines[attr]; ok {
		source.Line = line
	}
	what := c.entry.Block.kind()
	if c.subject != "" && c.subject != Unknown {
		what += fmt.Sprintf(" %q", shortSubject(c.subject))
	}
	if attr != "" {
		what += ": " + attr
	}
	c.problems = append(c.problems, fmt.Errorf("%s%s: %s", sourcePrefix(source), what, fmt.Sprintf(format, args...)))
}

func sourcePrefix(s Source) string {
	if s.File == "" {
		return ""
	}
	return s.String() + ": "
}

// option adjusts an assertion.
type option func(*Assertion)

// needsBoot marks an assertion that only a running system can answer. remedy is
// what to write instead, when something of the image's files answers nearly
// the same.
func needsBoot(remedy string) option {
	return func(a *Assertion) { a.class, a.remedy = ofBoot, remedy }
}

// needsNetwork marks an assertion that is about what a running system reaches.
func needsNetwork(a *Assertion) { a.class = ofNetwork }

// notOffline marks an assertion that cannot be decided offline for the given reason.
func notOffline(why string) option {
	return func(a *Assertion) { a.class, a.why = ofBoot, why }
}

// reads tells what has to be read to decide an assertion.
func reads(ask func(n *needs)) option {
	return func(a *Assertion) { a.asks = append(a.asks, ask) }
}

// additive marks a property of which several may hold at once.
func additive(a *Assertion) { a.additive = true }

// assert adds one assertion about the current subject.
func (c *compiler) assert(property, expected string, decide func(*facts) verdict, options ...option) {
	if c.subject == Unknown {
		return
	}
	a := &Assertion{
		Kind: c.entry.Block.kind(), Subject: c.subject, Property: property, Expected: expected,
		Severity: c.severity, Source: c.entry.Source, deferred: c.deferred, retry: c.retry, decide: decide, block: c.entry,
	}
	if line, ok := c.entry.lines[property]; ok {
		a.Source.Line = line
	}
	for _, o := range options {
		o(a)
	}
	if c.isDuplicate(a) {
		return
	}
	c.suite.Assertions = append(c.suite.Assertions, a)
}

// isDuplicate tells whether a was asserted in the same suite before. What
// contradicts an earlier assertion is a problem, in whatever suite that was.
func (c *compiler) isDuplicate(a *Assertion) bool {
	key := strings.Join([]string{a.Kind, a.Subject, a.Property}, "\x00")
	before, ok := c.seen[key]
	if !ok {
		c.seen[key] = &seenAssertion{Assertion: a, suite: c.suite.Name + "\x00" + c.suite.File}
		return false
	}
	sameSuite := before.suite == c.suite.Name+"\x00"+c.suite.File
	if before.Expected == a.Expected {
		return sameSuite
	}
	if a.additive && !sameSuite {
		return false
	}
	where := "in the template"
	if before.Source.File != "" {
		where = "at " + before.Source.String()
	}
	fresh := c.fresh
	c.fresh = true
	if a.additive {
		c.problem(a.Property, "is asserted twice, %s here and %s %s; write both in one block", a.Expected, before.Expected, where)
	} else {
		c.problem(a.Property, "two expectations that contradict each other: %s here and %s %s; keep one", a.Expected, before.Expected, where)
	}
	c.fresh = fresh
	return true
}

// text returns an optional text that was set to a value that is known.
func (c *compiler) text(attr string, value *string) (string, bool) {
	switch {
	case value == nil:
		return "", false
	case IsUnknown(*value):
		c.plan.Partial = true
		return "", false
	case *value == "":
		c.problem(attr, `"" asserts nothing; set a value or leave %s out`, attr)
		return "", false
	}
	return *value, true
}

// expected is text for a value that is asserted. One that is not known yet
// counts as an assertion all the same.
func (c *compiler) expected(attr string, value *string) (string, bool) {
	if value != nil {
		c.found++
	}
	return c.text(attr, value)
}

// list returns the known elements of an optional list of texts.
func (c *compiler) list(attr string, values []string) []string {
	if values == nil {
		return nil
	}
	if len(values) == 0 {
		c.problem(attr, "an empty list asserts nothing; name at least one value or leave %s out", attr)
	}
	c.found++
	var known []string
	for _, v := range values {
		switch {
		case IsUnknown(v):
			c.plan.Partial = true
		case v == "":
			c.problem(attr, `"" asserts nothing: every text contains it; remove it`)
		default:
			known = append(known, v)
		}
	}
	return known
}
