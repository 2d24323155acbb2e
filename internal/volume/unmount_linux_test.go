package volume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/imagebakery/packer-plugin-bakery/internal/disk/disktest"
	"github.com/imagebakery/packer-plugin-bakery/internal/loop"
)

// mounted mounts the second partition of a new disk, by a loop device of our own.
func mounted(t *testing.T, o MountOptions) *Mounted {
	t.Helper()
	needRoot(t)
	image := disktest.Partitioned(t, 100*mib, cloudTable, map[int][]string{1: {"mkfs.ext4", "-q"}})
	o.Device = attach(t, image, loop.Options{})
	return mustMount(t, o)
}

func soon(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestUnmountNamesUsers(t *testing.T) {
	for name, tt := range map[string]struct {
		command func(target string) *exec.Cmd
		want    string // after the process id
	}{
		"working directory": {func(target string) *exec.Cmd {
			cmd := exec.Command("sleep", "60")
			cmd.Dir = target
			return cmd
		}, "(sleep: working directory %s)"},
		"open file": {func(target string) *exec.Cmd {
			return exec.Command("sh", "-c", `exec 9>"$0/log"; echo ready; exec sleep 60`, target)
		}, "(sleep: open file %s/log)"},
		"program": {func(target string) *exec.Cmd {
			return exec.Command("sh", "-c", `exec 9<"$0"; cp "$(command -v sleep)" "$0/daemon" && echo ready && exec "$0/daemon" 60`, target)
		}, "(daemon: program %s/daemon"},
		"mount namespace": {func(string) *exec.Cmd {
			return exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", "echo ready; exec sleep 60")
		}, "(sleep: has it in its mount namespace)"},
	} {
		t.Run(name, func(t *testing.T) {
			m := mounted(t, MountOptions{})
			cmd := tt.command(m.Target)
			if cmd.Dir == "" {
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				start(t, cmd)
				if _, err := io.ReadAtLeast(out, make([]byte, 6), 6); err != nil {
					t.Fatal(err)
				}
			} else {
				start(t, cmd)
			}
			want := fmt.Sprintf("process %d ", cmd.Process.Pid) + strings.ReplaceAll(tt.want, "%s", m.Target)
			// sh becomes the command by exec after it has told us.
			for deadline := time.Now().Add(10 * time.Second); ; {
				err := m.Unmount(soon(t, 50*time.Millisecond))
				if err == nil || !errors.Is(err, ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("Unmount = %v, want ErrBusy", err)
				}
				if strings.Contains(err.Error(), want) {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("error = %v\nwant %q in it", err, want)
				}
			}
			kill := time.AfterFunc(100*time.Millisecond, func() { _ = cmd.Process.Kill() })
			defer kill.Stop()
			if err := m.Unmount(soon(t, 10*time.Second)); err != nil {
				t.Errorf("Unmount while the user goes = %v", err)
			}
		})
	}
}

func TestUnmountSaysWhomItWaitsFor(t *testing.T) {
	said := make(chan string, 100)
	m := mounted(t, MountOptions{Log: func(s string) { said <- s }})
	cmd := exec.Command("sleep", "60")
	cmd.Dir = m.Target
	start(t, cmd)
	done := make(chan error)
	go func() { done <- m.Unmount(soon(t, 30*time.Second)) }()
	want := fmt.Sprintf("process %d (sleep", cmd.Process.Pid)
	for deadline := time.After(20 * time.Second); ; {
		select {
		case line := <-said:
			if !strings.Contains(line, want) {
				continue
			}
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if err := <-done; err != nil {
				t.Error(err)
			}
			return
		case <-deadline:
			t.Fatal("nothing was said")
		}
	}
}

// mountMore mounts over and below a mount, in every way that a guest might.
func mountMore(t *testing.T, target string) {
	t.Helper()
	for _, dir := range []string{"a", "a b/c"} {
		if err := os.MkdirAll(filepath.Join(target, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, mount := range []struct {
		source, dir, kind string
		flags             uintptr
	}{
		{"tmpfs", "a", "tmpfs", 0},
		{"tmpfs", "a b", "tmpfs", 0},
		{"proc", "a", "proc", 0}, // over the first
		{target, "a b", "", unix.MS_BIND},
		{"tmpfs", "a b/a b/c", "tmpfs", 0},
		{"tmpfs", "", "tmpfs", 0}, // over all
	} {
		if err := unix.Mount(mount.source, filepath.Join(target, mount.dir), mount.kind, mount.flags, ""); err != nil {
			t.Fatalf("mount %+v: %v", mount, err)
		}
	}
}

func TestUnmountTakesAllBelow(t *testing.T) {
	m := mounted(t, MountOptions{})
	mountMore(t, m.Target)
	if err := m.Unmount(soon(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if mounts, err := mountsAt(m.Target); err != nil || len(mounts) != 0 {
		t.Errorf("mounts = %v, %v; want none", mounts, err)
	}
	if _, err := os.Stat(m.Target); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
}

func TestUnmountByPathAfterCrash(t *testing.T) {
	m := mounted(t, MountOptions{})
	mountMore(t, m.Target)
	for range 2 {
		if err := Unmount(soon(t, 10*time.Second), m.Target); err != nil {
			t.Fatal(err)
		}
	}
	if mounts, err := mountsAt(m.Target); err != nil || len(mounts) != 0 {
		t.Errorf("mounts = %v, %v; want none", mounts, err)
	}
	if devices, err := loop.Find(m.device); err != nil || len(devices) != 0 {
		t.Errorf("loop devices = %v, %v; want none", devices, err)
	}
}

func TestUnmountByPathLeavesDisksOfOthers(t *testing.T) {
	needRoot(t)
	image := disktest.New(t, 64*mib)
	disktest.Mkfs(t, image, "mkfs.ext4", "-q")
	device := attach(t, image, loop.Options{})
	m := mustMount(t, MountOptions{Device: device})
	if err := Unmount(soon(t, 10*time.Second), m.Target); err != nil {
		t.Fatal(err)
	}
	if devices, err := loop.Find(image); err != nil || len(devices) != 1 {
		t.Errorf("loop devices of the disk = %v, %v; want it untouched", devices, err)
	}
}

func TestUnmountByPathRefuses(t *testing.T) {
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink("/", link); err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]string{"/": "root of the host", link: "root of the host", "here": "absolute"} {
		if err := Unmount(t.Context(), target); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Unmount(%s) = %v, want %q in it", target, err, want)
		}
	}
	if err := Unmount(t.Context(), filepath.Join(link, "none")); err != nil {
		t.Errorf("Unmount of what does not exist = %v", err)
	}
}

func TestDetachLoops(t *testing.T) {
	needRoot(t)
	device := attach(t, disktest.New(t, 8*mib), loop.Options{})
	if _, err := loop.Attach(device, loop.Options{Offset: mib}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := DetachLoops(device); err != nil {
			t.Fatal(err)
		}
	}
	if devices, err := loop.Find(device); err != nil || len(devices) != 0 {
		t.Errorf("loop devices = %v, %v; want none", devices, err)
	}
	if err := DetachLoops(t.TempDir()); err == nil {
		t.Error("a folder passes for a block device")
	}
	if err := DetachLoops("/dev/none"); err != nil {
		t.Errorf("a device that is gone: %v", err)
	}
}
