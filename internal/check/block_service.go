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
	// Whether it will be enabled after the image's first boot: that is as
	// `enabled`, unless `/etc/machine-id` is missing or `uninitialized`. Then
	// systemd applies its presets, which enable what is disabled now. What a
	// preset disables stays enabled or not as systemd was built; that is an error.
	EnabledAfterFirstBoot *bool `mapstructure:"enabled_after_first_boot"`
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
	onUnit := func(property string, want bool, decide func(f *facts, st unitState, name string) verdict, also ...string) {
		c.found++
		c.assert(property, strconv.FormatBool(want), func(f *facts) verdict {
			st, name, v := f.service(subject)
			switch {
			case v.outcome != "":
				return v
			case st.state == "":
				return fail("no such service")
			}
			return decide(f, st, name)
		}, readsUnits(append(also, subject)))
	}
	if b.Enabled != nil {
		if *b.Enabled {
			onUnit("enabled", true, func(f *facts, st unitState, name string) verdict { return f.startsAtBoot(st, name) }, starters(subject)...)
		} else {
			onUnit("enabled", false, func(f *facts, st unitState, name string) verdict { return f.staysDown(st, name) }, starters(subject)...)
		}
	}
	if b.EnabledAfterFirstBoot != nil {
		onUnit("enabled_after_first_boot", *b.EnabledAfterFirstBoot, func(f *facts, st unitState, name string) verdict {
			return f.afterFirstBoot(st, name, *b.EnabledAfterFirstBoot)
		}, starters(subject)...)
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
		remedy := "enabled = true to check that it starts at boot"
		if !*b.Running {
			remedy = "enabled = false to check that it does not start at boot"
		}
		c.assert("running", strconv.FormatBool(*b.Running), func(f *facts) verdict { return f.runs(subject, *b.Running) },
			needsBoot(remedy), reads(func(n *needs) { n.running = appendNew(n.running, subject) }))
	}
	if b.Exists != nil {
		c.existence(b.Exists, func(f *facts) verdict {
			st, _, v := f.service(subject)
			if v.outcome == "" && st.state == "" {
				return fail("no such service")
			}
			return v
		}, readsUnits([]string{subject}))
	} else if c.found == 0 {
		c.problem("", "asserts nothing; write for example enabled = true")
	}
}

func readsUnits(names []string) option {
	return reads(func(n *needs) {
		for _, name := range names {
			n.units = appendNew(n.units, unitName(name))
		}
	})
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
	var actual strings.Builder
	fmt.Fprintf(&actual, "false (%s)", st.state)
	switch st.state {
	case "static":
		actual.WriteString(": it has no [Install] section and starts only when another unit asks for it; write static = true if that is meant")
	case "indirect":
		actual.WriteString(": another unit or an instance of it can be enabled; check that one")
	}
	for _, starter := range starters(name) {
		if s, _ := f.services.unit(starter); s.state == "enabled" {
			fmt.Fprintf(&actual, "; %s is enabled and starts it, check that one", starter)
		}
	}
	return fail("%s", actual.String())
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
	for _, unit := range append([]string{name}, starters(name)...) {
		if v := f.staysAfterFirstBoot(unit); v.outcome != "" {
			return v
		}
	}
	return pass("false (" + st.state + ")")
}

// afterFirstBoot decides whether a unit is enabled after the first boot.
func (f *facts) afterFirstBoot(st unitState, name string, want bool) verdict {
	applies, why := f.services.firstBoot()
	if !applies || f.mode == Booted {
		if want {
			return f.startsAtBoot(st, name)
		}
		return f.staysDown(st, name)
	}
	switch {
	case !want:
		// A unit that is enabled now fails here, whatever its preset is.
		return f.staysDown(st, name)
	case st.state == "enabled" && st.preset == "disabled":
		return undecided("it is enabled now, but %s, so the first boot applies presets, and that of %s is disabled: some builds of systemd then disable it; add a preset that enables it", why, name)
	case st.state == "disabled" && st.preset == "enabled":
		return pass("true (" + why + ", and its preset is enabled)")
	case st.state == "disabled" && st.preset == "":
		return undecided("it is disabled now, but %s, so the first boot applies presets, and the image's systemctl does not say what that of %s is", why, name)
	}
	return f.startsAtBoot(st, name)
}

// staysAfterFirstBoot gives an outcome when the image's first boot may enable a
// unit that is disabled now.
func (f *facts) staysAfterFirstBoot(name string) verdict {
	applies, why := f.services.firstBoot()
	st, _ := f.services.unit(name)
	if !applies || st.state != "disabled" || f.mode == Booted {
		return verdict{}
	}
	switch st.preset {
	case "enabled":
		return fail("%s is disabled now, but the first boot enables it: %s, so systemd applies its presets, and that of %s is enabled; mask it or add a preset that disables it", name, why, name)
	case "":
		return undecided("%s is disabled now, but %s, so the first boot applies presets, and the image's systemctl does not say what that of %s is; mask it or initialize machine-id", name, why, name)
	}
	return verdict{}
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
