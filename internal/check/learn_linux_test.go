package check

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// A suite that is learned from a root holds on it, says what the root is like,
// and fails when that changes.
func TestLearn(t *testing.T) {
	for _, family := range families {
		t.Run(family, func(t *testing.T) {
			root := newFamilyRoot(t, family)
			target := Target{Shell: root.offline(0), Mounted: true}
			before := root.digest(t)
			text, err := Learn(t.Context(), target)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			again, err := Learn(t.Context(), target)
			if err != nil || !bytes.Equal(text, again) {
				t.Errorf("learned anew (%v):\n%s\nwas:\n%s", err, again, text)
			}
			for _, want := range []string{
				`names = ["shop"]`, `mount "/srv/data" {`, `options = [`, `"nosuid",`, `user "shop" {`, `file "/etc/shadow" {`, `packages.example.org/shop`,
				"enabled = true",
			} {
				if family == "redhat" && strings.Contains(want, "packages.example") {
					want = `repository "shop" {`
				}
				if !strings.Contains(string(text), want) {
					t.Errorf("no %s in\n%s", want, text)
				}
			}
			if strings.Contains(string(text), "port ") || strings.Contains(string(text), "gone") {
				t.Errorf("what is not so was learned:\n%s", text)
			}
			if root.digest(t) != before {
				t.Error("learning has changed the root")
			}
			if err := os.Chmod(root.in("etc/shadow"), 0o666); err != nil {
				t.Fatal(err)
			}
			_, report := runText(t, target, string(text))
			if bad := report.Bad(); len(bad) != 1 || bad[0].ID() != "file:/etc/shadow:mode" {
				t.Errorf("with another mode of /etc/shadow: %v", report.Err(Low))
			}
		})
	}
}

func TestLearnOfABootedRoot(t *testing.T) {
	root := newFamilyRoot(t, "debian")
	target := Target{Shell: root.live(), Mode: Booted}
	text, err := Learn(t.Context(), target)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if want := "port \"tcp:8080\" {\n  addresses = [\"127.0.0.1\"]\n  requires  = \"boot\"\n}"; !strings.Contains(string(text), want) {
		t.Errorf("no %s in\n%s", want, text)
	}
}

// What cannot be read is no good example.
func TestLearnNothing(t *testing.T) {
	root := newFamilyRoot(t, "alpine")
	root.lock(t)
	if text, err := Learn(t.Context(), Target{Shell: root.offline(nobody), Mounted: true}); err == nil {
		t.Errorf("learned:\n%s", text)
	}
}
