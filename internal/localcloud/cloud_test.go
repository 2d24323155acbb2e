package localcloud_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"github.com/imagebakery/packer-plugin-bakery/internal/localcloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/loop"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: loop devices and mounts")
	}
}

// lab is a local cloud of its own and a client of it.
type lab struct {
	*ec2.Client
	t     *testing.T
	dir   string
	cloud *localcloud.Cloud
}

func newLab(t *testing.T, opts ...localcloud.Option) *lab {
	t.Helper()
	return openLab(t, t.TempDir(), opts...)
}

func openLab(t *testing.T, dir string, opts ...localcloud.Option) *lab {
	t.Helper()
	cloud, err := localcloud.Open(t.Context(), dir, opts...)
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{Client: client(cloud.Transport(), "us-east-1"), t: t, dir: dir, cloud: cloud}
	t.Cleanup(func() {
		if err := cloud.Close(); err != nil {
			t.Error(err)
		}
		l.sweep()
	})
	return l
}

// sweep detaches what a failed test has left attached.
func (l *lab) sweep() {
	devices, err := loop.List()
	if err != nil {
		l.t.Error(err)
	}
	for _, d := range devices {
		if strings.HasPrefix(d.Backing, l.dir+"/") {
			if err := d.Detach(); err != nil {
				l.t.Error(err)
			}
		}
	}
	links, _ := filepath.Glob("/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_*")
	for _, link := range append(links, "/dev/xvdzy", "/dev/sdzy") {
		if _, err := os.Stat(link); errors.Is(err, os.ErrNotExist) {
			_ = os.Remove(link)
		}
	}
}

// client returns a client that tries once: the tests want to see every answer.
func client(transport http.RoundTripper, region string) *ec2.Client {
	return ec2.New(ec2.Options{
		Region:           region,
		Credentials:      credentials.NewStaticCredentialsProvider("AKIATEST", "secret", ""),
		HTTPClient:       &http.Client{Transport: transport},
		RetryMaxAttempts: 1,
	})
}

func (l *lab) in(region string) *ec2.Client { return client(l.cloud.Transport(), region) }

// must returns a result or ends the test.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// until polls until ok says so.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) {
		t.Fatalf("got %v, want the error %s", err, code)
	}
	if api.ErrorCode() != code {
		t.Fatalf("got %v, want the code %s", err, code)
	}
}

func (l *lab) createVolume(in *ec2.CreateVolumeInput) string {
	l.t.Helper()
	if in.AvailabilityZone == nil {
		in.AvailabilityZone = aws.String("us-east-1a")
	}
	out := must(l.CreateVolume(context.Background(), in))(l.t)
	if out.State != types.VolumeStateCreating {
		l.t.Errorf("new volume is %s, want creating", out.State)
	}
	l.waitVolume(*out.VolumeId, types.VolumeStateAvailable)
	return *out.VolumeId
}

func (l *lab) volume(id string) types.Volume {
	l.t.Helper()
	out := must(l.DescribeVolumes(context.Background(), &ec2.DescribeVolumesInput{VolumeIds: []string{id}}))(l.t)
	if len(out.Volumes) != 1 {
		l.t.Fatalf("got %d volumes, want 1", len(out.Volumes))
	}
	return out.Volumes[0]
}

func (l *lab) waitVolume(id string, state types.VolumeState) {
	l.t.Helper()
	until(l.t, id+" is "+string(state), func() bool { return l.volume(id).State == state })
}

func (l *lab) instance() string {
	l.t.Helper()
	out := must(l.DescribeInstances(context.Background(), &ec2.DescribeInstancesInput{}))(l.t)
	return *out.Reservations[0].Instances[0].InstanceId
}

func (l *lab) attach(volume, device string) {
	l.t.Helper()
	out := must(l.AttachVolume(context.Background(), &ec2.AttachVolumeInput{
		VolumeId: &volume, InstanceId: aws.String(l.instance()), Device: &device,
	}))(l.t)
	if out.State != types.VolumeAttachmentStateAttaching {
		l.t.Errorf("new attachment is %s, want attaching", out.State)
	}
	until(l.t, "attached", func() bool {
		v := l.volume(volume)
		return len(v.Attachments) == 1 && v.Attachments[0].State == types.VolumeAttachmentStateAttached
	})
}

func (l *lab) detach(volume string) {
	l.t.Helper()
	out := must(l.DetachVolume(context.Background(), &ec2.DetachVolumeInput{VolumeId: &volume}))(l.t)
	if out.State != types.VolumeAttachmentStateDetaching {
		l.t.Errorf("attachment is %s, want detaching", out.State)
	}
	l.waitVolume(volume, types.VolumeStateAvailable)
}

func (l *lab) snapshot(volume string) string {
	l.t.Helper()
	out := must(l.CreateSnapshot(context.Background(), &ec2.CreateSnapshotInput{VolumeId: &volume}))(l.t)
	if out.State != types.SnapshotStatePending {
		l.t.Errorf("new snapshot is %s, want pending", out.State)
	}
	l.waitSnapshot(*out.SnapshotId)
	return *out.SnapshotId
}

