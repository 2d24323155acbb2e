package check

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// validName accepts what can name a package, a service, a user or a group.
func validName(name string) error {
	switch {
	case strings.ContainsAny(name, " \t\n\r\x00/"), strings.HasPrefix(name, "-"):
		return errors.New("is not a name: white space, / and a leading - cannot be in one")
	case strings.ContainsAny(name, "*?["):
		return errors.New("looks like a pattern; name each one, in full")
	}
	return validText(name)
}

func validText(text string) error {
	if text == "" {
		return errors.New("is empty")
	}
	if strings.Contains(text, "\x00") || !utf8.ValidString(text) {
		return errors.New("is not UTF-8 text")
	}
	return nil
}

// commandMax is below the 128 KiB that Linux allows for one argument.
const commandMax = 100 << 10

func validCommand(text string) error {
	if len(text) > commandMax {
		return fmt.Errorf("is longer than the %d bytes that a shell can be given; put it into a script", commandMax)
	}
	if strings.TrimSpace(text) == "" {
		return errors.New("is empty")
	}
	return validText(text)
}

// pathMax is Linux's PATH_MAX: no longer path can be given to the kernel.
const pathMax = 4096

func validPath(p string) error {
	if err := validText(p); err != nil {
		return err
	}
	switch {
	case !path.IsAbs(p):
		return errors.New("is not an absolute path; start it with /")
	case path.Clean(p) != p:
		return fmt.Errorf("is not the plain form of the path; write %q", path.Clean(p))
	case len(p) >= pathMax:
		return fmt.Errorf("is longer than the %d bytes that Linux allows", pathMax-1)
	}
	return nil
}

// octal reads a file mode. Packer hands mode = 0644 over as "644".
func (c *compiler) octal(attr string, text *string) (uint32, bool) {
	value, ok := c.expected(attr, text)
	if !ok {
		return 0, false
	}
	mode, err := strconv.ParseUint(strings.TrimPrefix(value, "0o"), 8, 32)
	if err != nil || mode > 0o7777 {
		c.problem(attr, `%q is not a file mode; write it in octal, for example "0644"`, value)
		return 0, false
	}
	return uint32(mode), true
}

// patterns compiles a list of regular expressions.
func (c *compiler) patterns(attr string, values []string) []*regexp.Regexp {
	var compiled []*regexp.Regexp
	for _, v := range c.list(attr, values) {
		re, err := regexp.Compile(v)
		if err != nil {
			c.problem(attr, "%q is not a regular expression (RE2 syntax): %v", v, err)
			continue
		}
		if re.MatchString("") && re.MatchString("any line") {
			c.problem(attr, "%q matches every line, so it asserts nothing; make it more specific", v)
			continue
		}
		compiled = append(compiled, re)
	}
	return compiled
}

// quotedTexts lists values for people: "a", "b".
func quotedTexts(values []string) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = strconv.Quote(v)
	}
	return strings.Join(texts, ", ")
}
