package e2e

import (
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLayers is the main job and what can go wrong with it, in the order of a
// working day.
func TestLayers(t *testing.T) {
	w := newWorld(t)
	w.importDebian(t)
	deb := filepath.Join(t.TempDir(), "shop.deb")
	w.must(t, ".", filepath.Join(exampleDir(t, "application"), "build-deb.sh"), "1.4.2", deb)

	t.Run("no tested base yet", func(t *testing.T) {
		before := w.cloud(t)
		r := w.build(t, "application", "-var", "package="+deb)
		if r.code == 0 || !strings.Contains(r.out, "base") || !strings.Contains(strings.ToLower(r.out), "no image") && !strings.Contains(r.out, "nothing was registered") {
			t.Errorf("want a failure that says what is missing")
		}
		if diff := cmp.Diff(before, w.cloud(t)); diff != "" {
			t.Errorf("something was created (-before +after):\n%s", diff)
		}
	})

	for _, story := range []string{"foundation", "base"} {
		if r := w.build(t, story, "-var", "version=1.0"); r.code != 0 {
			t.Fatalf("%s: exit status %d", story, r.code)
		}
	}

	if n := len(w.bakes(t)); n != 2 {
		t.Errorf("the local cloud remembers %d bakes, want 2: checkClean would look for too little", n)
	}

	t.Run("a failed check stops the image", func(t *testing.T) {
		files, images := w.cloud(t), w.images(t)
		r := w.build(t, "base", "-var", "version=2.0", "-var", "motd=another text")
		if r.code == 0 {
			t.Fatal("packer build ended with 0")
		}
		for _, want := range []string{"file:/etc/motd", "another text", "baked by bakery"} {
			if !strings.Contains(r.out, want) {
				t.Errorf("the report does not have %q", want)
			}
		}
		if diff := cmp.Diff(files, w.cloud(t)); diff != "" {
			t.Errorf("snapshots and volumes (-before +after):\n%s", diff)
		}
		if diff := cmp.Diff(images, w.images(t)); diff != "" {
			t.Errorf("registered images (-before +after):\n%s", diff)
		}
	})

	t.Run("Ctrl-C while it is provisioned", func(t *testing.T) {
		files := w.cloud(t)
		s := w.startSlow(t)
		// A terminal sends it to the whole process group.
		if err := syscall.Kill(-s.cmd.Process.Pid, syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if err := s.wait(t); err == nil {
			t.Error("packer build ended with 0")
		}
		if diff := cmp.Diff(files, w.cloud(t)); diff != "" {
			t.Errorf("snapshots and volumes (-before +after):\n%s\n%s", diff, s.out)
		}
		w.checkClean(t)
		noSleepers(t)
	})

	t.Run("SIGKILL while it is provisioned", func(t *testing.T) {
		files := w.cloud(t)
		s := w.startSlow(t)
		if err := syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = s.wait(t)
		out := w.must(t, ".", w.bakery, "reap")
		if !strings.Contains(out, "volume") || !strings.Contains(out, "mount") {
			t.Errorf("reap says %q, want a mount and a volume removed", out)
		}
		if diff := cmp.Diff(files, w.cloud(t)); diff != "" {
			t.Errorf("snapshots and volumes (-before +after):\n%s", diff)
		}
		w.checkClean(t)
		noSleepers(t)
	})

	t.Run("application on the newest tested base", func(t *testing.T) {
		dir := t.TempDir()
		out := w.must(t, dir, w.packer, "build", "-color=false", "-var", "package="+deb, exampleDir(t, "application"))
		if !strings.Contains(out, "Durations:") {
			t.Error("the durations of the steps are not shown")
		}
		readJUnit(t, filepath.Join(dir, "reports", "shop.xml"))
	})

	t.Run("lineage", func(t *testing.T) {
		views := w.images(t)
		byLayer := map[string]view{}
		for _, v := range views {
			byLayer[v.Layer] = v
			if v.Status != "tested" {
				t.Errorf("%s is %s, want tested", v.Application, v.Status)
			}
		}
		if len(views) != 3 || byLayer["base"].Parent != byLayer["foundation"].ID || byLayer["application"].Parent != byLayer["base"].ID {
			t.Errorf("images = %+v, want application on base on foundation", views)
		}
		tree := w.must(t, ".", w.bakery, "images", "tree")
		if lines := strings.Count(strings.TrimSpace(tree), "\n") + 1; lines != 3 {
			t.Errorf("the tree has %d lines, want 3", lines)
		}
	})

	t.Run("the file of the application is on the exported disk", func(t *testing.T) {
		shop := w.images(t, "--application", "shop")[0]
		disk := filepath.Join(t.TempDir(), "shop.raw")
		w.must(t, ".", w.bakery, "local", "export", shop.Artifacts[0].ImageID, disk)
		if content := readFromDisk(t, disk, "/usr/bin/shop"); !strings.Contains(content, "shop 1.4.2") {
			t.Errorf("/usr/bin/shop on the disk = %q", content)
		}
		if content := readFromDisk(t, disk, "/usr/sbin/policy-rc.d"); content != "" {
			t.Errorf("the image has a policy-rc.d of the sandbox: %q", content)
		}
	})
}

// sleepers is how long the guests of startSlow sleep, in seconds, and what tells
// them from those of another run of these tests on the host.
var sleepers = strconv.Itoa(100_000_000 + os.Getpid())

// startSlow starts a bake on the newest base and returns when its provisioner
// sleeps.
func (w *world) startSlow(t *testing.T) *started {
	t.Helper()
	dir := t.TempDir()
	template := `
variable "seconds" {}
data "bakery-ancestor" "base" {
  application = "base"
}
source "bakery-chroot" "slow" {
  source_ami = data.bakery-ancestor.base.id
  ami_name   = "slow-{{timestamp}}"
}
build {
  sources = ["source.bakery-chroot.slow"]
  provisioner "shell" {
    inline = ["nohup setsid sleep ${var.seconds} >/dev/null 2>&1 &", "echo now it sleeps", "sleep ${var.seconds}"]
  }
}
`
	if err := os.WriteFile(filepath.Join(dir, "slow.pkr.hcl"), []byte(template), 0o600); err != nil {
		t.Fatal(err)
	}
	s := w.start(t, dir, "build", "-color=false", "-var", "seconds="+sleepers, ".")
	s.waitFor(t, "now it sleeps")
	return s
}

// noSleepers makes sure that nothing that startSlow's guest has started runs.
func noSleepers(t *testing.T) {
	t.Helper()
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range procs {
		if cmdline, err := os.ReadFile(path); err == nil && strings.Contains(string(cmdline), "sleep\x00"+sleepers) {
			t.Errorf("a process of the guest is left: %s: %q", path, cmdline)
		}
	}
}

// readJUnit makes sure that a report has checks, and that none failed.
func readJUnit(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Suites []struct {
			Tests    int `xml:"tests,attr"`
			Failures int `xml:"failures,attr"`
			Errors   int `xml:"errors,attr"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(data, &report); err != nil {
		t.Fatal(err)
	}
	tests := 0
	for _, s := range report.Suites {
		tests += s.Tests
		if s.Failures+s.Errors > 0 {
			t.Errorf("suite = %+v", s)
		}
	}
	if tests == 0 {
		t.Errorf("%s has no tests:\n%s", path, data)
	}
}

// readFromDisk reads a file of the root of a disk with a tool that knows
// nothing of ours. A file that is not there is empty.
func readFromDisk(t *testing.T, disk, file string) string {
	t.Helper()
	out, err := exec.Command("sfdisk", "--dump", disk).Output()
	if err != nil {
		t.Fatalf("sfdisk: %v", err)
	}
	_, rest, found := strings.Cut(string(out), "start=")
	if !found {
		t.Fatalf("no partition on %s:\n%s", disk, out)
	}
	sector, err := strconv.ParseInt(strings.TrimSpace(rest[:strings.IndexByte(rest, ',')]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	content, err := exec.Command("debugfs", "-R", "cat "+file, fmt.Sprintf("%s?offset=%d", disk, sector*512)).Output()
	if err != nil {
		t.Fatalf("debugfs: %v", err)
	}
	return string(content)
}
