//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type Process

package check

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Process checks what runs. Without any assertion it asserts that a process of
// the name does. Only a booted system can answer this: in an image that is
// mounted in a chroot every process is the build host's, and the check is
// refused. Write a `service` block with `enabled = true` to check that the
// service starts at boot, or `requires = "boot"`.
type Process struct {
	Common `mapstructure:",squash"`

	// Name of the program, without a folder, as `ps -e` shows it. It is compared
	// as a whole: `consul` is not `consul-template`. One of `name` and `names` is
	// required; in a suite file the block's label is the name.
	Name string `mapstructure:"name"`
	// Several names; the block is about each of them.
	Names []string `mapstructure:"names"`
	// Whether such a process runs. One that has ended and was not waited for
	// does not. With `false` nothing else can be asserted.
	Running *bool `mapstructure:"running"`
	// How many run: a number, or a constraint such as `">= 2"`.
	Count *string `mapstructure:"count"`
	// User, by name or by number, as which all of them run.
	User *string `mapstructure:"user"`
	// Regular expressions (RE2), each of which must match the arguments of some
	// of the processes, program included, with blanks between them.
	Arguments []string `mapstructure:"arguments"`
	// Regular expressions (RE2) that must match those of none. When no such
	// process runs, this fails.
	NotArguments []string `mapstructure:"not_arguments"`
}

func (b *Process) kind() string    { return "process" }
func (b *Process) common() *Common { return &b.Common }
func (b *Process) subjects() subjects {
	return subjects{one: "name", value: &b.Name, several: "names", values: b.Names, validate: validName}
}

func (b *Process) compile(c *compiler, subject string) {
	on := func(property, expected string, decide func(f *facts, found []process) verdict, more ...option) {
		c.assert(property, expected, func(f *facts) verdict {
			found, v := f.processes(subject)
			if v.outcome != "" {
				return v
			}
			return decide(f, found)
		}, append(more, needsBoot("a service block with enabled = true"),
			reads(func(n *needs) { n.processes = appendNew(n.processes, subject) }))...)
	}
	if want, ok := c.number("count", b.Count); ok {
		on("count", want.String(), func(_ *facts, found []process) verdict {
			return is(want.meets(int64(len(found))), strconv.Itoa(len(found)))
		})
	}
	if want, ok := c.expected("user", b.User); ok && c.validAccount("user", want) {
		on("user", want, func(f *facts, found []process) verdict {
			for _, p := range found {
				if v := f.ownedBy(want, p.uid, f.userName); v.outcome != Passed {
					return v
				}
			}
			return is(len(found) > 0, running(found))
		}, reads(func(n *needs) { n.accounts = true }))
	}
	b.compileArguments(c, on)
	want := b.Running
	if want == nil {
		if c.found > 0 {
			return
		}
		want = new(true)
	}
	if !*want && c.found > 0 {
		c.problem("running", "running = false leaves nothing else to assert; remove the other attributes or running")
	}
	on("running", strconv.FormatBool(*want), func(_ *facts, found []process) verdict {
		return is((len(found) > 0) == *want, running(found))
	})
}

func (b *Process) compileArguments(c *compiler, on func(string, string, func(*facts, []process) verdict, ...option)) {
	matching := func(found []process, re *regexp.Regexp) bool {
		return slices.ContainsFunc(found, func(p process) bool { return re.MatchString(strings.Join(p.arguments, " ")) })
	}
	if want := c.patterns("arguments", b.Arguments); len(want) > 0 {
		on("arguments", quotedTexts(sources(want)), func(_ *facts, found []process) verdict {
			for _, re := range want {
				if !matching(found, re) {
					return fail("%s, none with arguments that match %q", running(found), re)
				}
			}
			return pass("all matched")
		}, additive)
	}
	if unwanted := c.patterns("not_arguments", b.NotArguments); len(unwanted) > 0 {
		on("not_arguments", quotedTexts(sources(unwanted)), func(_ *facts, found []process) verdict {
			for _, re := range unwanted {
				if matching(found, re) {
					return fail("one with arguments that match %q", re)
				}
			}
			return is(len(found) > 0, running(found))
		}, additive)
	}
}

// running says, for people, how many processes were found. Arguments may hold
// secrets and are not shown.
func running(found []process) string {
	switch len(found) {
	case 0:
		return "no such process"
	case 1:
		return "1 process"
	}
	return fmt.Sprintf("%d processes", len(found))
}
