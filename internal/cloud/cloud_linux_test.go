package cloud_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/localcloud"
)

// open returns a client of a new local cloud in which some calls go wrong.
func open(t *testing.T, faults ...string) *cloud.Client {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: the local cloud attaches volumes to loop devices")
	}
	local, err := localcloud.Open(t.Context(), t.TempDir(), localcloud.WithFaults(faults...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := local.Close(); err != nil {
			t.Error(err)
		}
	})
	client, err := cloud.New(t.Context(), cloud.Config{
		Region: "us-east-1", AccessKey: "a", SecretKey: "b", Transport: local.Transport(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestRound(t *testing.T) {
	c := open(t)
	ctx := t.Context()
	host, err := c.Host(ctx)
	if err != nil {
		t.Fatal(err)
	}
	tags := map[string]string{"owner": "round", "Name": "x"}
	vol, err := c.CreateVolume(ctx, cloud.VolumeSpec{Zone: host.Zone, SizeGiB: 1, Tags: tags, Token: "t1"})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.CreateVolume(ctx, cloud.VolumeSpec{Zone: host.Zone, SizeGiB: 1, Tags: tags, Token: "t1"}); err != nil || again != vol {
		t.Errorf("the same token again: %s, %v; want %s", again, err, vol)
	}
	if err := c.WaitVolumeAvailable(ctx, vol); err != nil {
		t.Fatal(err)
	}
	device := attach(t, c, vol, host.InstanceID)
	if err := c.WaitVolumeAttached(ctx, vol); err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteVolume(ctx, vol); !errors.Is(err, cloud.ErrInUse) {
		t.Errorf("delete an attached volume: %v, want ErrInUse", err)
	}
	used, err := c.AttachedDevices(ctx, host.InstanceID)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(used, device) {
		t.Errorf("devices in use = %v, want %s among them", used, device)
	}
	snap, err := c.CreateSnapshot(ctx, vol, "a snapshot", tags, "owner")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.WaitSnapshot(ctx, snap); err != nil {
		t.Fatal(err)
	}
	spec := cloud.ImageSpec{
		Name: "round", Description: "made by a test", Architecture: "x86_64", BootMode: "uefi", Virtualization: "hvm",
		RootDevice: "/dev/xvda", ENA: true, IMDS: "v2.0", TPM: "v2.0", Tags: tags,
		BlockDevices: []cloud.BlockDevice{{DeviceName: "/dev/xvda", SnapshotID: snap, Type: "gp3", DeleteOnTermination: true}},
	}
	id, err := c.RegisterImage(ctx, spec, "owner")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.WaitImage(ctx, id); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RegisterImage(ctx, spec, "owner"); !errors.Is(err, cloud.ErrDuplicateName) {
		t.Errorf("register the name again: %v, want ErrDuplicateName", err)
	}
	brief, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := c.DeleteSnapshot(brief, snap); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("delete a snapshot that an image uses: %v, want it to wait", err)
	}
	img, err := c.ImageNamed(ctx, "round")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tags, img.Tags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	if img.BootMode != "uefi" || !img.ENA || img.IMDS != "v2.0" || img.TPM != "v2.0" || img.Description != "made by a test" {
		t.Errorf("image = %+v", img)
	}
	if root, ok := img.Root(); !ok || root.SnapshotID != snap || root.SizeGiB != 1 || !root.DeleteOnTermination {
		t.Errorf("root = %+v", root)
	}
	if err := c.DeregisterImage(ctx, id); err != nil {
		t.Fatal(err)
	}
	if err := c.DeregisterImage(ctx, id); err != nil {
		t.Errorf("deregister again: %v, want no error", err)
	}
	if _, err := c.Image(ctx, id); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("image after deregistration: %v, want ErrNotFound", err)
	}
	if err := c.DeleteSnapshot(ctx, snap); err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteSnapshot(ctx, snap); err != nil {
		t.Errorf("delete again: %v, want no error", err)
	}
}

// blank makes a detached volume without content.
func blank(t *testing.T, c *cloud.Client) string {
	t.Helper()
	host, err := c.Host(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	vol, err := c.CreateVolume(t.Context(), cloud.VolumeSpec{Zone: host.Zone, SizeGiB: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.WaitVolumeAvailable(t.Context(), vol); err != nil {
		t.Fatal(err)
	}
	return vol
}

func TestLostAnswersMakeNothingTwice(t *testing.T) {
	c := open(t, "CreateSnapshot=lose:1", "RegisterImage=lose:1")
	ctx := t.Context()
	tags := map[string]string{"owner": "unique"}
	snap, err := c.CreateSnapshot(ctx, blank(t, c), "", tags, "owner")
	if err != nil {
		t.Fatal(err)
	}
	if all, err := c.SnapshotsWithTag(ctx, "owner", "unique"); err != nil || len(all) != 1 || all[0].ID != snap {
		t.Errorf("snapshots = %+v, %v; want %s alone", all, err, snap)
	}
	if err := c.WaitSnapshot(ctx, snap); err != nil {
		t.Fatal(err)
	}
	id, err := c.RegisterImage(ctx, cloud.ImageSpec{
		Name: "lost", Architecture: "x86_64", Virtualization: "hvm", RootDevice: "/dev/xvda", Tags: tags,
		BlockDevices: []cloud.BlockDevice{{DeviceName: "/dev/xvda", SnapshotID: snap}},
	}, "owner")
	if err != nil {
		t.Fatal(err)
	}
	if img, err := c.ImageNamed(ctx, "lost"); err != nil || img.ID != id {
		t.Errorf("image = %+v, %v; want %s", img, err, id)
	}
}

func TestThrottledCallsAreRepeated(t *testing.T) {
	c := open(t, "CreateSnapshot=throttle:2", "DescribeVolumes=throttle:2")
	if _, err := c.CreateSnapshot(t.Context(), blank(t, c), "", map[string]string{"owner": "x"}, "owner"); err != nil {
		t.Error(err)
	}
}

func TestRefusedCallNamesCodeAndResource(t *testing.T) {
	c := open(t, "CreateSnapshot=error:UnauthorizedOperation")
	vol := blank(t, c)
	_, err := c.CreateSnapshot(t.Context(), vol, "", map[string]string{"owner": "x"}, "owner")
	var api *cloud.APIError
	if !errors.As(err, &api) || !errors.Is(err, cloud.ErrAccessDenied) || api.Op != "CreateSnapshot" || api.Resource != vol {
		t.Errorf("error = %v, want CreateSnapshot of %s refused as ErrAccessDenied", err, vol)
	}
}

func TestTakenDeviceName(t *testing.T) {
	c := open(t)
	ctx := t.Context()
	host, err := c.Host(ctx)
	if err != nil {
		t.Fatal(err)
	}
	first, second := blank(t, c), blank(t, c)
	device := attach(t, c, first, host.InstanceID)
	if err := c.AttachVolume(ctx, second, host.InstanceID, device); !errors.Is(err, cloud.ErrDeviceInUse) {
		t.Errorf("attach under a taken name: %v, want ErrDeviceInUse", err)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	c := open(t)
	stop := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	if err := c.WaitSnapshot(ctx, "snap-0123456789abcdef0"); !errors.Is(err, stop) && !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want the context's", err)
	}
}

// attach attaches a volume until the test ends and returns its device name. The
// names are the machine's: other tests may have taken some of them.
func attach(t *testing.T, c *cloud.Client, vol, instance string) string {
	t.Helper()
	for letter := 'f'; letter <= 'p'; letter++ {
		name := "/dev/sd" + string(letter)
		err := c.AttachVolume(t.Context(), vol, instance, name)
		if err == nil {
			t.Cleanup(func() { detachAndDelete(t, c, vol) })
			return name
		}
		if !errors.Is(err, cloud.ErrDeviceInUse) {
			t.Fatal(err)
		}
	}
	t.Fatal("every device name of this machine is taken")
	return ""
}

func detachAndDelete(t *testing.T, c *cloud.Client, vol string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	for _, undo := range []func(context.Context, string) error{c.DetachVolume, c.DeleteVolume} {
		if err := undo(ctx, vol); err != nil {
			t.Error(err)
		}
	}
}
