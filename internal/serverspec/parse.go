package serverspec

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// scope is what a statement sees.
type scope struct {
	variables map[string]string // of the loops around it
	when      []string          // conditions around it, in HCL
	subject   *resource         // what the block around it describes
	group     int               // the first item of that block
}

func (s scope) with(name, value string) scope {
	s.variables = maps.Clone(s.variables)
	if s.variables == nil {
		s.variables = map[string]string{}
	}
	s.variables[name] = value
	return s
}

func (s scope) under(condition string) scope {
	if condition != "" {
		s.when = append(slices.Clone(s.when), condition)
	}
	return s
}

// resource is what a check is about: package('ntp').
type resource struct {
	kind string
	args []value
}

// value is a literal.
type value struct {
	text    string
	list    []string // of %w(…) and […]
	isList  bool
	pattern bool
	flags   string
	key     string // of key => value
}

// call is one link of a matcher: be_installed, by(:gem).
type call struct {
	name string
	args []value
}

// expectation is one check.
type expectation struct {
	subject  resource
	property string // of its(:stdout); empty for the resource itself
	not      bool
	matcher  []call
}

// item is a block of the result, or what was left.
type item struct {
	block *block
	left  *Left
}

// parser walks through the tokens and converts what it meets.
type parser struct {
	lines  []string
	tokens []token
	at     int
	items  []item
	left   []Left
}

func (p *parser) peek() token { return p.tokens[min(p.at, len(p.tokens)-1)] }

func (p *parser) end() bool { return p.at >= len(p.tokens) }

func (p *parser) is(texts ...string) bool {
	t := p.peek()
	return !p.end() && (t.kind == mark || t.kind == word) && slices.Contains(texts, t.text)
}

func (p *parser) accept(text string) bool {
	if !p.is(text) {
		return false
	}
	p.at++
	return true
}

func (p *parser) newlines() {
	for p.is("\n", ";") {
		p.at++
	}
}

// unexpected says what stands where something else should.
func (p *parser) unexpected() error {
	switch t := p.peek(); {
	case p.end() || t.text == "\n":
		return errors.New("the line ends too early")
	case t.kind == broken:
		return fmt.Errorf("%s is not understood", t.text)
	default:
		return fmt.Errorf("%q is not understood here", t.text)
	}
}

// statements converts statements up to the end of the block around them, which
// it leaves to its caller.
func (p *parser) statements(sc scope, nested bool) {
	for {
		p.newlines()
		if p.end() || nested && p.is("end", "}", "else", "elsif") {
			return
		}
		begin := p.at
		if err := p.statement(sc); err != nil {
			p.at = begin
			p.skip()
			p.leave(begin, err)
		}
		if p.at == begin {
			p.at++ // a stray end
		}
	}
}

func (p *parser) statement(sc scope) error {
	switch t := p.peek(); {
	case t.kind == word:
		switch t.text {
		case "require", "require_relative", "set", "include":
			p.skip() // how Serverspec itself is set up
			return nil
		case "RSpec":
			p.at++
			if !p.accept(".") {
				return p.unexpected()
			}
			return p.statement(sc)
		case "describe", "context":
			return p.describe(sc)
		case "if", "unless":
			return p.conditional(sc)
		case "it", "its", "example", "specify":
			return p.example(sc)
		case "should", "should_not", "is_expected", "expect":
			return p.expect(sc, "")
		}
	case t.kind == words, t.text == "[":
		return p.loop(sc)
	}
	return p.unexpected()
}

// describe converts a block about a resource, or one that only has a title.
func (p *parser) describe(sc scope) error {
	p.at++
	inBrackets := p.accept("(")
	if t := p.peek(); t.kind == text {
		p.at++
	} else {
		subject, err := p.resource(sc)
		if err != nil {
			return err
		}
		sc.subject, sc.group = &subject, len(p.items)
	}
	for p.accept(",") {
		p.newlines()
		condition, err := p.option()
		if err != nil {
			return err
		}
		sc = sc.under(condition)
	}
	if inBrackets && !p.accept(")") {
		return p.unexpected()
	}
	return p.body(sc)
}

