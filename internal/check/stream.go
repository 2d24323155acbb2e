package check

import "strconv"

// stream is what a command block asserts of stdout or of stderr.
type stream struct {
	whole                                      *string
	contains, notContains, matches, notMatches []string
	of                                         func(*commandResult) []byte
}

func (b *Command) compileStream(c *compiler, on func(string, string, func(*commandResult) verdict, ...option), name string, s stream) {
	switch {
	case s.whole == nil:
	case IsUnknown(*s.whole):
		c.plan.Partial = true
		c.found++
	default:
		c.found++
		want := trimEnd([]byte(*s.whole))
		on(name, strconv.Quote(want), func(r *commandResult) verdict {
			if v := r.complete(name); v.outcome != "" {
				return v
			}
			return is(trimEnd(s.of(r)) == want, shown(s.of(r)))
		})
	}
	onLines := func(property string, values []string, decide func(content []byte) verdict) {
		if len(values) == 0 {
			return
		}
		on(property, quotedTexts(values), func(r *commandResult) verdict {
			if v := r.complete(name); v.outcome != "" {
				return v
			}
			v := decide(s.of(r))
			if said := firstLines(s.of(r)); v.outcome == Failed && said != "" {
				v.actual += ": " + said
			}
			return v
		}, additive)
	}
	contains, notContains := c.list(name+"_contains", s.contains), c.list(name+"_not_contains", s.notContains)
	matches, notMatches := c.patterns(name+"_matches", s.matches), c.patterns(name+"_not_matches", s.notMatches)
	onLines(name+"_contains", contains, func(content []byte) verdict { return containsAll(content, contains) })
	onLines(name+"_not_contains", notContains, func(content []byte) verdict { return containsNone(content, notContains) })
	onLines(name+"_matches", sources(matches), func(content []byte) verdict { return matchesAll(content, matches) })
	onLines(name+"_not_matches", sources(notMatches), func(content []byte) verdict { return matchesNone(content, notMatches) })
}

func trimEnd(text []byte) string {
	end := len(text)
	for end > 0 && (text[end-1] == '\n' || text[end-1] == '\r') {
		end--
	}
	return string(text[:end])
}

func shown(output []byte) string {
	if said := firstLines(output); said != "" {
		return said
	}
	return "nothing"
}
