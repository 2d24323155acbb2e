package cloud

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Image is a machine image (AMI) of one region.
type Image struct {
	ID             string
	Name           string
	Description    string
	Owner          string // account id
	OwnerAlias     string // amazon, aws-marketplace, self
	Region         string
	State          string // pending, available, failed, …
	CreatedAt      time.Time
	Architecture   string // x86_64, arm64, i386, …
	BootMode       string // legacy-bios, uefi, uefi-preferred; empty: the instance type's
	Virtualization string // hvm, paravirtual
	RootDevice     string // name of the root device: /dev/xvda
	RootDeviceType string // ebs or instance-store
	ENA            bool
	SRIOV          string // simple, or empty
	IMDS           string // v2.0, or empty
	TPM            string // v2.0, or empty
	KernelID       string // paravirtual only
	RamdiskID      string // paravirtual only
	Platform       string // PlatformDetails: what the image is billed as
	UsageOperation string
	ProductCodes   []string // of the Marketplace
	Protected      bool     // from deregistration
	DeprecateAt    time.Time
	SourceImage    string // id of the image that it is a copy of, or was made from by way of an instance; empty when EC2 does not know
	SourceRegion   string // of SourceImage
	BlockDevices   []BlockDevice
	Tags           map[string]string
}

// BlockDevice is one entry of an image's block device mapping.
type BlockDevice struct {
	DeviceName          string
	VirtualName         string // ephemeral0, …: an instance store volume
	NoDevice            bool   // suppresses the device
	SnapshotID          string
	SizeGiB             int32
	Type                string
	IOPS                int32
	Throughput          int32 // MiB/s
	Encrypted           *bool // nil: as the snapshot is
	KMSKeyID            string
	DeleteOnTermination bool
}

// Root returns the block device that the image boots from.
func (i Image) Root() (BlockDevice, bool) {
	for _, dev := range i.BlockDevices {
		if dev.DeviceName == i.RootDevice {
			return dev, true
		}
	}
	return BlockDevice{}, false
}

// Snapshots returns the snapshots that the image is made of.
func (i Image) Snapshots() []string {
	var ids []string
	for _, dev := range i.BlockDevices {
		if dev.SnapshotID != "" {
			ids = append(ids, dev.SnapshotID)
		}
	}
	return ids
}

// ImageQuery says which images are wanted.
type ImageQuery struct {
	Filters           map[string][]string // as DescribeImages has them
	Owners            []string
	IncludeDeprecated bool
}

// Image returns an image by its id, or ErrNotFound.
func (c *Client) Image(ctx context.Context, id string) (Image, error) {
	out, err := c.ec2.DescribeImages(ctx, &ec2.DescribeImagesInput{
		ImageIds: []string{id}, IncludeDeprecated: aws.Bool(true),
	})
	if err != nil {
		return Image{}, apiError("DescribeImages", id, err)
	}
	if len(out.Images) == 0 {
		return Image{}, fmt.Errorf("image %s in %s: %w", id, c.region, ErrNotFound)
	}
	return c.imageFrom(out.Images[0]), nil
}

// Images returns the images that match, in no particular order.
func (c *Client) Images(ctx context.Context, q ImageQuery) ([]Image, error) {
	var found []Image
	pages := ec2.NewDescribeImagesPaginator(c.ec2, &ec2.DescribeImagesInput{
		Filters: filters(q.Filters), Owners: q.Owners,
		IncludeDeprecated: optional(q.IncludeDeprecated),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, apiError("DescribeImages", "", err)
		}
		for _, img := range page.Images {
			found = append(found, c.imageFrom(img))
		}
	}
	return found, nil
}

// ImageNamed returns the account's own image of that name, or ErrNotFound. A
// name is unique among the images of an account in a region.
func (c *Client) ImageNamed(ctx context.Context, name string) (Image, error) {
	// A filter value may hold wildcards; a name may hold none, so it is exact.
	images, err := c.Images(ctx, ImageQuery{
		Filters: map[string][]string{"name": {name}}, Owners: []string{"self"}, IncludeDeprecated: true,
	})
	if err != nil {
		return Image{}, err
	}
	if len(images) == 0 {
		return Image{}, fmt.Errorf("image named %q in %s: %w", name, c.region, ErrNotFound)
	}
	return images[0], nil
}

// UEFIData returns the UEFI variable store of an image, base64-encoded, or the
// empty string when it has none.
func (c *Client) UEFIData(ctx context.Context, id string) (string, error) {
	out, err := c.ec2.DescribeImageAttribute(ctx, &ec2.DescribeImageAttributeInput{
		ImageId: aws.String(id), Attribute: types.ImageAttributeNameUefiData,
	})
	if err != nil {
		return "", apiError("DescribeImageAttribute", id, err)
	}
	if out.UefiData == nil {
		return "", nil
	}
	return aws.ToString(out.UefiData.Value), nil
}

