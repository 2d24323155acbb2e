package chroot

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/reap"
)

func noneAlive(string) bool { return false }

// abandoned are the kinds of what other hosts would remove.
func (w *world) abandoned(t *testing.T, kept bool) (found []reap.Leftover, kinds []string) {
	t.Helper()
	found, err := reap.Abandoned(context.WithoutCancel(t.Context()), w.client, time.Hour, kept, noneAlive)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range found {
		kinds = append(kinds, string(l.Kind))
	}
	slices.Sort(kinds)
	return found, kinds
}

// silence makes the last sign of life of everything with a heartbeat two hours
// old. What is no time stays: ended, kept, and what others wrote.
func (w *world) silence(t *testing.T) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	tagged, err := w.client.Tagged(ctx, reap.HeartbeatTag)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range tagged {
		if _, err := time.Parse(time.RFC3339, r.Tags[reap.HeartbeatTag]); err != nil {
			continue
		}
		if err := w.client.Tag(ctx, map[string]string{reap.HeartbeatTag: reap.Beat(time.Now().Add(-2 * time.Hour))}, r.ID); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRunningBakeGivesSignsOfLife(t *testing.T) {
	w := newWorld(t, tinyDisk(t))
	out := w.bake(t, attempt{beat: 20 * time.Millisecond, hook: func(ctx context.Context, _ packersdk.Communicator) error {
		w.silence(t)
		for limit := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if found, _ := w.abandoned(t, true); len(found) == 0 {
				return nil
			}
			if time.Now().After(limit) {
				return fmt.Errorf("no sign of life came")
			}
		}
	}})
	if out.err != nil {
		t.Fatal(out.err)
	}
	// A finished image says so, whatever its age.
	w.silence(t)
	if found, _ := w.abandoned(t, true); len(found) > 0 {
		t.Errorf("taken for left behind: %+v", found)
	}
	img, err := w.client.ImageNamed(t.Context(), "baked")
	if err != nil || img.Tags[reap.HeartbeatTag] != reap.Ended {
		t.Errorf("image = %+v, %v", img.Tags, err)
	}
}

// TestAbandoned finds what died on another host, and that only.
func TestAbandoned(t *testing.T) {
	w := newWorld(t, guestDisk(t))
	w.must(t, nil)
	options := w.childOptions()
	options["ami_name"], options["ami_regions"] = "other", []string{}
	for _, moment := range []string{"after CreateSnapshot #1", "step: Setting permissions and marks... #1"} {
		if _, err := (child{Dir: w.dir, Options: options, Die: moment}).start(t); err == nil {
			t.Fatalf("the bake was not killed at %q", moment)
		}
		// As if it was another host.
		if err := os.RemoveAll(filepath.Join(w.dir, "journal")); err != nil {
			t.Fatal(err)
		}
	}
	// What others made is not for bakes to remove, even if it looks alike.
	zone := here + "a"
	for _, tags := range []map[string]string{
		nil, {reap.OwnerTag: "somebody"}, {reap.HeartbeatTag: reap.Beat(time.Unix(0, 0))},
		{reap.OwnerTag: "x", reap.HeartbeatTag: "yesterday"}, {reap.OwnerTag: "x", reap.HeartbeatTag: ""},
	} {
		if _, err := w.client.CreateVolume(t.Context(), cloud.VolumeSpec{Zone: zone, SizeGiB: 1, Tags: tags}); err != nil {
			t.Fatal(err)
		}
	}
	before := w.contents(t)
	if found, _ := w.abandoned(t, false); len(found) > 0 {
		t.Errorf("bakes that were alive a moment ago are taken for dead: %+v", found)
	}
	w.silence(t)
	// The volume without an owner has a real time now; it is nobody's still.

	// Beside a bake that runs on a third host.
	running := w.bake(t, attempt{options: map[string]any{"ami_name": "running"}, hook: func(context.Context, packersdk.Communicator) error {
		found, kinds := w.abandoned(t, false)
		if diff := cmp.Diff([]string{"image", "snapshot", "snapshot", "volume"}, kinds); diff != "" {
			t.Errorf("found (-want +got):\n%s\n%+v", diff, found)
		}
		if diff := cmp.Diff(len(before), len(w.contents(t))-1); diff != "" {
			t.Errorf("looking has changed something (-want +got):\n%s", diff)
		}
		var removed []reap.Leftover
		if err := reap.Remove(context.WithoutCancel(t.Context()), w.client, found, func(l reap.Leftover) { removed = append(removed, l) }); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(found, removed); diff != "" {
			t.Errorf("removed (-want +got):\n%s", diff)
		}
		return nil
	}})
	if running.err != nil {
		t.Errorf("the running bake: %v", running.err)
	}
	want := []string{
		here + " image baked", here + " image running", here + " image tiny", here + " snapshot", here + " snapshot",
		here + " volume", here + " volume", here + " volume",
	}
	if diff := cmp.Diff(want, w.kinds(t)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestKeptBakeIsLeftAlone(t *testing.T) {
	w := newWorld(t, guestDisk(t))
	options := w.childOptions()
	options["packer_on_error"] = "abort"
	// The process ends, and with it the sandbox, as under Packer.
	if _, err := (child{Dir: w.dir, Options: options, Fail: true}).start(t); err == nil {
		t.Fatal("the bake went well")
	}
	w.silence(t)
	if found, _ := w.abandoned(t, false); len(found) > 0 {
		t.Errorf("taken for left behind: %+v", found)
	}
	if _, kinds := w.abandoned(t, true); !slices.Equal(kinds, []string{"volume"}) {
		t.Errorf("kept = %v, want a volume", kinds)
	}
	if err := w.reapKept(t); err != nil {
		t.Error(err)
	}
	if list := w.onHost(t); len(list) > 0 {
		t.Errorf("left on the host: %v", list)
	}
}
