//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type Service

package check

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Service checks services of systemd, OpenRC or System V. At least one
// assertion is required: there is a difference between a service that exists,
// one that starts at boot, and one that runs.
type Service struct {
	Common `mapstructure:",squash"`

	// Name of the service; a unit of systemd without a suffix is a `.service`.
	// One of `name` and `names` is required; in a suite file the block's label
	// is the name.
	Name string `mapstructure:"name"`
	// Several names; the block is about each of them.
	Names []string `mapstructure:"names"`
	// Whether there is such a service. With `false` nothing else can be asserted.
	Exists *bool `mapstructure:"exists"`
	// Whether it starts at boot, decided from the image's files. A static or
	// masked unit is not enabled. `false` asserts that nothing starts it: it
	// fails when a socket, timer or path unit of the same name does, and when
	// the image's first boot would enable it by preset.
	Enabled *bool `mapstructure:"enabled"`
	// Whether it is a static unit of systemd: one that cannot be enabled and
	// starts only when another unit asks for it.
	Static *bool `mapstructure:"static"`
	// Whether it is masked, so that nothing can start it.
	Masked *bool `mapstructure:"masked"`
	// Whether it runs. Only a booted system can answer this: in an image that is
	// mounted in a chroot it is refused. Write `enabled = true` to check that
	// it starts at boot, or `requires = "boot"`.
	Running *bool `mapstructure:"running"`
}

func (b *Service) kind() string    { return "service" }
func (b *Service) common() *Common { return &b.Common }
func (b *Service) subjects() subjects {
	return subjects{one: "name", value: &b.Name, several: "names", values: b.Names, validate: validName}
}

func (b *Service) compile(c *compiler, subject string) {
	onUnit := func(property string, want bool, decide func(f *facts, st unitState, name string) verdict) {
		c.found++
		c.needUnit(subject)
		c.assert(property, strconv.FormatBool(want), func(f *facts) verdict {
			st, name, v := f.service(subject)
			switch {
			case v.outcome != "":
				return v
			case st.state == "":
				return fail("no such service")
			}
			return decide(f, st, name)
		})
	}
	if b.Enabled != nil {
		if *b.Enabled {
			onUnit("enabled", true, func(f *facts, st unitState, name string) verdict { return f.startsAtBoot(st, name) })
		} else {
			onUnit("enabled", false, func(f *facts, st unitState, name string) verdict { return f.staysDown(st, name) })
			for _, starter := range starters(subject) {
				c.needUnit(starter)
			}
		}
	}
	onState := func(property string, want *bool) {
		if want != nil {
			onUnit(property, *want, func(_ *facts, st unitState, _ string) verdict {
				return is((st.state == property) == *want, st.state)
			})
		}
	}
	onState("static", b.Static)
	onState("masked", b.Masked)
	if b.Masked != nil && *b.Masked && b.Enabled != nil && *b.Enabled {
		c.problem("masked", "a masked service cannot be enabled; keep one of the two")
	}
	if b.Running != nil {
		c.found++
		c.plan.needs.running = appendNew(c.plan.needs.running, subject)
		remedy := "enabled = true to check that it starts at boot"
		if !*b.Running {
			remedy = "enabled = false to check that it does not start at boot"
		}
		c.assert("running", strconv.FormatBool(*b.Running), func(f *facts) verdict { return f.runs(subject, *b.Running) }, needsBoot(remedy))
	}
	if b.Exists != nil {
		c.needUnit(subject)
		c.existence(b.Exists, func(f *facts) verdict {
			st, _, v := f.service(subject)
			if v.outcome == "" && st.state == "" {
				return fail("no such service")
			}
			return v
		})
	} else if c.found == 0 {
		c.problem("", "asserts nothing; write for example enabled = true")
	}
}

func (c *compiler) needUnit(name string) {
	c.plan.needs.units = appendNew(c.plan.needs.units, name)
}

// starters are the units that start a service of the same name on their own.
func starters(subject string) []string {
	name, isService := strings.CutSuffix(unitName(subject), ".service")
	if !isService {
		return nil
	}
	return []string{name + ".socket", name + ".timer", name + ".path"}
}

// enabledStates are the states of systemctl(1) in which a unit of the image
// starts at boot. The -runtime states live in /run, which is not in the image.
var enabledStates = []string{"enabled", "alias", "generated"}

func (f *facts) startsAtBoot(st unitState, name string) verdict {
	if slices.Contains(enabledStates, st.state) || f.mode == Booted && st.state == "enabled-runtime" {
		return pass("true (" + st.state + ")")
	}
	actual := fmt.Sprintf("false (%s)", st.state)
	switch st.state {
	case "static":
		actual += ": it has no [Install] section and starts only when another unit asks for it; write static = true if that is meant"
	case "indirect":
		actual += ": another unit or an instance of it can be enabled; check that one"
	}
	for _, starter := range starters(name) {
		if s, _ := f.services.unit(starter); s.state == "enabled" {
			actual += fmt.Sprintf("; %s is enabled and starts it, check that one", starter)
		}
	}
	return fail("%s", actual)
}

// staysDown decides that nothing that is known here starts a service at boot.
func (f *facts) staysDown(st unitState, name string) verdict {
	if st.state == "masked" {
		return pass("false (masked)")
	}
	if slices.Contains(enabledStates, st.state) || st.state == "enabled-runtime" {
		return fail("true (%s)", st.state)
	}
	for _, starter := range starters(name) {
		if s, _ := f.services.unit(starter); s.state == "enabled" {
			return fail("false (%s), and %s is enabled and starts it", st.state, starter)
		}
	}
	if applies, why := f.services.firstBoot(); applies && st.state == "disabled" && f.services.systemd == stateRead && f.mode != Booted {
		switch st.preset {
		case "enabled":
			return fail("false (disabled) now, but the first boot enables it: %s, so systemd applies its presets, and the preset of %s is enabled; mask it or add a preset that disables it", why, name)
		case "":
			return undecided("disabled now, but %s, so the first boot applies presets, and the image's systemctl does not say what the preset of %s is; mask it or initialize machine-id", why, name)
		}
	}
	return pass("false (" + st.state + ")")
}

func (f *facts) runs(subject string, want bool) verdict {
	if f.mode != Booted {
		return undecided("nothing runs in a mounted image")
	}
	actual, ok := f.services.running[subject]
	if !ok {
		return f.unread("whether it runs")
	}
	return is((actual == "active" || actual == "reloading") == want, actual)
}
