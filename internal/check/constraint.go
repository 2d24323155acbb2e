package check

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// comparison is one term of a constraint: an operator and a bound.
type comparison struct {
	op    string // =, !=, >, >=, <, <=
	bound string
}

// constraint is a list of comparisons that must all hold, as in ">= 3.0, < 4".
type constraint []comparison

func (c constraint) String() string {
	terms := make([]string, len(c))
	for i, t := range c {
		terms[i] = t.bound
		if t.op != "=" || len(c) > 1 {
			terms[i] = t.op + " " + t.bound
		}
	}
	return strings.Join(terms, ", ")
}

// holds tells whether a value that compares to each bound as compare says meets c.
func (c constraint) holds(compare func(bound string) (int, error)) (bool, error) {
	for _, t := range c {
		order, err := compare(t.bound)
		if err != nil {
			return false, err
		}
		var ok bool
		switch t.op {
		case "=":
			ok = order == 0
		case "!=":
			ok = order != 0
		case ">":
			ok = order > 0
		case ">=":
			ok = order >= 0
		case "<":
			ok = order < 0
		case "<=":
			ok = order <= 0
		}
		if !ok {
			return false, nil
		}
	}
	return true, nil
}

// operators, longest first. == is the = of many other tools.
var operators = []string{">=", "<=", "!=", "==", ">", "<", "="}

// parseConstraint reads a constraint. A bound without an operator must be met
// exactly. valid says whether a bound is one.
func parseConstraint(text string, valid func(bound string) error) (constraint, error) {
	var c constraint
	for term := range strings.SplitSeq(text, ",") {
		t := comparison{op: "=", bound: strings.TrimSpace(term)}
		for _, op := range operators {
			if rest, ok := strings.CutPrefix(t.bound, op); ok {
				t.op, t.bound = op, strings.TrimSpace(rest)
				break
			}
		}
		if t.op == "==" {
			t.op = "="
		}
		if t.bound == "" {
			return nil, fmt.Errorf("%q is not a constraint; write for example %q", text, ">= 1.4, < 2")
		}
		if err := valid(t.bound); err != nil {
			return nil, fmt.Errorf("%q is not a constraint: %w", text, err)
		}
		c = append(c, t)
	}
	return c, nil
}

// number reads a constraint on a whole number: 0, ">= 1000", ">= 1, < 10".
func (c *compiler) number(attr string, text *string) (constraint, bool) {
	value, ok := c.expected(attr, text)
	if !ok {
		return nil, false
	}
	want, err := parseConstraint(value, validNumber)
	if err != nil {
		c.problem(attr, "%v", err)
		return nil, false
	}
	switch always, never := want.extremes(); {
	case always:
		c.problem(attr, "%q holds for every number, so it asserts nothing; give it a bound", value)
	case never:
		c.problem(attr, "%q holds for no number; correct its bounds", value)
	}
	return want, true
}

// extremes tells whether a constraint on a number that is not negative always
// holds, or never. What it says can only change at its bounds.
func (c constraint) extremes() (always, never bool) {
	samples := []int64{0, math.MaxInt64}
	for _, t := range c {
		if n, err := strconv.ParseInt(t.bound, 10, 64); err == nil {
			samples = append(samples, max(0, n-1), max(0, n), max(0, min(n, math.MaxInt64-1)+1))
		}
	}
	always, never = true, true
	for _, n := range samples {
		if c.meets(n) {
			never = false
		} else {
			always = false
		}
	}
	return always, never
}

func validNumber(text string) error {
	if _, err := strconv.ParseInt(text, 10, 64); err != nil {
		return fmt.Errorf("%q is not a whole number", text)
	}
	return nil
}

// meets decides a constraint on a number; its bounds were checked when it was parsed.
func (c constraint) meets(actual int64) bool {
	ok, err := c.holds(func(bound string) (int, error) {
		n, err := strconv.ParseInt(bound, 10, 64)
		switch {
		case err != nil:
			return 0, err
		case actual < n:
			return -1, nil
		case actual > n:
			return 1, nil
		}
		return 0, nil
	})
	return ok && err == nil
}
