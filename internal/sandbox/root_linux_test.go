package sandbox

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// longAgo is the time of everything in a test's root, so that a change shows.
var longAgo = time.Date(2001, 2, 3, 4, 5, 6, 789, time.UTC)

// newRoot makes a small image root out of a static busybox, with the marks of a
// Debian system that the guards look for.
func newRoot(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: namespaces and mounts")
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("needs busybox-static (apt-get install busybox-static)")
	}
	if out, err := exec.Command("chroot", filepath.Dir(busybox), "/busybox", "true").CombinedOutput(); err != nil {
		t.Skipf("needs a busybox that is linked statically (busybox-static): %s", out)
	}
	root := t.TempDir()
	for _, dir := range []string{"bin", "sbin", "usr/bin", "usr/sbin", "etc", "proc", "sys", "dev", "run/lock", "run/systemd/system", "root", "tmp", "var/lib/dpkg", "mnt"} {
		must(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	must(t, os.Chmod(filepath.Join(root, "tmp"), 0o1777))
	must(t, os.Symlink("/run", filepath.Join(root, "var/run")))
	program, err := os.ReadFile(busybox)
	must(t, err)
	write(t, root, "bin/busybox", string(program))
	must(t, os.Chmod(filepath.Join(root, "bin/busybox"), 0o755))
	write(t, root, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
	write(t, root, "etc/group", "root:x:0:\n")
	write(t, root, "etc/hostname", "kitchen\n")
	if out, err := exec.Command("chroot", root, "/bin/busybox", "--install", "-s", "/bin").CombinedOutput(); err != nil {
		t.Fatalf("install busybox: %v: %s", err, out)
	}
	age(t, root)
	return root
}

// age sets the time of everything below root to longAgo.
func age(t *testing.T, root string) {
	t.Helper()
	stamp := unix.NsecToTimespec(longAgo.UnixNano())
	must(t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{stamp, stamp}, unix.AT_SYMLINK_NOFOLLOW)
	}))
}

// digest describes everything below root: kind, mode, owner, time, content.
func digest(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	must(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		line := fmt.Sprintf("%s %d:%d %s", info.Mode(), st.Uid, st.Gid, info.ModTime().UTC().Format(time.RFC3339Nano))
		switch {
		case info.Mode().IsRegular():
			line += fmt.Sprintf(" links=%d", st.Nlink)
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %x", sha256.Sum256(content))
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += " -> " + target
		}
		rel, err := filepath.Rel(root, path)
		all[rel] = line
		return err
	}))
	return all
}

// unchanged fails the test when root is not what before says.
func unchanged(t *testing.T, root string, before map[string]string) {
	t.Helper()
	if diff := cmp.Diff(before, digest(t, root)); diff != "" {
		t.Errorf("the image changed (-before +after):\n%s", diff)
	}
}

// open starts a sandbox that the test's end closes.
func open(t *testing.T, c Config) *Sandbox {
	t.Helper()
	s, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNow(t, s) })
	return s
}

func closeNow(t *testing.T, s *Sandbox) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
	if left := members(t, s.Root()); len(left) > 0 {
		t.Errorf("processes are left after Close: %v", left)
	}
	for _, mount := range hostMounts(t) {
		if strings.Contains(mount, s.Root()+"/") {
			t.Errorf("the host has a mount in the image: %s", mount)
		}
	}
}

// members lists the processes of the host whose root lies in a sandbox's image,
// by the mount that they have at their root.
func members(t *testing.T, root string) []string {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Stat(root, &st))
	var found []string
	links, err := filepath.Glob("/proc/[0-9]*/root")
	must(t, err)
	for _, link := range links {
		var other unix.Stat_t
		if unix.Stat(link, &other) == nil && other.Dev == st.Dev && other.Ino == st.Ino {
			name, _ := os.ReadFile(filepath.Dir(link) + "/cmdline")
			found = append(found, fmt.Sprintf("%s %q", filepath.Dir(link), name))
		}
	}
	return found
}

func hostMounts(t *testing.T) []string {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	return strings.Split(strings.TrimSpace(string(table)), "\n")
}

// sh runs a script in the sandbox and returns its output; it must end with 0.
func sh(t *testing.T, s *Sandbox, script string) string {
	t.Helper()
	var out, complaints strings.Builder
	status, err := s.Exec(t.Context(), Command{Argv: Shell(script), Stdout: &out, Stderr: &complaints})
	if err != nil || status != 0 {
		t.Fatalf("%s: status %d, error %v, output %q, stderr %q", script, status, err, out.String(), complaints.String())
	}
	return out.String()
}

// eventually waits for something that happens outside of this process.
func eventually(t *testing.T, what string, true func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !true(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 5 seconds: not yet %s", what)
		}
	}
}

func write(t *testing.T, root, name, content string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(root, name), []byte(content), 0o644))
}

func read(t *testing.T, elem ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(elem...))
	must(t, err)
	return string(content)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
