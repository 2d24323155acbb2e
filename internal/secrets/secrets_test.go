package secrets

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// planted are secrets by rule. They are put together here, so that this file has
// none.
var planted = map[string]string{
	"aws-access-token":       "AKIA" + "QYLPMN5HHHFPZAM2",
	"github-pat":             "ghp_" + "x7Kq2mVb9TzR4wYc1NfLh8JsD3pGaE6uWo5i",
	"generic-api-key":        "q8Zr" + "T2vN6xLw9KdB4hYc",
	"slack-bot-token":        "xoxb-" + "1234567890123-1234567890123-" + "Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8",
	"private-key":            "-----BEGIN RSA PRIVATE " + "KEY-----\n" + strings.Repeat("MIIEpAIBAAKCAQEAw7Kq2mVb9TzR4wYc1NfLh8JsD3pGaE6uWo5iZr\n", 90) + "-----END RSA PRIVATE " + "KEY-----",
	"kubernetes-secret-yaml": "kind: Secret\nmetadata:\n  name: shop\n  namespace: default\ntype: Opaque\ndata:\n  word: " + "cThaclQydk42eEx3OUtkQjRoWWM=\n",
}

// text puts a secret where people do, between a lot of other lines.
func text(rule string) string {
	line := planted[rule]
	switch rule {
	case "private-key", "kubernetes-secret-yaml":
	case "generic-api-key":
		line = "db_password = \"" + line + "\""
	default:
		line = "value = " + line
	}
	filler := strings.Repeat("nothing to see on this line\n", 200)
	return filler + line + "\n" + filler
}

func load(t testing.TB) *Scanner {
	t.Helper()
	s, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestScan(t *testing.T) {
	s := load(t)
	for rule, secret := range planted {
		t.Run(rule, func(t *testing.T) {
			found := s.Scan(t.Context(), "/etc/shop/shop.yaml", []byte(text(rule)))
			if len(found) != 1 || found[0].Rule != rule {
				t.Fatalf("found %+v, want one of %s", found, rule)
			}
			if found[0].Line != 201 {
				t.Errorf("line %d, want 201", found[0].Line)
			}
			if strings.Contains(fmt.Sprint(found), secret) || len(found[0].Hint) > 40 {
				t.Errorf("the secret is shown: %+v", found)
			}
		})
	}
	for name, content := range map[string]string{
		"nothing": "", "prose": "The key of the door is a secret token.\n", "public key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample shop\n",
		"placeholders": "password = changeme\ntoken = ${TOKEN}\napi_key: {{ api_key }}\n", "binary": "\x00" + text("aws-access-token"),
	} {
		if found := s.Scan(t.Context(), "/etc/shop/shop.conf", []byte(content)); len(found) > 0 {
			t.Errorf("%s: %+v", name, found)
		}
	}
}

// A file can be a secret by its name alone, also when it is no text.
func TestScanByName(t *testing.T) {
	s := load(t)
	want := []Finding{{Rule: "pkcs12-file"}}
	for _, content := range []string{"", "\x00\x01"} {
		if diff := cmp.Diff(want, s.Scan(t.Context(), "/srv/shop.p12", []byte(content))); diff != "" {
			t.Error(diff)
		}
	}
}

// What an image says of itself does not count.
func TestScanIgnoresConsent(t *testing.T) {
	s := load(t)
	line := "value = " + planted["aws-access-token"] + " # gitleaks:" + "allow\n"
	if found := s.Scan(t.Context(), "/etc/x", []byte(line)); len(found) != 1 {
		t.Errorf("found %+v, want the key", found)
	}
}

// Searching pieces finds what searching all of it finds.
func TestWindowsLoseNothing(t *testing.T) {
	s := load(t)
	var b strings.Builder
	for range 3 {
		for rule := range planted {
			b.WriteString(text(rule))
			b.WriteString(strings.Repeat("x", 3*after) + " " + planted["github-pat"] + " " + strings.Repeat("y", 3*after) + "\n")
		}
	}
	type place struct {
		rule string
		line int
	}
	want, got := map[place]bool{}, map[place]bool{}
	for _, f := range s.detect(t.Context(), "/etc/x.yaml", b.String()) {
		want[place{f.RuleID, f.StartLine + 1}] = true
	}
	for _, f := range s.Scan(t.Context(), "/etc/x.yaml", []byte(b.String())) {
		got[place{f.Rule, f.Line}] = true
	}
	if len(want) < 3*len(planted) {
		t.Fatalf("only %d secrets are found in all", len(want))
	}
	for p := range want {
		if !got[p] {
			t.Errorf("%s in line %d is not found", p.rule, p.line)
		}
	}
}

func TestScanEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if found := load(t).Scan(ctx, "/etc/x", []byte(text("aws-access-token"))); len(found) > 0 {
		t.Errorf("found %+v after the end", found)
	}
}

func FuzzScan(f *testing.F) {
	s := load(f)
	for rule := range planted {
		f.Add("/etc/x", []byte(text(rule)))
	}
	f.Add("", []byte("-----BEGIN"))
	f.Add("/x.p12", []byte("kind:\nsecret\nkey"))
	f.Add("/x", []byte("\xffkey = \xc4\xb0\n\n\n"))
	f.Fuzz(func(t *testing.T, path string, content []byte) {
		end := 0
		for _, w := range s.windows(content) {
			if w.start < end || w.end <= w.start || w.end > len(content) {
				t.Fatalf("window %+v after %d of %d", w, end, len(content))
			}
			end = w.end
		}
		lines := strings.Count(string(content), "\n") + 1
		for _, found := range s.Scan(t.Context(), path, content) {
			if found.Rule == "" || found.Line < 0 || found.Line > lines {
				t.Fatalf("found %+v in %d lines", found, lines)
			}
		}
	})
}

func BenchmarkScan(b *testing.B) {
	s := load(b)
	content := []byte(text("generic-api-key") + strings.Repeat("Each key of the API is a token, and no secret\n", 200))
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		s.Scan(b.Context(), "/etc/x", content)
	}
}
