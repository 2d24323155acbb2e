//go:generate go tool packer-sdc struct-markdown

package spec

import (
	"fmt"
	"maps"
	"slices"

	"github.com/imagebakery/packer-plugin-bakery/internal/check"
	"github.com/imagebakery/packer-plugin-bakery/internal/goss"
)

// Goss is a gossfile of goss v0.4.9 whose checks run along with the others.
type Goss struct {
	// The gossfile, `.yaml`, `.yml` or `.json`, on the build host, relative to the
	// directory that Packer runs in. What it includes is relative to it.
	File string `mapstructure:"file" required:"true"`
	// File with the variables of its templates, YAML or JSON.
	VarsFile string `mapstructure:"vars_file"`
	// The same as text, for example `jsonencode({ ports = [80, 443] })`. These
	// win over those of the file.
	VarsInline string `mapstructure:"vars_inline"`
	// Variables that are texts. These win over all others.
	Vars map[string]string `mapstructure:"vars"`
	// Environment variables for the templates, beside those of Packer itself.
	Env map[string]string `mapstructure:"env"`
	// Name of the suite in reports; by default that of the file, without its
	// folder and extension.
	Name string `mapstructure:"name"`
	// Leave what only a booted system can answer to a booted run, as
	// `requires = "boot"` does for a block. Without it such checks are errors
	// while the image is mounted. One resource is left to it by
	// `meta: {requires: boot}` in the gossfile.
	DeferBoot bool `mapstructure:"defer_boot"`
	// `builder`: offline, commands and checks of the network have the build host's,
	// as they have with goss. What it answers may not be what an instance gets.
	// Without it, commands have none, and `addr`, `dns` and `http` are errors.
	Network string `mapstructure:"network"`
	// `fail`, the default, or `warn`: what asserts nothing, such as `stdout: []`,
	// is reported and goes on asserting nothing.
	OnVacuous string `mapstructure:"on_vacuous"`
	// How long a booted run tries again what does not hold, for example `"2m"`.
	Retry string `mapstructure:"retry"`
}

// readGoss reads the gossfiles. It tells whether something of them is not known
// yet.
func (c *Config) readGoss(problem func(error)) (partial bool) {
	var files []goss.File
	for _, g := range c.Goss {
		switch known(g.OnVacuous) {
		case "", "fail", "warn":
		default:
			problem(fmt.Errorf("goss: on_vacuous: %q is not fail or warn", g.OnVacuous))
		}
		if network := known(g.Network); network != "" && network != "builder" {
			problem(fmt.Errorf(`goss: network: %q is no network; write "builder", or leave it out`, network))
		}
		if g.unknown() {
			partial = true
			continue
		}
		files = append(files, goss.File{Path: g.File, Options: goss.Options{
			Name: g.Name, VarsFile: g.VarsFile, VarsInline: g.VarsInline, Vars: g.Vars, Env: g.Env,
			DeferBoot: g.DeferBoot, WarnVacuous: g.OnVacuous == "warn", BuilderNetwork: g.Network == "builder", Retry: g.Retry,
		}})
	}
	suites, errs := goss.ReadAll(files, c.owners)
	for _, err := range errs {
		problem(fmt.Errorf("goss: %w", err))
	}
	c.suites = append(c.suites, suites...)
	return partial
}

// unknown tells whether a value is not known yet: what a template makes of it
// cannot be known then.
func (g Goss) unknown() bool {
	texts := []string{g.File, g.VarsFile, g.VarsInline, g.Name, g.OnVacuous, g.Retry, g.Network}
	for _, m := range []map[string]string{g.Vars, g.Env} {
		texts = slices.Concat(texts, slices.Collect(maps.Keys(m)), slices.Collect(maps.Values(m)))
	}
	return slices.ContainsFunc(texts, check.IsUnknown)
}
