package sqlite

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// smallDisk mounts a file system with room for kib, which remount changes.
func smallDisk(t *testing.T, kib int) (folder string, remount func(flags uintptr, kib int)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: a small file system is mounted")
	}
	folder = t.TempDir()
	if err := unix.Mount("tmpfs", folder, "tmpfs", 0, fmt.Sprintf("size=%dk", kib)); err != nil {
		t.Skipf("needs tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(folder, 0); err != nil {
			t.Error(err)
		}
	})
	return folder, func(flags uintptr, kib int) {
		t.Helper()
		if err := unix.Mount("tmpfs", folder, "tmpfs", unix.MS_REMOUNT|flags, fmt.Sprintf("size=%dk", kib)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDiskRunsFull writes until the disk is full: the error says so, all that was
// acknowledged is there, and once there is room again it goes on.
func TestDiskRunsFull(t *testing.T) {
	folder, remount := smallDisk(t, 512)
	path := filepath.Join(folder, "registry.db")
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	var there []string
	write := func(n int) error {
		img := someImage()
		img.ID, img.Artifacts[0].ID, img.Owner = fmt.Sprint("01J", n), fmt.Sprint("ami-", n), strings.Repeat("o", 2000)
		err := s.Commit(t.Context(), registry.Change{Image: &img})
		if err == nil {
			there = append(there, img.ID)
		}
		return err
	}
	n := 0
	for ; err == nil && n < 2000; n++ {
		err = write(n)
	}
	if err == nil || !strings.Contains(err.Error(), "the disk is full, nothing was recorded") || !strings.Contains(err.Error(), path) {
		t.Fatalf("error after %d images is %v", n, err)
	}
	check := func(when string) {
		t.Helper()
		if err := s.Check(t.Context()); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		for _, id := range there {
			if _, err := s.Image(t.Context(), id); err != nil {
				t.Fatalf("%s: an acknowledged image is lost: %v", when, err)
			}
		}
		found := 0
		for _, err := range s.Images(t.Context(), registry.Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			found++
		}
		if found != len(there) {
			t.Fatalf("%s: %d images are there and %d were acknowledged", when, found, len(there))
		}
	}
	check("on a full disk")
	remount(0, 4096)
	if err := write(n); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	check("opened again")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestNoRoomForANewRegistry(t *testing.T) {
	folder, _ := smallDisk(t, 16)
	path := filepath.Join(folder, "registry.db")
	s, err := Open(t.Context(), path)
	if err == nil {
		_ = s.Close()
		t.Fatal("a registry fits into 16 KiB")
	}
	if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "full") {
		t.Errorf("error is %v, want one that says that the disk is full", err)
	}
}

// TestReadOnlyDisk wants to be told why a registry cannot be used where nothing
// can be written.
func TestReadOnlyDisk(t *testing.T) {
	folder, remount := smallDisk(t, 4096)
	path := filepath.Join(folder, "registry.db")
	closedRegistry(t, path)
	remount(unix.MS_RDONLY, 4096)
	for _, opts := range [][]Option{nil, {ReadOnly()}} {
		s, err := Open(t.Context(), path, opts...)
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "the disk is read-only") {
			t.Errorf("error is %v, want one that says that the disk is read-only", err)
		}
	}
	remount(0, 4096)
	open(t, path)
}

// TestMissingPermission opens the registry of somebody else, as nobody.
func TestMissingPermission(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: to become another user")
	}
	folder := t.TempDir()
	for _, dir := range []string{filepath.Dir(folder), folder} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(folder, "registry.db")
	closedRegistry(t, path)
	binary := filepath.Join(folder, "writer")
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(binary, self, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary)
	cmd.Env = []string{childPath + "=" + path, childName + "=nobody"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), path) || !strings.Contains(string(out), "permission") {
		t.Errorf("another user's writer: %v\n%s", err, out)
	}
}
