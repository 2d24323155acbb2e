package check

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// commandResult is what came of a command.
type commandResult struct {
	exit           int
	finished       bool // it ended, by itself or by force
	timedOut       bool
	stdout, stderr []byte
	tooLong        string // the stream that was longer than its limit
	started        time.Time
	took           time.Duration
	seconds        int // that it had
}

// commandsFunction begins the function that runs all commands.
const commandsFunction = "commands() {\n"

// scriptCommands writes the part of the script that runs commands. Offline they
// are isolated from the build host; their text travels as a word of the inner
// script, which is itself a word of the outer one.
func scriptCommands(s *script, n *needs, mode Mode) {
	if len(n.commands) == 0 {
		return
	}
	s.part("isolate.sh")
	if mode == Booted {
		s.call("plainly", s.program(n.commands, func(*commandNeed) bool { return true }))
		return
	}
	for _, network := range []struct {
		builder   bool
		namespace string // an option of unshare
	}{{false, "-n"}, {true, ""}} {
		its := func(cmd *commandNeed) bool { return cmd.builder == network.builder }
		if slices.ContainsFunc(n.commands, its) {
			s.call("isolated", s.program(n.commands, its), network.namespace)
		}
	}
}

// program is a script of its own that runs some of the commands.
func (s *script) program(commands []*commandNeed, wanted func(*commandNeed) bool) string {
	inner := &script{nonce: s.nonce}
	for i, cmd := range commands {
		if wanted(cmd) {
			inner.call("run", strconv.Itoa(i), strconv.Itoa(cmd.seconds), cmd.text, wayOf(cmd.text))
		}
	}
	return "n=" + s.nonce + "\n" + part("prelude.sh") + part("commands.sh") +
		commandsFunction + "tick\n" + inner.calls.String() + "kill $ticker\nframe commands-done\n}\ncommands </dev/null\n"
}

// readCommands takes a frame of a command: of stdout, or with stderr set of it.
func (f *facts) readCommands(fr frame, n *needs) {
	if fr.tag == "isolation" {
		switch fr.arg(0) {
		case "partial":
			f.warnings = appendNew(f.warnings, "commands ran without a /proc of their own (the image's root is no mount point): they could see processes and mounts around the image")
		case "none":
			f.warnings = appendNew(f.warnings, "commands were not isolated (the image has no usable unshare, or they did not run as root): they could see processes, ports and interfaces around the image")
		}
		return
	}
	i, err := strconv.Atoi(fr.arg(0))
	if err != nil || i < 0 || i >= len(n.commands) {
		return
	}
	results := f.results(n.commands[i].builder)
	result := results[n.commands[i].text]
	if result == nil {
		result = &commandResult{seconds: n.commands[i].seconds}
		results[n.commands[i].text] = result
	}
	switch fr.tag {
	case "out":
		result.stdout, result.started = fr.body, fr.at
		if fr.cut {
			result.tooLong = "stdout"
		}
	case "err":
		result.stderr = fr.body
		if fr.cut {
			result.tooLong = "stderr"
		}
	case "ran":
		result.took = fr.at.Sub(result.started)
		result.exit, err = strconv.Atoi(fr.arg(1))
		result.finished = err == nil
		result.timedOut = fr.arg(2) == "over"
	}
}

// command returns the result of a command, or the verdict when it has none.
func (f *facts) command(text string) (*commandResult, verdict) { return f.commandFrom(text, false) }

// results are those of the commands that had the builder's network, or of the
// others.
func (f *facts) results(builder bool) map[string]*commandResult {
	if builder {
		return f.outside
	}
	return f.commands
}

// commandFrom is command for one that had the builder's network, or not.
func (f *facts) commandFrom(text string, builder bool) (*commandResult, verdict) {
	r := f.results(builder)[text]
	switch {
	case r == nil:
		return nil, f.unread("the command's result")
	case r.timedOut:
		return nil, undecided("the command did not end within %ds and was killed", r.seconds)
	case !r.finished:
		return nil, f.unread("the end of the command")
	}
	return r, verdict{}
}

// firstLines is the beginning of an output, for people.
func firstLines(output []byte) string {
	const limit = 120
	text := strings.TrimSpace(string(output[:min(len(output), 4*limit)]))
	if text == "" {
		return ""
	}
	if len(text) > limit {
		text = text[:limit] + "…"
	}
	return strconv.Quote(strings.ToValidUTF8(text, "\uFFFD"))
}
