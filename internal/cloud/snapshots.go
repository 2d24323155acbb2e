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

// inUseFor is how long EC2 may keep refusing to delete the snapshot of an image
// that was just deregistered.
const inUseFor = 5 * time.Minute

// Snapshot is a point-in-time copy of a volume.
type Snapshot struct {
	ID        string
	State     string // pending, completed or error
	SizeGiB   int32
	Encrypted bool
	KMSKeyID  string
	Tags      map[string]string
}

// CreateSnapshot starts a snapshot of a volume and returns its id. What the
// volume holds at the moment of the call is what the snapshot will hold; it is
// complete when [Client.WaitSnapshot] returns.
//
// EC2 takes no client token here. When the answer is lost, a snapshot of the
// volume with the same value of ownerTag, one of tags, is taken as the answer,
// so the value must be unique to the caller.
func (c *Client) CreateSnapshot(ctx context.Context, volume, description string, tags map[string]string, ownerTag string) (string, error) {
	in := &ec2.CreateSnapshotInput{
		VolumeId:          aws.String(volume),
		Description:       optional(description),
		TagSpecifications: tagSpec(map[types.ResourceType]map[string]string{types.ResourceTypeSnapshot: tags}),
	}
	var id string
	err := c.once(ctx, func() error {
		out, err := c.ec2.CreateSnapshot(ctx, in, repeatRefusedOnly)
		if err == nil {
			id = aws.ToString(out.SnapshotId)
		}
		return apiError("CreateSnapshot", volume, err)
	}, func() (bool, error) {
		found, err := c.snapshots(ctx, map[string][]string{"volume-id": {volume}, "tag:" + ownerTag: {tags[ownerTag]}})
		if err != nil || len(found) == 0 {
			return false, err
		}
		id = found[0].ID
		return true, nil
	})
	return id, err
}

// Snapshot returns a snapshot by its id, or ErrNotFound.
func (c *Client) Snapshot(ctx context.Context, id string) (Snapshot, error) {
	snap, err := c.snapshotAt(ctx, nil, id)
	if err != nil {
		return Snapshot{}, err
	}
	return snapshotFrom(snap), nil
}

// SnapshotsWithTag returns the account's snapshots that carry a tag.
func (c *Client) SnapshotsWithTag(ctx context.Context, key, value string) ([]Snapshot, error) {
	return c.snapshots(ctx, map[string][]string{"tag:" + key: {value}})
}

// WaitSnapshot waits until a snapshot is complete, after
// [Client.CreateSnapshot], whose answer said that it is not yet. It returns
// ErrFailed when EC2 could not make it.
func (c *Client) WaitSnapshot(ctx context.Context, id string) error {
	desk := c.desk(ctx, snapshots)
	return c.await(ctx, waiting{what: "snapshot " + id + " to complete", after: "CreateSnapshot", desk: desk, answered: true}, func(ctx context.Context) (bool, string, error) {
		snap, err := c.snapshotAt(ctx, desk, id)
		if err != nil {
			return false, "", err
		}
		switch snap.State {
		case types.SnapshotStateCompleted:
			return true, "", nil
		case types.SnapshotStateError:
			return false, "", fmt.Errorf("%w: %s", ErrFailed, aws.ToString(snap.StateMessage))
		default:
			return false, fmt.Sprintf("%s %s", snap.State, aws.ToString(snap.Progress)), nil
		}
	})
}

// DeleteSnapshot deletes a snapshot. One that is gone is no error. A snapshot
// stays "in use" for a while after its image was deregistered; that is waited
// for.
func (c *Client) DeleteSnapshot(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, inUseFor)
	defer cancel()
	var last error
	err := c.await(ctx, waiting{what: "snapshot " + id + " to be free for deletion"}, func(ctx context.Context) (bool, string, error) {
		_, err := c.ec2.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: aws.String(id)})
		last = apiError("DeleteSnapshot", id, err)
		switch {
		case last == nil || errors.Is(last, ErrNotFound):
			return true, "", nil
		case errors.Is(last, ErrInUse):
			return false, last.Error(), nil
		default:
			return false, "", last
		}
	})
	return err
}

func (c *Client) snapshots(ctx context.Context, want map[string][]string) ([]Snapshot, error) {
	var found []Snapshot
	pages := ec2.NewDescribeSnapshotsPaginator(c.ec2, &ec2.DescribeSnapshotsInput{
		OwnerIds: []string{"self"}, Filters: filters(want),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, apiError("DescribeSnapshots", "", err)
		}
		for _, snap := range page.Snapshots {
			found = append(found, snapshotFrom(snap))
		}
	}
	return found, nil
}

func snapshotFrom(s types.Snapshot) Snapshot {
	return Snapshot{
		ID: aws.ToString(s.SnapshotId), State: string(s.State), SizeGiB: aws.ToInt32(s.VolumeSize),
		Encrypted: aws.ToBool(s.Encrypted), KMSKeyID: aws.ToString(s.KmsKeyId), Tags: tagMap(s.Tags),
	}
}
