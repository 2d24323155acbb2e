//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type Addr

package check

import (
	"errors"
	"net"
	"strconv"
)

// Addr checks what a running system can connect to, with TCP. Without any
// assertion it asserts that it can. In an image that is mounted in a chroot the
// network is the build host's, and the check is refused unless it asks for that
// with `network`. It uses the image's `bash` or `nc`; with neither it is an
// error.
type Addr struct {
	Common `mapstructure:",squash"`

	// Host and port, for example `db.example.com:5432` or `[::1]:80`. One of
	// `address` and `addresses` is required; in a suite file the block's label is
	// the address.
	Address string `mapstructure:"address"`
	// Several addresses; the block is about each of them.
	Addresses []string `mapstructure:"addresses"`
	// Whether something there accepts a connection.
	Reachable *bool `mapstructure:"reachable"`
	// How long it may take, for example `"30s"`; whole seconds, 5 by default.
	Timeout *string `mapstructure:"timeout"`
	// `builder`: offline, ask from the build host's network, instead of
	// refusing to: what it answers may not be what an instance will get. On a booted
	// system it has no effect.
	Network *string `mapstructure:"network"`
}

func (b *Addr) kind() string    { return "addr" }
func (b *Addr) common() *Common { return &b.Common }
func (b *Addr) subjects() subjects {
	return subjects{one: "address", value: &b.Address, several: "addresses", values: b.Addresses, validate: validAddress}
}

func validAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	n, bad := strconv.ParseUint(port, 10, 16)
	if err != nil || bad != nil || n == 0 || host == "" || host[0] == '-' {
		return errors.New(`is no host and port; write for example "db.example.com:5432"`)
	}
	return validText(address)
}

func (b *Addr) compile(c *compiler, subject string) {
	timeout := c.timeout(b.Timeout, networkTimeout)
	want := b.Reachable == nil || *b.Reachable
	host, port, err := net.SplitHostPort(subject)
	if err != nil && subject != Unknown {
		return
	}
	q := addrQuestion(host, port, timeout)
	q.builder = c.network(b.Network)
	c.found++
	c.assert("reachable", strconv.FormatBool(want), func(f *facts) verdict {
		r, v := f.answer(q, "bash, nc with -z")
		if r == nil {
			if raw := f.results(q.builder)[q.text]; raw != nil && raw.timedOut {
				return is(!want, "no answer within "+timeout.String())
			}
			return v
		}
		if r.exit == 0 {
			return is(want, "connected")
		}
		return is(!want, shown(r.stderr))
	}, asksNetwork(q.builder), reads(q.reads))
}
