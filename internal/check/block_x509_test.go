package check

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// certificate is one that signs itself, of the 24 hours around now.
func certificate(t *testing.T, now time.Time) []byte {
	t.Helper()
	der, _ := certificateAndKey(t, now)
	return der
}

func certificateAndKey(t *testing.T, now time.Time) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "shop.example.com", Organization: []string{"Shop"}},
		NotBefore: now.Add(-12 * time.Hour), NotAfter: now.Add(12 * time.Hour),
		DNSNames: []string{"shop.example.com", "*.shop.example.com"}, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return der, key
}

func TestX509(t *testing.T) {
	der := certificate(t, time.Now())
	encode := func(kind string, data []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}))
	}
	in := func(text string) map[string]string { return map[string]string{"/c": text} }
	good := in("a comment\n" + encode("EC PRIVATE KEY", []byte("x")) + encode("CERTIFICATE", der))
	stale := encode("CERTIFICATE", certificate(t, time.Now().Add(-48*time.Hour)))
	early := encode("CERTIFICATE", certificate(t, time.Now().Add(48*time.Hour)))
	testDecisions(t, map[string]decision{
		"valid":          {check: `x509 "/c" {}`, files: good, want: Passed, actual: "until "},
		"DER":            {check: `x509 "/c" {}`, files: in(string(der)), want: Passed},
		"expired":        {check: `x509 "/c" {}`, files: in(stale), want: Failed, actual: "until "},
		"not yet":        {check: `x509 "/c" {}`, files: in(early), want: Failed, actual: "not valid before"},
		"first counts":   {check: `x509 "/c" {}`, files: in(stale + good["/c"]), want: Failed},
		"valid for":      {check: `x509 "/c" { valid_for = "11h" }`, files: good, want: Passed},
		"not so long":    {check: `x509 "/c" { valid_for = "13h" }`, files: good, want: Failed},
		"hosts":          {check: `x509 "/c" { hosts = ["a.shop.example.com", "10.0.0.1"] }`, files: good, want: Passed},
		"other host":     {check: `x509 "/c" { hosts = ["shop.example.com", "shop.example.org"] }`, files: good, want: Failed, actual: "shop.example.org"},
		"subject":        {check: `x509 "/c" { subject = "CN=shop.example.com,O=Shop" }`, files: good, want: Passed},
		"issuer":         {check: `x509 "/c" { issuer = "CN=ca" }`, files: good, want: Failed, actual: "CN=shop.example.com,O=Shop"},
		"key":            {check: `x509 "/c" { key_bits = ">= 256" }`, files: good, want: Passed, actual: "256 (ECDSA)"},
		"short key":      {check: `x509 "/c" { key_bits = ">= 2048" }`, files: good, want: Failed},
		"only a key":     {check: `x509 "/c" {}`, files: in(encode("EC PRIVATE KEY", []byte("x"))), want: Failed, actual: "no certificate"},
		"garbage":        {check: `x509 "/c" {}`, files: in("x"), want: Failed, actual: "neither in PEM nor in DER"},
		"garbage in PEM": {check: `x509 "/c" {}`, files: in(encode("CERTIFICATE", []byte("x"))), want: Failed, actual: "no certificate"},
		"missing":        {check: `x509 "/c" {}`, want: Failed, actual: "no such file"},
		"unreadable":     {check: `x509 "/c" {}`, files: in("?"), want: Errored},
	})
}

func TestX509Refused(t *testing.T) {
	for text, want := range map[string]string{
		`x509 "/c" { valid_for = "30 days" }`: "is not a period",
		`x509 "/c" { valid_for = "-1h" }`:     "is not a period",
		`x509 "/c" { hosts = [] }`:            "empty list",
		`x509 "/c" { key_bits = "long" }`:     "not a whole number",
		`x509 "/c" { subject = "" }`:          "asserts nothing",
		`x509 "/run/c" {}`:                    "belongs to the build host",
	} {
		_, problems := compileText(t, Offline, text)
		if len(problems) != 1 || !strings.Contains(problems[0], want) {
			t.Errorf("%s: %q, want %q", text, problems, want)
		}
	}
}

func TestX509Key(t *testing.T) {
	der, key := certificateAndKey(t, time.Now())
	_, other := certificateAndKey(t, time.Now())
	pkcs8 := func(k *ecdsa.PrivateKey) string {
		data, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: data}))
	}
	sec1, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	with := func(text string) map[string]string { return map[string]string{"/c": cert, "/k": text} }
	const check = `x509 "/c" { key = "/k" }`
	testDecisions(t, map[string]decision{
		"PKCS 8":         {check: check, files: with(pkcs8(key)), want: Passed},
		"SEC 1":          {check: check, files: with(cert + string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}))), want: Passed},
		"other":          {check: check, files: with(pkcs8(other)), want: Failed, actual: "another certificate"},
		"none":           {check: check, files: with(cert), want: Failed, actual: "no private key"},
		"broken":         {check: check, files: with(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}))), want: Failed, actual: "not valid"},
		"passphrase":     {check: check, files: with(string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}))), want: Errored, actual: "passphrase"},
		"missing":        {check: check, files: map[string]string{"/c": cert}, want: Failed, actual: "/k: no such file"},
		"unreadable":     {check: check, files: with("?"), want: Errored},
		"no certificate": {check: check, files: map[string]string{"/c": "x", "/k": pkcs8(key)}, want: Failed},
	})
}

func FuzzCertificate(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		parseKey(content)
		if cert, err := parseCertificate(content); (cert == nil) == (err == nil) {
			t.Errorf("%v, %v", cert, err)
		}
	})
}
