//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type DNS

package check

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// DNS checks what names resolve to on a running system. Without any assertion it
// asserts that the name has an address. In an image that is mounted in a chroot the
// network is the build host's, and the check is refused unless it asks for that
// with `network`. It uses the image's `getent`, or `dig` and `nslookup`.
type DNS struct {
	Common `mapstructure:",squash"`

	// The name to resolve. One of `name` and `names` is required; in a suite
	// file the block's label is the name.
	Name string `mapstructure:"name"`
	// Several names; the block is about each of them.
	Names []string `mapstructure:"names"`
	// Whether it has an address. With `false` nothing else can be asserted.
	Resolvable *bool `mapstructure:"resolvable"`
	// Addresses that it must have; more are allowed.
	Addresses []string `mapstructure:"addresses"`
	// Address of the server to ask, in place of the system's name services,
	// which know `/etc/hosts` too.
	Server *string `mapstructure:"server"`
	// How long it may take, for example `"30s"`; whole seconds, 5 by default.
	Timeout *string `mapstructure:"timeout"`
	// `builder`: offline, ask from the build host's network, instead of
	// refusing to: what it answers may not be what an instance will get. On a booted
	// system it has no effect.
	Network *string `mapstructure:"network"`
}

func (b *DNS) kind() string    { return "dns" }
func (b *DNS) common() *Common { return &b.Common }
func (b *DNS) subjects() subjects {
	return subjects{one: "name", value: &b.Name, several: "names", values: b.Names, validate: func(name string) error {
		if strings.HasPrefix(name, "@") || strings.HasPrefix(name, "+") {
			return errors.New("is no host name")
		}
		return validName(name)
	}}
}

func (b *DNS) compile(c *compiler, subject string) {
	timeout := c.timeout(b.Timeout, networkTimeout)
	server, ok := c.text("server", b.Server)
	if ok {
		if _, err := netip.ParseAddr(server); err != nil {
			c.problem("server", `%q is not an address; write for example "10.0.0.2"`, server)
		}
	}
	q := dnsQuestion(subject, server, timeout)
	q.builder = c.network(b.Network)
	on := func(property, expected string, decide func(found []netip.Addr) verdict, more ...option) {
		c.assert(property, expected, func(f *facts) verdict {
			r, v := f.answer(q, "getent, nslookup, and dig for a server")
			if r == nil {
				return v
			}
			return decide(parseResolved(string(r.stdout)))
		}, append(more, asksNetwork(q.builder), reads(q.reads))...)
	}
	if want := c.addresses("addresses", b.Addresses); len(want) > 0 {
		on("addresses", joinAddresses(want), func(found []netip.Addr) verdict {
			for _, a := range want {
				if !slices.Contains(found, a) {
					return fail("%s", resolved(found))
				}
			}
			return pass(resolved(found))
		}, additive)
	}
	want := b.Resolvable
	if want == nil {
		if c.found > 0 {
			return
		}
		want = new(true)
	}
	if !*want && c.found > 0 {
		c.problem("resolvable", "resolvable = false leaves no addresses to assert; remove them or resolvable")
	}
	on("resolvable", strconv.FormatBool(*want), func(found []netip.Addr) verdict {
		return is((len(found) > 0) == *want, resolved(found))
	})
}

func resolved(found []netip.Addr) string {
	if len(found) == 0 {
		return "no address"
	}
	return joinAddresses(found)
}
