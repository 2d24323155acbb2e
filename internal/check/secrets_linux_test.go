package check

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sampleFile comes with the package shop, in each family, and looks like a secret.
const (
	sampleFile = "etc/shop/sample.env"
	sampleText = "AWS_KEY=" + awsKey + "\n"
)

// addSample makes sampleFile one of the package's files.
func (r familyRoot) addSample(t *testing.T) {
	t.Helper()
	r.write(t, sampleFile, sampleText, 0o644)
	switch r.family {
	case "debian":
		status, err := os.ReadFile(r.in("var/lib/dpkg/status"))
		if err != nil {
			t.Fatal(err)
		}
		conffiles := fmt.Sprintf("Version: 1:1.4-1~deb12u2\nConffiles:\n /%s %x\n", sampleFile, md5.Sum([]byte(sampleText)))
		r.write(t, "var/lib/dpkg/status", strings.Replace(string(status), "Version: 1:1.4-1~deb12u2\n", conffiles, 1), 0o644)
		key := sampleText + "-----BEGIN PRIVATE KEY-----\n"
		r.write(t, "var/lib/dpkg/info/shop.md5sums", fmt.Sprintf("%x  opt/shop/sample\n", md5.Sum([]byte(key))), 0o644)
		r.write(t, "opt/shop/sample", key, 0o644)
	case "alpine":
		sum := sha1.Sum([]byte(sampleText))
		r.write(t, "lib/apk/db/installed", "P:shop\nV:1.4.2_p1-r3\nA:noarch\nt:1\nF:etc/shop\nR:sample.env\nZ:Q1"+base64.StdEncoding.EncodeToString(sum[:])+"\n\n", 0o644)
	case "redhat":
		r.installRPM(t, "sample", "%install\nmkdir -p %{buildroot}/etc/shop\nprintf '"+strings.TrimSpace(sampleText)+"\\n' >%{buildroot}/"+sampleFile+"\n%files\n/"+sampleFile+"\n")
	}
}

const secretsSuite = `hygiene {
  rules  = ["secrets", "private-keys"]
  except = ["/usr", "/srv/vendor"]
}
`

// Secrets are found wherever they are, are told without being shown, and can be
// waived by path and kind. What packages bring does not count until it is changed.
func TestSecrets(t *testing.T) {
	const waived = `until  = "2999-01-01"
  reason = "the test's"
}
`
	for _, family := range families {
		t.Run(family, func(t *testing.T) {
			root := newFamilyRoot(t, family)
			if err := os.Remove(root.in("etc/shop/key.pem")); err != nil {
				t.Fatal(err)
			}
			root.addSample(t)
			root.write(t, "srv/vendor/deep/.env", sampleText, 0o600)
			root.write(t, "srv/picture.dat", "\x00\x01"+sampleText, 0o600)
			target := Target{Shell: root.offline(0), Mounted: true}
			decide := func(waivers string) (Result, *Report) {
				t.Helper()
				before := root.digest(t)
				results, report := runText(t, target, secretsSuite+waivers)
				if root.digest(t) != before {
					t.Error("the search has changed the root")
				}
				if keys := results["hygiene:private-keys:clean"]; keys.Outcome != Passed {
					t.Errorf("private keys: %s (%s)", keys.Outcome, keys.Message())
				}
				for _, r := range results {
					if strings.Contains(r.Message()+r.Note, awsKey[4:]) {
						t.Errorf("the secret is shown: %s", r.Message())
					}
				}
				return results["hygiene:secrets:clean"], report
			}
			if r, _ := decide(""); r.Outcome != Passed {
				t.Fatalf("%s: %s", r.Outcome, r.Message())
			}

			root.write(t, "home/bob/.config/shop env", "\n"+sampleText, 0o600)
			root.write(t, sampleFile, "# changed\n"+sampleText, 0o644)
			r, _ := decide("")
			if want := "/etc/shop/sample.env:2 aws-access-token (AKIA… of 20 characters), /home/bob/.config/shop env:2 aws-access-token (AKIA… of 20 characters)"; r.Outcome != Failed || r.Actual != want {
				t.Errorf("%s: %s, want %s", r.Outcome, r.Actual, want)
			}
			r, _ = decide("waiver \"hygiene:secrets:/etc/shop/*:aws-access-token\" {\n" + waived)
			if r.Outcome != Failed || !strings.HasPrefix(r.Actual, "/home/bob/.config") || r.Note != "1 more are waived" {
				t.Errorf("%s: %s (%s), want what is not waived", r.Outcome, r.Actual, r.Note)
			}
			r, report := decide("waiver \"hygiene:secrets:/etc/shop/sample.env\" {\n" + waived + "waiver \"hygiene:secrets:/home/bob/.config/shop env\" {\n" + waived + "waiver \"hygiene:secrets:/gone\" {\n" + waived)
			if r.Outcome != Waived || !strings.Contains(r.Note, "the test's") {
				t.Errorf("%s: %s (%s), want waived", r.Outcome, r.Actual, r.Note)
			}
			if len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0], "hygiene:secrets:/gone") {
				t.Errorf("warnings %q, want one of the waiver that waives nothing", report.Warnings)
			}
			if r, _ = decide("waiver \"hygiene:secrets\" {\n" + waived); r.Outcome != Waived {
				t.Errorf("%s: %s, want waived as a whole", r.Outcome, r.Actual)
			}
		})
	}
}

