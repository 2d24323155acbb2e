package serverspec

import (
	"fmt"
	"regexp"
	"strings"
)

// re2 turns a pattern of Ruby into one of Go. Checks match line by line, so that
// ^ and $ mean in both what they mean in Ruby; a pattern that spans lines or
// means the ends of the text does not.
func re2(pattern, flags string) (string, error) {
	for _, not := range []string{`\A`, `\z`, `\Z`, `\n`, `\R`, "\n", `\G`} {
		if strings.Contains(pattern, not) {
			return "", fmt.Errorf("the pattern %q is about more than a line", pattern)
		}
	}
	pattern = strings.NewReplacer(`\\`, `\\`, `\h`, `[0-9a-fA-F]`, `\/`, `/`).Replace(pattern)
	switch strings.Trim(flags, "ou") {
	case "":
	case "i":
		pattern = "(?i)" + pattern
	default:
		return "", fmt.Errorf("the flags %q of a pattern are not understood", flags)
	}
	if _, err := regexp.Compile(pattern); err != nil {
		return "", fmt.Errorf("the pattern %q is none of RE2: %w", pattern, err)
	}
	return pattern, nil
}

// special reports whether a text is more than itself as a pattern of grep. A dot
// is not taken for that: who writes 1.2 means it.
func special(text string) bool {
	return strings.ContainsAny(text, `*[\`) || strings.HasPrefix(text, "^") || strings.HasSuffix(text, "$")
}

// fromGrep turns a basic regular expression of grep(1): there +, ?, |, () and {}
// are special with a backslash only.
func fromGrep(text string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text) && strings.IndexByte("+?|(){}", text[i+1]) >= 0:
			i++
			b.WriteByte(text[i])
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(c)
			b.WriteByte(text[i])
		case strings.IndexByte("+?|(){}", c) >= 0:
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return re2(b.String(), "")
}
