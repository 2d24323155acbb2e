//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type Command

package check

import (
	"strconv"
	"time"
)

// Command runs a command with the image's `/bin/sh -c` and checks what comes of
// it. At least one assertion is required.
//
// In an image that is mounted in a chroot, a command sees the image's files and
// nothing that runs: it gets namespaces of its own for processes, network and
// mounts, as far as the image's `unshare` allows. What can only be answered by
// a running system is refused, with what to write instead.
type Command struct {
	Common `mapstructure:",squash"`

	// Text for `/bin/sh -c`. Required; in a suite file the block's label is the
	// text.
	Run string `mapstructure:"run"`
	// Exit status: a number, or a constraint such as `"!= 0"`.
	ExitStatus *string `mapstructure:"exit_status"`
	// What stdout is, whole, without the line breaks at its end; `""` asserts
	// that it is empty.
	Stdout *string `mapstructure:"stdout"`
	// Texts that stdout must contain, literally. More than 1 MiB of stdout or
	// stderr is an error.
	StdoutContains []string `mapstructure:"stdout_contains"`
	// Texts that stdout must not contain.
	StdoutNotContains []string `mapstructure:"stdout_not_contains"`
	// Regular expressions (RE2), each of which must match some line of stdout.
	StdoutMatches []string `mapstructure:"stdout_matches"`
	// Regular expressions (RE2) that must match no line of stdout.
	StdoutNotMatches []string `mapstructure:"stdout_not_matches"`
	// What stderr is, whole, as for `stdout`.
	Stderr *string `mapstructure:"stderr"`
	// Texts that stderr must contain, literally.
	StderrContains []string `mapstructure:"stderr_contains"`
	// Texts that stderr must not contain.
	StderrNotContains []string `mapstructure:"stderr_not_contains"`
	// Regular expressions (RE2), each of which must match some line of stderr.
	StderrMatches []string `mapstructure:"stderr_matches"`
	// Regular expressions (RE2) that must match no line of stderr.
	StderrNotMatches []string `mapstructure:"stderr_not_matches"`
	// How long the command may take, for example `"30s"`; whole seconds, 10 by
	// default. A command that takes longer is killed, and the check is an error.
	Timeout *string `mapstructure:"timeout"`
	// `builder`: offline, the command has the build host's network, and not one of
	// its own in which nothing answers. On a booted system it has no effect.
	Network *string `mapstructure:"network"`
}

const (
	defaultTimeout = 10 * time.Second
	maxTimeout     = time.Hour
)

func (b *Command) kind() string    { return "command" }
func (b *Command) common() *Common { return &b.Common }
func (b *Command) subjects() subjects {
	return subjects{one: "run", value: &b.Run, validate: validCommand}
}

func (b *Command) compile(c *compiler, subject string) {
	timeout := c.timeout(b.Timeout, defaultTimeout)
	builder := c.network(b.Network)
	if subject != Unknown {
		offline := c.mode != Booted && !c.deferred
		for _, p := range lintCommand(subject, offline) {
			c.problem("run", "%s", p)
		}
	}

	on := func(property, expected string, decide func(r *commandResult) verdict, options ...option) {
		if builder {
			options = append(options, fromBuilder)
		}
		c.assert(property, expected, func(f *facts) verdict {
			r, v := f.commandFrom(subject, builder)
			if r == nil {
				return v
			}
			return decide(r)
		}, append(options, reads(func(n *needs) { n.commandFrom(subject, timeout, builder) }))...)
	}
	if want, ok := c.number("exit_status", b.ExitStatus); ok {
		on("exit_status", want.String(), func(r *commandResult) verdict {
			actual := strconv.Itoa(r.exit)
			if ok := want.meets(int64(r.exit)); ok {
				return pass(actual)
			}
			if said := firstLines(r.stderr); said != "" {
				actual += ", and on stderr " + said
			}
			return fail("%s", actual)
		})
	}
	b.compileStream(c, on, "stdout", stream{
		b.Stdout, b.StdoutContains, b.StdoutNotContains, b.StdoutMatches, b.StdoutNotMatches,
		func(r *commandResult) []byte { return r.stdout },
	})
	b.compileStream(c, on, "stderr", stream{
		b.Stderr, b.StderrContains, b.StderrNotContains, b.StderrMatches, b.StderrNotMatches,
		func(r *commandResult) []byte { return r.stderr },
	})
	if c.found == 1 && b.ExitStatus != nil && subject != Unknown && *b.ExitStatus == "0" && alwaysSucceeds(subject) {
		c.problem("exit_status", "the command exits with 0 whatever it finds, because of how it ends; remove that, or assert what it prints")
	}
	if c.found == 0 {
		c.problem("", `asserts nothing; write for example exit_status = 0`)
	}
}

// complete gives an outcome when a stream was longer than what was kept of it.
func (r *commandResult) complete(stream string) verdict {
	if r.tooLong == stream {
		return undecided("%s is longer than the %d bytes that are kept of it", stream, outputLimit)
	}
	return verdict{}
}

// command asks for a command to be run: once, with the longest of the timeouts
// that its blocks give it.
func (n *needs) command(text string, timeout time.Duration) { n.commandFrom(text, timeout, false) }

// commandFrom is command with the network that the command has offline: the
// builder's, or one of its own.
func (n *needs) commandFrom(text string, timeout time.Duration, builder bool) {
	seconds := int(timeout / time.Second)
	for _, cmd := range n.commands {
		if cmd.text == text && cmd.builder == builder {
			cmd.seconds = max(cmd.seconds, seconds)
			return
		}
	}
	n.commands = append(n.commands, &commandNeed{text: text, seconds: seconds, builder: builder})
}
