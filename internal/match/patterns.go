package match

import (
	"bufio"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// lineLimit is how long a line may be in which patterns are looked for.
const lineLimit = 1 << 20

// patterns holds of texts in which some line has each of the patterns, and no
// line one of those that are negated.
type patterns struct {
	origin
	parts []pattern
}

// pattern is a text, or between slashes a regular expression; ! negates it.
type pattern struct {
	written string
	negated bool
	holds   func(line string) bool
}

// Patterns reads the list of what the lines of a file or of an output must have.
func Patterns(data []any) (Matcher, error) { return parsePatterns(data, origin{data}) }

func parsePatterns(value any, o origin) (Matcher, error) {
	list, ok := value.([]any)
	if !ok {
		return nil, fmt.Errorf("%s is not a list", Text(value))
	}
	m := patterns{origin: o}
	for i, data := range list {
		written, ok := data.(string)
		if !ok {
			return nil, fmt.Errorf("element %d: %s is not a text", i+1, Text(data))
		}
		p, err := parsePattern(written)
		if err != nil {
			return nil, fmt.Errorf("element %d: %w", i+1, err)
		}
		m.parts = append(m.parts, p)
	}
	return m, nil
}

func parsePattern(written string) (pattern, error) {
	p := pattern{written: written, negated: strings.HasPrefix(written, "!")}
	expression, negated := strings.CutPrefix(written, "!")
	if !negated {
		expression = written
	}
	if !strings.HasPrefix(expression, "/") || !strings.HasSuffix(expression, "/") {
		// One backslash keeps what follows from being read as ! or /; of all that
		// a text begins with, only what follows these three counts.
		literal := strings.TrimLeft(written, `\/!`)
		p.holds = func(line string) bool { return strings.Contains(line, literal) }
		return p, nil
	}
	if len(expression) < 2 {
		return p, errors.New(`"/" begins a regular expression and does not end it; write "\\/" for a slash`)
	}
	re, err := regexp.Compile(expression[1 : len(expression)-1])
	if err != nil {
		return p, fmt.Errorf("%q is not a regular expression (RE2 syntax): %w", written, err)
	}
	p.holds = re.MatchString
	return p, nil
}

func (m patterns) Match(value any) (bool, string, error) {
	if len(m.parts) == 0 {
		return true, "", nil
	}
	open := m.parts
	var unwanted []string
	number := 0
	scanner := bufio.NewScanner(strings.NewReader(asText(value)))
	scanner.Buffer(nil, lineLimit)
	for scanner.Scan() && len(open) > 0 {
		number++
		var left []pattern
		for _, p := range open {
			switch {
			case !p.holds(scanner.Text()):
				left = append(left, p)
			case p.negated:
				unwanted = append(unwanted, fmt.Sprintf("%q is in line %d", strings.TrimPrefix(p.written, "!"), number))
			}
		}
		open = left
	}
	if err := scanner.Err(); err != nil {
		return false, "", fmt.Errorf("a line is longer than %d bytes", lineLimit)
	}
	why := unwanted
	for _, p := range open {
		if !p.negated && p.written != "" {
			why = append(why, fmt.Sprintf("no line has %q", p.written))
		}
	}
	return len(why) == 0, strings.Join(why, ", "), nil
}

func (m patterns) always() bool {
	for _, p := range m.parts {
		if p.written != "" {
			return false
		}
	}
	return true
}

// IsPatterns marks a matcher that says which patterns are missing, and nothing of
// the text in which they were looked for.
func (patterns) IsPatterns() {}
