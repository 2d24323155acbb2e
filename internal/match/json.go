package match

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tidwall/gjson"
)

// atPath holds of JSON in which the part holds of what is at a path.
type atPath struct {
	origin
	path string
	part Matcher
}

func parseJSON(value any, o origin) (Matcher, error) {
	paths, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s is not a map of paths and matchers", Text(value))
	}
	m := all{origin: o}
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		part, err := Parse(paths[path])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		m.parts = append(m.parts, atPath{o, path, part})
	}
	return m, nil
}

func (m atPath) Match(value any) (bool, string, error) {
	document, ok := plain(value).(string)
	if !ok {
		return false, "", fmt.Errorf("%s is not a text", Text(plain(value)))
	}
	if !gjson.Valid(document) {
		return false, "", errors.New("it is not JSON")
	}
	found := gjson.Get(document, m.path)
	if !found.Exists() {
		return false, "", fmt.Errorf("there is nothing at %q", m.path)
	}
	holds, why, err := m.part.Match(found.Value())
	if !holds && why == "" {
		why = fmt.Sprintf("at %q there is %s", m.path, Text(found.Value()))
	}
	return holds, why, err
}