// ImageSpec says what image to register.
type ImageSpec struct {
	Name           string
	Description    string
	Architecture   string
	BootMode       string
	Virtualization string
	RootDevice     string
	ENA            bool
	SRIOV          string
	IMDS           string
	TPM            string
	UEFIData       string
	KernelID       string
	RamdiskID      string
	BlockDevices   []BlockDevice
	Tags           map[string]string
}

// Spec returns what registers an image like i; its UEFI variables are not part
// of it.
func (i Image) Spec(uefiData string) ImageSpec {
	return ImageSpec{
		Name: i.Name, Description: i.Description, Architecture: i.Architecture, BootMode: i.BootMode,
		Virtualization: i.Virtualization, RootDevice: i.RootDevice, ENA: i.ENA, SRIOV: i.SRIOV, IMDS: i.IMDS, TPM: i.TPM,
		UEFIData: uefiData, KernelID: i.KernelID, RamdiskID: i.RamdiskID, BlockDevices: i.BlockDevices, Tags: i.Tags,
	}
}

// RegisterImage makes an image out of snapshots and returns its id. It returns
// ErrDuplicateName when the account has an image of that name in the region.
// The image is usable when [Client.WaitImage] returns.
//
// EC2 takes no client token here. When the answer is lost, the account's image
// of that name with the same value of ownerTag, one of the spec's tags, is
// taken as the answer, so the value must be unique to the caller.
func (c *Client) RegisterImage(ctx context.Context, spec ImageSpec, ownerTag string) (string, error) {
	in := spec.input()
	var id string
	err := c.once(ctx, func() error {
		out, err := c.ec2.RegisterImage(ctx, in, repeatRefusedOnly)
		if err == nil {
			id = aws.ToString(out.ImageId)
		}
		return apiError("RegisterImage", spec.Name, err)
	}, func() (bool, error) {
		img, err := c.ImageNamed(ctx, spec.Name)
		if errors.Is(err, ErrNotFound) {
			return false, nil
		}
		if err != nil || img.Tags[ownerTag] != spec.Tags[ownerTag] {
			return false, err
		}
		id = img.ID
		return true, nil
	})
	return id, err
}

func (s ImageSpec) input() *ec2.RegisterImageInput {
	return &ec2.RegisterImageInput{
		Name:                aws.String(s.Name),
		Description:         optional(s.Description),
		Architecture:        types.ArchitectureValues(s.Architecture),
		BootMode:            types.BootModeValues(s.BootMode),
		VirtualizationType:  optional(s.Virtualization),
		RootDeviceName:      aws.String(s.RootDevice),
		EnaSupport:          optional(s.ENA),
		SriovNetSupport:     optional(s.SRIOV),
		ImdsSupport:         types.ImdsSupportValues(s.IMDS),
		TpmSupport:          types.TpmSupportValues(s.TPM),
		UefiData:            optional(s.UEFIData),
		KernelId:            optional(s.KernelID),
		RamdiskId:           optional(s.RamdiskID),
		BlockDeviceMappings: mappings(s.BlockDevices),
		TagSpecifications:   tagSpec(map[types.ResourceType]map[string]string{types.ResourceTypeImage: s.Tags}),
	}
}

// WaitImage waits until an image is available that was registered, and returns
// it. It returns ErrFailed, with EC2's reason, when it will not be.
func (c *Client) WaitImage(ctx context.Context, id string) (Image, error) {
	return c.waitImage(ctx, id, "RegisterImage")
}

// WaitCopy is WaitImage for an image that is being copied.
func (c *Client) WaitCopy(ctx context.Context, id string) (Image, error) {
	return c.waitImage(ctx, id, "CopyImage")
}

func (c *Client) waitImage(ctx context.Context, id, after string) (Image, error) {
	var found Image
	desk := c.desk(ctx, images)
	err := c.await(ctx, waiting{what: "image " + id + " to become available", after: after, desk: desk, expected: true}, func(ctx context.Context) (bool, string, error) {
		img, err := c.imageAt(ctx, desk, id)
		if err != nil {
			return false, "", err
		}
		switch img.State {
		case types.ImageStateAvailable:
			found = c.imageFrom(img)
			return true, "", nil
		case types.ImageStatePending, types.ImageStateTransient:
			return false, string(img.State), nil
		default:
			reason := string(img.State)
			if img.StateReason != nil {
				reason += ": " + aws.ToString(img.StateReason.Message)
			}
			return false, "", fmt.Errorf("%w: state %s", ErrFailed, reason)
		}
	})
	return found, err
}

