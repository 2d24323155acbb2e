//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type SELinux

package check

import (
	"fmt"
	"slices"
	"strings"
)

// SELinux checks SELinux: what it is configured to be at boot, and what it is. At
// least one assertion is required. The block has no subject: there is one
// SELinux.
type SELinux struct {
	Common `mapstructure:",squash"`

	// `enforcing`, `permissive` or `disabled`: what it will be at boot, decided
	// from `/etc/selinux/config` and from the parameters `selinux` and
	// `enforcing` of the kernel in `/etc/default/grub`, `/etc/kernel/cmdline` and
	// `/boot/loader/entries`, which win.
	Configured *string `mapstructure:"configured"`
	// The policy that is configured, for example `targeted`. There must be one of
	// that name below `/etc/selinux`.
	Policy *string `mapstructure:"policy"`
	// `enforcing`, `permissive` or `disabled`: what it is now. Only a booted
	// system can answer this: in an image that is mounted in a chroot it is
	// refused.
	Live *string `mapstructure:"live"`
}

func (b *SELinux) kind() string       { return "selinux" }
func (b *SELinux) common() *Common    { return &b.Common }
func (b *SELinux) subjects() subjects { return subjects{fixed: "selinux"} }

const (
	selinuxConfig  = "/etc/selinux/config"
	selinuxEnforce = "/sys/fs/selinux/enforce"
	grubDefaults   = "/etc/default/grub"
	kernelCmdline  = "/etc/kernel/cmdline"
	bootEntries    = "/boot/loader/entries"
)

// selinuxModes are the values of SELINUX in the configuration: selinux_config(5).
var selinuxModes = []string{"enforcing", "permissive", "disabled"}

func (b *SELinux) compile(c *compiler, _ string) {
	mode := func(attr string, value *string) (string, bool) {
		want, ok := c.expected(attr, value)
		if ok && !slices.Contains(selinuxModes, want) {
			c.problem(attr, "%q is no mode of SELinux; write enforcing, permissive or disabled", want)
			return "", false
		}
		return want, ok
	}
	if want, ok := mode("configured", b.Configured); ok {
		c.assert("configured", want, func(f *facts) verdict {
			actual, why, v := f.selinuxAtBoot()
			if v.outcome != "" {
				return v
			}
			return is(actual == want, fmt.Sprintf("%s (%s)", actual, why))
		}, readsText(selinuxConfig, grubDefaults, kernelCmdline), reads(func(n *needs) { n.configs(bootEntries) }))
	}
	if want, ok := c.expected("policy", b.Policy); ok {
		if err := validName(want); err != nil {
			c.problem("policy", "%q %v", want, err)
		}
		folder := "/etc/selinux/" + want
		c.assert("policy", want, func(f *facts) verdict { return f.selinuxPolicy(want, folder) },
			readsText(selinuxConfig), reads(func(n *needs) { n.path(folder) }))
	}
	if want, ok := mode("live", b.Live); ok {
		c.assert("live", want, func(f *facts) verdict {
			if f.mode != Booted {
				return undecided("the kernel is the build host's")
			}
			text, there, v := f.text(selinuxEnforce)
			if v.outcome != "" {
				return v
			}
			actual := "disabled"
			switch strings.TrimSpace(text) {
			case "1":
				actual = "enforcing"
			case "0":
				actual = "permissive"
			default:
				if there {
					return undecided("%s says %q", selinuxEnforce, text)
				}
			}
			return is(actual == want, actual)
		}, needsBoot("configured to check what it will be at boot"), readsText(selinuxEnforce))
	}
	if c.found == 0 {
		c.problem("", `asserts nothing; write for example configured = "enforcing"`)
	}
}

// selinuxSettings are the assignments of the configuration; ok is false when the
// image has none.
func (f *facts) selinuxSettings() (values flatSettings, ok bool, v verdict) {
	text, there, v := f.text(selinuxConfig)
	if v.outcome != "" {
		return nil, false, v
	}
	return parseAssignments(text), there, verdict{}
}

// selinuxAtBoot returns what SELinux will be at boot, and what decides that.
func (f *facts) selinuxAtBoot() (mode, why string, v verdict) {
	values, there, v := f.selinuxSettings()
	if v.outcome != "" {
		return "", "", v
	}
	mode, why = "disabled", "the image has no "+selinuxConfig
	if there {
		mode, why = strings.ToLower(values["SELINUX"]), selinuxConfig
		if !slices.Contains(selinuxModes, mode) {
			return "", "", fail("%s sets SELINUX to %q, which is no mode", selinuxConfig, values["SELINUX"])
		}
	}
	lines, v := f.kernelCommandLines()
	if v.outcome != "" {
		return "", "", v
	}
	for _, line := range lines {
		for word := range strings.FieldsSeq(line.text) {
			switch word {
			case "selinux=0":
				return "disabled", line.path + ": " + word, verdict{}
			case "enforcing=0":
				if mode == "enforcing" {
					mode, why = "permissive", line.path+": "+word
				}
			case "enforcing=1":
				if mode == "permissive" {
					mode, why = "enforcing", line.path+": "+word
				}
			}
		}
	}
	return mode, why, verdict{}
}

// kernelCommandLines are the parameters that the image's boot loader gives to
// the kernel, by the file that they are in.
func (f *facts) kernelCommandLines() ([]configFile, verdict) {
	var lines []configFile
	grub, _, v := f.text(grubDefaults)
	if v.outcome != "" {
		return nil, v
	}
	values := parseAssignments(grub)
	for _, key := range []string{"GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT"} {
		lines = append(lines, configFile{path: grubDefaults, text: values[key]})
	}
	cmdline, _, v := f.text(kernelCmdline)
	if v.outcome != "" {
		return nil, v
	}
	lines = append(lines, configFile{path: kernelCmdline, text: cmdline})
	entries, v := f.folderFiles(bootEntries, confFiles)
	if v.outcome != "" {
		return nil, v
	}
	for _, entry := range entries {
		for line := range strings.Lines(entry.text) {
			if options, ok := strings.CutPrefix(strings.TrimSpace(line), "options"); ok {
				lines = append(lines, configFile{path: entry.path, text: options})
			}
		}
	}
	return lines, verdict{}
}

func (f *facts) selinuxPolicy(want, folder string) verdict {
	values, there, v := f.selinuxSettings()
	switch {
	case v.outcome != "":
		return v
	case !there:
		return fail("the image has no %s", selinuxConfig)
	case values["SELINUXTYPE"] != want:
		return fail("%q", values["SELINUXTYPE"])
	}
	if n, v := f.node(folder); n == nil {
		if v.outcome == Failed {
			return fail("%s is configured, but the image has no %s", want, folder)
		}
		return v
	}
	return pass(want)
}