// option is what stands behind the subject: if: CONDITION, or a mark of RSpec.
func (p *parser) option() (condition string, err error) {
	key := p.peek()
	if key.kind != symbol {
		return "", p.unexpected()
	}
	p.at++
	if !p.accept("=>") && p.tokens[p.at-1].kind != symbol {
		return "", p.unexpected()
	}
	switch key.text {
	case "if":
		return p.condition()
	case "unless":
		condition, err := p.condition()
		return "!(" + condition + ")", err
	}
	return "", fmt.Errorf("the option %s is not understood", key.text)
}

// body converts a block in do … end or in braces.
func (p *parser) body(sc scope) error {
	closing := "end"
	switch {
	case p.accept("do"):
	case p.accept("{"):
		closing = "}"
	default:
		return p.unexpected()
	}
	p.statements(sc, true)
	if !p.accept(closing) {
		return p.unexpected()
	}
	return nil
}

func (p *parser) conditional(sc scope) error {
	negative := p.peek().text == "unless"
	var before []string // that did not hold
	for {
		p.at++
		branch := sc
		for _, other := range before {
			branch = branch.under("!(" + other + ")")
		}
		if p.tokens[p.at-1].text != "else" {
			condition, err := p.condition()
			if err != nil {
				return err
			}
			if negative {
				condition, negative = "!("+condition+")", false
			}
			branch = branch.under(condition)
			before = append(before, condition)
		}
		p.accept("then")
		p.statements(branch, true)
		if p.accept("end") {
			return nil
		}
		if !p.is("else", "elsif") {
			return p.unexpected()
		}
	}
}

// loop converts %w(a b).each do |name| … end, once for each.
func (p *parser) loop(sc scope) error {
	list, err := p.value(sc)
	if err != nil {
		return err
	}
	if !list.isList || !p.accept(".") || !p.accept("each") {
		return p.unexpected()
	}
	open := p.peek()
	if !p.accept("do") && !p.accept("{") {
		return p.unexpected()
	}
	if !p.accept("|") || p.peek().kind != word {
		return p.unexpected()
	}
	name := p.peek().text
	p.at++
	if !p.accept("|") {
		return p.unexpected()
	}
	begin := p.at
	if len(list.list) == 0 {
		return errors.New("the list is empty")
	}
	for _, text := range list.list {
		p.at = begin
		p.statements(sc.with(name, text), true)
	}
	if !p.accept(map[string]string{"do": "end", "{": "}"}[open.text]) {
		return p.unexpected()
	}
	return nil
}

// example converts it { … }, it 'title' do … end and its(:property) { … }.
func (p *parser) example(sc scope) error {
	property := ""
	its := p.peek().text == "its"
	p.at++
	inBrackets := p.accept("(")
	switch t := p.peek(); {
	case its && (t.kind == symbol || t.kind == text):
		property = t.text
		p.at++
	case !its && t.kind == text:
		p.at++
	case its || inBrackets:
		return p.unexpected()
	}
	if inBrackets && !p.accept(")") {
		return p.unexpected()
	}
	closing := "end"
	if !p.accept("do") {
		if closing = "}"; !p.accept("{") {
			return p.unexpected()
		}
	}
	for {
		p.newlines()
		if p.accept(closing) {
			return nil
		}
		begin := p.at
		if !p.is("should", "should_not", "is_expected", "expect") {
			return p.unexpected()
		}
		if err := p.expect(sc, property); err != nil {
			p.at = begin
			p.skip()
			p.leave(begin, err)
		}
	}
}

// expect converts one expectation.
func (p *parser) expect(sc scope, property string) error {
	e := expectation{property: property}
	if sc.subject != nil {
		e.subject = *sc.subject
	}
	switch {
	case p.accept("should"):
	case p.accept("should_not"):
		e.not = true
	case p.accept("is_expected"), p.accept("expect"):
		if p.tokens[p.at-1].text == "expect" {
			if err := p.expected(sc, &e); err != nil {
				return err
			}
		}
		if !p.accept(".") {
			return p.unexpected()
		}
		if e.not = p.is("not_to", "to_not"); !e.not && !p.is("to") {
			return p.unexpected()
		}
		p.at++
	}
	if e.subject.kind == "" {
		return errors.New("it does not say what it is about")
	}
	for {
		link, err := p.call(sc)
		if err != nil {
			return err
		}
		e.matcher = append(e.matcher, link)
		if !p.accept(".") {
			break
		}
	}
	if !p.is("\n", ";", "}", "end") {
		return p.unexpected()
	}
	blocks, err := convert(e)
	if err != nil {
		return err
	}
	for _, b := range blocks {
		b.when = sc.when
		p.add(sc.group, b)
	}
	return nil
}

