package cloud_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/localcloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/together"
)

// TestWaitsTogether lets another process have a question, for each kind of
// thing: the call that this process makes answers it too.
func TestWaitsTogether(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: the local cloud attaches volumes to loop devices")
	}
	ctx, dir := t.Context(), t.TempDir()
	local, err := localcloud.Open(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := local.Close(); err != nil {
			t.Error(err)
		}
	})
	calls := map[string]int{}
	c, err := cloud.New(ctx, cloud.Config{
		Region: "us-east-1", AccessKey: "a", SecretKey: "b", Transport: local.Transport(), Desk: together.Open(dir),
		OnCall: func(call, _ string) { calls[call]++ },
	})
	if err != nil {
		t.Fatal(err)
	}
	host, err := c.Host(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var volumes, snapshots, images [2]string
	for i, name := range []string{"mine", "another's"} {
		tags := map[string]string{"owner": name}
		if volumes[i], err = c.CreateVolume(ctx, cloud.VolumeSpec{Zone: host.Zone, SizeGiB: 1, Token: name}); err != nil {
			t.Fatal(err)
		}
		if err := c.WaitVolumeAvailable(ctx, volumes[i]); err != nil {
			t.Fatal(err)
		}
		if snapshots[i], err = c.CreateSnapshot(ctx, volumes[i], "", tags, "owner"); err != nil {
			t.Fatal(err)
		}
		if err := c.WaitSnapshot(ctx, snapshots[i]); err != nil {
			t.Fatal(err)
		}
		images[i], err = c.RegisterImage(ctx, cloud.ImageSpec{
			Name: name, Architecture: "x86_64", Virtualization: "hvm", RootDevice: "/dev/xvda", Tags: tags,
			BlockDevices: []cloud.BlockDevice{{DeviceName: "/dev/xvda", SnapshotID: snapshots[i], DeleteOnTermination: true}},
		}, "owner")
		if err != nil {
			t.Fatal(err)
		}
	}
	waitImage := func(id string) error { _, err := c.WaitImage(ctx, id); return err }
	for _, kind := range []struct {
		name, call string
		ids        [2]string
		wait       func(id string) error
		answer     any
		good       func(answer any) bool
	}{
		{
			"volumes", "ec2:DescribeVolumes", volumes, func(id string) error { return c.WaitVolumeAvailable(ctx, id) }, new(types.Volume),
			func(a any) bool {
				v := a.(*types.Volume)
				return aws.ToString(v.VolumeId) == volumes[1] && v.State == types.VolumeStateAvailable && aws.ToInt32(v.Size) == 1
			},
		},
		{
			"snapshots", "ec2:DescribeSnapshots", snapshots, func(id string) error { return c.WaitSnapshot(ctx, id) }, new(types.Snapshot),
			func(a any) bool {
				s := a.(*types.Snapshot)
				return aws.ToString(s.SnapshotId) == snapshots[1] && s.State == types.SnapshotStateCompleted
			},
		},
		{
			"images", "ec2:DescribeImages", images, waitImage, new(types.Image),
			func(a any) bool {
				i := a.(*types.Image)
				return aws.ToString(i.ImageId) == images[1] && i.State == types.ImageStateAvailable && aws.ToString(i.Name) == "another's" &&
					len(i.BlockDeviceMappings) == 1 && aws.ToString(i.BlockDeviceMappings[0].Ebs.SnapshotId) == snapshots[1] &&
					len(i.Tags) == 1 && aws.ToString(i.Tags[0].Value) == "another's"
			},
		},
	} {
		if err := kind.wait(kind.ids[0]); err != nil {
			t.Fatal(err)
		}
		desks, err := filepath.Glob(filepath.Join(dir, "*", kind.name))
		if err != nil || len(desks) != 1 {
			t.Fatalf("%s: desks %v, %v; want one", kind.name, desks, err)
		}
		question := filepath.Join(desks[0], kind.ids[1]+".another")
		if err := os.WriteFile(question, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		before := calls[kind.call]
		if err := kind.wait(kind.ids[0]); err != nil {
			t.Fatal(err)
		}
		if got := calls[kind.call] - before; got != 1 {
			t.Errorf("%s: %d calls, want one", kind.name, got)
		}
		text, err := os.ReadFile(question)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, kind.answer); err != nil || !kind.good(kind.answer) {
			t.Errorf("%s: the other was answered %s, %v", kind.name, text, err)
		}
	}
}
