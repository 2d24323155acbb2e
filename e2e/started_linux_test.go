package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	shell     = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")
	namedFile = regexp.MustCompile("(?ms)^```hcl\n# (\\S+)\n(.*?)^```$")
)

// TestGettingStarted does what the page for newcomers says, word for word. Only
// the clone and the demo are left out: base and programs are there already.
func TestGettingStarted(t *testing.T) {
	w := newWorld(t)
	w.env = append(w.env, "PATH="+filepath.Dir(w.bakery)+":"+filepath.Dir(w.packer)+":"+os.Getenv("PATH"))
	w.importDebian(t)
	for _, story := range []string{"foundation", "base"} {
		if r := w.build(t, story, "-var", "version=1.0"); r.code != 0 {
			t.Fatalf("%s: exit status %d", story, r.code)
		}
	}
	page := read(t, "../docs/getting-started.md")
	dir := filepath.Join(t.TempDir(), "greeter")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	files := namedFile.FindAllStringSubmatch(page, -1)
	if len(files) != 2 {
		t.Fatalf("the page has %d files, want a suite and a template", len(files))
	}
	for _, file := range files {
		if err := os.WriteFile(filepath.Join(dir, file[1]), []byte(file[2]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	commands := shell.FindAllStringSubmatch(page, -1)
	if len(commands) < 5 || !strings.HasPrefix(commands[0][1], "git clone") {
		t.Fatal("the page does not begin with a clone and go on from there")
	}
	at := filepath.Dir(dir)
	for _, block := range commands[1:] {
		w.must(t, at, "/bin/sh", "-euc", block[1])
		if strings.Contains(block[1], "cd greeter") {
			at = dir
		}
	}

	greeter := w.newest(t, "greeter")
	if greeter.Version != "2.0-1" || greeter.Status != "tested" {
		t.Errorf("the image is %+v, want a tested greeter 2.0-1", greeter)
	}
	readJUnit(t, filepath.Join(dir, "reports", "greeter.xml"))
	if content := readFromDisk(t, filepath.Join(dir, "greeter.raw"), "/etc/greeter/greeter.conf"); content != "GREETING=\"hello\"\n" {
		t.Errorf("the file of the package on the exported disk is %q", content)
	}

	// What the page invites to try.
	suite := filepath.Join(dir, "greeter.spec.hcl")
	if err := os.WriteFile(suite, []byte(strings.ReplaceAll(read(t, suite), "hello", "bye")), 0o600); err != nil {
		t.Fatal(err)
	}
	before := w.cloud(t)
	r := w.run(t, dir, w.packer, "build", "-color=false", ".")
	if r.code != 1 || !strings.Contains(r.out, "bye") || !strings.Contains(r.out, "hello") {
		t.Errorf("exit status %d; want 1 and a report of what was expected and what is there", r.code)
	}
	if after := w.cloud(t); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("there were %v, and now %v", before, after)
	}
}
