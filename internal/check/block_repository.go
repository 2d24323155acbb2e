//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type Repository

package check

import (
	"errors"
	"strconv"
	"strings"
)

// Repository checks the sources of packages that the image is configured to use:
// of apt, in both styles, of yum, dnf and zypper, and of apk. Without any
// assertion it asserts that there is such a repository and that it is enabled.
// What is commented out is none.
type Repository struct {
	Common `mapstructure:",squash"`

	// Its address as it is configured, with or without a `/` at its end, or of
	// yum, dnf and zypper its id. One of `name` and `names` is required; in a
	// suite file the block's label is the name.
	Name string `mapstructure:"name"`
	// Several names; the block is about each of them.
	Names []string `mapstructure:"names"`
	// Whether it is configured, enabled or not. With `false` nothing else can be
	// asserted.
	Exists *bool `mapstructure:"exists"`
	// Whether packages are taken from it. With `false` the repository must be
	// configured and disabled.
	Enabled *bool `mapstructure:"enabled"`
	// Suites of apt that must be enabled, for example `bookworm-security`; more
	// are allowed.
	Suites []string `mapstructure:"suites"`
	// Components of apt that must be enabled, for example `main`; more are
	// allowed.
	Components []string `mapstructure:"components"`
	// Whether signatures of it are verified: no `trusted` or `allow-insecure` of
	// apt, `gpgcheck` of yum and dnf. apk always does.
	Signed *bool `mapstructure:"signed"`
	// A file, fingerprint or address of a key that it is signed by: `Signed-By`
	// of apt, `gpgkey` of yum and dnf.
	Key *string `mapstructure:"key"`
}

func (b *Repository) kind() string    { return "repository" }
func (b *Repository) common() *Common { return &b.Common }
func (b *Repository) subjects() subjects {
	return subjects{one: "name", value: &b.Name, several: "names", values: b.Names, validate: validRepository}
}

func validRepository(name string) error {
	if strings.ContainsAny(name, " \t\n\r") {
		return errors.New("is not the address or id of a repository: there is white space in it")
	}
	return validText(name)
}

func (b *Repository) compile(c *compiler, subject string) {
	all := func(f *facts) ([]repository, verdict) {
		repositories, v := f.repositories()
		if v.outcome != "" {
			return nil, v
		}
		var found []repository
		for _, r := range repositories {
			if r.is(subject) {
				found = append(found, r)
			}
		}
		if len(found) == 0 {
			return nil, fail("no such repository")
		}
		return found, verdict{}
	}
	on := func(property, expected string, decide func(found, enabled []repository) verdict, more ...option) {
		c.assert(property, expected, func(f *facts) verdict {
			found, v := all(f)
			if v.outcome != "" {
				return v
			}
			var enabled []repository
			for _, r := range found {
				if r.enabled {
					enabled = append(enabled, r)
				}
			}
			return decide(found, enabled)
		}, append(more, readsRepositories)...)
	}
	if want := c.list("suites", b.Suites); len(want) > 0 {
		on("suites", strings.Join(want, ", "), func(_, enabled []repository) verdict {
			return superset(gather(enabled, func(r repository) []string { return r.suites }), want, "none that is enabled")
		}, additive)
	}
	if want := c.list("components", b.Components); len(want) > 0 {
		on("components", strings.Join(want, ", "), func(_, enabled []repository) verdict {
			return superset(gather(enabled, func(r repository) []string { return r.components }), want, "none that is enabled")
		}, additive)
	}
	if want, ok := c.expected("key", b.Key); ok {
		on("key", want, func(found, _ []repository) verdict {
			for _, r := range found {
				if v := superset(r.keys, []string{want}, "no key"); v.outcome != Passed {
					return fail("%s (%s)", v.actual, r.at)
				}
			}
			return pass(want)
		})
	}
	if b.Signed != nil {
		c.found++
		on("signed", strconv.FormatBool(*b.Signed), func(found, _ []repository) verdict { return areSigned(found, *b.Signed) })
	}
	enabled := b.Enabled
	if enabled == nil && b.Exists == nil && c.found == 0 {
		enabled = new(true)
	}
	if enabled != nil {
		c.found++
		on("enabled", strconv.FormatBool(*enabled), func(found, on []repository) verdict {
			if len(on) > 0 {
				return is(*enabled, "true ("+on[0].at+")")
			}
			return is(!*enabled, "false ("+found[0].at+")")
		})
	}
	if b.Exists != nil {
		c.existence(b.Exists, func(f *facts) verdict {
			_, v := all(f)
			return v
		}, readsRepositories)
	}
}

// gather joins the lists of repositories, without doubles.
func gather(repositories []repository, of func(r repository) []string) []string {
	var all []string
	for _, r := range repositories {
		for _, text := range of(r) {
			all = appendNew(all, text)
		}
	}
	return all
}

// areSigned decides that all entries of a repository are verified, or, when that
// is asked for, that none is.
func areSigned(found []repository, want bool) verdict {
	for _, r := range found {
		if (r.signed == "") != want {
			if r.signed == "" {
				return fail("true (%s)", r.at)
			}
			return fail("false (%s: %s)", r.at, r.signed)
		}
	}
	return pass(strconv.FormatBool(want))
}
