package cloud_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/localcloud"
)

// registered makes an image of a blank volume, with its snapshot.
func registered(t *testing.T, c *cloud.Client, name string) cloud.Image {
	t.Helper()
	tags := map[string]string{"owner": name}
	snap, err := c.CreateSnapshot(t.Context(), blank(t, c), "", tags, "owner")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.WaitSnapshot(t.Context(), snap); err != nil {
		t.Fatal(err)
	}
	id, err := c.RegisterImage(t.Context(), cloud.ImageSpec{
		Name: name, Architecture: "x86_64", Virtualization: "hvm", RootDevice: "/dev/xvda", Tags: tags,
		BlockDevices: []cloud.BlockDevice{{DeviceName: "/dev/xvda", SnapshotID: snap}},
	}, "owner")
	if err != nil {
		t.Fatal(err)
	}
	img, err := c.WaitImage(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestCopyCarriesTagsAndKey(t *testing.T) {
	c := open(t, "CopyImage=lose:1")
	img := registered(t, c, "original")
	there := c.InRegion("eu-central-1")
	yes := true
	spec := cloud.CopySpec{
		Source: img.ID, SourceRegion: c.Region(), Name: "copy", Description: "a copy", Encrypted: &yes, KMSKeyID: "alias/there",
		Tags: map[string]string{"of": "image"}, SnapshotTags: map[string]string{"of": "snapshot"}, Token: "one",
	}
	id, err := there.CopyImage(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := there.CopyImage(t.Context(), spec); err != nil || again != id {
		t.Errorf("the same token again: %s, %v; want %s", again, err, id)
	}
	got, err := there.WaitImage(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(spec.Tags, got.Tags); diff != "" || got.Description != "a copy" || got.Region != "eu-central-1" {
		t.Errorf("copy = %+v\ntags (-want +got):\n%s", got, diff)
	}
	snaps, err := there.SnapshotsWithTag(t.Context(), "of", "snapshot")
	if err != nil || len(snaps) != 1 || snaps[0].ID != got.Snapshots()[0] || !snaps[0].Encrypted {
		t.Errorf("snapshots = %+v, %v; want the encrypted one of the copy, with its tag", snaps, err)
	}
}

func TestSharing(t *testing.T) {
	c := open(t)
	img := registered(t, c, "shared")
	with := cloud.Permissions{
		Users: []string{"111122223333"}, Organizations: []string{"arn:aws:organizations::111122223333:organization/o-abcdefghij"},
	}
	if err := c.ShareImage(t.Context(), img.ID, with); err != nil {
		t.Fatal(err)
	}
	if got, err := c.ImagePermissions(t.Context(), img.ID); err != nil || !cmp.Equal(with, got) {
		t.Errorf("permissions = %+v, %v; want %+v", got, err, with)
	}
	if err := c.ShareSnapshot(t.Context(), img.Snapshots()[0], with); err != nil {
		t.Error(err)
	}
	at := time.Now().Add(48 * time.Hour).Truncate(time.Minute)
	for _, err := range []error{
		c.DeprecateImage(t.Context(), img.ID, at), c.RequireIMDSv2(t.Context(), img.ID),
		c.AddProductCodes(t.Context(), img.ID, []string{"abc"}), c.ProtectImage(t.Context(), img.ID, false),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	got, err := c.Image(t.Context(), img.ID)
	if err != nil {
		t.Fatal(err)
	}
	if !got.DeprecateAt.Equal(at) || got.IMDS != "v2.0" || !slices.Equal(got.ProductCodes, []string{"abc"}) || !got.Protected {
		t.Errorf("image = %+v", got)
	}
	if err := c.DeregisterImage(t.Context(), img.ID); !errors.Is(err, cloud.ErrProtected) {
		t.Errorf("deregister a protected image: %v, want ErrProtected", err)
	}
	if err := c.UnprotectImage(t.Context(), img.ID); err != nil {
		t.Fatal(err)
	}
	if err := c.DeregisterImage(t.Context(), img.ID); err != nil {
		t.Error(err)
	}
	if err := c.UnprotectImage(t.Context(), img.ID); err != nil {
		t.Errorf("unprotect an image that is gone: %v, want no error", err)
	}
}

func TestDryRunsMakeNothing(t *testing.T) {
	c := open(t)
	img := registered(t, c, "dry")
	host, err := c.Host(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		c.MayCreateVolume(t.Context(), cloud.VolumeSpec{Zone: host.Zone, SizeGiB: 1, Tags: map[string]string{"x": "y"}}),
		c.MayRegisterImage(t.Context(), cloud.ImageSpec{Name: "other", RootDevice: "/dev/xvda", BlockDevices: img.BlockDevices}),
		c.MayCopyImage(t.Context(), cloud.CopySpec{Source: img.ID, SourceRegion: c.Region(), Name: "other"}),
		c.MayDeregisterImage(t.Context(), img.ID), c.MayDeleteSnapshot(t.Context(), img.Snapshots()[0]),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if vols, err := c.VolumesWithTag(t.Context(), "x", "y"); err != nil || len(vols) > 0 {
		t.Errorf("volumes = %v, %v; want none", vols, err)
	}
	if _, err := c.Image(t.Context(), img.ID); err != nil {
		t.Errorf("the image after dry runs: %v", err)
	}
}

func TestDryRunTellsDenial(t *testing.T) {
	c := open(t, "CopyImage=error:UnauthorizedOperation")
	err := c.MayCopyImage(t.Context(), cloud.CopySpec{Source: "ami-0123456789abcdef0", SourceRegion: "us-east-1", Name: "n"})
	if !errors.Is(err, cloud.ErrAccessDenied) {
		t.Errorf("error = %v, want ErrAccessDenied", err)
	}
}

func TestCallsAreTold(t *testing.T) {
	open(t) // skips without root
	local, err := localcloud.Open(t.Context(), t.TempDir(), localcloud.WithFaults("DescribeImages=throttle:1"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = local.Close() })
	var mu sync.Mutex
	var told []string
	c, err := cloud.New(t.Context(), cloud.Config{
		Region: "us-east-1", AccessKey: "a", SecretKey: "b", Transport: local.Transport(),
		OnCall: func(call, region string) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, region+" "+call)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.InRegion("eu-west-1").ImageNamed(t.Context(), "none"); !errors.Is(err, cloud.ErrNotFound) {
		t.Fatal(err)
	}
	if want := []string{"eu-west-1 ec2:DescribeImages"}; !slices.Equal(told, want) {
		t.Errorf("calls = %v, want %v once, though it was throttled", told, want)
	}
}
