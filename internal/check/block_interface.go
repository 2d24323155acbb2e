//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type Interface

package check

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Interface checks network interfaces of a running system. Without any
// assertion it asserts that the interface exists. Only a booted system can
// answer this: in an image that is mounted in a chroot every interface is the
// build host's, and the check is refused. Write a `file` or `config` block on
// the network configuration, or `requires = "boot"`.
type Interface struct {
	Common `mapstructure:",squash"`

	// Name of the interface, for example `eth0`. One of `name` and `names` is
	// required; in a suite file the block's label is the name.
	Name string `mapstructure:"name"`
	// Several names; the block is about each of them.
	Names []string `mapstructure:"names"`
	// Whether there is such an interface. With `false` nothing else can be
	// asserted.
	Exists *bool `mapstructure:"exists"`
	// Whether it is up, with a carrier where its kind has one.
	Up *bool `mapstructure:"up"`
	// Its MTU in bytes: a number, or a constraint such as `">= 9000"`.
	MTU *string `mapstructure:"mtu"`
	// Addresses that it must have, for example `10.0.0.2`, or with the length of
	// the prefix, `10.0.0.2/24`; more are allowed. They are read with the
	// image's `ip`.
	Addresses []string `mapstructure:"addresses"`
}

func (b *Interface) kind() string    { return "interface" }
func (b *Interface) common() *Common { return &b.Common }
func (b *Interface) subjects() subjects {
	return subjects{one: "name", value: &b.Name, several: "names", values: b.Names, validate: validInterface}
}

const sysInterfaces = "/sys/class/net"

// validInterface accepts what the kernel does: dev_valid_name.
func validInterface(name string) error {
	if len(name) > 15 || name == "." || name == ".." || strings.Contains(name, ":") {
		return errors.New("is no name of an interface")
	}
	return validName(name)
}

func (b *Interface) compile(c *compiler, subject string) {
	dir := sysInterfaces + "/" + subject
	boot := []option{needsBoot("a file block on the network configuration"), reads(func(n *needs) {
		n.path(sysInterfaces)
		n.path(dir)
	})}
	on := func(property, expected string, decide func(f *facts) verdict, more ...option) {
		c.assert(property, expected, func(f *facts) verdict {
			if v := f.hasInterface(dir); v.outcome != "" {
				return v
			}
			return decide(f)
		}, slices.Concat(boot, more)...)
	}
	if b.Up != nil {
		c.found++
		on("up", strconv.FormatBool(*b.Up), func(f *facts) verdict {
			up, why, v := f.interfaceUp(dir)
			if v.outcome != "" {
				return v
			}
			return is(up == *b.Up, why)
		}, readsText(dir+"/flags", dir+"/operstate"))
	}
	if want, ok := c.number("mtu", b.MTU); ok {
		on("mtu", want.String(), func(f *facts) verdict {
			text, v := f.content(dir + "/mtu")
			if v.outcome != "" {
				return v
			}
			mtu, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
			if err != nil {
				return undecided("%s/mtu says %q", dir, text)
			}
			return is(want.meets(mtu), strconv.FormatInt(mtu, 10))
		}, readsText(dir+"/mtu"))
	}
	if want := c.prefixes("addresses", b.Addresses); len(want) > 0 {
		text := "exec ip -o addr show dev " + quote(subject)
		on("addresses", strings.Join(want, ", "), func(f *facts) verdict {
			r, v := f.command(text)
			switch {
			case r == nil:
				return v
			case r.exit != 0:
				return undecided("the image's ip command exited with %d: %s", r.exit, shown(r.stderr))
			}
			return haveAddresses(parseAddresses(string(r.stdout)), want)
		}, additive, reads(func(n *needs) { n.command(text, defaultTimeout) }))
	}
	c.existence(b.Exists, func(f *facts) verdict { return f.hasInterface(dir) }, boot...)
}

// prefixes returns the known elements of a list of addresses, with or without
// the length of a prefix.
func (c *compiler) prefixes(attr string, values []string) []string {
	var list []string
	for _, v := range c.list(attr, values) {
		if p, err := netip.ParsePrefix(v); err == nil {
			list = append(list, p.String())
			continue
		}
		a, err := netip.ParseAddr(v)
		if err != nil {
			c.problem(attr, `%q is not an address; write for example "10.0.0.2" or "10.0.0.2/24"`, v)
			continue
		}
		list = append(list, a.String())
	}
	return list
}

func (f *facts) hasInterface(dir string) verdict {
	if f.mode != Booted {
		return undecided("the interfaces are the build host's")
	}
	n, all := f.nodes[dir], f.nodes[sysInterfaces]
	switch {
	case n == nil || all == nil:
		return f.unread(dir)
	case all.presence == missing:
		return undecided("there is no %s: /sys is not mounted", sysInterfaces)
	case n.presence == present || n.presence == linked:
		return verdict{}
	case n.presence == missing:
		return fail("no such interface")
	}
	return undecided("%s", stateDenied.explain(dir))
}

// interfaceUp tells whether an interface is up: administratively, IFF_UP of
// netdevice(7), and in fact, as far as its driver says so.
func (f *facts) interfaceUp(dir string) (up bool, why string, v verdict) {
	text, v := f.content(dir + "/flags")
	if v.outcome != "" {
		return false, "", v
	}
	flags, err := strconv.ParseUint(strings.TrimSpace(string(text)), 0, 32)
	if err != nil {
		return false, "", undecided("%s/flags says %q", dir, text)
	}
	text, v = f.content(dir + "/operstate")
	if v.outcome != "" {
		return false, "", v
	}
	actual := strings.TrimSpace(string(text))
	if flags&1 == 0 {
		return false, "not set up (" + actual + ")", verdict{}
	}
	// Loopback and tunnels have no carrier and are unknown.
	return actual == "up" || actual == "unknown", actual, verdict{}
}

// parseAddresses reads what ip -o addr prints: a line for each address, as
// "2: eth0 inet 10.0.0.2/24 ….".
func parseAddresses(text string) []netip.Prefix {
	var found []netip.Prefix
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		for i, word := range words[:max(len(words)-1, 0)] {
			if word != "inet" && word != "inet6" {
				continue
			}
			p, err := netip.ParsePrefix(words[i+1])
			if err != nil {
				// A point-to-point address stands without its prefix.
				a, err := netip.ParseAddr(words[i+1])
				if err != nil {
					break
				}
				p = netip.PrefixFrom(a, a.BitLen())
			}
			found = append(found, p)
			break
		}
	}
	return found
}

func haveAddresses(found []netip.Prefix, want []string) verdict {
	var have, texts []string
	for _, p := range found {
		have = append(have, p.String(), p.Addr().String())
		texts = append(texts, p.String())
	}
	for _, w := range want {
		if !slices.Contains(have, w) {
			return is(false, orNone(texts, "no addresses"))
		}
	}
	return pass(strings.Join(texts, ", "))
}

// orNone lists texts for people, and says none when there are none.
func orNone(texts []string, none string) string {
	if len(texts) == 0 {
		return none
	}
	return strings.Join(texts, ", ")
}
