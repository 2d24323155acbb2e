package check

import (
	"fmt"
	"strings"
	"time"
)

// commandValues are exit-status, stdout and stderr.
func commandValues(c *compiler, b *Expect) []value {
	text := b.Subject
	timeout := time.Duration(b.Options.seconds(int(defaultTimeout/time.Second))) * time.Second
	if timeout > maxTimeout {
		c.problem("timeout", "%v is more than %v", timeout, maxTimeout)
	}
	options := []option{reads(func(n *needs) { n.commandFrom(text, timeout, b.BuilderNetwork) })}
	if b.BuilderNetwork {
		options = append(options, fromBuilder)
	}
	for _, p := range lintCommand(text, false) {
		c.problem("", "%s", p)
	}
	// What a mounted image cannot answer is refused or left to the booted run, as
	// any other value.
	if live := lintCommand(text, true); len(live) > 0 {
		_, why, _ := strings.Cut(live[0], "cannot be decided offline: ")
		why, _, _ = strings.Cut(why, "; write")
		options = append(options, notOffline(why), needsBootRemedy(liveRemedy(text)))
	}
	if statusOnly(b) && alwaysSucceeds(text) {
		c.problem("exit-status", "the command exits with 0 whatever it finds, because of how it ends; remove that, or assert what it prints")
	}
	stream := func(name string, of func(r *commandResult) []byte) value {
		return value{
			name: name, options: options, stream: true, show: func(_ *facts, found any) string { return shown([]byte(asString(found))) },
			read: func(f *facts) (any, verdict) {
				r, v := f.commandFrom(text, b.BuilderNetwork)
				if r == nil {
					return nil, v
				}
				return string(of(r)), r.complete(name)
			},
		}
	}
	return []value{
		{
			name: "exit-status", options: options,
			read: func(f *facts) (any, verdict) {
				r, v := f.commandFrom(text, b.BuilderNetwork)
				if r == nil {
					return nil, v
				}
				return r.exit, verdict{}
			},
			show: func(f *facts, found any) string {
				actual := fmt.Sprint(found)
				if r, _ := f.commandFrom(text, b.BuilderNetwork); r != nil && r.exit != 0 {
					if said := firstLines(r.stderr); said != "" {
						actual += ", and on stderr " + said
					}
				}
				return actual
			},
		},
		stream("stdout", func(r *commandResult) []byte { return r.stdout }),
		stream("stderr", func(r *commandResult) []byte { return r.stderr }),
	}
}

// statusOnly tells whether nothing but the exit status 0 is demanded.
func statusOnly(b *Expect) bool {
	status := false
	for _, v := range b.Values {
		list, isList := v.Want.([]any)
		switch {
		case v.Name == "exit-status":
			status = v.Want == 0 || v.Want == 0.0
		case isList && len(list) == 0:
		default:
			return false
		}
	}
	return status
}

// liveRemedy is what to write instead of a command that asks what runs.
func liveRemedy(text string) string {
	for _, p := range lintCommand(text, true) {
		if _, remedy, ok := strings.Cut(p, "; write "); ok {
			if remedy, _, ok = strings.Cut(remedy, `, or requires = "boot"`); ok {
				return remedy
			}
		}
	}
	return ""
}

// needsBootRemedy says what to write instead.
func needsBootRemedy(remedy string) option { return func(a *Assertion) { a.remedy = remedy } }
