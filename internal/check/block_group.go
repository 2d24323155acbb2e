//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type Group

package check

import (
	"slices"
	"strconv"
	"strings"
)

// Group checks groups. Without any assertion it asserts that they exist.
type Group struct {
	Common `mapstructure:",squash"`

	// Name of the group. One of `name` and `names` is required; in a suite file
	// the block's label is the name.
	Name string `mapstructure:"name"`
	// Several names; the block is about each of them.
	Names []string `mapstructure:"names"`
	// Whether there is such a group. With `false` nothing else can be asserted.
	Exists *bool `mapstructure:"exists"`
	// Group id: a number, or a constraint such as `"< 1000"`.
	GID *string `mapstructure:"gid"`
	// Users that must be members, by the group's list or because it is their
	// primary group; more are allowed.
	Members []string `mapstructure:"members"`
}

func (b *Group) kind() string    { return "group" }
func (b *Group) common() *Common { return &b.Common }
func (b *Group) subjects() subjects {
	return subjects{one: "name", value: &b.Name, several: "names", values: b.Names, validate: validName}
}

func (b *Group) compile(c *compiler, subject string) {
	accounts := reads(func(n *needs) {
		n.accounts, n.names = true, appendNew(n.names, subject)
	})

	if want, ok := c.number("gid", b.GID); ok {
		c.assert("gid", want.String(), func(f *facts) verdict {
			g, v := f.group(subject)
			if v.outcome != "" {
				return v
			}
			return is(want.meets(int64(g.gid)), strconv.Itoa(g.gid))
		}, accounts)
	}
	if want := c.names("members", b.Members); len(want) > 0 {
		c.assert("members", strings.Join(want, ", "), func(f *facts) verdict {
			g, v := f.group(subject)
			if v.outcome != "" {
				return v
			}
			if f.accounts.passwd != stateRead {
				return undecided("%s", f.accounts.passwd.explain("/etc/passwd"))
			}
			members := slices.Clone(g.members)
			for name, u := range f.accounts.users {
				if u.gid == g.gid {
					members = appendNew(members, name)
				}
			}
			slices.Sort(members)
			return superset(members, want, "no members")
		}, additive, accounts)
	}
	c.existence(b.Exists, func(f *facts) verdict {
		_, v := f.group(subject)
		return v
	}, accounts)
}
