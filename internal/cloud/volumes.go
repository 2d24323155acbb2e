package cloud

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// attachTimeout bounds the wait for an attachment: one that has not happened by
// then is stuck, as EC2's troubleshooting page says of volumes that stay
// "attaching".
const attachTimeout = 5 * time.Minute

// VolumeSpec says what volume to create.
type VolumeSpec struct {
	Zone       string
	SnapshotID string // empty: a blank volume
	SizeGiB    int32  // 0: the size of the snapshot
	Type       string // gp3, io2, …; empty: EC2's default
	IOPS       int32  // 0: the type's default
	Throughput int32  // MiB/s, gp3 only; 0: the type's default
	Encrypted  *bool  // nil: as the snapshot is, or the account's default
	KMSKeyID   string
	Tags       map[string]string
	Token      string // repeating the call with the same token makes no second volume
}

// CreateVolume creates a volume and returns its id. The volume is not usable
// until [Client.WaitVolumeAvailable] returns.
func (c *Client) CreateVolume(ctx context.Context, spec VolumeSpec) (string, error) {
	out, err := c.ec2.CreateVolume(ctx, spec.input())
	if err != nil {
		return "", apiError("CreateVolume", spec.SnapshotID, err)
	}
	return aws.ToString(out.VolumeId), nil
}

func (s VolumeSpec) input() *ec2.CreateVolumeInput {
	return &ec2.CreateVolumeInput{
		AvailabilityZone:  aws.String(s.Zone),
		VolumeType:        types.VolumeType(s.Type),
		Encrypted:         s.Encrypted,
		SnapshotId:        optional(s.SnapshotID),
		Size:              optional(s.SizeGiB),
		Iops:              optional(s.IOPS),
		Throughput:        optional(s.Throughput),
		KmsKeyId:          optional(s.KMSKeyID),
		ClientToken:       optional(s.Token),
		TagSpecifications: tagSpec(map[types.ResourceType]map[string]string{types.ResourceTypeVolume: s.Tags}),
	}
}

// WaitVolumeAvailable waits until the volume can be attached, after
// [Client.CreateVolume], whose answer said that it cannot yet. It returns
// ErrFailed when EC2 could not create it.
func (c *Client) WaitVolumeAvailable(ctx context.Context, id string) error {
	desk := c.desk(ctx, volumes)
	return c.await(ctx, waiting{what: "volume " + id + " to become available", after: "CreateVolume", desk: desk, answered: true}, func(ctx context.Context) (bool, string, error) {
		vol, err := c.volumeAt(ctx, desk, id)
		if err != nil {
			return false, "", err
		}
		switch vol.State {
		case types.VolumeStateAvailable:
			return true, "", nil
		case types.VolumeStateError, types.VolumeStateDeleting, types.VolumeStateDeleted:
			return false, "", fmt.Errorf("%w: state %s", ErrFailed, vol.State)
		default:
			return false, string(vol.State), nil
		}
	})
}

// AttachVolume attaches a volume to an instance under a device name. It returns
// ErrDeviceInUse when the name is taken. The attachment has happened when
// [Client.WaitVolumeAttached] returns.
func (c *Client) AttachVolume(ctx context.Context, id, instance, device string) error {
	_, err := c.ec2.AttachVolume(ctx, &ec2.AttachVolumeInput{
		VolumeId: aws.String(id), InstanceId: aws.String(instance), Device: aws.String(device),
	})
	err = apiError("AttachVolume", id+" to "+instance+" as "+device, err)
	// EC2 has no code of its own for a name that is taken.
	var api *APIError
	if errors.As(err, &api) && api.Code == "InvalidParameterValue" && strings.Contains(api.Message, "already in use") {
		return fmt.Errorf("%w: %w", ErrDeviceInUse, err)
	}
	// A call that was repeated after a lost answer finds its own attachment.
	if errors.Is(err, ErrInUse) {
		if vol, lookErr := c.volumeAt(ctx, nil, id); lookErr == nil {
			for _, at := range vol.Attachments {
				if aws.ToString(at.InstanceId) == instance && aws.ToString(at.Device) == device {
					return nil
				}
			}
		}
	}
	return err
}

