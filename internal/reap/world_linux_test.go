package reap_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/journal"
	"github.com/imagebakery/packer-plugin-bakery/internal/localcloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/reap"
)

const region = "us-east-1"

// world is a cloud in which bakes and others have made things.
type world struct {
	dir    string
	client *cloud.Client
	zone   string
	made   int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: the local cloud attaches volumes to loop devices")
	}
	w := &world{dir: t.TempDir()}
	w.client = w.connect(t)
	host, err := w.client.Host(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.zone = host.Zone
	return w
}

// connect returns a client for which some calls go wrong.
func (w *world) connect(t *testing.T, faults ...string) *cloud.Client {
	t.Helper()
	local, err := localcloud.Open(context.WithoutCancel(t.Context()), w.dir, localcloud.WithFaults(faults...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := local.Close(); err != nil {
			t.Error(err)
		}
	})
	client, err := cloud.New(t.Context(), cloud.Config{
		Region: region, AccessKey: "a", SecretKey: "b", Transport: local.Transport(),
		Polling: cloud.Polling{Delay: 5 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func (w *world) volume(t *testing.T, tags map[string]string) string {
	t.Helper()
	w.made++
	id, err := w.client.CreateVolume(t.Context(), cloud.VolumeSpec{Zone: w.zone, SizeGiB: 1, Tags: tags, Token: fmt.Sprintf("token-%d", w.made)})
	if err == nil {
		err = w.client.WaitVolumeAvailable(t.Context(), id)
	}
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (w *world) snapshot(t *testing.T, tags map[string]string) string {
	t.Helper()
	volume := w.volume(t, nil)
	id, err := w.client.CreateSnapshot(t.Context(), volume, "x", tags, reap.OwnerTag)
	if err == nil {
		err = w.client.WaitSnapshot(t.Context(), id)
	}
	if err == nil {
		err = w.client.DeleteVolume(t.Context(), volume)
	}
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (w *world) image(t *testing.T, snapshot string, tags map[string]string) string {
	t.Helper()
	w.made++
	id, err := w.client.RegisterImage(t.Context(), cloud.ImageSpec{
		Name: fmt.Sprintf("image-%d", w.made), Architecture: "x86_64", Virtualization: "hvm", RootDevice: "/dev/xvda", Tags: tags,
		BlockDevices: []cloud.BlockDevice{{DeviceName: "/dev/xvda", SnapshotID: snapshot, SizeGiB: 1}},
	}, reap.OwnerTag)
	if err == nil {
		_, err = w.client.WaitImage(t.Context(), id)
	}
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// make makes something of a kind. An image comes with a snapshot that has the
// same tags.
func (w *world) make(t *testing.T, kind journal.Kind, tags map[string]string) []string {
	t.Helper()
	switch kind {
	case journal.Volume:
		return []string{w.volume(t, tags)}
	case journal.Snapshot:
		return []string{w.snapshot(t, tags)}
	default:
		snap := w.snapshot(t, tags)
		return []string{snap, w.image(t, snap, tags)}
	}
}

// contents are the ids of everything that there is, whoever made it.
func (w *world) contents(t *testing.T) []string {
	t.Helper()
	ctx := t.Context()
	images, err := w.client.Images(ctx, cloud.ImageQuery{Owners: []string{"self"}, IncludeDeprecated: true})
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, img := range images {
		list = append(list, img.ID)
	}
	// What a test makes has this tag.
	snapshots, err := w.client.SnapshotsWithTag(ctx, "test", "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, snap := range snapshots {
		list = append(list, snap.ID)
	}
	volumes, err := w.client.VolumesWithTag(ctx, "test", "*")
	if err != nil {
		t.Fatal(err)
	}
	list = append(list, volumes...)
	slices.Sort(list)
	return list
}

// of are the tags of what a bake has made, with a heartbeat.
func of(bake, heartbeat string) map[string]string {
	return map[string]string{"test": "yes", reap.OwnerTag: bake, reap.HeartbeatTag: heartbeat}
}

// ago is the heartbeat of a bake that was last alive then.
func ago(d time.Duration) string { return reap.Beat(time.Now().Add(-d)) }

func nobody(string) bool { return false }
