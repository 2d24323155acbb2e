package chroot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"github.com/imagebakery/packer-plugin-bakery/internal/disk/disktest"
	"github.com/imagebakery/packer-plugin-bakery/internal/localcloud"
)

// TestSixteenAtOnce starts sixteen bakes, each a process of its own, on one
// host. Each goes on only when all have their roots mounted, so that all hold
// devices of the host at the same time.
func TestSixteenAtOnce(t *testing.T) {
	const bakes = 16
	disk := guestDisk(t)
	disktest.NeedTools(t, "debugfs")
	w := newWorld(t, disk)
	met := t.TempDir()
	var all sync.WaitGroup
	begin := time.Now()
	for i := range bakes {
		options := w.childOptions()
		for option := range everything() {
			delete(options, option)
		}
		maps.Copy(options, map[string]any{
			"ami_name": fmt.Sprintf("baked-%d", i),
			"post_mount_commands": []string{fmt.Sprintf(
				`echo %[2]d >{{.MountPath}}/etc/number; : >%[1]s/%[2]d; n=0; until [ $(ls %[1]s | wc -l) = %[3]d ]; do sleep 0.1; `+
					`n=$((n+1)); [ $n -lt 900 ] || { echo "only $(ls %[1]s | wc -l) have come" >&2; exit 1; }; done`, met, i, bakes)},
		})
		all.Go(func() {
			if _, err := (child{Dir: w.dir, Options: options, Guest: 910000 + i}).start(t); err != nil {
				t.Errorf("bake %d: %v", i, err)
			}
			wantNoGuest(t, 910000+i)
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	t.Logf("%d bakes at once took %v", bakes, time.Since(begin).Round(time.Millisecond))
	if list := w.onHost(t); len(list) > 0 {
		t.Errorf("left on the host: %v", list)
	}
	want := []string{here + " image tiny"}
	for i := range bakes {
		want = append(want, fmt.Sprintf("%s image baked-%d", here, i), here+" snapshot")
	}
	slices.Sort(want)
	if got := w.kinds(t); !slices.Equal(got, want) {
		t.Errorf("in the cloud is %v\nwant %v", got, want)
	}
	for i := range bakes {
		if got := w.fileIn(t, fmt.Sprintf("baked-%d", i), "/etc/number"); got != fmt.Sprintf("%d\n", i) {
			t.Errorf("image %d was baked on a disk of another: number %q", i, got)
		}
	}
}

// fileIn returns the contents of a file of an image whose disk is one ext4.
func (w *world) fileIn(t *testing.T, image, path string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk")
	if _, err := w.local.Export(t.Context(), localcloud.ExportInput{Image: image, Region: here, File: file}); err != nil {
		t.Fatal(err)
	}
	text := disktest.Run(t, "", "debugfs", "-R", "cat "+path, file)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestWaitForDeviceNames has a bake wait for its turn at choosing a device: it
// says so, and Ctrl-C ends it at once and leaves nothing.
func TestWaitForDeviceNames(t *testing.T) {
	w := newWorld(t, tinyDisk(t))
	// The first bake makes the folder of the lock.
	w.must(t, map[string]any{"skip_create_ami": true})
	other := flock.New(lockPath)
	if held, err := other.TryLockContext(t.Context(), 10*time.Millisecond); err != nil || !held {
		t.Fatalf("lock %s: %v, %v", lockPath, held, err)
	}
	t.Cleanup(func() {
		if err := other.Unlock(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var cancelled time.Time
	out := w.bake(t, attempt{ctx: ctx, hear: func(text string) {
		if strings.Contains(text, "Waiting for another bake of this host to choose its device") {
			cancelled = time.Now()
			cancel()
		}
	}})
	left := time.Since(cancelled)
	if cancelled.IsZero() {
		t.Fatalf("the bake does not say what it waits for: %v\n%s", out.err, out.said)
	}
	if !errors.Is(out.err, context.Canceled) {
		t.Errorf("error = %v, want that it was cancelled", out.err)
	}
	// Deleting the volume is part of it.
	if left > 5*time.Second {
		t.Errorf("the bake took %v to leave", left)
	}
	if got, want := w.kinds(t), []string{here + " image tiny"}; !slices.Equal(got, want) {
		t.Errorf("in the cloud is %v, want %v", got, want)
	}
	if list := w.onHost(t); len(list) > 0 {
		t.Errorf("left on the host: %v", list)
	}
}