// expected reads what stands in expect(…).
func (p *parser) expected(sc scope, e *expectation) (err error) {
	if !p.accept("(") {
		return p.unexpected()
	}
	if !p.accept("subject") {
		if e.subject, err = p.resource(sc); err != nil {
			return err
		}
	}
	if p.accept(".") {
		e.property = p.peek().text
		p.at++
	}
	if !p.accept(")") {
		return p.unexpected()
	}
	return nil
}

func (p *parser) resource(sc scope) (resource, error) {
	if p.peek().kind != word || p.end() {
		return resource{}, p.unexpected()
	}
	link, err := p.call(sc)
	if err == nil && len(link.args) == 0 && link.name != "selinux" && link.name != "cron" {
		err = fmt.Errorf("%s is not understood", link.name)
	}
	return resource{link.name, link.args}, err
}

// call reads a name and its arguments, in brackets or not.
func (p *parser) call(sc scope) (call, error) {
	t := p.peek()
	c := call{name: t.text}
	switch {
	case p.end() || t.text == "\n":
		return c, p.unexpected()
	case t.kind == mark && t.text == "==", t.kind == word:
		p.at++
	default:
		return c, p.unexpected()
	}
	if t.text == "be" {
		for p.is(">", "<", "=", "==") {
			c.name += p.peek().text
			p.at++
		}
	}
	brackets := p.accept("(")
	for !p.is(")", ".", "\n", ";", "}", "end", "do", "{", ",") {
		p.skipLines(brackets)
		v, err := p.value(sc)
		if err != nil {
			return c, err
		}
		c.args = append(c.args, v)
		p.skipLines(brackets)
		if !brackets && p.is(",") && p.optionFollows() {
			break
		}
		if !p.accept(",") {
			break
		}
		p.newlines()
	}
	if brackets && !p.accept(")") {
		return c, p.unexpected()
	}
	return c, nil
}

func (p *parser) skipLines(brackets bool) {
	if brackets {
		p.newlines()
	}
}

// optionFollows reports whether an option of describe stands behind a comma:
// describe package 'x', :if => …
func (p *parser) optionFollows() bool {
	next := p.tokens[min(p.at+1, len(p.tokens)-1)]
	return next.kind == symbol && (next.text == "if" || next.text == "unless")
}

// skip goes to the end of a statement, blocks in it included.
func (p *parser) skip() {
	depth, begin := 0, p.at
	for ; !p.end(); p.at++ {
		t := p.peek()
		if t.kind != mark && t.kind != word {
			continue
		}
		switch t.text {
		case "\n", ";":
			if depth == 0 {
				return
			}
		case "do", "{", "(", "[":
			depth++
		case "if", "unless", "case", "def", "class", "module", "begin", "while", "until":
			// Behind something else these end a statement and open no block.
			if p.at == begin || p.tokens[p.at-1].text == "\n" {
				depth++
			}
		case "end", "}", ")", "]":
			if depth--; depth < 0 {
				return
			}
		}
	}
}

// leave keeps the statement that begins at a token and ends here as a comment.
func (p *parser) leave(begin int, why error) {
	first := p.tokens[begin].line
	last := p.tokens[min(max(p.at-1, begin), len(p.tokens)-1)].line
	if slices.ContainsFunc(p.left, func(l Left) bool { return l.Line == first }) {
		return // by an earlier round of a loop
	}
	source := strings.Join(p.lines[first-1:min(last, len(p.lines))], "\n")
	left := Left{Line: first, Why: why.Error(), Source: source}
	p.left = append(p.left, left)
	p.items = append(p.items, item{left: &left})
}

// add adds what a block asserts to a block of the same group about the same
// thing, or the block itself.
func (p *parser) add(group int, b *block) {
	for _, it := range p.items[min(group, len(p.items)):] {
		if it.block != nil && it.block.merge(b) {
			return
		}
	}
	p.items = append(p.items, item{block: b})
}
