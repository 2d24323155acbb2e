package registry

import (
	"fmt"
	"strings"
)

// PackageCondition is a condition on the packages of an image.
type PackageCondition struct {
	absent bool
	name   string
	terms  []term
}

// ParsePackageCondition reads a condition on a package:
//
//	openssl                 it is installed
//	openssl >= 3.0.14       and every version of it that is installed meets this
//	linux-image >= 6, < 7   and meets both
//	libc6:amd64 >= 2.36     of this architecture
//	!telnetd                it is not installed
//	!openssl < 3.0.14       no version of it that meets this is installed
//
// Versions are in the order of the package's own system: dpkg's, rpm's or
// apk's. As in rpm's dependencies, a version without a release stands for any
// release of it in an rpm.
func ParsePackageCondition(s string) (PackageCondition, error) {
	var c PackageCondition
	rest := strings.TrimSpace(s)
	if after, ok := strings.CutPrefix(rest, "!"); ok {
		c.absent, rest = true, strings.TrimSpace(after)
	}
	end := strings.IndexAny(rest, "<>=!~ \t,")
	if end < 0 {
		end = len(rest)
	}
	c.name, rest = rest[:end], strings.TrimSpace(rest[end:])
	if c.name == "" {
		return PackageCondition{}, fmt.Errorf("package condition %q names no package; write such as \"openssl >= 3.0.14\"", s)
	}
	if rest == "" {
		return c, nil
	}
	if !strings.ContainsAny(rest[:1], "<>=!~") {
		return PackageCondition{}, fmt.Errorf("package condition %q: after %s write an operator, such as >=", s, c.name)
	}
	for part := range strings.SplitSeq(rest, ",") {
		t, err := parseTerm(strings.TrimSpace(part))
		if err == nil && t.op == "~>" {
			err = fmt.Errorf("%q is for semantic versions; write two terms, >= and <", part)
		}
		if err != nil {
			return PackageCondition{}, fmt.Errorf("package condition %q: %w", s, err)
		}
		c.terms = append(c.terms, t)
	}
	return c, nil
}

// String returns c as [ParsePackageCondition] reads it.
func (c PackageCondition) String() string {
	s := c.name
	if c.absent {
		s = "!" + s
	}
	for n, t := range c.terms {
		if n > 0 {
			s += ","
		}
		s += " " + t.op + " " + t.version
	}
	return s
}

// splitPackageName returns the architecture behind the colon of a name.
func splitPackageName(name string) (base, arch string) {
	base, arch, _ = strings.Cut(name, ":")
	return base, arch
}

// Check returns nil when the packages of l meet c, else what they lack.
func (c PackageCondition) Check(l PackageList) error {
	found := l.Named(c.name)
	for _, p := range found {
		failed, err := c.failed(p)
		switch {
		case err != nil:
			return fmt.Errorf("package %s: %w", p.Name, err)
		case c.absent && failed == nil:
			return fmt.Errorf("it has package %s", p)
		case !c.absent && failed != nil:
			return fmt.Errorf("package %s is %s, not %s %s", p.Name, p.Version, failed.op, failed.version)
		}
	}
	if len(found) == 0 && !c.absent {
		return fmt.Errorf("it has no package %s", c.name)
	}
	return nil
}

// failed returns the first term that p does not meet.
func (c PackageCondition) failed(p Package) (*term, error) {
	for _, t := range c.terms {
		version := p.Version
		// rpm's own rule, rpm-dependencies(7).
		if p.Type == PackageRPM && !strings.Contains(t.version, "-") {
			version, _, _ = strings.Cut(version, "-")
		}
		met, err := t.met(p.scheme(), version)
		if err != nil {
			return nil, err
		}
		if !met {
			return &t, nil
		}
	}
	return nil, nil
}
