package check

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func sha256Of(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

const (
	guard    = "#!/bin/sh\nexit 101\n"
	ownFile  = "the image's own\n"
	guestOne = "a guest's\n"
)

// The files of the builder's sandbox are not those of the image.
func TestCoveredFiles(t *testing.T) {
	for name, tc := range map[string]struct {
		found  string // at /usr/sbin/guard; empty for nothing
		link   bool   // what was found is a link to /etc/elsewhere, which has that text
		under  string // at /usr/sbin/.guard.aside; empty for nothing
		always bool   // whatever lies there is the builder's
		want   string // which file the finished image has; empty for none
	}{
		"guard over nothing":                {found: guard},
		"guard over the image's file":       {found: guard, under: ownFile, want: ownFile},
		"a guest's file over nothing":       {found: guestOne, want: guestOne},
		"a guest's file over the image's":   {found: guestOne, under: ownFile, want: guestOne},
		"removed by a guest":                {under: ownFile},
		"removed, and there was nothing":    {},
		"a guest's link":                    {found: guard, link: true, under: ownFile, want: guard},
		"a guest's file that does not stay": {found: guestOne, under: ownFile, always: true, want: ownFile},
		"a link that does not stay":         {found: guestOne, link: true, under: ownFile, always: true, want: ownFile},
		"removed, and put back":             {under: ownFile, always: true, want: ownFile},
	} {
		t.Run(name, func(t *testing.T) {
			root := busyboxRoot(t, busyboxTools...)
			if err := os.MkdirAll(filepath.Join(root, "usr/sbin"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("usr/sbin", filepath.Join(root, "sbin")); err != nil {
				t.Fatal(err)
			}
			at := "usr/sbin/guard"
			if tc.link {
				if err := os.Symlink("/etc/elsewhere", filepath.Join(root, at)); err != nil {
					t.Fatal(err)
				}
				at = "etc/elsewhere"
			}
			if tc.found != "" {
				writeTestFile(t, filepath.Join(root, at), tc.found, 0o755)
			}
			c := Covered{Path: "/usr/sbin/guard", SHA256: sha256Of(guard)}
			if tc.always {
				c.SHA256 = ""
			}
			if tc.under != "" {
				c.Under = "/usr/sbin/.guard.aside"
				writeTestFile(t, filepath.Join(root, c.Under), tc.under, 0o600)
			}
			suite := `file {
  paths  = ["/usr/sbin/guard", "/sbin/guard"]
  exists = false
}`
			outcome := map[string]Outcome{"file:/usr/sbin/guard:exists": Passed, "file:/sbin/guard:exists": Passed}
			if tc.want != "" {
				mode := "0755"
				if tc.want == ownFile {
					mode = "0600"
				}
				suite = strings.NewReplacer("TEXT", quoteHCL(tc.want), "SUM", sha256Of(tc.want), "MODE", mode).Replace(`file {
  paths    = ["/usr/sbin/guard", "/sbin/guard"]
  contains = [TEXT]
  sha256   = "SUM"
  mode     = "MODE"
}`)
				outcome = map[string]Outcome{}
				for _, path := range []string{"/usr/sbin/guard", "/sbin/guard"} {
					for _, property := range []string{"contains", "sha256", "mode"} {
						if tc.always && path == "/sbin/guard" && (tc.link || tc.found == "") {
							continue
						}
						outcome["file:"+path+":"+property] = Passed
					}
				}
				if len(outcome) == 3 {
					suite = strings.Replace(suite, `, "/sbin/guard"`, "", 1)
				}
			}
			results, _ := runText(t, Target{Shell: inRoot(root), Mounted: true, Covered: []Covered{c}}, suite)
			expect(t, results, outcome)
		})
	}
}

// A link of the image to a covered file stays a link.
func TestLinkToCoveredFile(t *testing.T) {
	root := busyboxRoot(t, busyboxTools...)
	writeTestFile(t, root+"/etc/guard", guard, 0o755)
	writeTestFile(t, root+"/etc/other", guard, 0o755)
	if err := os.Symlink("guard", root+"/etc/alias"); err != nil {
		t.Fatal(err)
	}
	suite := `
file "/etc/alias" {
  type   = "link"
  target = "guard"
}
file "/etc/other" { mode = 755 }
`
	want := map[string]Outcome{"file:/etc/alias:type": Passed, "file:/etc/alias:target": Passed, "file:/etc/other:mode": Passed}
	dangling := Target{Shell: inRoot(root), Mounted: true, Covered: []Covered{{Path: "/etc/guard", SHA256: sha256Of(guard)}}}
	results, _ := runText(t, dangling, suite+`file "/etc/guard" {}`)
	want["file:/etc/guard:exists"] = Failed
	expect(t, results, want)
	if r := results["file:/etc/guard:exists"]; r.Actual != "no such file" {
		t.Errorf("actual: %s", r.Actual)
	}
	results, _ = runText(t, dangling, `file "/etc/alias" { mode = 755 }`)
	expect(t, results, map[string]Outcome{"file:/etc/alias:mode": Failed})

	writeTestFile(t, root+"/etc/.aside", ownFile, 0o640)
	dangling.Covered[0].Under = "/etc/.aside"
	results, _ = runText(t, dangling, `file "/etc/alias" {
  mode     = 640
  target   = "guard"
  contains = ["own"]
}`)
	expect(t, results, map[string]Outcome{"file:/etc/alias:mode": Passed, "file:/etc/alias:target": Passed, "file:/etc/alias:contains": Passed})
}

// Without a digest, or an answer whether a path leads there, nobody knows whose
// file it is.
func TestCoveredFileThatCannotBeTold(t *testing.T) {
	for name, tc := range map[string]struct {
		digest state
		letter byte
	}{
		"no digest": {stateBroken, leads},
		"no answer": {stateRead, 'x'},
	} {
		t.Run(name, func(t *testing.T) {
			n := &needs{byPath: map[string]*pathNeed{}}
			n.path("/alias")
			n.cover([]Covered{{Path: "/etc/guard", SHA256: sha256Of(guard)}})
			f := newFacts(Offline)
			f.nodes["/alias"] = &node{presence: present}
			f.nodes["/etc/guard"] = &node{
				presence: present, statted: true, mode: 0o100755,
				digests: map[string]string{"sha256": sha256Of(guard)}, digestRead: map[string]state{"sha256": tc.digest},
			}
			f.leads["/alias"] = []byte{tc.letter}
			f.uncover(n)
			if v := f.absent("/alias"); v.outcome != Errored {
				t.Errorf("%+v", v)
			}
		})
	}
}

// With the tools of a Debian. The root may be that of other tests too, so the
// guard lies in a file system of the shell's own.
func TestCoveredOnDebian(t *testing.T) {
	root := debianRoot(t)
	shell := local{argv: []string{"unshare", "-m", "sh", "-c", `mount --bind "$1" "$1" && mount -t tmpfs tmpfs "$1/opt" &&
printf %s "$2" >"$1/opt/guard" && ln -s . "$1/opt/bin" && exec chroot "$1" /bin/sh -s`, "sh", root, guard}}
	results, _ := runText(t, Target{
		Shell: shell, Mounted: true, Covered: []Covered{{Path: "/opt/guard", SHA256: sha256Of(guard)}},
	}, `file {
  paths  = ["/opt/guard", "/opt/bin/guard"]
  exists = false
}
file "/usr/sbin/invoke-rc.d" { exists = true }`)
	expect(t, results, map[string]Outcome{
		"file:/opt/guard:exists": Passed, "file:/opt/bin/guard:exists": Passed, "file:/usr/sbin/invoke-rc.d:exists": Passed,
	})
}

func TestCoveredOnEachShell(t *testing.T) {
	onEachShell(t, func(t *testing.T, shell local) {
		dir := t.TempDir()
		writeTestFile(t, dir+"/guard", guard, 0o755)
		results, _ := runText(t, Target{
			Shell: shell, Mounted: true, Covered: []Covered{{Path: dir + "/guard", SHA256: sha256Of(guard)}},
		}, `file "`+dir+`/guard" { exists = false }`)
		expect(t, results, map[string]Outcome{"file:" + dir + "/guard:exists": Passed})
	})
}
