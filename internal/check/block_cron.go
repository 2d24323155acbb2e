//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type Cron

package check

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Cron checks the jobs of cron: lines of `/etc/crontab`, `/etc/cron.d` and the
// crontabs of users, and the scripts in `/etc/cron.daily`, Alpine's
// `/etc/periodic` and their like. Without any assertion it asserts that there is
// such a job. What cron does not read, because of the name of its file or since
// a script cannot be executed, is no job.
type Cron struct {
	Common `mapstructure:",squash"`

	// The whole command, as the crontab has it after the schedule and the user;
	// white space is folded. Of a script it is the path:
	// `/etc/cron.daily/logrotate`. One of `command` and `commands` is required;
	// in a suite file the block's label is the command.
	Command string `mapstructure:"command"`
	// Several commands; the block is about each of them.
	Commands []string `mapstructure:"commands"`
	// Whether there is such a job. With `false` nothing else can be asserted.
	Exists *bool `mapstructure:"exists"`
	// When it runs, as the crontab has it: `"0 3 * * *"` or `"@daily"`, which is
	// the same as `"0 0 * * *"`. With `user` some one job must have both.
	Schedule *string `mapstructure:"schedule"`
	// The user as which it runs.
	User *string `mapstructure:"user"`
}

func (b *Cron) kind() string    { return "cron" }
func (b *Cron) common() *Common { return &b.Common }
func (b *Cron) subjects() subjects {
	return subjects{one: "command", value: &b.Command, several: "commands", values: b.Commands, validate: validJob}
}

func validJob(command string) error {
	if strings.TrimSpace(command) == "" || strings.ContainsAny(command, "\n\r") {
		return errors.New("is not the command of a job: that is one line")
	}
	return validText(command)
}

func (b *Cron) compile(c *compiler, subject string) {
	command := foldSpace(subject)
	schedule, hasSchedule := c.expected("schedule", b.Schedule)
	user, hasUser := c.expected("user", b.User)
	if n := len(strings.Fields(schedule)); hasSchedule && n != 5 && (n != 1 || schedule[0] != '@') {
		c.problem("schedule", `%q is not a schedule; write its five fields, for example "0 3 * * *", or a name such as "@daily"`, schedule)
		hasSchedule = false
	}
	if hasUser && !c.validAccount("user", user) {
		hasUser = false
	}
	jobs := func(f *facts) ([]cronEntry, verdict) {
		entries, v := f.cronEntries()
		if v.outcome != "" {
			return nil, v
		}
		found := slices.DeleteFunc(entries, func(e cronEntry) bool { return e.command != command })
		read := slices.DeleteFunc(slices.Clone(found), func(e cronEntry) bool { return e.ignored != "" })
		switch {
		case len(read) > 0:
			return read, verdict{}
		case len(found) > 0:
			return nil, fail("%s has it, but %s", found[0].at, found[0].ignored)
		}
		return nil, fail("no such job")
	}
	// one decides that some job has what is asked for, among those that have the
	// other thing that is.
	one := func(property, want string, has, other func(e cronEntry) bool, show func(e cronEntry) string) {
		c.assert(property, want, func(f *facts) verdict {
			found, v := jobs(f)
			if v.outcome != "" {
				return v
			}
			var actual []string
			for _, e := range found {
				if has(e) && other(e) {
					return pass(show(e) + " (" + e.at + ")")
				}
				actual = append(actual, fmt.Sprintf("%s as %s (%s)", e.schedule, e.user, e.at))
			}
			return fail("%s", strings.Join(actual, ", "))
		}, readsCron)
	}
	onTime := func(e cronEntry) bool { return !hasSchedule || sameSchedule(e.schedule, schedule) }
	asUser := func(e cronEntry) bool { return !hasUser || e.user == user }
	if hasSchedule {
		one("schedule", schedule, onTime, asUser, func(e cronEntry) string { return e.schedule })
	}
	if hasUser {
		one("user", user, asUser, onTime, func(e cronEntry) string { return e.user })
	}
	c.existence(b.Exists, func(f *facts) verdict {
		_, v := jobs(f)
		return v
	}, readsCron)
}
