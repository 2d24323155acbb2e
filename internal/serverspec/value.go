package serverspec

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

// value reads a literal, or the name of a loop's variable.
func (p *parser) value(sc scope) (value, error) {
	t := p.peek()
	if p.end() {
		return value{}, p.unexpected()
	}
	p.at++
	switch {
	case t.kind == text:
		s, err := unquote(t, sc)
		return p.pair(sc, value{text: s}, err)
	case t.kind == pattern:
		if strings.Contains(t.text, "#{") {
			return value{}, errors.New("a pattern with a value in it is not understood")
		}
		return value{text: t.text, pattern: true, flags: t.flag}, nil
	case t.kind == words:
		return value{isList: true, list: strings.Fields(t.text)}, nil
	case t.kind == symbol:
		return p.pair(sc, value{text: t.text}, nil)
	case t.kind == mark && t.text == "[":
		return p.list(sc)
	case t.kind == mark && t.text == "{":
		v, err := p.value(sc)
		if err == nil && !p.accept("}") {
			err = p.unexpected()
		}
		return v, err
	case t.kind == mark && t.text == "-" && p.peek().kind == word && isNumber(p.peek().text):
		p.at++
		return value{text: "-" + p.tokens[p.at-1].text}, nil
	case t.kind == word && isNumber(t.text):
		parts := []string{t.text}
		for p.is(".") && isNumber(p.tokens[min(p.at+1, len(p.tokens)-1)].text) {
			parts = append(parts, p.tokens[p.at+1].text)
			p.at += 2
		}
		return value{text: strings.ReplaceAll(strings.Join(parts, "."), "_", "")}, nil
	case t.kind == word && (t.text == "true" || t.text == "false"):
		return value{text: t.text}, nil
	case t.kind == word:
		if s, known := sc.variables[t.text]; known {
			return value{text: s}, nil
		}
	}
	p.at--
	if t.kind == word {
		return value{}, fmt.Errorf("what %s is is not known", t.text)
	}
	return value{}, p.unexpected()
}

// pair reads the value of a key, when a value is one.
func (p *parser) pair(sc scope, key value, err error) (value, error) {
	behindColon := p.tokens[p.at-1].kind == symbol && p.startsLiteral()
	if err != nil || !p.accept("=>") && !behindColon {
		return key, err
	}
	v, err := p.value(sc)
	v.key = key.text
	return v, err
}

// startsLiteral reports whether a literal stands behind a symbol, which then is
// the key of it: with(port: 80).
func (p *parser) startsLiteral() bool {
	t := p.peek()
	return t.kind == text || t.kind == symbol || t.kind == pattern || t.kind == words || t.kind == word && isNumber(t.text)
}

func (p *parser) list(sc scope) (value, error) {
	v := value{isList: true}
	for {
		p.newlines()
		if p.accept("]") {
			return v, nil
		}
		one, err := p.value(sc)
		if err != nil {
			return v, err
		}
		if one.isList || one.pattern || one.key != "" {
			return v, errors.New("a list of other things than words is not understood")
		}
		v.list = append(v.list, one.text)
		p.newlines()
		if !p.accept(",") && !p.is("]") {
			return v, p.unexpected()
		}
	}
}

func isNumber(text string) bool { return text != "" && text[0] >= '0' && text[0] <= '9' }

// unquote is what a string means: its escapes and the variables in it.
func unquote(t token, sc scope) (string, error) {
	if t.raw {
		return t.text, nil
	}
	var b strings.Builder
	for rest := t.text; rest != ""; {
		switch {
		case strings.HasPrefix(rest, "#{"):
			name, behind, ok := strings.Cut(rest[2:], "}")
			known, there := sc.variables[strings.TrimSpace(name)]
			if !ok || !there {
				return "", fmt.Errorf("what #{%s} is is not known", name)
			}
			b.WriteString(known)
			rest = behind
		case rest[0] == '\\' && len(rest) > 1:
			meant, known := map[byte]string{'n': "\n", 't': "\t", 'r': "\r", 'e': "\x1b", '0': "\x00", 's': " "}[rest[1]]
			if !known {
				if strings.IndexByte("uxabcfvM", rest[1]) >= 0 || isNumber(rest[1:2]) {
					return "", fmt.Errorf("the escape \\%c is not understood", rest[1])
				}
				meant = rest[1:2]
			}
			b.WriteString(meant)
			rest = rest[2:]
		default:
			b.WriteByte(rest[0])
			rest = rest[1:]
		}
	}
	return b.String(), nil
}

// condition reads a condition on os[:family], os[:release] and their like, and
// returns it in HCL.
func (p *parser) condition() (string, error) {
	left, err := p.comparison()
	for err == nil && p.is("&&", "||", "and", "or") {
		operator := map[string]string{"&&": " && ", "and": " && ", "||": " || ", "or": " || "}[p.peek().text]
		p.at++
		p.newlines()
		var right string
		right, err = p.comparison()
		left = "(" + left + operator + right + ")"
	}
	return left, err
}

func (p *parser) comparison() (string, error) {
	if p.accept("(") {
		inner, err := p.condition()
		if err == nil && !p.accept(")") {
			err = p.unexpected()
		}
		return "(" + inner + ")", err
	}
	if p.accept("!") {
		inner, err := p.comparison()
		return "!" + inner, err
	}
	if !p.is("os") {
		return p.included()
	}
	fact, err := p.fact()
	if err != nil {
		return "", err
	}
	not := p.is("!=")
	if !not && !p.is("==") {
		return "", p.unexpected()
	}
	p.at++
	v, err := p.value(scope{})
	if err != nil {
		return "", err
	}
	equal := fact(v.text)
	if not {
		return "!(" + equal + ")", nil
	}
	return equal, nil
}

// included reads %w(a b).include?(os[:family]).
func (p *parser) included() (string, error) {
	list, err := p.value(scope{})
	if err != nil {
		return "", err
	}
	if !list.isList || !p.accept(".") || !p.accept("include?") {
		return "", errors.New("the condition is not understood")
	}
	brackets := p.accept("(")
	fact, err := p.fact()
	if err != nil {
		return "", err
	}
	if brackets && !p.accept(")") {
		return "", p.unexpected()
	}
	var any []string
	for _, v := range list.list {
		any = append(any, fact(v))
	}
	if len(any) == 0 {
		return "false", nil
	}
	return "(" + strings.Join(any, " || ") + ")", nil
}

// fact reads os[:family] and returns how a value of it is asked for.
func (p *parser) fact() (func(string) string, error) {
	if !p.accept("os") || !p.accept("[") {
		return nil, errors.New("the condition is not understood")
	}
	name := p.peek()
	p.at++
	if !p.accept("]") {
		return nil, p.unexpected()
	}
	switch name.text {
	case "family":
		return family, nil
	case "release":
		return func(v string) string { return "facts.version == " + quote(v) }, nil
	}
	return nil, fmt.Errorf("os[:%s] is not understood", name.text)
}

// family is os[:family] of Serverspec, which calls Red Hat and its rebuilds
// redhat and everything else by its own name (specinfra, lib/specinfra/helper/detect_os).
func family(name string) string {
	if name == "redhat" {
		return `(facts.family == "redhat" && facts.os != "fedora" && facts.os != "amzn")`
	}
	if name == "amazon" {
		name = "amzn"
	}
	return "facts.os == " + quote(name)
}

// quote writes text as a string of HCL.
func quote(text string) string {
	return string(hclwrite.TokensForValue(cty.StringVal(text)).Bytes())
}
