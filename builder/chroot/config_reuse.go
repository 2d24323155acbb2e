//go:generate go tool packer-sdc struct-markdown

package chroot

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/internal/bakekey"
	"github.com/imagebakery/packer-plugin-bakery/internal/stores"
	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// ReuseConfig says when an image that exists is returned instead of baking an
// equal one.
type ReuseConfig struct {
	// Return an image that bakery-lineage has registered, if there is one that
	// was baked from the same: nothing is baked and no provisioner runs. Of
	// several bakes of the same at once, one bakes and the others wait for it.
	// See [Reusing images](#reusing-images) for what "the same" covers. Packer's
	// `-force` bakes anyway. Defaults to `false`.
	Reuse bool `mapstructure:"reuse" required:"false"`
	// The files that go into the image, or decide what does: files, folders, or
	// patterns such as `files/*.conf`, relative to the working directory as the
	// sources of provisioners are. The template itself and its files of variables
	// are always among them. Defaults to everything in the template's folder.
	ReuseInputs []string `mapstructure:"reuse_inputs" required:"false"`
	// Files, folders or patterns of `reuse_inputs` to leave out: reports and other
	// files that the build writes.
	ReuseIgnore []string `mapstructure:"reuse_ignore" required:"false"`
	// Further values that decide what goes into the image, which a builder cannot
	// see: results of data sources that only provisioners use, defaults from
	// `env()`.
	ReuseValues map[string]string `mapstructure:"reuse_values" required:"false"`
	// How far an image must have come to be returned: `tested` or `built`. A
	// `built` one has no test results; one whose tests failed is never returned.
	// Defaults to `tested`.
	ReuseStatus string `mapstructure:"reuse_status" required:"false"`
	// How old an image may be to be returned: an older one is baked again, with
	// what package repositories have then. `0s` is any age. Defaults to `168h`.
	ReuseMaxAge string `mapstructure:"reuse_max_age" required:"false"`
	// How long a bake may give no sign of life until those who wait for it take
	// over. Defaults to `90s`.
	ReuseLease string `mapstructure:"reuse_lease" required:"false"`
	// The registry to look in: `sqlite:PATH` or `dynamodb://TABLE?region=REGION`;
	// the one that bakery-lineage registers in. One in EC2's tags cannot choose
	// between equal bakes and is refused. Goes with `reuse`. Defaults to the
	// environment variable `BAKERY_REGISTRY`, else to the file `registry.db` in
	// the suite's folder.
	Registry string `mapstructure:"registry" required:"false"`

	maxAge, lease time.Duration
}

// Limits of reuse_lease: below, a busy machine would seem dead.
const (
	shortestLease = 2 * time.Second
	longestLease  = time.Hour
)

// prepareReuse sets defaults and returns every mistake.
func (c *Config) prepareReuse() []error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !c.Reuse {
		for _, option := range []struct {
			name string
			set  bool
		}{
			{"reuse_inputs", c.ReuseInputs != nil},
			{"reuse_ignore", c.ReuseIgnore != nil},
			{"reuse_values", c.ReuseValues != nil},
			{"reuse_status", c.ReuseStatus != ""},
			{"reuse_max_age", c.ReuseMaxAge != ""},
			{"reuse_lease", c.ReuseLease != ""},
			{"registry", c.Registry != ""},
		} {
			if option.set {
				wrong("%s is set without reuse; set reuse = true, or remove it", option.name)
			}
		}
		return errs
	}
	if c.SkipCreateAMI {
		errs = append(errs, errors.New("reuse and skip_create_ami contradict each other: one wants an image, the other none; remove one"))
	}
	if c.ReuseInputs != nil && len(c.ReuseInputs) == 0 {
		wrong("reuse_inputs is empty; name what goes into the image, or leave it out for the whole folder of the template")
	}
	for _, option := range []struct {
		name     string
		patterns []string
	}{{"reuse_inputs", c.ReuseInputs}, {"reuse_ignore", c.ReuseIgnore}} {
		for i, pattern := range option.patterns {
			if err := bakekey.Check(pattern); err != nil && !strings.Contains(pattern, unknown) {
				wrong("%s[%d] is %q: %w; write a file, a folder, or a pattern such as files/*.conf", option.name, i, pattern, err)
			}
		}
	}
	if c.ReuseStatus == "" {
		c.ReuseStatus = string(registry.StatusTested)
	}
	levels := []string{string(registry.StatusTested), string(registry.StatusBuilt)}
	if c.ReuseStatus != unknown && !slices.Contains(levels, c.ReuseStatus) {
		wrong("reuse_status is %q; write one of %s", c.ReuseStatus, strings.Join(levels, ", "))
	}
	period := func(name, text, otherwise string, least, most time.Duration) time.Duration {
		if text == "" {
			text = otherwise
		}
		d, err := time.ParseDuration(text)
		switch {
		case strings.Contains(text, unknown):
		case err != nil:
			wrong("%s is %q; write a duration such as %s", name, text, otherwise)
		case d < least || most > 0 && d > most:
			wrong("%s is %s; write a duration such as %s, %s at least", name, text, otherwise, least)
		}
		return d
	}
	c.maxAge = period("reuse_max_age", c.ReuseMaxAge, "168h", 0, 0)
	c.lease = period("reuse_lease", c.ReuseLease, "90s", shortestLease, longestLease)
	if !strings.Contains(c.Registry, unknown) {
		if _, err := stores.Resolve(c.Registry); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}
