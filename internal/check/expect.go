package check

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/imagebakery/packer-plugin-bakery/internal/match"
)

// Expect is a block whose assertions are what matchers demand of values: of a
// file its mode, of a command what it prints. It is for checks that were written
// in another language than the blocks of suite files, and is not one of these.
type Expect struct {
	Common

	// Of is the kind of what is checked: file, package, …; see [ValueNames].
	Of string
	// ID names what is checked in reports; Subject is what is read.
	ID, Subject string
	Values      []Expected
	// Options are how a value is obtained: those of [Options] that the kind has.
	Options Options
	// DeferBoot leaves what only a booted system can answer to the booted run.
	DeferBoot bool
	// HandOver is what to write for that, in the language of the check.
	HandOver string
	// Remedies are what to write instead of a value that cannot be decided
	// offline, in the language of the check.
	Remedies map[string]string
	// BuilderNetwork has, offline, the build host's network answer.
	BuilderNetwork bool
	// WarnVacuous makes warnings of assertions that hold whatever the image is.
	WarnVacuous bool
}

// Expected is what is demanded of one value.
type Expected struct {
	Name string
	Want any // as [match.Parse] takes it
	Line int
}

// Options of the ways in which values are obtained.
type Options struct {
	Milliseconds int      `json:"milliseconds,omitempty"` // how long it may take; 0 is the default of the kind
	Server       string   `json:"server,omitempty"`       // of dns
	Source       string   `json:"source,omitempty"`       // the local address of addr
	Method       string   `json:"method,omitempty"`       // of http, as all below
	Headers      []string `json:"headers,omitempty"`
	Body         string   `json:"body,omitempty"`
	User         string   `json:"user,omitempty"`
	Password     string   `json:"password,omitempty"`
	CAFile       string   `json:"ca_file,omitempty"`
	CertFile     string   `json:"cert_file,omitempty"`
	KeyFile      string   `json:"key_file,omitempty"`
	Proxy        string   `json:"proxy,omitempty"`
	Insecure     bool     `json:"insecure,omitempty"`
	NoFollow     bool     `json:"no_follow,omitempty"`
	// Content is what matching is about.
	Content any `json:"content,omitempty"`
	// Lines makes a list of matching's expectation one of patterns.
	Lines bool `json:"lines,omitempty"`
}

// Entry makes an entry of a suite of the block.
func (b *Expect) Entry(source Source) Entry {
	lines := map[string]int{}
	for _, v := range b.Values {
		lines[v.Name] = v.Line
	}
	return Entry{Block: b, Source: source, lines: lines}
}

func (b *Expect) kind() string       { return b.Of }
func (b *Expect) common() *Common    { return &b.Common }
func (b *Expect) subjects() subjects { return subjects{fixed: cmp.Or(b.ID, b.Subject, Unknown)} }

// value is how one value is read and decided.
type value struct {
	name    string
	options []option
	// read gives the value, or a verdict with an outcome.
	read func(f *facts) (any, verdict)
	// truth, when set, is the value that counts beside the one that was read; the
	// matcher must hold of both. why says what is wrong with the first.
	truth func(f *facts) (value any, why string, v verdict)
	// stream is set for texts of which a list is one of patterns; show is what
	// people see of one, and private whether nothing of it may be shown.
	stream  bool
	show    func(f *facts, value any) string
	private func(f *facts) bool
	// presence is set for the value without which there are no others.
	presence bool
}

// valueKind is a kind of what has values.
type valueKind struct {
	valid  func(subject string) error
	values func(c *compiler, b *Expect) []value
}

// valueKinds are all of them. It is a function because the kinds refer to it.
func valueKinds() map[string]valueKind {
	return map[string]valueKind{
		"file": {validPath, fileValues}, "package": {validName, packageValues}, "service": {validName, serviceValues},
		"command": {validCommand, commandValues}, "user": {validName, userValues}, "group": {validName, groupValues},
		"process": {validName, processValues}, "port": {validPortValue, portValues}, "addr": {validAddrValue, addrValues},
		"dns": {validDNSValue, dnsValues}, "http": {validURL, httpValues}, "interface": {validInterface, interfaceValues},
		"kernel-param": {validParam, kernelParamValues}, "mount": {validPath, mountValues}, "matching": {validText, matchingValues},
	}
}

