package localcloud

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// filtering is embedded in the parameters of every Describe call.
type filtering struct {
	Filter []filterParam
}

type filterParam struct {
	Name  string
	Value []string
}

// filters are the filters that a Describe call knows: for each name the values
// of an item, of which one must match one value of the filter.
type filters[T any] struct {
	fields map[string]func(T) []string
	tags   func(T) map[string]string
}

// compile turns the filters of a request into one predicate.
func (f filters[T]) compile(params []filterParam) (func(T) bool, error) {
	if len(params) > 200 {
		return nil, errorf("FilterLimitExceeded", "The maximum number of filters for a request is 200.")
	}
	var tests []func(T) bool
	for _, p := range params {
		if p.Name == "" {
			return nil, errorf("InvalidParameterValue", "The filter 'null' is invalid")
		}
		if len(p.Value) == 0 {
			return nil, errorf("InvalidParameterValue", "The filter '%s' has no values", p.Name)
		}
		values := f.values(p.Name)
		if values == nil {
			return nil, errorf("InvalidParameterValue", "The filter '%s' is invalid", p.Name)
		}
		tests = append(tests, func(item T) bool {
			return slices.ContainsFunc(values(item), func(value string) bool {
				return slices.ContainsFunc(p.Value, func(pattern string) bool { return matchWildcard(pattern, value) })
			})
		})
	}
	return func(item T) bool {
		for _, test := range tests {
			if !test(item) {
				return false
			}
		}
		return true
	}, nil
}

func (f filters[T]) values(name string) func(T) []string {
	if key, ok := strings.CutPrefix(name, "tag:"); ok && f.tags != nil {
		return func(item T) []string {
			if value, ok := f.tags(item)[key]; ok {
				return []string{value}
			}
			return nil
		}
	}
	if get, ok := f.fields[name]; ok {
		return get
	}
	switch {
	case f.tags == nil:
		return nil
	case name == "tag-key":
		return func(item T) []string { return slices.Collect(maps.Keys(f.tags(item))) }
	case name == "tag-value":
		return func(item T) []string { return slices.Collect(maps.Values(f.tags(item))) }
	}
	return nil
}

// matchWildcard matches as EC2's filters do: * is any run of characters, ? any
// one, a backslash takes the next character for itself.
func matchWildcard(pattern, value string) bool {
	p, v := []rune(pattern), []rune(value)
	i, j := 0, 0
	star, resume := -1, 0
	for j < len(v) {
		switch {
		case i < len(p) && p[i] == '*':
			star, resume = i, j
			i++
		case i < len(p) && p[i] == '?':
			i, j = i+1, j+1
		case i+1 < len(p) && p[i] == '\\' && p[i+1] == v[j]:
			i, j = i+2, j+1
		case i < len(p) && (p[i] != '\\' || i+1 == len(p)) && p[i] == v[j]:
			i, j = i+1, j+1
		case star >= 0:
			resume++
			i, j = star+1, resume
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}

// Values in the form in which filters compare them.

func one(s string) []string { return []string{s} }

func some(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func number(n int64) []string { return []string{strconv.FormatInt(n, 10)} }

func boolean(b bool) []string { return []string{strconv.FormatBool(b)} }

// formatTime writes a time as EC2 does.
func formatTime(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }
