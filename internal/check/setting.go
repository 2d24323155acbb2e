package check

import (
	"errors"
	"strconv"
	"strings"
)

// setting is a value that is compared as a number when it can be, and as text
// otherwise.
type setting struct {
	number constraint
	text   string
}

// setting reads an expected value: 1, ">= 1024", "cubic".
func (c *compiler) setting(attr string, value *string) (setting, bool) {
	text, ok := c.expected(attr, value)
	if !ok {
		return setting{}, false
	}
	want, err := parseSetting(text)
	if err != nil {
		c.problem(attr, "%v", err)
	}
	return want, err == nil
}

func parseSetting(text string) (setting, error) {
	text = foldSpace(text)
	if text == "" {
		return setting{}, errors.New("white space asserts nothing; set a value")
	}
	number, err := parseConstraint(text, validNumber)
	if err == nil {
		return setting{number: number, text: text}, nil
	}
	if strings.ContainsAny(text[:1], "<>=!") {
		return setting{}, err
	}
	return setting{text: text}, nil
}

func (s setting) String() string {
	if s.number != nil {
		return s.number.String()
	}
	return s.text
}

// decide compares a value; where says, for people, where it comes from.
func (s setting) decide(value, where string) verdict {
	actual := foldSpace(value)
	if s.number == nil {
		return is(actual == s.text, actual+where)
	}
	number, err := strconv.ParseInt(actual, 10, 64)
	if err != nil {
		return fail("%q%s, which is no whole number", actual, where)
	}
	return is(s.number.meets(number), actual+where)
}

// foldSpace is a text with single blanks for white space, as between the numbers
// of net.ipv4.tcp_rmem.
func foldSpace(text string) string { return strings.Join(strings.Fields(text), " ") }
