//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type Package

package check

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Package checks packages of the image's own package system: dpkg, rpm or apk.
// Without any assertion it asserts that they are installed.
type Package struct {
	Common `mapstructure:",squash"`

	// Name of the package, on dpkg with `:ARCH` when one architecture is meant.
	// One of `name` and `names` is required; in a suite file the block's label
	// is the name.
	Name string `mapstructure:"name"`
	// Several names; the block is about each of them.
	Names []string `mapstructure:"names"`
	// Whether the package is installed. A package that is unpacked and not
	// configured is neither installed nor absent: it fails both. With `false`
	// nothing else can be asserted.
	Installed *bool `mapstructure:"installed"`
	// Version, compared as the package system orders versions: exactly
	// (`"1.4.2-1"`) or by constraints (`">= 1:9.2, < 1:10"`). On dpkg and rpm a
	// bound without an epoch has epoch 0; it is an error to compare it with an
	// installed version that has another. On rpm a bound without a release means
	// any release.
	Version *string `mapstructure:"version"`
	// Whether the package is held at its version (dpkg only).
	Held *bool `mapstructure:"held"`
}

func (b *Package) kind() string    { return "package" }
func (b *Package) common() *Common { return &b.Common }
func (b *Package) subjects() subjects {
	return subjects{one: "name", value: &b.Name, several: "names", values: b.Names, validate: validName}
}

func (b *Package) compile(c *compiler, subject string) {
	database := reads(func(n *needs) { n.packages = true })

	onPackage := func(property, expected string, decide func(db packageDatabase, p installed) verdict) {
		c.assert(property, expected, func(f *facts) verdict {
			db, v := f.database()
			if v.outcome != "" {
				return v
			}
			found := db.found(subject)
			if len(found) == 0 {
				return fail("not installed")
			}
			// Of several versions or architectures, each one must do.
			for _, p := range found {
				if p.status != "installed" {
					return fail("%s", p.status)
				}
				if v = decide(db, p); v.outcome != Passed {
					return v
				}
			}
			return v
		}, database)
	}
	if text, ok := c.expected("version", b.Version); ok {
		want, err := parseConstraint(text, validVersion)
		if err != nil {
			c.problem("version", "%v", err)
		} else {
			onPackage("version", want.String(), func(db packageDatabase, p installed) verdict {
				return versionMeets(db.system, p.version, want)
			})
		}
	}
	if b.Held != nil {
		c.found++
		onPackage("held", strconv.FormatBool(*b.Held), func(db packageDatabase, p installed) verdict {
			if db.system != "dpkg" {
				return undecided("holding a package is known to dpkg only, and the image has %s", db.system)
			}
			return is(p.held == *b.Held, strconv.FormatBool(p.held))
		})
	}
	if b.Installed != nil && !*b.Installed {
		if c.found > 0 {
			c.problem("installed", "installed = false leaves nothing else to assert; remove the other attributes or installed")
		}
		c.assert("installed", "false", func(f *facts) verdict {
			db, v := f.database()
			if v.outcome != "" {
				return v
			}
			for _, p := range db.found(subject) {
				return fail("%s (%s)", p.version, p.status)
			}
			return pass("not installed")
		}, database)
	} else if b.Installed != nil || c.found == 0 {
		onPackage("installed", "true", func(_ packageDatabase, p installed) verdict { return pass(p.version) })
	}
}

// validVersion accepts what could be a version of some package system.
func validVersion(bound string) error {
	if strings.ContainsAny(bound, " \t\n|&*()<>=!") {
		return fmt.Errorf("%q is not a version", bound)
	}
	if !strings.ContainsAny(bound, "0123456789") {
		return errors.New("a version has a digit in it")
	}
	return nil
}

// versionMeets decides a constraint in the order of a package system.
func versionMeets(system, version string, want constraint) verdict {
	ok, err := want.holds(func(bound string) (int, error) {
		if system != "apk" && epoch(version) != "0" && !strings.Contains(bound, ":") {
			return 0, fmt.Errorf("the installed version %s has epoch %s and %q has none, so the order of %s says nothing about it; write %q",
				version, epoch(version), bound, system, epoch(version)+":"+bound)
		}
		return compareVersions(system, version, bound)
	})
	if err != nil {
		return undecided("%v", err)
	}
	return is(ok, version)
}
