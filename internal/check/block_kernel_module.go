//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type KernelModule

package check

import (
	"fmt"
	"strconv"
	"strings"
)

// KernelModule checks modules of the kernel. At least one assertion is required.
// `-` and `_` in names mean the same.
type KernelModule struct {
	Common `mapstructure:",squash"`

	// Name of the module, for example `usb_storage`. One of `name` and `names`
	// is required; in a suite file the block's label is the name.
	Name string `mapstructure:"name"`
	// Several names; the block is about each of them.
	Names []string `mapstructure:"names"`
	// Whether a `blacklist` line of `modprobe.d` keeps it from being loaded for
	// the devices that it knows. It can still be loaded by its name.
	Blacklisted *bool `mapstructure:"blacklisted"`
	// Whether an `install` line of `modprobe.d` puts `/bin/true` or `/bin/false`
	// in the place of loading it, so that modprobe never does.
	Disabled *bool `mapstructure:"disabled"`
	// Whether it is loaded at boot: `modules-load.d` or `/etc/modules` name it,
	// and it is neither blacklisted nor disabled.
	AtBoot *bool `mapstructure:"at_boot"`
	// Whether it is loaded, as `lsmod` shows it: what is built into the kernel
	// is not. Only a booted system can answer this: in an image that is mounted
	// in a chroot it is refused.
	Loaded *bool `mapstructure:"loaded"`
}

func (b *KernelModule) kind() string    { return "kernel_module" }
func (b *KernelModule) common() *Common { return &b.Common }
func (b *KernelModule) subjects() subjects {
	return subjects{one: "name", value: &b.Name, several: "names", values: b.Names, validate: validName}
}

const (
	etcModules  = "/etc/modules"
	procModules = "/proc/modules"
	procVersion = "/proc/version" // of any kernel whose /proc is mounted
)

func (b *KernelModule) compile(c *compiler, subject string) {
	name := moduleName(subject)
	on := func(property string, want *bool, decide func(f *facts) (bool, string, verdict), options ...option) {
		if want == nil {
			return
		}
		c.found++
		c.assert(property, strconv.FormatBool(*want), func(f *facts) verdict {
			actual, why, v := decide(f)
			if v.outcome != "" {
				return v
			}
			return is(actual == *want, fmt.Sprintf("%t (%s)", actual, why))
		}, options...)
	}
	rule := func(verb string) func(f *facts) (bool, string, verdict) {
		return func(f *facts) (bool, string, verdict) {
			rules, v := f.modprobeRules(name)
			if at := rules[verb]; at != "" {
				return true, at, v
			}
			return false, "no such line in modprobe.d", v
		}
	}
	modprobe := reads(func(n *needs) { n.configs(vendorDirs("modprobe.d", n.mode)...) })
	on("blacklisted", b.Blacklisted, rule("blacklist"), modprobe)
	on("disabled", b.Disabled, rule("install"), modprobe)
	on("at_boot", b.AtBoot, func(f *facts) (bool, string, verdict) { return f.loadsAtBoot(name) },
		modprobe, readsInit, readsText(etcModules), reads(func(n *needs) { n.configs(vendorDirs("modules-load.d", n.mode)...) }))
	remedy := "at_boot = true to check that it is loaded at boot"
	if b.Loaded != nil && !*b.Loaded {
		remedy = "disabled = true to check that it cannot be"
	}
	on("loaded", b.Loaded, func(f *facts) (bool, string, verdict) {
		if f.mode != Booted {
			return false, "", undecided("the kernel is the build host's")
		}
		content, there, v := f.text(procModules)
		switch n := f.nodes[procVersion]; {
		case v.outcome != "" || there:
		case n != nil && n.presence == present:
			return false, "the kernel takes no modules", verdict{}
		default:
			return false, "", f.unread(procModules)
		}
		for line := range strings.Lines(content) {
			if loaded, _, _ := strings.Cut(line, " "); moduleName(loaded) == name {
				return true, procModules, v
			}
		}
		return false, "not in " + procModules, v
	}, needsBoot(remedy), readsText(procModules), reads(func(n *needs) { n.path(procVersion) }))
	if c.found == 0 {
		c.problem("", "asserts nothing; write for example disabled = true")
	}
}
