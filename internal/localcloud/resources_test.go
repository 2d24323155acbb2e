package localcloud_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/imagebakery/packer-plugin-bakery/internal/localcloud"
)

func TestClientTokens(t *testing.T) {
	l := newLab(t)
	in := &ec2.CreateVolumeInput{
		AvailabilityZone: aws.String("us-east-1a"), Size: aws.Int32(1), ClientToken: aws.String("one"),
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeVolume, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}},
	}
	var wg sync.WaitGroup
	ids := make([]string, 8)
	for i := range ids {
		wg.Go(func() {
			out, err := l.CreateVolume(context.Background(), in)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = *out.VolumeId
			if len(out.Tags) != 1 {
				t.Errorf("call %d: tags are %v", i, out.Tags)
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("one token made several volumes: %v", ids)
		}
	}
	until(t, "only one file is there", func() bool { return len(l.dataFiles()) == 1 })
	other := *in
	other.Size = aws.Int32(2)
	_, err := l.CreateVolume(t.Context(), &other)
	wantCode(t, err, "IdempotentParameterMismatch")

	snap := l.snapshot(ids[0])
	ami := l.register("one", snap)
	eu := l.in("eu-west-1")
	again := &ec2.CopyImageInput{SourceRegion: aws.String("us-east-1"), SourceImageId: &ami, Name: aws.String("one"), ClientToken: aws.String("one")}
	first := must(eu.CopyImage(t.Context(), again))(t)
	second := must(eu.CopyImage(t.Context(), again))(t)
	if *first.ImageId != *second.ImageId {
		t.Errorf("one token made two copies")
	}
	again.Name = aws.String("two")
	_, err = eu.CopyImage(t.Context(), again)
	wantCode(t, err, "IdempotentParameterMismatch")
}

func TestPagesAndFilters(t *testing.T) {
	l := newLab(t)
	snap := l.snapshot(l.createVolume(&ec2.CreateVolumeInput{Size: aws.Int32(1)}))
	for i := range 13 {
		in := registration(fmt.Sprintf("shop-%02d", i), snap)
		in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeImage, Tags: []types.Tag{
			{Key: aws.String("parity"), Value: aws.String([]string{"even", "odd"}[i%2])},
		}}}
		must(l.RegisterImage(t.Context(), in))(t)
	}
	var names []string
	pages := ec2.NewDescribeImagesPaginator(l, &ec2.DescribeImagesInput{MaxResults: aws.Int32(5)})
	for n := 0; pages.HasMorePages(); n++ {
		page := must(pages.NextPage(t.Context()))(t)
		if n == 0 { // what goes or comes between pages moves nothing
			must(l.DeregisterImage(t.Context(), &ec2.DeregisterImageInput{ImageId: page.Images[0].ImageId}))(t)
		}
		for _, im := range page.Images {
			names = append(names, *im.Name)
		}
	}
	if len(names) != 13 || names[0] != "shop-00" || names[12] != "shop-12" {
		t.Errorf("pages have %v", names)
	}

	for _, test := range []struct {
		filters string // name=value,value;…
		want    int
	}{
		{"name=shop-*", 12},
		{"name=shop-0?", 9},
		{"name=shop-01,shop-02", 2},
		{`name=shop-\*`, 0},
		{"tag:parity=odd", 6},
		{"tag:parity=odd;name=shop-1*", 1},
		{"tag-key=parity", 12},
		{"tag-value=even", 6},
		{"block-device-mapping.snapshot-id=" + snap, 12},
		{"ena-support=true;boot-mode=uefi;architecture=x86_64;root-device-type=ebs;virtualization-type=hvm", 12},
		{"is-public=true", 0},
		{"owner-id=" + localcloud.AccountID, 12},
		{"creation-date=" + time.Now().UTC().Format("2006-01") + "*", 12},
		{"NAME=shop-01", -1},
	} {
		var filters []types.Filter
		for f := range strings.SplitSeq(test.filters, ";") {
			name, values, _ := strings.Cut(f, "=")
			filters = append(filters, types.Filter{Name: &name, Values: strings.Split(values, ",")})
		}
		out, err := l.DescribeImages(t.Context(), &ec2.DescribeImagesInput{Owners: []string{"self"}, Filters: filters})
		if test.want < 0 {
			wantCode(t, err, "InvalidParameterValue")
			continue
		}
		if got := len(must(out, err)(t).Images); got != test.want {
			t.Errorf("%s finds %d images, want %d", test.filters, got, test.want)
		}
	}
	if out := must(l.DescribeImages(t.Context(), &ec2.DescribeImagesInput{Owners: []string{"amazon"}}))(t); len(out.Images) != 0 {
		t.Errorf("amazon owns %d images", len(out.Images))
	}
}

