//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type Mount

package check

import (
	"slices"
	"strconv"
	"strings"
)

// Mount checks what is mounted at a path. Without any assertion it asserts that
// `/etc/fstab` has an entry for it. All but `mounted` and `mounted_options` are
// about that entry.
type Mount struct {
	Common `mapstructure:",squash"`

	// Path at which something is mounted. One of `path` and `paths` is required;
	// in a suite file the block's label is the path.
	Path string `mapstructure:"path"`
	// Several paths; the block is about each of them.
	Paths []string `mapstructure:"paths"`
	// Whether `/etc/fstab` has an entry for the path. With `false` nothing else
	// can be asserted of the entry.
	Fstab *bool `mapstructure:"fstab"`
	// Device of the entry, as it is written there, for example `LABEL=data`.
	Device *string `mapstructure:"device"`
	// Type of its file system.
	Type *string `mapstructure:"type"`
	// Options that the entry must have, for example `nofail`; more are allowed.
	Options []string `mapstructure:"options"`
	// Options that it must not have. Without an entry this fails.
	NotOptions []string `mapstructure:"not_options"`
	// Whether something is mounted there. Only a booted system can answer this,
	// and what follows: in an image that is mounted in a chroot it is refused.
	Mounted *bool `mapstructure:"mounted"`
	// Options in effect that the mount must have, for example `nosuid`.
	MountedOptions []string `mapstructure:"mounted_options"`
}

func (b *Mount) kind() string    { return "mount" }
func (b *Mount) common() *Common { return &b.Common }
func (b *Mount) subjects() subjects {
	return subjects{one: "path", value: &b.Path, several: "paths", values: b.Paths, validate: validPath}
}

const (
	fstab     = "/etc/fstab"
	mountInfo = "/proc/self/mountinfo"
)

func (b *Mount) compile(c *compiler, subject string) {
	c.compileLive(b, subject)
	live := c.found
	onEntry := func(property, expected string, decide func(e mountEntry) verdict, options ...option) {
		c.assert(property, expected, func(f *facts) verdict {
			e, v := f.fstabEntry(subject)
			if v.outcome != "" {
				return v
			}
			return decide(e)
		}, append(options, readsText(fstab))...)
	}
	if want, ok := c.expected("device", b.Device); ok {
		onEntry("device", want, func(e mountEntry) verdict { return is(e.device == want, e.device) })
	}
	if want, ok := c.expected("type", b.Type); ok {
		onEntry("type", want, func(e mountEntry) verdict { return is(e.typ == want, e.typ) })
	}
	options, notOptions := c.list("options", b.Options), c.list("not_options", b.NotOptions)
	for _, o := range options {
		if slices.Contains(notOptions, o) {
			c.problem("options", "%q is in not_options too; remove one", o)
		}
	}
	if len(options) > 0 {
		onEntry("options", strings.Join(options, ","), func(e mountEntry) verdict { return e.has(options) }, additive)
	}
	if len(notOptions) > 0 {
		onEntry("not_options", strings.Join(notOptions, ","), func(e mountEntry) verdict { return e.hasNot(notOptions) }, additive)
	}
	entry := b.Fstab
	if entry == nil && c.found == 0 {
		entry = new(true)
	}
	if entry == nil {
		return
	}
	if !*entry && c.found > live {
		c.problem("fstab", "fstab = false leaves nothing else to assert of the entry; remove the other attributes or fstab")
	}
	c.assert("fstab", strconv.FormatBool(*entry), func(f *facts) verdict {
		e, v := f.fstabEntry(subject)
		switch v.outcome {
		case Errored:
			return v
		case Failed:
			return is(!*entry, v.actual)
		}
		return is(*entry, e.at)
	}, readsText(fstab))
}

// compileLive asserts what is mounted.
func (c *compiler) compileLive(b *Mount, subject string) {
	boot := []option{needsBoot("fstab = true to check that it is mounted at boot"), readsText(mountInfo)}
	if b.Mounted != nil {
		c.found++
		c.assert("mounted", strconv.FormatBool(*b.Mounted), func(f *facts) verdict {
			e, v := f.mounted(subject)
			switch v.outcome {
			case Errored:
				return v
			case Failed:
				return is(!*b.Mounted, v.actual)
			}
			return is(*b.Mounted, e.device+", "+e.typ)
		}, boot...)
	}
	if want := c.list("mounted_options", b.MountedOptions); len(want) > 0 {
		if b.Mounted != nil && !*b.Mounted {
			c.problem("mounted_options", "what is not mounted has no options; remove mounted_options or mounted = false")
		}
		c.assert("mounted_options", strings.Join(want, ","), func(f *facts) verdict {
			e, v := f.mounted(subject)
			if v.outcome != "" {
				return v
			}
			return e.has(want)
		}, append(boot, additive)...)
	}
}
