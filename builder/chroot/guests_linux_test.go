package chroot

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/imagebakery/packer-plugin-bakery/internal/disk/disktest"
	"github.com/imagebakery/packer-plugin-bakery/internal/localcloud"
)

// guestOptions are those of a bake whose guests have the host's programs, on a
// guestDisk.
func guestOptions() map[string]any {
	return map[string]any{"chroot_mounts": [][]string{
		{"proc", "proc", "/proc"}, {"bind", "/dev", "/dev"}, {"bind", "/usr", "/usr"},
	}}
}

// guest runs a command of a guest and fails when that does.
func guest(ctx context.Context, comm packersdk.Communicator, ui packersdk.Ui, script string) error {
	cmd := &packersdk.RemoteCmd{Command: script}
	if err := cmd.RunWithUi(ctx, comm, ui); err != nil {
		return err
	}
	if cmd.ExitStatus() != 0 {
		return fmt.Errorf("%s: exit status %d", script, cmd.ExitStatus())
	}
	return nil
}

// leaver leaves behind all that makes an unmount busy: a daemon with its working
// directory in the image, one with a file of the image open for writing, one
// that ignores being asked to end, a stopped one, one that runs a program of the
// image, a flock, and mounts.
const leaver = `set -e
echo yes > /etc/baked
cp /usr/bin/sleep /tmp/sleep
(cd /etc && setsid sleep 7101 > /dev/null 2>&1 &)
(setsid sh -c 'exec 9>> /tmp/log; flock 9; while :; do echo line >&9; sleep 0.01; done' > /dev/null 2>&1 &)
(setsid sh -c 'trap "" TERM INT HUP; while :; do sleep 7102; done' > /dev/null 2>&1 &)
(setsid sh -c 'kill -STOP $$' > /dev/null 2>&1 &)
(setsid /tmp/sleep 7103 > /dev/null 2>&1 &)
mkdir /tmp/below
mount -t tmpfs none /tmp/below
mount --bind /etc /tmp/below
(cd /tmp/below && setsid sleep 7104 &)`

// What provisioners leave running neither breaks nor delays the end of the bake,
// and what they wrote is in the image.
func TestDaemonsThatAreLeftBehind(t *testing.T) {
	disktest.NeedTools(t, "debugfs", "e2fsck", "flock")
	w := newWorld(t, guestDisk(t))
	out := w.bake(t, attempt{options: guestOptions(), hook: func(ctx context.Context, comm packersdk.Communicator) error {
		return guest(ctx, comm, packersdk.TestUi(t), leaver)
	}})
	if out.err != nil {
		t.Fatalf("%v\n%s", out.err, out.said)
	}
	for _, step := range out.artifact.bake.Steps {
		if step.Name == "close sandbox" && step.Seconds > 5 {
			t.Errorf("the sandbox was closed and the root unmounted in %.1f s, want 5 at most", step.Seconds)
		}
	}
	for _, seconds := range []int{7101, 7102, 7103, 7104} {
		wantNoGuest(t, seconds)
	}
	if left := w.onHost(t); len(left) > 0 {
		t.Errorf("left on the host: %v", left)
	}
	file := t.TempDir() + "/baked.raw"
	image := out.artifact.bake.Images[0].ID
	if _, err := w.local.Export(t.Context(), localcloud.ExportInput{Image: image, Region: here, File: file}); err != nil {
		t.Fatal(err)
	}
	if text := string(disktest.Run(t, "", "debugfs", "-R", "cat /etc/baked", file)); text != "yes\n" {
		t.Errorf("/etc/baked is %q in the image", text)
	}
	// Clean is what was unmounted: a journal that has to be replayed is not.
	disktest.Run(t, "", "e2fsck", "-fn", file)
	if features := string(disktest.Run(t, "", "dumpe2fs", "-h", file)); strings.Contains(features, "needs_recovery") {
		t.Errorf("the file system was not unmounted:\n%s", features)
	}
}

// Ctrl-C stops guests that do not want to, undoes the bake, and all of it within
// seconds.
func TestCancellingStopsGuests(t *testing.T) {
	w := newWorld(t, guestDisk(t))
	before := len(w.contents(t))
	ctx, cancel := context.WithCancel(t.Context())
	var cancelled, stopped time.Time
	out := w.bake(t, attempt{ctx: ctx, options: guestOptions(), hook: func(ctx context.Context, comm packersdk.Communicator) error {
		err := guest(ctx, comm, packersdk.TestUi(t), leaver)
		if err == nil {
			time.AfterFunc(200*time.Millisecond, func() {
				cancelled = time.Now()
				cancel()
			})
			err = guest(ctx, comm, packersdk.TestUi(t), `trap "" TERM INT HUP; while :; do sleep 7105; done`)
		}
		stopped = time.Now()
		return err
	}})
	if out.err == nil || !strings.Contains(out.err.Error(), "cancel") {
		t.Errorf("error = %v, want that it was cancelled", out.err)
	}
	if took := stopped.Sub(cancelled); cancelled.IsZero() || took > 5*time.Second {
		t.Errorf("the guest was stopped %v after the bake was cancelled, want 5 s at most", took)
	}
	for _, seconds := range []int{7101, 7102, 7103, 7104, 7105} {
		wantNoGuest(t, seconds)
	}
	if after := w.contents(t); len(after) != before {
		t.Errorf("there are %v", after)
	}
	if left := w.onHost(t); len(left) > 0 {
		t.Errorf("left on the host: %v", left)
	}
}
