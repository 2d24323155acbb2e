//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type Hygiene

package check

import (
	"path"
	"slices"
	"strings"
)

// Hygiene checks that an image has nothing in it that belongs to one machine or
// to those who baked it: keys, identities, logs and leftovers. Each rule is a
// check of its own, `hygiene:ssh-host-keys` for example, that a `waiver` can name.
// One of `preset` and `rules` is required. The checks must run as root; without
// that they are errors.
type Hygiene struct {
	Common `mapstructure:",squash"`

	// `ami`: all rules.
	Preset *string `mapstructure:"preset"`
	// These rules only.
	Rules []string `mapstructure:"rules"`
	// Files and folders in which no secrets are looked for, as absolute paths; `*`
	// stands for any text without a slash.
	Except []string `mapstructure:"except"`
}

func (b *Hygiene) kind() string       { return "hygiene" }
func (b *Hygiene) common() *Common    { return &b.Common }
func (b *Hygiene) subjects() subjects { return subjects{fixed: "hygiene"} }

func (b *Hygiene) compile(c *compiler, _ string) {
	preset, hasPreset := c.expected("preset", b.Preset)
	rules := c.list("rules", b.Rules)
	switch {
	case b.Preset != nil && b.Rules != nil:
		c.problem("rules", "both preset and rules are set; use one of them")
	case c.found == 0:
		c.problem("", `asserts nothing; write preset = "ami"`)
	case hasPreset && preset != "ami":
		c.problem("preset", `%q is no preset; write "ami"`, preset)
	}
	var known []string
	for _, rule := range hygieneRules {
		known = append(known, rule.name)
	}
	for _, name := range rules {
		if !slices.Contains(known, name) {
			c.problem("rules", "%q is no rule; write some of %s", name, strings.Join(known, ", "))
		}
	}
	except := b.exceptions(c)
	subject := c.subject
	for _, rule := range hygieneRules {
		if !hasPreset && !slices.Contains(rules, rule.name) {
			continue
		}
		c.subject = rule.name
		if rule.decide != nil {
			c.assert("clean", "true", rule.decide, rule.asks)
			continue
		}
		expected := "true"
		if rule.secrets != nil && len(except) > 0 {
			rule.except = except
			expected = "true except in " + strings.Join(except, ", ")
		}
		c.assert("clean", expected, func(f *facts) verdict { return f.nothingRemains(rule) },
			reads(func(n *needs) { n.remainsOf(rule) }), func(a *Assertion) {
				a.finds = func(f *facts) ([]strike, verdict) { return f.strikes(rule) }
			})
	}
	c.subject = subject
}

// exceptions are what a search for secrets passes over.
func (b *Hygiene) exceptions(c *compiler) []string {
	found := c.found
	list := c.list("except", b.Except)
	// They assert nothing.
	c.found = found
	for _, name := range list {
		if _, err := path.Match(name, ""); err != nil || !path.IsAbs(name) || path.Clean(name) != name || name == "/" || name == "/*" {
			c.problem("except", "%q is not the absolute path of a file or folder in the image, without a slash at its end", name)
		}
	}
	asked := b.Preset != nil || slices.ContainsFunc(hygieneRules, func(r hygieneRule) bool { return r.secrets != nil && slices.Contains(b.Rules, r.name) })
	if len(list) > 0 && !asked {
		c.problem("except", "is about secrets and private-keys, which are not among the rules; remove it")
	}
	slices.Sort(list)
	return list
}
