package chroot

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A folder that something of the host is mounted on is refused, and stays as it
// is: what a failed bake undoes is its own.
func TestOccupiedMountPathStays(t *testing.T) {
	w := newWorld(t, tinyDisk(t))
	occupied := t.TempDir()
	if err := unix.Mount("tmpfs", occupied, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(occupied, 0) })
	precious := filepath.Join(occupied, "precious")
	if err := os.WriteFile(precious, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := w.bake(t, attempt{options: map[string]any{"mount_path": occupied}})
	if out.err == nil || !strings.Contains(out.err.Error(), "mounted there already") {
		t.Errorf("error = %v", out.err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Errorf("what was mounted is gone: %v", err)
	}
	if left := w.onHost(t); len(left) > 0 {
		t.Errorf("left on the host: %v", left)
	}
}
