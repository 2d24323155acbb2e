package match

import "slices"

// not holds when its part does not.
type not struct {
	origin
	part Matcher
}

func (m not) Match(value any) (bool, string, error) {
	holds, _, err := m.part.Match(value)
	if err != nil {
		return false, "", err
	}
	return !holds, "", nil
}

func (m not) always() bool { return m.part.never() }
func (m not) never() bool  { return m.part.always() }

// all holds when each part does. The first that cannot tell ends it.
type all struct {
	origin
	parts []Matcher
}

func (m all) Match(value any) (bool, string, error) {
	for _, part := range m.parts {
		if holds, why, err := part.Match(value); !holds || err != nil {
			return false, why, err
		}
	}
	return true, "", nil
}

func (m all) always() bool {
	return !slices.ContainsFunc(m.parts, func(part Matcher) bool { return !part.always() })
}
func (m all) never() bool { return slices.ContainsFunc(m.parts, Matcher.never) }

// some holds when one of its parts does. The first that cannot tell ends it.
type some struct {
	origin
	parts []Matcher
}

func (m some) Match(value any) (bool, string, error) {
	for _, part := range m.parts {
		if holds, _, err := part.Match(value); holds || err != nil {
			return holds && err == nil, "", err
		}
	}
	return false, "", nil
}

func (m some) always() bool { return slices.ContainsFunc(m.parts, Matcher.always) }
func (m some) never() bool {
	return !slices.ContainsFunc(m.parts, func(part Matcher) bool { return !part.never() })
}
