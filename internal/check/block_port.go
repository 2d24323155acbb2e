//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type Port

package check

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Port checks who may connect to a running system. Without any assertion it
// asserts that something listens. Only a booted system can answer this: in an
// image that is mounted in a chroot every port is the build host's, and the
// check is refused. Write a `service` block with `enabled = true` to check that
// the service starts at boot, or `requires = "boot"`.
type Port struct {
	Common `mapstructure:",squash"`

	// Number of the port, of TCP or with a protocol: `22`, `tcp:22`, `udp:53`.
	// One of `port` and `ports` is required; in a suite file the block's label
	// is the port.
	Port string `mapstructure:"port"`
	// Several ports; the block is about each of them.
	Ports []string `mapstructure:"ports"`
	// Whether something listens there, on any address.
	Listening *bool `mapstructure:"listening"`
	// Addresses on which something must listen, for example `127.0.0.1`; more
	// are allowed. All addresses are `0.0.0.0` and `::`.
	Addresses []string `mapstructure:"addresses"`
	// Addresses on which nothing may listen. When nothing listens at all, this
	// fails.
	NotAddresses []string `mapstructure:"not_addresses"`
}

func (b *Port) kind() string    { return "port" }
func (b *Port) common() *Common { return &b.Common }
func (b *Port) subjects() subjects {
	return subjects{one: "port", value: &b.Port, several: "ports", values: b.Ports, validate: func(p string) error {
		_, _, err := parsePort(p)
		return err
	}}
}

// parsePort reads 22, tcp:22 or udp:53.
func parsePort(text string) (protocol string, number uint16, err error) {
	protocol, digits, ok := strings.Cut(text, ":")
	if !ok {
		protocol, digits = "tcp", text
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 || protocol != "tcp" && protocol != "udp" {
		return "", 0, errors.New("is not a port; write its number, or with a protocol, as 22, tcp:22 or udp:53")
	}
	return protocol, uint16(n), nil
}

func (b *Port) compile(c *compiler, subject string) {
	var protocol string
	var number uint16
	if subject != Unknown {
		var err error
		if protocol, number, err = parsePort(subject); err != nil {
			return
		}
	}
	on := func(property, expected string, decide func(found []netip.Addr) verdict, more ...option) {
		c.assert(property, expected, func(f *facts) verdict {
			found, v := f.listeners(protocol, number)
			if v.outcome != "" {
				return v
			}
			return decide(found)
		}, append(more, needsBoot("a service block with enabled = true"), readsText(socketFiles(protocol)...))...)
	}
	want, unwanted := c.addresses("addresses", b.Addresses), c.addresses("not_addresses", b.NotAddresses)
	for _, a := range want {
		if slices.Contains(unwanted, a) {
			c.problem("addresses", "%s is in not_addresses too; remove one", a)
		}
	}
	if len(want) > 0 {
		on("addresses", joinAddresses(want), func(found []netip.Addr) verdict {
			for _, a := range want {
				if !slices.Contains(found, a) {
					return fail("%s", joinAddresses(found))
				}
			}
			return pass(joinAddresses(found))
		}, additive)
	}
	if len(unwanted) > 0 {
		on("not_addresses", joinAddresses(unwanted), func(found []netip.Addr) verdict {
			bad := slices.ContainsFunc(found, func(a netip.Addr) bool { return slices.Contains(unwanted, a) })
			return is(!bad && len(found) > 0, joinAddresses(found))
		}, additive)
	}
	listening := b.Listening
	if listening == nil {
		if c.found > 0 {
			return
		}
		listening = new(true)
	}
	if !*listening && c.found > 0 {
		c.problem("listening", "listening = false leaves no addresses to assert; remove them or listening")
	}
	on("listening", strconv.FormatBool(*listening), func(found []netip.Addr) verdict {
		return is((len(found) > 0) == *listening, joinAddresses(found))
	})
}

// addresses returns the known elements of a list of addresses.
func (c *compiler) addresses(attr string, values []string) []netip.Addr {
	var list []netip.Addr
	for _, v := range c.list(attr, values) {
		a, err := netip.ParseAddr(v)
		if err != nil || a.Zone() != "" {
			c.problem(attr, `%q is not an address; write for example "127.0.0.1"`, v)
			continue
		}
		list = append(list, a.Unmap())
	}
	return list
}

func joinAddresses(list []netip.Addr) string {
	if len(list) == 0 {
		return "nothing listens"
	}
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = a.String()
	}
	return strings.Join(texts, ", ")
}
