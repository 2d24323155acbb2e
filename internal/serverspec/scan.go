package serverspec

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

type kind int

const (
	word    kind = iota // an identifier or a number
	symbol              // :name, or name: before a value
	text                // a string
	pattern             // a regular expression
	words               // %w(…)
	mark                // punctuation; "\n" ends a statement
	broken              // something that is not understood, to the end of the file
)

// token is a word of Ruby.
type token struct {
	kind kind
	text string // of a string or pattern: what is between the quotes
	raw  bool   // of a string: no escapes and no #{} in it
	flag string // of a pattern
	line int
}

// closing brackets of %w, %q and %r.
var closing = map[byte]byte{'(': ')', '[': ']', '{': '}', '<': '>'}

// scanner cuts Ruby into tokens.
type scanner struct {
	src    string
	at     int
	line   int
	tokens []token
}

func scan(src string) []token {
	s := &scanner{src: src, line: 1}
	for s.at < len(s.src) {
		s.next()
	}
	s.add(mark, "\n")
	return s.tokens
}

func (s *scanner) add(k kind, value string) {
	s.tokens = append(s.tokens, token{kind: k, text: value, line: s.line})
}

func (s *scanner) next() {
	c := s.src[s.at]
	switch {
	case c == '\n':
		s.add(mark, "\n")
		s.at++
		s.line++
	case c == ' ' || c == '\t' || c == '\r':
		s.at++
	case c == '\\' && strings.HasPrefix(s.src[s.at:], "\\\n"):
		s.at += 2
		s.line++
	case c == '#':
		if end := strings.IndexByte(s.src[s.at:], '\n'); end >= 0 {
			s.at += end
		} else {
			s.at = len(s.src)
		}
	case strings.HasPrefix(s.src[s.at:], "=begin") && (s.at == 0 || s.src[s.at-1] == '\n'):
		s.skipTo("\n=end")
	case c == '"' || c == '\'' || c == '`':
		s.quoted(text, c, c, c == '\'')
	case c == '/' && s.startsValue():
		s.quoted(pattern, '/', '/', true)
	case c == '%' && s.startsValue():
		s.percent()
	case c == ':' && s.at+1 < len(s.src) && isWord(rune(s.src[s.at+1])):
		s.at++
		s.add(symbol, s.word())
	case c == '<' && strings.HasPrefix(s.src[s.at:], "<<") && s.startsValue():
		s.add(broken, "a here-document")
		s.at = len(s.src)
	case isWord(s.rune()):
		value := s.word()
		// name: value is a key, name ? a : b and a::b are not.
		if s.at < len(s.src) && s.src[s.at] == ':' && !strings.HasPrefix(s.src[s.at:], "::") {
			s.at++
			s.add(symbol, value)
			return
		}
		s.add(word, value)
	default:
		for _, two := range []string{"=>", "==", "!=", "=~", "&&", "||", "::"} {
			if strings.HasPrefix(s.src[s.at:], two) {
				s.add(mark, two)
				s.at += 2
				return
			}
		}
		_, size := utf8.DecodeRuneInString(s.src[s.at:])
		s.add(mark, s.src[s.at:s.at+size])
		s.at += size
	}
}

func (s *scanner) rune() rune {
	r, _ := utf8.DecodeRuneInString(s.src[s.at:])
	return r
}

func isWord(r rune) bool { return r == '_' || r == '@' || unicode.IsLetter(r) || unicode.IsDigit(r) }

func (s *scanner) word() string {
	begin := s.at
	for s.at < len(s.src) && isWord(s.rune()) {
		_, size := utf8.DecodeRuneInString(s.src[s.at:])
		s.at += size
	}
	// A method may end in one of these; != is not the end of a method.
	if s.at < len(s.src) && (s.src[s.at] == '?' || s.src[s.at] == '!') && !strings.HasPrefix(s.src[s.at+1:], "=") {
		s.at++
	}
	return s.src[begin:s.at]
}

// startsValue reports whether a value may begin here: a slash behind a value
// divides, one behind a method or a bracket begins a pattern.
func (s *scanner) startsValue() bool {
	if len(s.tokens) == 0 {
		return true
	}
	switch last := s.tokens[len(s.tokens)-1]; last.kind {
	case text, pattern, words, symbol:
		return last.kind == symbol
	case word:
		return s.at > 0 && s.src[s.at-1] == ' '
	default:
		return last.text != ")" && last.text != "]" && last.text != "}"
	}
}

func (s *scanner) skipTo(end string) {
	rest := s.src[s.at:]
	i := strings.Index(rest, end)
	if i < 0 {
		i = len(rest) - len(end)
	}
	i = max(i+len(end), 0)
	s.line += strings.Count(rest[:i], "\n")
	s.at += i
}

func (s *scanner) percent() {
	rest := s.src[s.at+1:]
	form := byte('Q')
	if rest != "" && strings.IndexByte("wWqQri", rest[0]) >= 0 {
		form, rest = rest[0], rest[1:]
		s.at++
	}
	if rest == "" || isWord(rune(rest[0])) || rest[0] <= ' ' {
		s.add(mark, "%")
		s.at++
		return
	}
	s.at++ // at the opening bracket
	open := s.src[s.at]
	end, ok := closing[open]
	if !ok {
		end = open
	}
	switch form {
	case 'w', 'W', 'i':
		s.quoted(words, open, end, form != 'W')
	case 'r':
		s.quoted(pattern, open, end, true)
	default:
		s.quoted(text, open, end, form == 'q')
	}
}

// quoted reads up to the closing quote, brackets inside counted.
func (s *scanner) quoted(k kind, open, end byte, raw bool) {
	line := s.line
	var b strings.Builder
	depth := 1
	for i := s.at + 1; i < len(s.src); i++ {
		c := s.src[i]
		switch {
		case c == '\\' && i+1 < len(s.src):
			i++
			if s.src[i] == '\n' {
				s.line++
			}
			if s.src[i] == end || s.src[i] == '\\' && k == text && raw {
				if k == pattern && s.src[i] != '/' {
					b.WriteByte('\\')
				}
				b.WriteByte(s.src[i])
				continue
			}
			b.WriteByte('\\')
			b.WriteByte(s.src[i])
			continue
		case c == end:
			depth--
		case c == open:
			depth++
		}
		if depth == 0 {
			s.at = i + 1
			t := token{kind: k, text: b.String(), raw: raw, line: line}
			if k == pattern {
				for s.at < len(s.src) && strings.IndexByte("imxounse", s.src[s.at]) >= 0 {
					t.flag += string(s.src[s.at])
					s.at++
				}
			}
			s.tokens = append(s.tokens, t)
			return
		}
		if c == '\n' {
			s.line++
		}
		b.WriteByte(c)
	}
	s.tokens = append(s.tokens, token{kind: broken, text: "a quotation without an end", line: line})
	s.at = len(s.src)
}
