package cloud

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/imagebakery/packer-plugin-bakery/internal/together"
)

// Kinds of things that are asked for together.
const (
	volumes   = "volumes"
	snapshots = "snapshots"
	images    = "images"
)

// desk is where those ask together who see the same: with the same credentials,
// in the same region of the same cloud. Credentials of a role are new in every
// process; there the role counts, and what limits it.
func (c *Client) desk(ctx context.Context, kind string) *together.Desk {
	if c.cfg.Desk == nil {
		return nil
	}
	identity := struct {
		Where, Region, Key string
		Role               *AssumeRole
	}{Where: c.where(), Region: c.region, Role: c.cfg.AssumeRole}
	if identity.Role == nil {
		credentials, err := c.aws.Credentials.Retrieve(ctx)
		if err != nil {
			return nil // the call itself says why
		}
		identity.Key = credentials.AccessKeyID
	}
	text, err := json.Marshal(identity)
	if err != nil {
		log.Printf("[DEBUG] ask alone: %v", err)
		return nil
	}
	sum := sha256.Sum256(text)
	return c.cfg.Desk.At(hex.EncodeToString(sum[:8])).At(kind)
}

// volumeAt returns a volume, or ErrNotFound. It is asked for together with others
// at the desk; without one alone.
func (c *Client) volumeAt(ctx context.Context, desk *together.Desk, id string) (types.Volume, error) {
	return at(ctx, desk, id, "volume", func(ctx context.Context, ids []string) (map[string]types.Volume, error) {
		in := &ec2.DescribeVolumesInput{VolumeIds: ids}
		if len(ids) > 1 {
			// An id that is not known makes the call fail; a filter lets it pass.
			in = &ec2.DescribeVolumesInput{Filters: filters(map[string][]string{"volume-id": ids})}
		}
		out, err := c.ec2.DescribeVolumes(ctx, in)
		if err != nil {
			return nil, apiError("DescribeVolumes", id, err)
		}
		return byID(out.Volumes, func(v types.Volume) *string { return v.VolumeId }), nil
	})
}

func (c *Client) snapshotAt(ctx context.Context, desk *together.Desk, id string) (types.Snapshot, error) {
	return at(ctx, desk, id, "snapshot", func(ctx context.Context, ids []string) (map[string]types.Snapshot, error) {
		in := &ec2.DescribeSnapshotsInput{SnapshotIds: ids}
		if len(ids) > 1 {
			in = &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}, Filters: filters(map[string][]string{"snapshot-id": ids})}
		}
		out, err := c.ec2.DescribeSnapshots(ctx, in)
		if err != nil {
			return nil, apiError("DescribeSnapshots", id, err)
		}
		return byID(out.Snapshots, func(s types.Snapshot) *string { return s.SnapshotId }), nil
	})
}

func (c *Client) imageAt(ctx context.Context, desk *together.Desk, id string) (types.Image, error) {
	return at(ctx, desk, id, "image", func(ctx context.Context, ids []string) (map[string]types.Image, error) {
		in := &ec2.DescribeImagesInput{ImageIds: ids}
		if len(ids) > 1 {
			in = &ec2.DescribeImagesInput{Owners: []string{"self"}, Filters: filters(map[string][]string{"image-id": ids})}
		}
		out, err := c.ec2.DescribeImages(ctx, in)
		if err != nil {
			return nil, apiError("DescribeImages", id, err)
		}
		return byID(out.Images, func(i types.Image) *string { return i.ImageId }), nil
	})
}

func at[T any](ctx context.Context, desk *together.Desk, id, kind string, ask func(context.Context, []string) (map[string]T, error)) (T, error) {
	found, ok, err := together.Ask(ctx, desk, id, ask)
	if err == nil && !ok {
		err = fmt.Errorf("%s %s: %w", kind, id, ErrNotFound)
	}
	return found, err
}

func byID[T any](list []T, id func(T) *string) map[string]T {
	all := make(map[string]T, len(list))
	for _, one := range list {
		all[aws.ToString(id(one))] = one
	}
	return all
}
