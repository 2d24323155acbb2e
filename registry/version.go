package registry

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	apk "github.com/knqyf263/go-apk-version"
	deb "github.com/knqyf263/go-deb-version"
	rpm "github.com/knqyf263/go-rpm-version"
)

// Scheme is a rule by which versions are ordered.
type Scheme string

// The schemes.
const (
	// Semver is the order of semver.org: 1.4.0-rc1 < 1.4.0. Parts that are
	// missing count as zero: 1.4 is 1.4.0. A leading v is allowed.
	Semver Scheme = "semver"

	// Deb is dpkg's order (deb-version(7)): 1.4.0~rc1 < 1.4.0 < 1.4.0-1.
	Deb Scheme = "deb"

	// RPM is rpm's order (rpm-version(7)): 1.4.0~rc1 < 1.4.0 < 1.4.0^git1.
	RPM Scheme = "rpm"

	// APK is the order of Alpine's apk: 1.4.0_rc1 < 1.4.0 < 1.4.0-r1.
	APK Scheme = "apk"
)

// Schemes lists the schemes.
func Schemes() []Scheme { return []Scheme{Semver, Deb, RPM, APK} }

// Compare returns -1, 0 or 1 as a is older than, as old as or newer than b. It
// returns an error when one of them is no version in s.
func (s Scheme) Compare(a, b string) (int, error) {
	for _, v := range []string{a, b} {
		if longNumber.MatchString(v) {
			return 0, notAVersion(s, v, errors.New("it has a number of more than 18 digits"))
		}
	}
	switch s {
	case Semver:
		va, errA := semver.NewVersion(a)
		vb, errB := semver.NewVersion(b)
		if err := cmp.Or(notAVersion(s, a, errA), notAVersion(s, b, errB)); err != nil {
			return 0, err
		}
		return va.Compare(vb), nil
	case Deb:
		va, errA := deb.NewVersion(a)
		vb, errB := deb.NewVersion(b)
		if err := cmp.Or(notAVersion(s, a, errA), notAVersion(s, b, errB)); err != nil {
			return 0, err
		}
		return sign(va.Compare(vb)), nil
	case RPM:
		// The library takes everything for a version; what has none of the
		// characters that rpm orders by would equal all else of that kind.
		for _, v := range []string{a, b} {
			if !strings.ContainsFunc(v, alphanumeric) {
				return 0, notAVersion(s, v, errors.New("it has neither digits nor letters"))
			}
		}
		return rpm.NewVersion(a).Compare(rpm.NewVersion(b)), nil
	case APK:
		va, errA := apk.NewVersion(a)
		vb, errB := apk.NewVersion(b)
		if err := cmp.Or(notAVersion(s, a, errA), notAVersion(s, b, errB)); err != nil {
			return 0, err
		}
		return sign(va.Compare(vb)), nil
	}
	return 0, fmt.Errorf("%q is no order of versions; choose among %v", s, Schemes())
}

// longNumber is what the libraries below cannot hold in an integer, and would
// take for another number.
var longNumber = regexp.MustCompile(`[0-9]{19}`)

func sign(n int) int { return cmp.Compare(n, 0) }

