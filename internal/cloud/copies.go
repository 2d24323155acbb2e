package cloud

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// CopySpec says what copy of an image to make in the client's region.
type CopySpec struct {
	Source       string // image id
	SourceRegion string
	Name         string
	Description  string
	Encrypted    *bool  // nil: as the source is, or as the account's default has it
	KMSKeyID     string // a key of the region; empty: the region's default key
	Minutes      int64  // in which the copy shall be complete, for a price; 0: when it is
	Tags         map[string]string
	SnapshotTags map[string]string
	Token        string // repeating the call with the same token makes no second copy
}

// CopyImage starts to copy an image, with its snapshots, into the client's
// region and returns the id of the copy. It is usable when [Client.WaitCopy]
// returns. It returns ErrDuplicateName when the account has an image of that
// name in the region.
func (c *Client) CopyImage(ctx context.Context, spec CopySpec) (string, error) {
	out, err := c.ec2.CopyImage(ctx, spec.input())
	if err != nil {
		return "", apiError("CopyImage", spec.Source+" to "+c.region, err)
	}
	return aws.ToString(out.ImageId), nil
}

func (s CopySpec) input() *ec2.CopyImageInput {
	return &ec2.CopyImageInput{
		SourceImageId: aws.String(s.Source), SourceRegion: aws.String(s.SourceRegion),
		Name: aws.String(s.Name), Description: optional(s.Description),
		Encrypted: s.Encrypted, KmsKeyId: optional(s.KMSKeyID),
		SnapshotCopyCompletionDurationMinutes: optional(s.Minutes), ClientToken: optional(s.Token),
		TagSpecifications: tagSpec(map[types.ResourceType]map[string]string{
			types.ResourceTypeImage: s.Tags, types.ResourceTypeSnapshot: s.SnapshotTags,
		}),
	}
}
