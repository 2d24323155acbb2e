package loop_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/imagebakery/packer-plugin-bakery/internal/loop"
)

const mib = 1 << 20

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: loop devices")
	}
}

// sparse makes an empty file of size bytes.
func sparse(t *testing.T, name string, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

func attach(t *testing.T, file string, o loop.Options) loop.Device {
	t.Helper()
	d, err := loop.Attach(file, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Detach(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func TestAttachWindow(t *testing.T) {
	needRoot(t)
	file := sparse(t, "disk", 4*mib)
	d := attach(t, file, loop.Options{Offset: mib, Size: 2 * mib})
	want := loop.Device{Path: d.Path, Backing: file, Offset: mib, Size: 2 * mib}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Errorf("device (-want +got):\n%s", diff)
	}

	text := []byte("written through the device")
	dev, err := os.OpenFile(d.Path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = dev.WriteAt(text, 512)
	if err := errors.Join(err, dev.Close(), d.Sync()); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := bytes.Index(content, text); got != mib+512 {
		t.Errorf("text is at %d of the file, want %d", got, mib+512)
	}
}

func TestAttachReadOnly(t *testing.T) {
	needRoot(t)
	d := attach(t, sparse(t, "disk", mib), loop.Options{ReadOnly: true})
	if !d.ReadOnly {
		t.Errorf("device = %+v, want it read-only", d)
	}
	dev, err := os.OpenFile(d.Path, os.O_WRONLY, 0)
	if err != nil {
		return // not even opened: as good
	}
	defer dev.Close()
	if _, err := dev.Write([]byte("no")); err == nil {
		err = dev.Sync()
		t.Errorf("a read-only device takes a write (sync: %v)", err)
	}
}

func TestAttachErrors(t *testing.T) {
	needRoot(t)
	missing := filepath.Join(t.TempDir(), "missing")
	for name, tt := range map[string]struct {
		file    string
		options loop.Options
		want    string
	}{
		"missing file":    {missing, loop.Options{}, "attach " + missing + " to a loop device"},
		"negative offset": {sparse(t, "disk", mib), loop.Options{Offset: -1}, "must not be negative"},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := loop.Attach(tt.file, tt.options)
			if err == nil {
				_ = d.Detach()
				t.Fatalf("attached %+v", d)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestDetachIsIdempotent(t *testing.T) {
	needRoot(t)
	d := attach(t, sparse(t, "disk", mib), loop.Options{})
	for range 2 {
		if err := d.Detach(); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := loop.Find(d.Backing); err != nil || len(found) > 0 {
		t.Errorf("Find = %v, %v; want nothing", found, err)
	}
	if err := d.Sync(); err == nil {
		t.Error("a detached device synced")
	}
}

func TestDetachLeavesOthersAlone(t *testing.T) {
	needRoot(t)
	d := attach(t, sparse(t, "disk", mib), loop.Options{})
	stale := d
	stale.Backing = filepath.Join(t.TempDir(), "another")
	if err := stale.Detach(); err != nil {
		t.Fatal(err)
	}
	if found, err := loop.Find(d.Backing); err != nil || !slices.Contains(found, d) {
		t.Errorf("Find = %v, %v; want %v still bound", found, err, d)
	}
}

func TestDetachAfterFileMoved(t *testing.T) {
	needRoot(t)
	// A short name, as the kernel keeps no more than 63 bytes of it.
	dir, err := os.MkdirTemp("/tmp", "loop")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	file := filepath.Join(dir, "a")
	if err := os.WriteFile(file, make([]byte, mib), 0o600); err != nil {
		t.Fatal(err)
	}
	d := attach(t, file, loop.Options{})
	moved := filepath.Join(dir, "b")
	if err := os.Rename(file, moved); err != nil {
		t.Fatal(err)
	}
	if found, err := loop.Find(moved); err != nil || len(found) != 1 {
		t.Errorf("Find(%s) = %v, %v; want one device", moved, found, err)
	}
	if err := d.Detach(); err != nil {
		t.Fatal(err)
	}
	if found, err := loop.Find(moved); err != nil || len(found) != 0 {
		t.Errorf("Find(%s) = %v, %v; want none", moved, found, err)
	}
}

func TestDetachAfterFileDeleted(t *testing.T) {
	needRoot(t)
	d := attach(t, sparse(t, "disk", mib), loop.Options{})
	if err := os.Remove(d.Backing); err != nil {
		t.Fatal(err)
	}
	if found, err := loop.Find(d.Backing); err != nil || !slices.Contains(found, d) {
		t.Errorf("Find = %v, %v; want %v", found, err, d)
	}
	if err := d.Detach(); err != nil {
		t.Fatal(err)
	}
	if found, err := loop.Find(d.Backing); err != nil || len(found) > 0 {
		t.Errorf("Find after Detach = %v, %v; want none", found, err)
	}
}

func TestDetachBusyIsReportedAndDone(t *testing.T) {
	needRoot(t)
	d := attach(t, sparse(t, "disk", mib), loop.Options{})
	user, err := os.Open(d.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer user.Close()
	if err := d.Detach(); !errors.Is(err, loop.ErrBusy) {
		t.Fatalf("Detach of a device in use = %v, want ErrBusy", err)
	}
	user.Close()
	if err := d.Detach(); err != nil {
		t.Errorf("Detach after the use has ended = %v", err)
	}
}

func TestReleaseFollowsTheLastUser(t *testing.T) {
	needRoot(t)
	d := attach(t, sparse(t, "disk", mib), loop.Options{})
	user, err := os.Open(d.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer user.Close()
	if err := d.Release(); err != nil {
		t.Fatal(err)
	}
	if found, err := loop.Find(d.Backing); err != nil || !slices.Contains(found, d) {
		t.Errorf("Find while in use = %v, %v; want %v", found, err, d)
	}
	user.Close()
	if err := d.Detach(); err != nil { // waits for a release in progress
		t.Error(err)
	}
	if found, err := loop.Find(d.Backing); err != nil || len(found) != 0 {
		t.Errorf("Find after the use = %v, %v; want nothing", found, err)
	}
}

func TestResize(t *testing.T) {
	needRoot(t)
	d := attach(t, sparse(t, "disk", mib), loop.Options{})
	if err := os.Truncate(d.Backing, 3*mib); err != nil {
		t.Fatal(err)
	}
	grown, err := d.Resize()
	if err != nil {
		t.Fatal(err)
	}
	if grown.Size != 3*mib {
		t.Errorf("size = %d, want %d", grown.Size, 3*mib)
	}
}

func TestFindThroughSymlink(t *testing.T) {
	needRoot(t)
	file := sparse(t, "disk", mib)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	d := attach(t, link, loop.Options{})
	if d.Backing != file {
		t.Errorf("backing file = %s, want %s", d.Backing, file)
	}
	if found, err := loop.Find(link); err != nil || !slices.Contains(found, d) {
		t.Errorf("Find = %v, %v; want %v", found, err, d)
	}
}

// TestAttachTogether has many attach at once, as parallel bakes do.
func TestAttachTogether(t *testing.T) {
	needRoot(t)
	const many = 16
	file := sparse(t, "disk", mib)
	devices, errs := make([]loop.Device, many), make([]error, many)
	var group sync.WaitGroup
	for i := range many {
		group.Go(func() { devices[i], errs[i] = loop.Attach(file, loop.Options{ReadOnly: true}) })
	}
	group.Wait()
	t.Cleanup(func() {
		for _, d := range devices {
			if d.Path != "" {
				if err := d.Detach(); err != nil {
					t.Error(err)
				}
			}
		}
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, d := range devices {
		if seen[d.Path] {
			t.Errorf("%s was given out twice", d.Path)
		}
		seen[d.Path] = true
	}
	if found, err := loop.Find(file); err != nil || len(found) != many {
		t.Errorf("Find = %d devices, %v; want %d", len(found), err, many)
	}
}

func TestAttachKeepsNothingOpen(t *testing.T) {
	needRoot(t)
	d := attach(t, sparse(t, "disk", mib), loop.Options{})
	dev, err := os.OpenFile(d.Path, os.O_RDONLY|unix.O_EXCL, 0)
	if err != nil {
		t.Fatalf("open %s exclusively: %v", d.Path, err)
	}
	dev.Close()
}
