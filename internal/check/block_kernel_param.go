//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type KernelParam

package check

import (
	"errors"
	"path"
	"strings"
)

// KernelParam checks parameters of the kernel, as sysctl names them. At least
// one assertion is required: there is a difference between what the image is
// configured to set at boot, and what a running kernel has.
type KernelParam struct {
	Common `mapstructure:",squash"`

	// Name of the parameter, for example `vm.swappiness`. One of `name` and
	// `names` is required; in a suite file the block's label is the name.
	Name string `mapstructure:"name"`
	// Several names; the block is about each of them.
	Names []string `mapstructure:"names"`
	// Value that is set at boot, decided from the image's files: the `sysctl.d`
	// folders with their precedence, and `/etc/sysctl.conf` where the image's
	// tool reads it. A number, a constraint such as `">= 1024"`, or text. What
	// the kernel's own default may be does not count.
	Configured *string `mapstructure:"configured"`
	// Value in the running kernel. Only a booted system can answer this: in an
	// image that is mounted in a chroot it is refused.
	Live *string `mapstructure:"live"`
}

func (b *KernelParam) kind() string    { return "kernel_param" }
func (b *KernelParam) common() *Common { return &b.Common }
func (b *KernelParam) subjects() subjects {
	return subjects{one: "name", value: &b.Name, several: "names", values: b.Names, validate: validParam}
}

func validParam(name string) error {
	key := sysctlPath(name)
	if strings.HasPrefix(key, "/") || path.Clean(key) != key || strings.HasPrefix(key, "..") || !strings.Contains(key, "/") {
		return errors.New(`is not a parameter of the kernel; write it as sysctl does, for example "vm.swappiness"`)
	}
	return validName(strings.ReplaceAll(name, "/", "."))
}

func (b *KernelParam) compile(c *compiler, subject string) {
	if want, ok := c.setting("configured", b.Configured); ok {
		c.assert("configured", want.String(), func(f *facts) verdict {
			value, at, v := f.sysctl(subject)
			if v.outcome != "" {
				return v
			}
			return want.decide(value, " ("+at+")")
		}, readsSysctl)
	}
	if want, ok := c.setting("live", b.Live); ok {
		file := "/proc/sys/" + sysctlPath(subject)
		c.assert("live", want.String(), func(f *facts) verdict {
			if f.mode != Booted {
				return undecided("the kernel is the build host's")
			}
			content, v := f.content(file)
			if v.outcome != "" {
				return v
			}
			return want.decide(string(content), "")
		}, needsBoot("configured to check what is set at boot"), readsText(file))
	}
	if c.found == 0 {
		c.problem("", `asserts nothing; write for example configured = "1"`)
	}
}
