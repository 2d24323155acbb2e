//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type Timer

package check

import (
	"path"
	"strconv"
	"strings"
)

// Timer checks timers of systemd. At least one assertion is required: there is a
// difference between a timer that exists and one that starts at boot.
type Timer struct {
	Common `mapstructure:",squash"`

	// Name of the timer, with or without `.timer`. One of `name` and `names` is
	// required; in a suite file the block's label is the name.
	Name string `mapstructure:"name"`
	// Several names; the block is about each of them.
	Names []string `mapstructure:"names"`
	// Whether there is such a timer. With `false` nothing else can be asserted.
	Exists *bool `mapstructure:"exists"`
	// Whether it starts at boot, as for services.
	Enabled *bool `mapstructure:"enabled"`
	// When it elapses, as its unit file and drop-ins have it: the value of
	// `OnCalendar`, or another setting with its value, as `OnBootSec=15min`. More
	// are allowed.
	Elapses []string `mapstructure:"elapses"`
	// The unit that it starts.
	Unit *string `mapstructure:"unit"`
	// Whether it is active and waiting. Only a booted system can answer this: in
	// an image that is mounted in a chroot it is refused.
	Running *bool `mapstructure:"running"`
}

func (b *Timer) kind() string    { return "timer" }
func (b *Timer) common() *Common { return &b.Common }
func (b *Timer) subjects() subjects {
	return subjects{one: "name", value: &b.Name, several: "names", values: b.Names, validate: validName}
}

func (b *Timer) compile(c *compiler, subject string) {
	unit := strings.TrimSuffix(subject, ".timer") + ".timer"
	state := func(f *facts) (unitState, string, verdict) {
		st, name, v := f.service(unit)
		if v.outcome == "" && st.state == "" {
			v = fail("no such timer")
		}
		return st, name, v
	}
	if b.Enabled != nil {
		c.found++
		c.assert("enabled", strconv.FormatBool(*b.Enabled), func(f *facts) verdict {
			st, name, v := state(f)
			switch {
			case v.outcome != "":
				return v
			case *b.Enabled:
				return f.startsAtBoot(st, name)
			}
			return f.staysDown(st, name)
		}, readsUnits([]string{unit}))
	}
	onText := func(property, expected string, decide func(values map[string][]string) verdict, more ...option) {
		c.assert(property, expected, func(f *facts) verdict {
			values, v := f.unitSettings(unit)
			if v.outcome != "" {
				return v
			}
			return decide(values)
		}, append(more, readsUnitText(unit))...)
	}
	if want := c.list("elapses", b.Elapses); len(want) > 0 {
		onText("elapses", strings.Join(want, ", "), func(values map[string][]string) verdict {
			return hasTimes(timerTimes(values), want)
		}, additive)
	}
	if want, ok := c.expected("unit", b.Unit); ok && c.validAccount("unit", want) {
		onText("unit", unitName(want), func(values map[string][]string) verdict {
			// Without Unit= it is the service of the same name: systemd.timer(5).
			actual := strings.TrimSuffix(unit, path.Ext(unit)) + ".service"
			if set := values["Timer.Unit"]; len(set) > 0 {
				actual = set[len(set)-1]
			}
			return is(actual == unitName(want), actual)
		})
	}
	if b.Running != nil {
		c.found++
		c.assert("running", strconv.FormatBool(*b.Running), func(f *facts) verdict { return f.runs(unit, *b.Running) },
			needsBoot("enabled = "+strconv.FormatBool(*b.Running)), reads(func(n *needs) { n.running = appendNew(n.running, unit) }))
	}
	if b.Exists == nil && c.found == 0 {
		c.problem("", "asserts nothing; write for example enabled = true")
		return
	}
	if b.Exists != nil {
		c.existence(b.Exists, func(f *facts) verdict {
			_, _, v := state(f)
			return v
		}, readsUnits([]string{unit}))
	}
}