// meddling does something to the image before each search of files.
type meddling struct {
	Shell
	before func(search int)
	search int
}

func (m *meddling) RunScript(ctx context.Context, script io.Reader, stdout, stderr io.Writer) (int, error) {
	text, err := io.ReadAll(script)
	if err != nil {
		return 0, err
	}
	if strings.Contains(string(text), "pile() {") {
		m.search++
		m.before(m.search)
	}
	return m.Shell.RunScript(ctx, bytes.NewReader(text), stdout, stderr)
}

// Files that were read beside one that came or went are read again, and one that
// is gone for good is told.
func TestSecretsOfFilesThatChange(t *testing.T) {
	root := newFamilyRoot(t, "alpine")
	for _, name := range []string{"a", "b", "c"} {
		root.write(t, "srv/"+name, sampleText, 0o600)
	}
	decide := func(before func(search int)) Result {
		t.Helper()
		shell := &meddling{Shell: root.offline(0), before: before}
		results, _ := runText(t, Target{Shell: shell, Mounted: true}, secretsSuite)
		if shell.search != 2 {
			t.Errorf("%d searches, want another one of the files by themselves", shell.search)
		}
		return results["hygiene:secrets:clean"]
	}
	hidden := root.in("srv/.b")
	r := decide(func(search int) {
		from, to := root.in("srv/b"), hidden
		if search == 2 {
			from, to = to, from
		}
		if err := os.Rename(from, to); err != nil {
			t.Error(err)
		}
	})
	if r.Outcome != Failed || strings.Count(r.Actual, "aws-access-token") != 3 {
		t.Errorf("%s: %s, want three findings", r.Outcome, r.Actual)
	}
	for _, name := range []string{"a", "c"} {
		root.write(t, "srv/"+name, "nothing\n", 0o600)
	}
	r = decide(func(int) {
		if err := os.RemoveAll(root.in("srv/b")); err != nil {
			t.Error(err)
		}
	})
	if r.Outcome != Errored || !strings.Contains(r.Actual, "/srv/b") {
		t.Errorf("%s: %s, want an error about the file that is gone", r.Outcome, r.Message())
	}
}

// What is waived must not hide that the rest could not be searched.
func TestSecretsNotAllSearched(t *testing.T) {
	f := newFacts(Offline)
	f.secrets = searchedSecrets{read: stateRead, broken: []string{"/etc/b"}, found: []secretIn{{path: "/etc/a"}}}
	f.secrets.found[0].Rule = "aws-access-token"
	plan := mustCompile(t, Auto, "hygiene { rules = [\"secrets\"] }\nwaiver \"hygiene:secrets:/etc/a\" {\n until = \"2999-01-01\"\n reason = \"x\"\n}")
	r := plan.decideOne(plan.Suites[0].Assertions[0], f, Offline)
	if r.Outcome != Errored || !strings.Contains(r.Actual, "/etc/b") {
		t.Errorf("%s: %s, want an error about what could not be read", r.Outcome, r.Actual)
	}
}

// A Debian as debootstrap makes it is clean. A file of a package in /usr is looked
// into when it has changed.
func TestDebianSecrets(t *testing.T) {
	root := debianRoot(t)
	before := treeDigest(t, root)
	results, _ := runText(t, Target{Shell: inRoot(root), Mounted: true}, `hygiene { rules = ["secrets"] }`)
	expect(t, results, map[string]Outcome{"hygiene:secrets:clean": Passed})
	if treeDigest(t, root) != before {
		t.Error("the search has changed the root")
	}
	script, err := os.ReadFile(filepath.Join(root, "usr/bin/ldd"))
	if err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(t.TempDir(), "ldd")
	writeTestFile(t, changed, string(script)+"# "+awsKey+"\n", 0o755)
	shell := inRoot(root)
	shell.argv[4] = strings.Replace(shell.argv[4], "exec chroot", "mount --bind "+quote(changed)+` "$1/usr/bin/ldd" && exec chroot`, 1)
	results, _ = runText(t, Target{Shell: shell, Mounted: true}, `hygiene { rules = ["secrets"] }`)
	if r := results["hygiene:secrets:clean"]; r.Outcome != Failed || !strings.HasPrefix(r.Actual, "/usr/bin/ldd:") || strings.Contains(r.Actual, ", ") {
		t.Errorf("%s: %s, want the changed file", r.Outcome, r.Actual)
	}
}
