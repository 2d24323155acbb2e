//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type User

package check

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// User checks user accounts. Without any assertion it asserts that they exist.
type User struct {
	Common `mapstructure:",squash"`

	// Name of the user. One of `name` and `names` is required; in a suite file
	// the block's label is the name.
	Name string `mapstructure:"name"`
	// Several names; the block is about each of them.
	Names []string `mapstructure:"names"`
	// Whether there is such a user. With `false` nothing else can be asserted.
	Exists *bool `mapstructure:"exists"`
	// User id: a number, or a constraint such as `">= 1000"`.
	UID *string `mapstructure:"uid"`
	// Id of the primary group: a number or a constraint.
	GID *string `mapstructure:"gid"`
	// Groups that the user must belong to; more are allowed.
	Groups []string `mapstructure:"groups"`
	// Home directory, as passwd says it.
	Home *string `mapstructure:"home"`
	// Login shell.
	Shell *string `mapstructure:"shell"`
	// Whether no password opens the account, as `passwd -S` has it: the
	// password field begins with `!` or `*`. Keys may still open it.
	Locked *bool `mapstructure:"locked"`
	// Whether the account has a password that opens it.
	PasswordSet *bool `mapstructure:"password_set"`
}

func (b *User) kind() string    { return "user" }
func (b *User) common() *Common { return &b.Common }
func (b *User) subjects() subjects {
	return subjects{one: "name", value: &b.Name, several: "names", values: b.Names, validate: validName}
}

func (b *User) compile(c *compiler, subject string) {
	accounts := reads(func(n *needs) {
		n.accounts, n.names = true, appendNew(n.names, subject)
	})

	onUser := func(property, expected string, decide func(f *facts, u user) verdict, options ...option) {
		c.assert(property, expected, func(f *facts) verdict {
			u, v := f.user(subject)
			if v.outcome != "" {
				return v
			}
			return decide(f, u)
		}, append(options, accounts)...)
	}
	if want, ok := c.number("uid", b.UID); ok {
		onUser("uid", want.String(), func(_ *facts, u user) verdict { return is(want.meets(int64(u.uid)), strconv.Itoa(u.uid)) })
	}
	if want, ok := c.number("gid", b.GID); ok {
		onUser("gid", want.String(), func(_ *facts, u user) verdict { return is(want.meets(int64(u.gid)), strconv.Itoa(u.gid)) })
	}
	if want := c.names("groups", b.Groups); len(want) > 0 {
		onUser("groups", strings.Join(want, ", "), func(f *facts, u user) verdict {
			if f.accounts.group != stateRead {
				return undecided("%s", f.accounts.group.explain("/etc/group"))
			}
			return superset(f.groupsOf(u), want, "no groups")
		}, additive)
	}
	if want, ok := c.expected("home", b.Home); ok {
		if !path.IsAbs(want) {
			c.problem("home", "%q is not an absolute path", want)
		}
		onUser("home", want, func(_ *facts, u user) verdict { return is(u.home == want, u.home) })
	}
	if want, ok := c.expected("shell", b.Shell); ok {
		if !path.IsAbs(want) {
			c.problem("shell", "%q is not an absolute path", want)
		}
		onUser("shell", want, func(_ *facts, u user) verdict { return is(u.shell == want, u.shell) })
	}
	onPassword := func(property string, want bool, kind string) {
		c.found++
		onUser(property, strconv.FormatBool(want), func(f *facts, _ user) verdict {
			actual, v := f.password(subject)
			if v.outcome != "" {
				return v
			}
			holds := actual == kind
			return is(holds == want, fmt.Sprintf("%t (%s)", holds, passwordText[actual]))
		}, reads(func(n *needs) { n.shadow = true }))
	}
	if b.Locked != nil {
		onPassword("locked", *b.Locked, "locked")
	}
	if b.PasswordSet != nil {
		onPassword("password_set", *b.PasswordSet, "set")
	}
	c.existence(b.Exists, func(f *facts) verdict {
		_, v := f.user(subject)
		return v
	}, accounts)
}

var passwordText = map[string]string{
	"none":   "no password is needed",
	"locked": "no password opens it",
	"set":    "a password is set",
}

// existence asserts whether a subject exists: when it is asked for, or when
// nothing else is. find gives no outcome when the subject is there.
func (c *compiler) existence(exists *bool, find func(f *facts) verdict, options ...option) {
	if exists == nil {
		if c.found > 0 {
			return
		}
		exists = new(true)
	}
	if !*exists && c.found > 0 {
		c.problem("exists", "exists = false leaves nothing else to assert; remove the other attributes or exists")
	}
	c.assert("exists", strconv.FormatBool(*exists), func(f *facts) verdict {
		v := find(f)
		switch v.outcome {
		case Errored:
			return v
		case "":
			return is(*exists, "it exists")
		}
		return is(!*exists, v.actual)
	}, options...)
}

// names returns the known elements of a list of names.
func (c *compiler) names(attr string, values []string) []string {
	names := c.list(attr, values)
	for _, n := range names {
		c.validAccount(attr, n)
	}
	return names
}

// superset passes when have has all of want.
func superset(have, want []string, none string) verdict {
	actual := strings.Join(have, ", ")
	if len(have) == 0 {
		actual = none
	}
	for _, w := range want {
		if !slices.Contains(have, w) {
			return fail("%s", actual)
		}
	}
	return pass(actual)
}