func TestRegisteredImageReadsBack(t *testing.T) {
	l := newLab(t)
	snap := l.snapshot(l.createVolume(&ec2.CreateVolumeInput{Size: aws.Int32(1), Encrypted: aws.Bool(true)}))
	in := registration("full", snap)
	in.Description = aws.String("all there is")
	in.Architecture = types.ArchitectureValuesArm64
	in.TpmSupport, in.ImdsSupport = types.TpmSupportValuesV20, types.ImdsSupportValuesV20
	in.UefiData = aws.String("QU1aTlVFRkk=")
	in.BlockDeviceMappings = append(in.BlockDeviceMappings,
		types.BlockDeviceMapping{DeviceName: aws.String("/dev/sdb"), VirtualName: aws.String("ephemeral0")},
		types.BlockDeviceMapping{DeviceName: aws.String("/dev/sdc"), NoDevice: aws.String("")},
		types.BlockDeviceMapping{DeviceName: aws.String("/dev/sdd"), Ebs: &types.EbsBlockDevice{
			VolumeSize: aws.Int32(8), VolumeType: types.VolumeTypeIo2, Iops: aws.Int32(400), DeleteOnTermination: aws.Bool(false),
		}})
	ami := *must(l.RegisterImage(t.Context(), in))(t).ImageId
	got := must(l.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{ami}}))(t).Images[0]
	root := got.BlockDeviceMappings[0].Ebs
	for _, check := range []struct{ what, got, want any }{
		{"architecture", got.Architecture, types.ArchitectureValuesArm64},
		{"boot mode", got.BootMode, types.BootModeValuesUefi},
		{"TPM", got.TpmSupport, types.TpmSupportValuesV20},
		{"IMDS", got.ImdsSupport, types.ImdsSupportValuesV20},
		{"ENA", aws.ToBool(got.EnaSupport), true},
		{"description", aws.ToString(got.Description), "all there is"},
		{"root type", root.VolumeType, types.VolumeTypeGp3},
		{"root size", aws.ToInt32(root.VolumeSize), int32(1)},
		{"root IOPS", aws.ToInt32(root.Iops), int32(3000)},
		{"root throughput", aws.ToInt32(root.Throughput), int32(125)},
		{"root encrypted", aws.ToBool(root.Encrypted), true},
		{"root deleted with the instance", aws.ToBool(root.DeleteOnTermination), true},
		{"mappings", len(got.BlockDeviceMappings), 4},
		{"instance store", aws.ToString(got.BlockDeviceMappings[1].VirtualName), "ephemeral0"},
		{"no device", got.BlockDeviceMappings[2].NoDevice != nil, true},
		{"IOPS", aws.ToInt32(got.BlockDeviceMappings[3].Ebs.Iops), int32(400)},
	} {
		if diff := cmp.Diff(check.want, check.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", check.what, diff)
		}
	}
	until(t, "available", func() bool {
		_, err := l.EnableImageDeprecation(t.Context(), &ec2.EnableImageDeprecationInput{ImageId: &ami, DeprecateAt: aws.Time(time.Now().Add(48 * time.Hour))})
		return err == nil
	})
	data := must(l.DescribeImageAttribute(t.Context(), &ec2.DescribeImageAttributeInput{ImageId: &ami, Attribute: types.ImageAttributeNameUefiData}))(t)
	if aws.ToString(data.UefiData.Value) != "QU1aTlVFRkk=" {
		t.Errorf("UEFI data is %v", data.UefiData)
	}
	must(l.EnableImageDeregistrationProtection(t.Context(), &ec2.EnableImageDeregistrationProtectionInput{ImageId: &ami, WithCooldown: aws.Bool(true)}))(t)
	off := must(l.DisableImageDeregistrationProtection(t.Context(), &ec2.DisableImageDeregistrationProtectionInput{ImageId: &ami}))(t)
	if !strings.HasPrefix(aws.ToString(off.Return), "disabled-after-") {
		t.Errorf("protection with a cooldown ends with %q", aws.ToString(off.Return))
	}
	_, err := l.DeregisterImage(t.Context(), &ec2.DeregisterImageInput{ImageId: &ami})
	wantCode(t, err, "OperationNotPermitted")
}

