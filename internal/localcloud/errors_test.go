package localcloud_test

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// TestErrorCodes asks for what EC2 refuses, and wants EC2's code for it.
func TestErrorCodes(t *testing.T) {
	l := newLab(t)
	ctx := context.Background()
	vol := l.createVolume(&ec2.CreateVolumeInput{Size: aws.Int32(2), VolumeType: types.VolumeTypeGp3})
	snap := l.snapshot(vol)
	ami := l.register("taken", snap)
	instance := l.instance()
	must(l.EnableImageDeregistrationProtection(ctx, &ec2.EnableImageDeregistrationProtectionInput{ImageId: &ami}))(t)
	tag := func(key, value string) []types.Tag { return []types.Tag{{Key: &key, Value: &value}} }
	volume := func(change func(*ec2.CreateVolumeInput)) func() error {
		return func() error {
			in := &ec2.CreateVolumeInput{AvailabilityZone: aws.String("us-east-1a"), Size: aws.Int32(1)}
			change(in)
			_, err := l.CreateVolume(ctx, in)
			return err
		}
	}
	register := func(change func(*ec2.RegisterImageInput)) func() error {
		return func() error {
			in := registration("new name", snap)
			change(in)
			_, err := l.RegisterImage(ctx, in)
			return err
		}
	}
	manyTags := make([]types.Tag, 51)
	for i := range manyTags {
		manyTags[i] = types.Tag{Key: aws.String(strings.Repeat("k", i+1)), Value: aws.String("")}
	}
	spec := func(kind types.ResourceType, tags []types.Tag) []types.TagSpecification {
		return []types.TagSpecification{{ResourceType: kind, Tags: tags}}
	}
	for _, test := range []struct {
		name, code string
		do         func() error
	}{
		{"volume that is not", "InvalidVolume.NotFound", func() error {
			_, err := l.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{VolumeIds: []string{"vol-0123456789abcdef0"}})
			return err
		}},
		{"volume that cannot be", "InvalidParameterValue", func() error {
			_, err := l.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{VolumeIds: []string{"disk-1"}})
			return err
		}},
		{"snapshot that is not", "InvalidSnapshot.NotFound", func() error {
			_, err := l.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: aws.String("snap-0123456789abcdef0")})
			return err
		}},
		{"image that is not", "InvalidAMIID.NotFound", func() error {
			_, err := l.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: aws.String("ami-0123456789abcdef0")})
			return err
		}},
		{"image that cannot be", "InvalidAMIID.Malformed", func() error {
			_, err := l.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{"debian"}})
			return err
		}},
		{"instance that is not", "InvalidInstanceID.NotFound", func() error {
			_, err := l.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{"i-0123456789abcdef0"}})
			return err
		}},
		{"image in another region", "InvalidAMIID.NotFound", func() error {
			_, err := l.in("eu-west-1").DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{ami}})
			return err
		}},
		{"region that is not", "AuthFailure", func() error {
			_, err := l.in("mars-north-1").DescribeVolumes(ctx, &ec2.DescribeVolumesInput{})
			return err
		}},
		{"action that is not", "InvalidAction", func() error {
			_, err := l.DescribeKeyPairs(ctx, &ec2.DescribeKeyPairsInput{})
			return err
		}},
		{"parameter that is not", "UnknownParameter", func() error {
			_, err := l.RegisterImage(ctx, &ec2.RegisterImageInput{Name: aws.String("x y z"), BillingProducts: []string{"bp-1"}})
			return err
		}},
		{"parameter missing", "MissingParameter", register(func(in *ec2.RegisterImageInput) { in.RootDeviceName = nil })},
		{"dry run", "DryRunOperation", volume(func(in *ec2.CreateVolumeInput) { in.DryRun = aws.Bool(true) })},

		{"zone of another region", "InvalidZone.NotFound", volume(func(in *ec2.CreateVolumeInput) { in.AvailabilityZone = aws.String("eu-west-1a") })},
		{"volume smaller than its snapshot", "InvalidParameterValue", volume(func(in *ec2.CreateVolumeInput) { in.SnapshotId = &snap })},
		{"volume of neither", "MissingParameter", volume(func(in *ec2.CreateVolumeInput) { in.Size = nil })},
		{"type that is not", "InvalidParameterValue", volume(func(in *ec2.CreateVolumeInput) { in.VolumeType = "gp9" })},
		{"st1 too small", "InvalidParameterValue", volume(func(in *ec2.CreateVolumeInput) { in.VolumeType = types.VolumeTypeSt1 })},
		{"io2 without iops", "MissingParameter", volume(func(in *ec2.CreateVolumeInput) { in.VolumeType = types.VolumeTypeIo2; in.Size = aws.Int32(8) })},
		{"iops for gp2", "InvalidParameterCombination", volume(func(in *ec2.CreateVolumeInput) { in.Iops = aws.Int32(3000) })},
		{"throughput for gp2", "InvalidParameterCombination", volume(func(in *ec2.CreateVolumeInput) { in.Throughput = aws.Int32(200) })},
		{"throughput beyond iops", "InvalidParameterValue", volume(func(in *ec2.CreateVolumeInput) {
			in.VolumeType = types.VolumeTypeGp3
			in.Throughput = aws.Int32(900)
		})},
		{"key without encryption", "InvalidParameterDependency", volume(func(in *ec2.CreateVolumeInput) { in.KmsKeyId = aws.String("alias/mine") })},
		{"multi-attach", "UnsupportedOperation", volume(func(in *ec2.CreateVolumeInput) { in.MultiAttachEnabled = aws.Bool(true) })},
		{"tags for another kind", "InvalidParameterValue", volume(func(in *ec2.CreateVolumeInput) {
			in.TagSpecifications = spec(types.ResourceTypeImage, tag("a", "b"))
		})},
		{"reserved tag", "InvalidParameterValue", volume(func(in *ec2.CreateVolumeInput) {
			in.TagSpecifications = spec(types.ResourceTypeVolume, tag("aws:mine", "b"))
		})},
		{"too many tags", "TagLimitExceeded", volume(func(in *ec2.CreateVolumeInput) {
			in.TagSpecifications = spec(types.ResourceTypeVolume, manyTags)
		})},
		{"long tag value", "InvalidParameterValue", func() error {
			_, err := l.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{vol}, Tags: tag("a", strings.Repeat("é", 257))})
			return err
		}},
		{"tags for nothing", "InvalidSnapshot.NotFound", func() error {
			_, err := l.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{vol, "snap-0123456789abcdef0"}, Tags: tag("a", "b")})
			return err
		}},

		{"attach as a device that cannot be", "InvalidParameterValue", func() error {
			_, err := l.AttachVolume(ctx, &ec2.AttachVolumeInput{VolumeId: &vol, InstanceId: &instance, Device: aws.String("/dev/disk1")})
			return err
		}},
		{"attach as the root device", "InvalidParameterValue", func() error {
			_, err := l.AttachVolume(ctx, &ec2.AttachVolumeInput{VolumeId: &vol, InstanceId: &instance, Device: aws.String("/dev/sda1")})
			return err
		}},
		{"detach what is not attached", "IncorrectState", func() error {
			_, err := l.DetachVolume(ctx, &ec2.DetachVolumeInput{VolumeId: &vol})
			return err
		}},
		{"shrink a volume", "InvalidParameterValue", func() error {
			_, err := l.ModifyVolume(ctx, &ec2.ModifyVolumeInput{VolumeId: &vol, Size: aws.Int32(1)})
			return err
		}},

		{"delete a snapshot in use", "InvalidSnapshot.InUse", func() error {
			_, err := l.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: &snap})
			return err
		}},
		{"name taken", "InvalidAMIName.Duplicate", register(func(in *ec2.RegisterImageInput) { in.Name = aws.String("taken") })},
		{"name too short", "InvalidAMIName.Malformed", register(func(in *ec2.RegisterImageInput) { in.Name = aws.String("ab") })},
		{"name with a colon", "InvalidAMIName.Malformed", register(func(in *ec2.RegisterImageInput) { in.Name = aws.String("a:b:c") })},
		{"architecture that is not", "InvalidParameterValue", register(func(in *ec2.RegisterImageInput) { in.Architecture = "riscv64" })},
		{"arm64 by BIOS", "InvalidParameterCombination", register(func(in *ec2.RegisterImageInput) {
			in.Architecture = types.ArchitectureValuesArm64
			in.BootMode = types.BootModeValuesLegacyBios
		})},
		{"TPM without UEFI", "InvalidParameterCombination", register(func(in *ec2.RegisterImageInput) {
			in.BootMode = ""
			in.TpmSupport = types.TpmSupportValuesV20
		})},
		{"root device without snapshot", "InvalidBlockDeviceMapping", register(func(in *ec2.RegisterImageInput) { in.RootDeviceName = aws.String("/dev/sda1") })},
		{"mapping smaller than its snapshot", "InvalidBlockDeviceMapping", register(func(in *ec2.RegisterImageInput) {
			in.BlockDeviceMappings[0].Ebs.VolumeSize = aws.Int32(1)
		})},
		{"mapping of a snapshot that is not", "InvalidSnapshot.NotFound", register(func(in *ec2.RegisterImageInput) {
			in.BlockDeviceMappings[0].Ebs.SnapshotId = aws.String("snap-0123456789abcdef0")
		})},
		{"encryption beside a snapshot", "InvalidParameter", register(func(in *ec2.RegisterImageInput) {
			in.BlockDeviceMappings[0].Ebs.Encrypted = aws.Bool(true)
		})},
		{"protected image", "OperationNotPermitted", func() error {
			_, err := l.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: &ami})
			return err
		}},
		{"deprecation in the past", "InvalidParameterValue", func() error {
			_, err := l.EnableImageDeprecation(ctx, &ec2.EnableImageDeprecationInput{ImageId: &ami, DeprecateAt: aws.Time(l.volume(vol).CreateTime.AddDate(-1, 0, 0))})
			return err
		}},
		{"share with half an account", "InvalidAMIAttributeItemValue", func() error {
			_, err := l.ModifyImageAttribute(ctx, &ec2.ModifyImageAttributeInput{ImageId: &ami, LaunchPermission: &types.LaunchPermissionModifications{
				Add: []types.LaunchPermission{{UserId: aws.String("1234")}},
			}})
			return err
		}},

		{"filter that is not", "InvalidParameterValue", func() error {
			_, err := l.DescribeImages(ctx, &ec2.DescribeImagesInput{Filters: []types.Filter{{Name: aws.String("colour"), Values: []string{"red"}}}})
			return err
		}},
		{"page too small", "InvalidParameterValue", func() error {
			_, err := l.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{MaxResults: aws.Int32(1)})
			return err
		}},
		{"page and ids", "InvalidParameterCombination", func() error {
			_, err := l.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{MaxResults: aws.Int32(10), VolumeIds: []string{vol}})
			return err
		}},
		{"page that is not", "InvalidNextToken", func() error {
			_, err := l.DescribeImages(ctx, &ec2.DescribeImagesInput{NextToken: aws.String("two")})
			return err
		}},
	} {
		t.Run(test.name, func(t *testing.T) { wantCode(t, test.do(), test.code) })
	}
	if out := must(l.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{}))(t); len(out.Volumes) != 1 {
		t.Errorf("refused calls have left %d volumes, want the one from before", len(out.Volumes))
	}
	if tags := must(l.DescribeTags(ctx, &ec2.DescribeTagsInput{}))(t); len(tags.Tags) != 0 {
		t.Errorf("refused calls have left tags: %v", tags.Tags)
	}
}