// WaitVolumeAttached waits until the volume is attached, after
// [Client.AttachVolume], whose answer said that it is not yet.
func (c *Client) WaitVolumeAttached(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, attachTimeout,
		fmt.Errorf("still not attached after %v: detach it by hand and look at the instance's devices", attachTimeout))
	defer cancel()
	desk := c.desk(ctx, volumes)
	return c.await(ctx, waiting{what: "volume " + id + " to be attached", after: "AttachVolume", desk: desk, answered: true}, func(ctx context.Context) (bool, string, error) {
		vol, err := c.volumeAt(ctx, desk, id)
		if err != nil {
			return false, "", err
		}
		if len(vol.Attachments) == 0 {
			return false, string(vol.State), nil
		}
		at := vol.Attachments[0].State
		return at == types.VolumeAttachmentStateAttached, string(at), nil
	})
}

// DetachVolume detaches a volume and waits until it is attached to nothing. One
// that is not attached, or is gone, is no error.
func (c *Client) DetachVolume(ctx context.Context, id string) error {
	_, err := c.ec2.DetachVolume(ctx, &ec2.DetachVolumeInput{VolumeId: aws.String(id)})
	err = apiError("DetachVolume", id, err)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	// It is detached already, or on the way: that has to be looked at.
	other := errors.Is(err, ErrWrongState)
	if err != nil && !other {
		return err
	}
	desk := c.desk(ctx, volumes)
	return c.await(ctx, waiting{what: "volume " + id + " to be detached", after: "DetachVolume", desk: desk, answered: !other}, func(ctx context.Context) (bool, string, error) {
		vol, err := c.volumeAt(ctx, desk, id)
		if errors.Is(err, ErrNotFound) {
			return true, "", nil
		}
		if err != nil {
			return false, "", err
		}
		if len(vol.Attachments) == 0 {
			return true, "", nil
		}
		return false, string(vol.Attachments[0].State), nil
	})
}

// DeleteVolume deletes a volume. One that is gone is no error. One that is
// still being created is waited for. It returns ErrInUse for one that is
// attached.
func (c *Client) DeleteVolume(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, inUseFor)
	defer cancel()
	var last error
	err := c.await(ctx, waiting{what: "volume " + id + " to be free for deletion"}, func(ctx context.Context) (bool, string, error) {
		_, err := c.ec2.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: aws.String(id)})
		last = apiError("DeleteVolume", id, err)
		switch {
		case last == nil || errors.Is(last, ErrNotFound):
			return true, "", nil
		case errors.Is(last, ErrWrongState):
			return false, last.Error(), nil
		default:
			return true, "", nil
		}
	})
	if err == nil && last != nil && !errors.Is(last, ErrNotFound) {
		return last
	}
	return err
}

// VolumesWithTag returns the ids of the volumes that carry a tag, without those
// that are being deleted.
func (c *Client) VolumesWithTag(ctx context.Context, key, value string) ([]string, error) {
	var ids []string
	pages := ec2.NewDescribeVolumesPaginator(c.ec2, &ec2.DescribeVolumesInput{
		Filters: filters(map[string][]string{
			"tag:" + key: {value}, "status": {"creating", "available", "in-use", "error"},
		}),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, apiError("DescribeVolumes", "", err)
		}
		for _, vol := range page.Volumes {
			ids = append(ids, aws.ToString(vol.VolumeId))
		}
	}
	return ids, nil
}

// optional returns nil for the zero value: EC2 takes an absent parameter as
// "your default" and an explicit zero as a mistake.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// AttachedDevices returns the device names in use on an instance.
func (c *Client) AttachedDevices(ctx context.Context, instance string) ([]string, error) {
	out, err := c.ec2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{instance}})
	if err != nil {
		return nil, apiError("DescribeInstances", instance, err)
	}
	var names []string
	for _, reservation := range out.Reservations {
		for _, inst := range reservation.Instances {
			for _, m := range inst.BlockDeviceMappings {
				names = append(names, aws.ToString(m.DeviceName))
			}
		}
	}
	return names, nil
}