// TestMountedVolumeDetachesLater: EC2 shows the attachment of a mounted volume
// as busy until it is unmounted.
func TestMountedVolumeDetachesLater(t *testing.T) {
	needRoot(t)
	l := newLab(t)
	vol := l.createVolume(&ec2.CreateVolumeInput{Size: aws.Int32(1)})
	l.attach(vol, "xvdzt")
	for _, argv := range [][]string{{"mkfs.ext4", "-q", "/dev/xvdzt"}, {"mount", "/dev/xvdzt", "MOUNT"}} {
		if argv[len(argv)-1] == "MOUNT" {
			argv[len(argv)-1] = t.TempDir()
			t.Cleanup(func() { _ = exec.Command("umount", argv[len(argv)-1]).Run() })
		}
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v %s", argv, err, out)
		}
	}
	must(l.DetachVolume(t.Context(), &ec2.DetachVolumeInput{VolumeId: &vol, Force: aws.Bool(true)}))(t)
	v := l.volume(vol)
	if v.State != types.VolumeStateInUse || v.Attachments[0].State != types.VolumeAttachmentStateBusy {
		t.Errorf("mounted volume is %s, its attachment %v", v.State, v.Attachments)
	}
	_, err := l.DeleteVolume(t.Context(), &ec2.DeleteVolumeInput{VolumeId: &vol})
	wantCode(t, err, "VolumeInUse")
	if _, err := os.Stat("/dev/xvdzt"); err != nil {
		t.Errorf("the device of a mounted volume has gone: %v", err)
	}
	if out, err := exec.Command("umount", "/dev/xvdzt").CombinedOutput(); err != nil {
		t.Fatalf("umount: %v %s", err, out)
	}
	l.waitVolume(vol, types.VolumeStateAvailable)
	if _, err := os.Lstat("/dev/xvdzt"); err == nil {
		t.Error("the link of a detached volume is still there")
	}
}

func TestDeviceNames(t *testing.T) {
	needRoot(t)
	l := newLab(t)
	one := l.createVolume(&ec2.CreateVolumeInput{Size: aws.Int32(1)})
	two := l.createVolume(&ec2.CreateVolumeInput{Size: aws.Int32(1)})
	l.attach(one, "/dev/sdzs")
	attach := func(l *lab, vol, device string) error {
		_, err := l.AttachVolume(t.Context(), &ec2.AttachVolumeInput{VolumeId: &vol, InstanceId: aws.String(l.instance()), Device: &device})
		return err
	}
	wantCode(t, attach(l, two, "/dev/xvdzs"), "InvalidParameterValue") // the same point by its other name
	wantCode(t, attach(l, one, "/dev/sdzr"), "VolumeInUse")

	// Another cloud on this machine, and a device that is nobody's.
	other := newLab(t)
	three := other.createVolume(&ec2.CreateVolumeInput{Size: aws.Int32(1)})
	wantCode(t, attach(other, three, "/dev/sdzs"), "InvalidParameterValue")
	if err := os.WriteFile("/dev/xvdzr", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove("/dev/xvdzr") })
	wantCode(t, attach(l, two, "/dev/sdzr"), "InvalidParameterValue")
	if l.volume(two).State != types.VolumeStateAvailable {
		t.Errorf("a refused attachment has left the volume %s", l.volume(two).State)
	}
	if info, err := os.Lstat("/dev/xvdzr"); err != nil || !info.Mode().IsRegular() {
		t.Errorf("a foreign name was touched: %v", err)
	}
	l.detach(one)
	if err := attach(other, three, "/dev/sdzs"); err != nil {
		t.Error(err)
	}
	other.detach(three)
}

func TestModifiedVolumeGrows(t *testing.T) {
	needRoot(t)
	l := newLab(t)
	vol := l.createVolume(&ec2.CreateVolumeInput{Size: aws.Int32(1), VolumeType: types.VolumeTypeGp3})
	l.attach(vol, "/dev/sdzq")
	must(l.ModifyVolume(t.Context(), &ec2.ModifyVolumeInput{VolumeId: &vol, Size: aws.Int32(3), Throughput: aws.Int32(300)}))(t)
	until(t, "completed", func() bool {
		out := must(l.DescribeVolumesModifications(t.Context(), &ec2.DescribeVolumesModificationsInput{VolumeIds: []string{vol}}))(t)
		return out.VolumesModifications[0].ModificationState == types.VolumeModificationStateCompleted
	})
	f, err := os.Open("/dev/xvdzq")
	if err != nil {
		t.Fatal(err)
	}
	size, err := f.Seek(0, 2)
	if err != nil || size != 3<<30 {
		t.Errorf("the device has %d bytes: %v", size, err)
	}
	f.Close()
	if v := l.volume(vol); aws.ToInt32(v.Size) != 3 || aws.ToInt32(v.Throughput) != 300 {
		t.Errorf("volume is %+v", v)
	}
	l.detach(vol)
}

