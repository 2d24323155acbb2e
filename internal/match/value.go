package match

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// equal holds of the same value of the same type.
type equal struct {
	origin
	want any
}

func (m equal) Match(value any) (bool, string, error) {
	value = plain(value)
	if value == nil && m.want == nil {
		return false, "", errors.New("nothing cannot be compared with nothing")
	}
	return reflect.DeepEqual(value, m.want), "", nil
}

// text holds of values that are as wanted when they are written as text; a list
// is its elements with line breaks between them.
type text struct {
	origin
	holds func(string) bool
}

func (m text) Match(value any) (bool, string, error) { return m.holds(asText(value)), "", nil }

func asText(value any) string {
	switch v := plain(value).(type) {
	case []string:
		return strings.Join(v, "\n")
	case []any:
		texts := make([]string, len(v))
		for i, e := range v {
			texts[i] = fmt.Sprint(e)
		}
		return strings.Join(texts, "\n")
	default:
		return fmt.Sprint(v)
	}
}

// everyText is a text matcher that holds of every text.
type everyText struct{ text }

func (everyText) always() bool { return true }

func parseText(name string, value any, o origin) (Matcher, error) {
	want, ok := value.(string)
	if !ok {
		return nil, fmt.Errorf("%s is not a text", Text(value))
	}
	m := text{origin: o}
	switch name {
	case "have-prefix":
		m.holds = func(v string) bool { return strings.HasPrefix(v, want) }
	case "have-suffix":
		m.holds = func(v string) bool { return strings.HasSuffix(v, want) }
	case "contain-substring":
		m.holds = func(v string) bool { return strings.Contains(v, want) }
	case "match-regexp":
		re, err := regexp.Compile(want)
		if err != nil {
			return nil, fmt.Errorf("%q is not a regular expression (RE2 syntax): %w", want, err)
		}
		m.holds = re.MatchString
	}
	if want == "" {
		return everyText{m}, nil
	}
	return m, nil
}

// number compares numbers, and texts that are numbers.
type number struct {
	origin
	op   string
	want any // int or float64
}

func (m number) Match(value any) (bool, string, error) {
	actual, err := asNumber(value)
	if err != nil {
		return false, "", err
	}
	a, aInt := actual.(int)
	b, bInt := m.want.(int)
	var order int
	switch x, y := toFloat(actual), toFloat(m.want); {
	case aInt && bInt && a != b:
		order = 1
		if a < b {
			order = -1
		}
	case aInt && bInt:
	case math.IsNaN(x) || math.IsNaN(y):
		return false, "", nil
	case x < y:
		order = -1
	case x > y:
		order = 1
	}
	switch m.op {
	case "gt":
		return order > 0, "", nil
	case "ge":
		return order >= 0, "", nil
	case "lt":
		return order < 0, "", nil
	case "le":
		return order <= 0, "", nil
	}
	return order == 0, "", nil
}

func asNumber(value any) (any, error) {
	switch v := plain(value).(type) {
	case int, float64:
		return v, nil
	case string, []string:
		f, err := strconv.ParseFloat(strings.TrimSpace(asText(v)), 64)
		if err != nil {
			return nil, fmt.Errorf("%s is not a number", Text(v))
		}
		return f, nil
	default:
		return nil, fmt.Errorf("%s is not a number", Text(v))
	}
}

func toFloat(value any) float64 {
	switch v := value.(type) {
	case int:
		return float64(v)
	case float64:
		return v
	}
	return math.NaN()
}

// length holds of texts, by their bytes, and of lists and maps of a length.
type length struct {
	origin
	want int
}

func (m length) Match(value any) (bool, string, error) {
	v := reflect.ValueOf(plain(value))
	switch v.Kind() {
	case reflect.String, reflect.Slice, reflect.Array, reflect.Map:
		return v.Len() == m.want, fmt.Sprintf("a length of %d", v.Len()), nil
	default:
		return false, "", fmt.Errorf("%s has no length", Text(plain(value)))
	}
}