// DeregisterImage deregisters an image; its snapshots stay. An image that is
// gone is no error. It returns ErrProtected when deregistration protection is on.
func (c *Client) DeregisterImage(ctx context.Context, id string) error {
	_, err := c.ec2.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: aws.String(id)})
	err = apiError("DeregisterImage", id, err)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

func (c *Client) imageFrom(img types.Image) Image {
	created, _ := time.Parse(time.RFC3339, aws.ToString(img.CreationDate))
	out := Image{
		ID: aws.ToString(img.ImageId), Name: aws.ToString(img.Name), Description: aws.ToString(img.Description),
		Owner: aws.ToString(img.OwnerId), OwnerAlias: aws.ToString(img.ImageOwnerAlias), Region: c.region,
		State: string(img.State), CreatedAt: created, Architecture: string(img.Architecture), BootMode: string(img.BootMode),
		Virtualization: string(img.VirtualizationType), RootDevice: aws.ToString(img.RootDeviceName),
		RootDeviceType: string(img.RootDeviceType), ENA: aws.ToBool(img.EnaSupport), SRIOV: aws.ToString(img.SriovNetSupport),
		IMDS: string(img.ImdsSupport), TPM: string(img.TpmSupport), KernelID: aws.ToString(img.KernelId),
		RamdiskID: aws.ToString(img.RamdiskId), Platform: aws.ToString(img.PlatformDetails),
		UsageOperation: aws.ToString(img.UsageOperation), Tags: tagMap(img.Tags),
		SourceImage: aws.ToString(img.SourceImageId), SourceRegion: aws.ToString(img.SourceImageRegion),
	}
	for _, code := range img.ProductCodes {
		if code.ProductCodeType != types.ProductCodeValuesDevpay {
			out.ProductCodes = append(out.ProductCodes, aws.ToString(code.ProductCodeId))
		}
	}
	if at, err := time.Parse(time.RFC3339, aws.ToString(img.DeprecationTime)); err == nil {
		out.DeprecateAt = at
	}
	// EC2 says disabled, enabled-with-cooldown, enabled-without-cooldown, or
	// disabled-after-<time> while a cooldown lasts.
	if state := aws.ToString(img.DeregistrationProtection); state != "" && state != "disabled" {
		out.Protected = true
	}
	for _, m := range img.BlockDeviceMappings {
		dev := BlockDevice{
			DeviceName: aws.ToString(m.DeviceName), VirtualName: aws.ToString(m.VirtualName), NoDevice: m.NoDevice != nil,
		}
		if ebs := m.Ebs; ebs != nil {
			dev.SnapshotID, dev.SizeGiB, dev.Type = aws.ToString(ebs.SnapshotId), aws.ToInt32(ebs.VolumeSize), string(ebs.VolumeType)
			dev.IOPS, dev.Throughput = aws.ToInt32(ebs.Iops), aws.ToInt32(ebs.Throughput)
			dev.Encrypted, dev.KMSKeyID = ebs.Encrypted, aws.ToString(ebs.KmsKeyId)
			dev.DeleteOnTermination = aws.ToBool(ebs.DeleteOnTermination)
		}
		out.BlockDevices = append(out.BlockDevices, dev)
	}
	return out
}

func mappings(devices []BlockDevice) []types.BlockDeviceMapping {
	var list []types.BlockDeviceMapping
	for _, dev := range devices {
		m := types.BlockDeviceMapping{DeviceName: aws.String(dev.DeviceName)}
		switch {
		case dev.NoDevice:
			m.NoDevice = aws.String("")
		case dev.VirtualName != "":
			m.VirtualName = aws.String(dev.VirtualName)
		default:
			m.Ebs = &types.EbsBlockDevice{
				SnapshotId: optional(dev.SnapshotID), VolumeSize: optional(dev.SizeGiB), VolumeType: types.VolumeType(dev.Type),
				DeleteOnTermination: aws.Bool(dev.DeleteOnTermination),
			}
			// Of a gp2 EC2 tells the iops and refuses to be told.
			if dev.Type != "gp2" {
				m.Ebs.Iops, m.Ebs.Throughput = optional(dev.IOPS), optional(dev.Throughput)
			}
			// EC2 refuses these beside a snapshot id: the snapshot decides.
			if dev.SnapshotID == "" {
				m.Ebs.Encrypted, m.Ebs.KmsKeyId = dev.Encrypted, optional(dev.KMSKeyID)
			}
		}
		list = append(list, m)
	}
	return list
}
