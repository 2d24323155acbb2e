package match

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// contains holds of lists in which each part holds of an element of its own.
type contains struct {
	origin
	parts []Matcher
	lines bool // a text is the list of its lines
}

func (m contains) Match(value any) (bool, string, error) {
	elements, err := elementsOf(value, m.lines)
	if err != nil {
		return false, "", err
	}
	missing := assign(m.parts, elements)
	return len(missing) == 0, missingText(missing), nil
}

func (m contains) always() bool { return len(m.parts) == 0 }

// consists holds of lists whose elements and the parts can be paired.
type consists struct {
	origin
	parts []Matcher
}

func (m consists) Match(value any) (bool, string, error) {
	elements, err := elementsOf(value, false)
	if err != nil {
		return false, "", err
	}
	missing := assign(m.parts, elements)
	return len(missing) == 0 && len(elements) == len(m.parts), missingText(missing), nil
}

// element holds of lists in which the part holds of an element.
type element struct {
	origin
	part Matcher
}

func (m element) Match(value any) (bool, string, error) {
	elements, err := elementsOf(value, true)
	if err != nil {
		return false, "", err
	}
	var last error
	for _, e := range elements {
		holds, _, err := m.part.Match(e)
		if holds && err == nil {
			return true, "", nil
		}
		if err != nil {
			last = err
		}
	}
	return false, "", last
}

// key holds of maps with a key of which the part holds.
type key struct {
	origin
	part Matcher
}

func (m key) Match(value any) (bool, string, error) {
	values, ok := plain(value).(map[string]any)
	if !ok {
		return false, "", fmt.Errorf("%s has no keys", Text(plain(value)))
	}
	for _, k := range slices.Sorted(maps.Keys(values)) {
		if holds, _, err := m.part.Match(k); holds || err != nil {
			return holds && err == nil, "", err
		}
	}
	return false, "", nil
}

// elementsOf are the elements of a list, or the values of a map.
func elementsOf(value any, lines bool) ([]any, error) {
	switch v := plain(value).(type) {
	case []any:
		return v, nil
	case []string:
		return toAny(v), nil
	case map[string]any:
		elements := []any{}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			elements = append(elements, v[k])
		}
		return elements, nil
	case string:
		if lines {
			return toAny(strings.Split(v, "\n")), nil
		}
	}
	return nil, fmt.Errorf("%s is not a list", Text(plain(value)))
}

func toAny(texts []string) []any {
	list := make([]any, len(texts))
	for i, t := range texts {
		list[i] = t
	}
	return list
}

// assign gives each part an element of its own of which it holds, as many as can
// be, and returns the parts that have none. A part that cannot tell does not hold.
func assign(parts []Matcher, elements []any) []Matcher {
	owner := make([]int, len(elements))
	for i := range owner {
		owner[i] = -1
	}
	holds := make([][]bool, len(parts))
	for p, part := range parts {
		holds[p] = make([]bool, len(elements))
		for e, value := range elements {
			ok, _, err := part.Match(value)
			holds[p][e] = ok && err == nil
		}
	}
	var take func(p int, seen []bool) bool
	take = func(p int, seen []bool) bool {
		for e := range elements {
			if !holds[p][e] || seen[e] {
				continue
			}
			seen[e] = true
			if owner[e] < 0 || take(owner[e], seen) {
				owner[e] = p
				return true
			}
		}
		return false
	}
	var missing []Matcher
	for p, part := range parts {
		if !take(p, make([]bool, len(elements))) {
			missing = append(missing, part)
		}
	}
	return missing
}

func missingText(missing []Matcher) string {
	if len(missing) == 0 {
		return ""
	}
	texts := make([]string, len(missing))
	for i, m := range missing {
		texts[i] = m.String()
	}
	return "no " + strings.Join(texts, ", ")
}
