package chroot

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWholeDisk(t *testing.T) {
	dir := t.TempDir()
	disk, odd := filepath.Join(dir, "nvme1n1"), filepath.Join(dir, "loop")
	for _, path := range []string{disk, odd} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		"": "", disk: disk, disk + "p": disk, odd: odd, "/dev/none": "/dev/none",
	} {
		if got := wholeDisk(path); got != want {
			t.Errorf("wholeDisk(%q) = %q, want %q", path, got, want)
		}
	}
}

func TestDeviceName(t *testing.T) {
	dir := t.TempDir()
	b := &bake{device: filepath.Join(dir, "loop9"), attachedAs: "/dev/sdzz"}
	// A host that calls it nothing else, and one where it is not there.
	if got := b.deviceName(); got != b.device {
		t.Errorf("a device that is not there is called %s", got)
	}
	if err := os.WriteFile(b.device, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := b.deviceName(); got != b.device {
		t.Errorf("a device without other names is called %s", got)
	}
}
