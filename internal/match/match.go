// Package match is the language of matchers that goss suites are written in: what
// a value of an image must be, as data. A matcher holds of a value exactly when
// it holds for goss v0.4.9; what goss takes for an error is one here.
//
// Values are those that goss works with: booleans, whole numbers, floating-point
// numbers, texts, lists of texts, and what JSON decodes to.
package match

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Matcher decides on values.
type Matcher interface {
	// Match tells whether the matcher holds of a value. why, when it does not,
	// says what is missing if that is more than the value itself. An error means
	// that the value is none that can be matched in this way.
	Match(value any) (holds bool, why string, err error)
	// String is the matcher as it was written, in JSON.
	String() string
	// always and never tell whether the matcher holds of every value of its kind,
	// or of none.
	always() bool
	never() bool
}

// Vacuous tells whether a matcher holds of every value, so that it asserts
// nothing.
func Vacuous(m Matcher) bool { return m.always() }

// ErrMissing is returned for a matcher that has no value at all.
var ErrMissing = errors.New("has no value")

// Parse reads a matcher: a text, a number, a boolean, a list of what the value
// must contain, or a map of one name and what that demands.
func Parse(data any) (Matcher, error) {
	switch want := data.(type) {
	case nil:
		return nil, ErrMissing
	case string:
		return text{origin{want}, func(value string) bool { return value == want }}, nil
	case int, float64:
		return number{origin{want}, "eq", want}, nil
	case bool:
		return equal{origin{want}, want}, nil
	case []any:
		parts, err := parseList(want)
		return contains{origin{data}, parts, false}, err
	}
	named, ok := data.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s is not a matcher; write a text, a number, true or false, a list, or one matcher with its name", Text(data))
	}
	if len(named) != 1 {
		names := slices.Sorted(maps.Keys(named))
		return nil, fmt.Errorf("names %d matchers (%s); write one, or several below and", len(named), strings.Join(names, ", "))
	}
	for name, value := range named {
		m, err := parseNamed(name, value, origin{data})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return m, nil
	}
	return nil, ErrMissing
}

func parseNamed(name string, value any, o origin) (Matcher, error) {
	switch name {
	case "equal":
		return equal{o, value}, nil
	case "have-prefix", "have-suffix", "match-regexp", "contain-substring":
		return parseText(name, value, o)
	case "have-len":
		switch n := value.(type) {
		case int:
			return length{o, n}, nil
		case float64:
			return length{o, int(n)}, nil
		}
		return nil, fmt.Errorf("%s is not a number", Text(value))
	case "have-patterns":
		return parsePatterns(value, o)
	case "have-key":
		part, err := Parse(value)
		return key{o, part}, err
	case "contain-element":
		switch value.(type) {
		case map[string]any, string, float64, int:
		default:
			return nil, fmt.Errorf("%s is not a text, a number or a matcher", Text(value))
		}
		part, err := Parse(value)
		return element{o, part}, err
	case "contain-elements", "consist-of", "and", "or":
		list, ok := value.([]any)
		if !ok {
			return nil, fmt.Errorf("%s is not a list", Text(value))
		}
		parts, err := parseList(list)
		switch name {
		case "contain-elements":
			return contains{o, parts, true}, err
		case "consist-of":
			return consists{o, parts}, err
		case "and":
			return all{o, parts}, err
		}
		return some{o, parts}, err
	case "not":
		part, err := Parse(value)
		return not{o, part}, err
	case "gt", "ge", "lt", "le":
		switch value.(type) {
		case int, float64:
			return number{o, name, value}, nil
		}
		return nil, fmt.Errorf("%s is not a number", Text(value))
	case "semver-constraint":
		return parseSemver(value, o)
	case "gjson":
		return parseJSON(value, o)
	}
	return nil, errors.New("there is no such matcher; there are and, consist-of, contain-element, contain-elements, contain-substring, equal, ge, gjson, gt, have-key, have-len, have-patterns, have-prefix, have-suffix, le, lt, match-regexp, not, or and semver-constraint")
}

func parseList(list []any) ([]Matcher, error) {
	parts := make([]Matcher, 0, len(list))
	for i, data := range list {
		part, err := Parse(data)
		if err != nil {
			return nil, fmt.Errorf("element %d: %w", i+1, err)
		}
		parts = append(parts, part)
	}
	return parts, nil
}

// origin is what a matcher was read from.
type origin struct{ data any }

func (o origin) String() string { return Text(o.data) }
func (origin) always() bool     { return false }
func (origin) never() bool      { return false }

// Text writes a value for people, as JSON does.
func Text(value any) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		// A map of YAML may have keys that are no texts.
		return fmt.Sprint(value)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Portable makes a value that survives JSON: a floating-point number stays one.
func Portable(value any) any {
	return eachLeaf(value, func(leaf any) any {
		f, ok := leaf.(float64)
		if !ok {
			return leaf
		}
		digits := strconv.FormatFloat(f, 'g', -1, 64)
		if !strings.ContainsAny(digits, ".eE") {
			digits += ".0"
		}
		return json.Number(digits)
	})
}

// FromPortable is the inverse of [Portable], for JSON that was decoded with
// numbers as they are written.
func FromPortable(value any) any {
	return eachLeaf(value, func(leaf any) any {
		number, ok := leaf.(json.Number)
		if !ok {
			return leaf
		}
		if n, err := strconv.Atoi(number.String()); err == nil {
			return n
		}
		f, err := number.Float64()
		if err != nil {
			return number.String()
		}
		return f
	})
}

// eachLeaf returns a copy of lists and maps in which every other value is what
// change makes of it.
func eachLeaf(value any, change func(leaf any) any) any {
	switch v := value.(type) {
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = eachLeaf(e, change)
		}
		return list
	case map[string]any:
		values := make(map[string]any, len(v))
		for k, e := range v {
			values[k] = eachLeaf(e, change)
		}
		return values
	}
	return change(value)
}