func (b *Expect) compile(c *compiler, _ string) {
	kind, ok := valueKinds()[b.Of]
	if !ok {
		c.problem("", "there are no values of a %s", b.Of)
		return
	}
	if err := kind.valid(b.Subject); err != nil {
		c.problem("", "%q %v", shortSubject(b.Subject), err)
		return
	}
	known := map[string]value{}
	for _, v := range kind.values(c, b) {
		known[v.name] = v
	}
	absent := ""
	for _, want := range b.Values {
		v, ok := known[want.Name]
		if !ok {
			c.problem(want.Name, "a %s has no such value", b.Of)
			continue
		}
		m, err := b.matcher(v, want.Want)
		if err != nil {
			c.problem(want.Name, "%v", err)
			continue
		}
		c.found++
		if why := b.vacuous(v, m, want, absent); why != "" {
			b.nothing(c, want.Name, why)
			continue
		}
		if v.presence && holdsOf(m, false) && !holdsOf(m, true) {
			absent = want.Name
		}
		c.assert(want.Name, m.String(), b.decide(v, m), append(v.options, additive, b.handOver(v.name))...)
	}
	if c.found == 0 {
		b.nothing(c, "", "asserts nothing, so it always passes; assert something of it or remove it")
	}
}

// nothing refuses what asserts nothing, or warns of it.
func (b *Expect) nothing(c *compiler, attr, why string) {
	if !b.WarnVacuous {
		c.problem(attr, "%s", why)
		return
	}
	source := c.entry.Source
	if line, ok := c.entry.lines[attr]; ok {
		source.Line = line
		why = attr + ": " + why
	}
	c.suite.Warnings = append(c.suite.Warnings, fmt.Sprintf("%s%s %q: %s", sourcePrefix(source), b.Of, shortSubject(b.ID), why))
}

func (b *Expect) matcher(v value, want any) (match.Matcher, error) {
	if list, ok := want.([]any); ok && v.stream {
		return match.Patterns(list)
	}
	m, err := match.Parse(want)
	if errors.Is(err, match.ErrMissing) {
		return nil, errors.New("has no value, and asserts nothing; set one or remove it")
	}
	return m, err
}

// vacuous says why an assertion cannot fail. absent is the value that was
// demanded to be false, without which there are no others.
func (b *Expect) vacuous(v value, m match.Matcher, want Expected, absent string) string {
	list, isList := want.Want.([]any)
	switch {
	case isList && len(list) == 0 && v.stream:
		return fmt.Sprintf(`[] asserts nothing: it holds whatever is there; write "" to assert that there is nothing, or remove %s`, want.Name)
	case isList && len(list) == 0:
		return fmt.Sprintf("[] asserts nothing: it holds whatever is there; write {consist-of: []} to assert that there is nothing, or remove %s", want.Name)
	case match.Vacuous(m):
		return m.String() + " asserts nothing: it holds of every value; make it more specific, or remove it"
	case v.presence && holdsOf(m, true) && holdsOf(m, false):
		return m.String() + " asserts nothing: it holds of true and of false"
	case absent != "":
		return fmt.Sprintf("asserts nothing: with %s: false there is nothing left to look at; remove it, or %s", absent, absent)
	}
	return ""
}

func holdsOf(m match.Matcher, value bool) bool {
	holds, _, err := m.Match(value)
	return holds && err == nil
}

// handOver leaves an assertion to the booted run when that is wanted, and says
// otherwise how to.
func (b *Expect) handOver(name string) option {
	return func(a *Assertion) {
		a.handOver = b.HandOver
		if remedy, ok := b.Remedies[name]; ok && a.class != ofFiles {
			a.remedy = remedy
		}
		if b.DeferBoot && a.class != ofFiles {
			a.deferred = true
		}
	}
}

func (b *Expect) decide(v value, m match.Matcher) func(f *facts) verdict {
	_, isList := m.(interface{ IsPatterns() })
	return func(f *facts) verdict {
		found, outcome := v.read(f)
		if outcome.outcome != "" {
			return outcome
		}
		shownValue := match.Text(found)
		if versions, ok := found.(match.Versions); ok {
			shownValue = strings.Join(versions.List, ", ")
		}
		if v.show != nil {
			shownValue = v.show(f, found)
		}
		holds, why, err := m.Match(found)
		switch {
		case err != nil:
			return undecided("%v", err)
		case !holds && (why == "" || v.private != nil && v.private(f) && !isList):
			return fail("%s", shownValue)
		case !holds:
			return fail("%s in %s", why, shownValue)
		case v.truth == nil:
			return pass(shownValue)
		}
		actual, why, outcome := v.truth(f)
		if outcome.outcome != "" {
			return outcome
		}
		if holds, _, err := m.Match(actual); err != nil || !holds {
			return fail("%s", why)
		}
		return pass(shownValue)
	}
}

// command is the text of the command that an assertion is about, if it is about
// one.
func (a *Assertion) command() string {
	if a.Kind != "command" {
		return ""
	}
	if b, ok := a.block.Block.(*Expect); ok {
		return b.Subject
	}
	return a.Subject
}

// deferredExpect is the block in a file of deferred checks.
type deferredExpect struct {
	ID      string            `json:"id"`
	Subject string            `json:"subject"`
	Options Options           `json:"options"`
	Values  []deferredWant    `json:"values"`
	Common  map[string]string `json:"common,omitempty"`
}

type deferredWant struct {
	Name string `json:"name"`
	Want any    `json:"want"`
}

func (b *Expect) deferred() (json.RawMessage, error) {
	d := deferredExpect{ID: b.ID, Subject: b.Subject, Options: b.Options, Common: map[string]string{}}
	d.Options.Content = match.Portable(b.Options.Content)
	for _, v := range b.Values {
		d.Values = append(d.Values, deferredWant{v.Name, match.Portable(v.Want)})
	}
	for name, text := range map[string]*string{"severity": b.Severity, "requires": b.Requires, "retry": b.Retry} {
		if text != nil {
			d.Common[name] = *text
		}
	}
	return json.Marshal(d)
}

func parseDeferredExpect(of string, data json.RawMessage) (*Expect, error) {
	var d deferredExpect
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.UseNumber()
	if err := decoder.Decode(&d); err != nil {
		return nil, err
	}
	b := &Expect{Of: of, ID: d.ID, Subject: d.Subject, Options: d.Options, WarnVacuous: true}
	b.Options.Content = match.FromPortable(d.Options.Content)
	for _, v := range d.Values {
		b.Values = append(b.Values, Expected{Name: v.Name, Want: match.FromPortable(v.Want)})
	}
	for name, text := range d.Common {
		switch name {
		case "severity":
			b.Severity = &text
		case "requires":
			b.Requires = &text
		case "retry":
			b.Retry = &text
		default:
			return nil, fmt.Errorf("%q is nothing that a check has", name)
		}
	}
	return b, nil
}

// seconds is the time that the block gives, in the whole seconds that the script
// counts in.
func (o Options) seconds(otherwise int) int {
	if o.Milliseconds <= 0 {
		return otherwise
	}
	return (o.Milliseconds + 999) / 1000
}

// exists is the value that tells whether there is a subject; find gives no
// outcome when there is.
func exists(find func(f *facts) verdict, options ...option) value {
	return value{name: "exists", presence: true, options: options, read: func(f *facts) (any, verdict) {
		v := find(f)
		if v.outcome == Errored {
			return nil, v
		}
		return v.outcome == "", verdict{}
	}, show: func(f *facts, value any) string {
		if v := find(f); v.outcome == Failed {
			return strconv.FormatBool(false) + " (" + v.actual + ")"
		}
		return match.Text(value)
	}}
}

// ForeignSuite makes a suite of what was read of one in another language.
// inapplicable is how much of it does not apply, by its own conditions; broken is
// set when not all of it could be read.
func ForeignSuite(name, file string, entries []Entry, inapplicable int, broken bool) Suite {
	return Suite{Name: name, File: file, Entries: entries, inapplicable: inapplicable, broken: broken}
}

// matchingValues are of what is written in the check: nothing is read.
func matchingValues(_ *compiler, b *Expect) []value {
	content := b.Options.Content
	if b.Options.Lines {
		content = fmt.Sprint(content)
	}
	return []value{{
		name: "matches", stream: b.Options.Lines,
		read: func(*facts) (any, verdict) { return content, verdict{} },
	}}
}
