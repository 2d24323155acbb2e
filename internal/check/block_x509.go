//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type X509

package check

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// X509 checks a certificate: the first one of a file in PEM or DER. Without any
// assertion it asserts that the certificate is valid now. Who has signed it is
// not checked.
type X509 struct {
	Common `mapstructure:",squash"`

	// Absolute path of the file. One of `path` and `paths` is required; in a
	// suite file the block's label is the path.
	Path string `mapstructure:"path"`
	// Several paths; the block is about each of them.
	Paths []string `mapstructure:"paths"`
	// How long from now the certificate must be valid, by the clock of the build
	// host, for example `"720h"`.
	ValidFor *string `mapstructure:"valid_for"`
	// Host names and addresses that it must be good for.
	Hosts []string `mapstructure:"hosts"`
	// Whom it is about, as RFC 2253 writes it: `CN=shop.example.com,O=Shop`.
	Subject *string `mapstructure:"subject"`
	// Who has issued it, written alike.
	Issuer *string `mapstructure:"issuer"`
	// Bits of the key: a number, or a constraint such as `">= 2048"`.
	KeyBits *string `mapstructure:"key_bits"`
	// Absolute path of the file with the private key, in PEM, that must belong to
	// the certificate. A key with a passphrase is an error: it cannot be looked
	// at. Check who may read the file with a `file` block.
	Key *string `mapstructure:"key"`
}

func (b *X509) kind() string    { return "x509" }
func (b *X509) common() *Common { return &b.Common }
func (b *X509) subjects() subjects {
	return subjects{one: "path", value: &b.Path, several: "paths", values: b.Paths, validate: validPath}
}

func (b *X509) compile(c *compiler, subject string) {
	options := []option{readsText(subject)}
	if of := builderOwned(subject); of != "" {
		options = append(options, notOffline(of+" belongs to the build host while the image is baked"))
	}
	on := func(property, expected string, decide func(cert *x509.Certificate, now time.Time) verdict, more ...option) {
		c.assert(property, expected, func(f *facts) verdict {
			content, v := f.content(subject)
			if v.outcome != "" {
				return v
			}
			cert, err := parseCertificate(content)
			if err != nil {
				return fail("%v", err)
			}
			return decide(cert, f.now)
		}, append(more, options...)...)
	}
	if want, ok := c.expected("subject", b.Subject); ok {
		on("subject", want, func(cert *x509.Certificate, _ time.Time) verdict {
			return is(cert.Subject.String() == want, cert.Subject.String())
		})
	}
	if want, ok := c.expected("issuer", b.Issuer); ok {
		on("issuer", want, func(cert *x509.Certificate, _ time.Time) verdict {
			return is(cert.Issuer.String() == want, cert.Issuer.String())
		})
	}
	if hosts := c.list("hosts", b.Hosts); len(hosts) > 0 {
		on("hosts", strings.Join(hosts, ", "), func(cert *x509.Certificate, _ time.Time) verdict { return goodFor(cert, hosts) }, additive)
	}
	if want, ok := c.number("key_bits", b.KeyBits); ok {
		on("key_bits", want.String(), func(cert *x509.Certificate, _ time.Time) verdict {
			bits, ok := keyBits(cert.PublicKey)
			if !ok {
				return undecided("the length of %s keys is not known here", cert.PublicKeyAlgorithm)
			}
			return is(want.meets(int64(bits)), fmt.Sprintf("%d (%s)", bits, cert.PublicKeyAlgorithm))
		})
	}
	if file, ok := c.expected("key", b.Key); ok {
		if err := validPath(file); err != nil {
			c.problem("key", "%q %v", file, err)
			return
		}
		c.assert("key", file, func(f *facts) verdict { return f.belong(subject, file) }, append(options, readsText(file))...)
	}
	b.compileValidity(c, on)
}

// belong decides that a private key belongs to a certificate.
func (f *facts) belong(certificate, file string) verdict {
	content, v := f.content(certificate)
	if v.outcome != "" {
		return v
	}
	cert, err := parseCertificate(content)
	if err != nil {
		return fail("%v", err)
	}
	if content, v = f.content(file); v.outcome != "" {
		v.actual = file + ": " + v.actual
		return v
	}
	key, v := parseKey(content)
	if v.outcome != "" {
		return v
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(cert.PublicKey) {
		return fail("a private key that belongs to another certificate")
	}
	return pass("the certificate's key")
}

// parseKey reads the first private key of a file. Nothing of it gets into a
// verdict.
func parseKey(content []byte) (crypto.Signer, verdict) {
	for rest := content; ; {
		block, after := pem.Decode(rest)
		if block == nil {
			return nil, fail("no private key in PEM")
		}
		rest = after
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return nil, undecided("the private key has a passphrase")
		}
		for _, parse := range []func([]byte) (any, error){
			x509.ParsePKCS8PrivateKey,
			func(der []byte) (any, error) { return x509.ParsePKCS1PrivateKey(der) },
			func(der []byte) (any, error) { return x509.ParseECPrivateKey(der) },
		} {
			if key, err := parse(block.Bytes); err == nil {
				if signer, ok := key.(crypto.Signer); ok {
					return signer, verdict{}
				}
			}
		}
		return nil, fail("a %s that is not valid, or of a kind that is not known here", strings.ToLower(block.Type))
	}
}

func (b *X509) compileValidity(c *compiler, on func(string, string, func(*x509.Certificate, time.Time) verdict, ...option)) {
	if b.ValidFor == nil {
		if c.found == 0 {
			on("valid", "now", func(cert *x509.Certificate, now time.Time) verdict { return validUntil(cert, now, now) })
		}
		return
	}
	text, ok := c.expected("valid_for", b.ValidFor)
	if !ok {
		return
	}
	period, err := time.ParseDuration(text)
	if err != nil || period <= 0 {
		c.problem("valid_for", `%q is not a period; write for example "720h" for 30 days`, text)
		return
	}
	on("valid_for", period.String(), func(cert *x509.Certificate, now time.Time) verdict {
		return validUntil(cert, now, now.Add(period))
	})
}

// validUntil decides that a certificate is valid from now until then.
func validUntil(cert *x509.Certificate, now, then time.Time) verdict {
	if now.Before(cert.NotBefore) {
		return fail("not valid before %s", cert.NotBefore.UTC().Format(time.RFC3339))
	}
	return is(!then.After(cert.NotAfter), "until "+cert.NotAfter.UTC().Format(time.RFC3339))
}

func goodFor(cert *x509.Certificate, hosts []string) verdict {
	for _, host := range hosts {
		if err := cert.VerifyHostname(host); err != nil {
			return fail("%v", err)
		}
	}
	return pass("all of them")
}

func keyBits(key any) (bits int, ok bool) {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen(), true
	case *ecdsa.PublicKey:
		return k.Curve.Params().BitSize, true
	case ed25519.PublicKey:
		return len(k) * 8, true
	}
	return 0, false
}

// parseCertificate reads the first certificate of a file.
func parseCertificate(content []byte) (*x509.Certificate, error) {
	der := content
	blocks := 0
	for rest := content; ; {
		block, after := pem.Decode(rest)
		if block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("no certificate: %w", err)
			}
			return cert, nil
		}
		blocks, rest = blocks+1, after
	}
	if blocks > 0 {
		return nil, errors.New("no certificate: it holds " + strconv.Itoa(blocks) + " other things in PEM")
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errors.New("no certificate, neither in PEM nor in DER")
	}
	return cert, nil
}