func alphanumeric(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

func notAVersion(s Scheme, version string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%q is no %s version: %w", version, s, err)
}

// Constraint is a condition on versions. The zero value lets every version
// through.
type Constraint struct {
	scheme Scheme
	terms  []term
}

type term struct{ op, version string }

// operators are tried in this order: the longer before their beginnings.
var operators = []string{"~>", ">=", "<=", "!=", "=", ">", "<"}

// ParseConstraint reads a constraint such as "1.4.2", ">= 1.4, < 2", "~> 1.4"
// or "deb: >= 1:9.2p1-2". All terms, separated by commas, must hold. A version
// alone means "=". "~> 1.4" is any version from 1.4 on that has the same parts
// but the last: >= 1.4, < 2; it needs the scheme semver.
//
// Versions are ordered by the scheme that stands before the colon, one of
// [Schemes], else by the given default.
func ParseConstraint(s string, scheme Scheme) (Constraint, error) {
	rest := s
	if name, after, found := strings.Cut(s, ":"); found {
		// An epoch, as in "1:9.2", is a number and no scheme; an operator ends
		// the search as well.
		if name := strings.TrimSpace(name); name != "" && !strings.ContainsAny(name, "0123456789<>=!~, ") {
			scheme, rest = Scheme(name), after
		}
	}
	if err := scheme.known(); err != nil {
		return Constraint{}, fmt.Errorf("version constraint %q: %w", s, err)
	}
	c := Constraint{scheme: scheme}
	for part := range strings.SplitSeq(rest, ",") {
		t, err := parseTerm(strings.TrimSpace(part))
		if err == nil && t.op == "~>" && scheme != Semver {
			err = fmt.Errorf("%q needs the order semver; write two terms, >= and <", part)
		}
		if err == nil {
			// Comparing a version with itself tells whether it is one.
			_, err = scheme.Compare(t.version, t.version)
		}
		if err != nil {
			return Constraint{}, fmt.Errorf("version constraint %q: %w", s, err)
		}
		c.terms = append(c.terms, t)
	}
	return c, nil
}

func (s Scheme) known() error {
	if slices.Contains(Schemes(), s) {
		return nil
	}
	return fmt.Errorf("%q is no order of versions; choose among %v", string(s), Schemes())
}

func parseTerm(s string) (term, error) {
	t := term{op: "=", version: s}
	for _, op := range operators {
		if after, found := strings.CutPrefix(s, op); found {
			t = term{op, strings.TrimSpace(after)}
			break
		}
	}
	switch {
	case t.version == "":
		return term{}, fmt.Errorf("a version is missing in %q", s)
	case strings.ContainsAny(t.version, "<>=! \t"):
		return term{}, fmt.Errorf("%q is no version; separate terms by commas", t.version)
	}
	return t, nil
}

// Check returns nil when version meets c, else an error that says which term
// it does not meet.
func (c Constraint) Check(version string) error {
	for _, t := range c.terms {
		met, err := t.met(c.scheme, version)
		if err != nil {
			return err
		}
		if !met {
			return fmt.Errorf("%s is not %s %s", version, t.op, t.version)
		}
	}
	return nil
}

// met reports whether version meets t in the order of a scheme.
func (t term) met(scheme Scheme, version string) (bool, error) {
	order, err := scheme.Compare(version, t.version)
	if err != nil {
		return false, err
	}
	switch t.op {
	case "=":
		return order == 0, nil
	case "!=":
		return order != 0, nil
	case ">":
		return order > 0, nil
	case ">=":
		return order >= 0, nil
	case "<":
		return order < 0, nil
	case "<=":
		return order <= 0, nil
	case "~>":
		below, err := scheme.Compare(version, nextOf(t.version))
		return order >= 0 && below < 0, err
	}
	return false, fmt.Errorf("%q is no operator", t.op)
}

// nextOf returns the first version that "~> v" excludes: v with its last part
// dropped and the one before it counted up. "~> 1" excludes 2.
func nextOf(v string) string {
	parsed, err := semver.NewVersion(v)
	if err != nil {
		return v // ParseConstraint lets only versions through
	}
	core, _, _ := strings.Cut(strings.TrimPrefix(v, "v"), "-")
	next := parsed.IncMajor()
	if strings.Count(core, ".") >= 2 {
		next = parsed.IncMinor()
	}
	// A pre-release of the excluded version is excluded with it.
	return next.String() + "-0"
}

// IsZero reports whether c lets everything through.
func (c Constraint) IsZero() bool { return len(c.terms) == 0 }

// String returns c as [ParseConstraint] reads it, with its scheme.
func (c Constraint) String() string {
	if c.IsZero() {
		return ""
	}
	terms := make([]string, len(c.terms))
	for i, t := range c.terms {
		terms[i] = t.op + " " + t.version
	}
	return string(c.scheme) + ": " + strings.Join(terms, ", ")
}