func TestTags(t *testing.T) {
	l := newLab(t)
	vol := l.createVolume(&ec2.CreateVolumeInput{Size: aws.Int32(1)})
	tags := func(kv ...string) (all []types.Tag) {
		for i := 0; i < len(kv); i += 2 {
			all = append(all, types.Tag{Key: &kv[i], Value: &kv[i+1]})
		}
		return all
	}
	must(l.CreateTags(t.Context(), &ec2.CreateTagsInput{Resources: []string{vol, l.instance()}, Tags: tags("a", "1", "b", "2", "c", "")}))(t)
	must(l.CreateTags(t.Context(), &ec2.CreateTagsInput{Resources: []string{vol}, Tags: tags("a", "3")}))(t)
	must(l.DeleteTags(t.Context(), &ec2.DeleteTagsInput{Resources: []string{vol}, Tags: tags("b", "other")}))(t) // another value: stays
	must(l.DeleteTags(t.Context(), &ec2.DeleteTagsInput{Resources: []string{vol}, Tags: []types.Tag{{Key: aws.String("c")}}}))(t)
	got := map[string]string{}
	for _, tag := range l.volume(vol).Tags {
		got[*tag.Key] = *tag.Value
	}
	if diff := cmp.Diff(map[string]string{"a": "3", "b": "2"}, got); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	out := must(l.DescribeTags(t.Context(), &ec2.DescribeTagsInput{Filters: []types.Filter{{Name: aws.String("resource-type"), Values: []string{"instance"}}}}))(t)
	if len(out.Tags) != 3 {
		t.Errorf("the instance has tags %v", out.Tags)
	}
	must(l.DeleteVolume(t.Context(), &ec2.DeleteVolumeInput{VolumeId: &vol}))(t)
}

func TestFaultsAndLatency(t *testing.T) {
	l := newLab(t, localcloud.WithFaults(
		"CreateVolume=error:InternalError:1", "DescribeRegions=throttle:1@2", "CreateSnapshot=lose:1", "DescribeTags=late:300ms:1"))
	in := &ec2.CreateVolumeInput{AvailabilityZone: aws.String("us-east-1a"), Size: aws.Int32(1)}
	_, err := l.CreateVolume(t.Context(), in)
	wantCode(t, err, "InternalError")
	vol := l.createVolume(in)

	must(l.DescribeRegions(t.Context(), &ec2.DescribeRegionsInput{}))(t)
	_, err = l.DescribeRegions(t.Context(), &ec2.DescribeRegionsInput{})
	wantCode(t, err, "RequestLimitExceeded")
	must(l.DescribeRegions(t.Context(), &ec2.DescribeRegionsInput{}))(t)

	if _, err := l.CreateSnapshot(t.Context(), &ec2.CreateSnapshotInput{VolumeId: &vol}); err == nil {
		t.Error("the lost answer came")
	}
	if out := must(l.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{}))(t); len(out.Snapshots) != 1 {
		t.Errorf("the call with the lost answer made %d snapshots, want 1", len(out.Snapshots))
	}

	begin := time.Now()
	must(l.DescribeTags(t.Context(), &ec2.DescribeTagsInput{}))(t)
	if took := time.Since(begin); took < 300*time.Millisecond {
		t.Errorf("the late answer took %v", took)
	}
	if _, err := localcloud.Open(t.Context(), t.TempDir(), localcloud.WithFaults("RunInstances=throttle")); err == nil {
		t.Error("a fault for an action that is not there was taken")
	}

	slow := newLab(t, localcloud.WithLatency("aws"))
	out := must(slow.CreateVolume(t.Context(), in))(t)
	if state := slow.volume(*out.VolumeId).State; state != types.VolumeStateCreating {
		t.Errorf("as slow as AWS a new volume is %s at once", state)
	}
	_, err = slow.AttachVolume(t.Context(), &ec2.AttachVolumeInput{VolumeId: out.VolumeId, InstanceId: aws.String(slow.instance()), Device: aws.String("/dev/sdzo")})
	wantCode(t, err, "IncorrectState")
}