func (l *lab) waitSnapshot(id string) {
	l.t.Helper()
	until(l.t, id+" is completed", func() bool {
		out := must(l.DescribeSnapshots(context.Background(), &ec2.DescribeSnapshotsInput{SnapshotIds: []string{id}}))(l.t)
		return out.Snapshots[0].State == types.SnapshotStateCompleted
	})
}

func (l *lab) register(name, snapshot string) string {
	l.t.Helper()
	out := must(l.RegisterImage(context.Background(), registration(name, snapshot)))(l.t)
	until(l.t, "available", func() bool {
		out := must(l.DescribeImages(context.Background(), &ec2.DescribeImagesInput{ImageIds: []string{*out.ImageId}}))(l.t)
		return out.Images[0].State == types.ImageStateAvailable
	})
	return *out.ImageId
}

func registration(name, snapshot string) *ec2.RegisterImageInput {
	return &ec2.RegisterImageInput{
		Name: &name, Architecture: types.ArchitectureValuesX8664, VirtualizationType: aws.String("hvm"),
		RootDeviceName: aws.String("/dev/xvda"), EnaSupport: aws.Bool(true), BootMode: types.BootModeValuesUefi,
		BlockDeviceMappings: []types.BlockDeviceMapping{{
			DeviceName: aws.String("/dev/xvda"),
			Ebs:        &types.EbsBlockDevice{SnapshotId: &snapshot, VolumeType: types.VolumeTypeGp3},
		}},
	}
}

// TestRound is the way of a bake: a volume is attached, written, detached and
// snapshotted, an image registered, and another volume has what was written.
func TestRound(t *testing.T) {
	needRoot(t)
	l := newLab(t)
	vol := l.createVolume(&ec2.CreateVolumeInput{Size: aws.Int32(1), VolumeType: types.VolumeTypeGp3})

	l.attach(vol, "/dev/sdzx")
	byID := "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_" + strings.ReplaceAll(vol, "-", "")
	for _, name := range []string{"/dev/sdzx", "/dev/xvdzx", byID} {
		if info, err := os.Stat(name); err != nil || info.Mode()&os.ModeDevice == 0 {
			t.Errorf("%s is not a device: %v", name, err)
		}
	}
	writeDevice(t, "/dev/xvdzx", 4096, "written on the device")
	snap := l.snapshot(vol) // while attached
	writeDevice(t, "/dev/xvdzx", 4096, "written after the snapshot")
	l.detach(vol)
	for _, name := range []string{"/dev/sdzx", "/dev/xvdzx", byID} {
		if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}

	ami := l.register("round", snap)
	_, err := l.DeleteSnapshot(t.Context(), &ec2.DeleteSnapshotInput{SnapshotId: &snap})
	wantCode(t, err, "InvalidSnapshot.InUse")

	again := l.createVolume(&ec2.CreateVolumeInput{SnapshotId: &snap})
	l.attach(again, "/dev/sdzx")
	if got := readDevice(t, "/dev/xvdzx", 4096, 21); got != "written on the device" {
		t.Errorf("the new volume has %q", got)
	}
	l.detach(again)

	must(l.DeregisterImage(t.Context(), &ec2.DeregisterImageInput{ImageId: &ami}))(t)
	_, err = l.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{ami}})
	wantCode(t, err, "InvalidAMIID.NotFound")
	_, err = l.DeregisterImage(t.Context(), &ec2.DeregisterImageInput{ImageId: &ami})
	wantCode(t, err, "InvalidAMIID.Unavailable")
	must(l.DeleteSnapshot(t.Context(), &ec2.DeleteSnapshotInput{SnapshotId: &snap}))(t)
	for _, id := range []string{vol, again} {
		must(l.DeleteVolume(t.Context(), &ec2.DeleteVolumeInput{VolumeId: &id}))(t)
		until(t, "deleted", func() bool {
			_, err := l.DescribeVolumes(t.Context(), &ec2.DescribeVolumesInput{VolumeIds: []string{id}})
			return err != nil
		})
	}
	l.wantNoFiles()
}

// wantNoFiles waits until the files of what was deleted are gone.
func (l *lab) wantNoFiles() {
	l.t.Helper()
	until(l.t, "no files are left", func() bool { return len(l.dataFiles()) == 0 })
}

// dataFiles are the files of volumes and snapshots, and unfinished ones.
func (l *lab) dataFiles() []string {
	l.t.Helper()
	var all []string
	for _, dir := range []string{"volumes", "snapshots", "work"} {
		names, err := filepath.Glob(filepath.Join(l.dir, "local", dir, "*"))
		if err != nil {
			l.t.Fatal(err)
		}
		all = slices.Concat(all, names)
	}
	return all
}

func writeDevice(t *testing.T, path string, at int64, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte(text), at)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func readDevice(t *testing.T, path string, at int64, n int) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, n)
	if _, err := f.ReadAt(buf, at); err != nil {
		t.Fatal(err)
	}
	return string(buf)
}
