package cloud

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// The calls below ask EC2 whether it would permit a call, without making it
// (DryRun). They return ErrAccessDenied when it would not. Any other answer is
// no reason to stop: EC2 may look at permissions before or after it looks at
// the parameters, and what else is wrong shows when the call is made.

// MayCreateVolume asks whether the volume may be created.
func (c *Client) MayCreateVolume(ctx context.Context, spec VolumeSpec) error {
	in := spec.input()
	in.DryRun, in.ClientToken = aws.Bool(true), nil
	_, err := c.ec2.CreateVolume(ctx, in)
	return denial("CreateVolume", spec.SnapshotID, err)
}

// MayRegisterImage asks whether the image may be registered.
func (c *Client) MayRegisterImage(ctx context.Context, spec ImageSpec) error {
	in := spec.input()
	in.DryRun = aws.Bool(true)
	_, err := c.ec2.RegisterImage(ctx, in)
	return denial("RegisterImage", spec.Name, err)
}

// MayCopyImage asks whether the copy may be made.
func (c *Client) MayCopyImage(ctx context.Context, spec CopySpec) error {
	in := spec.input()
	in.DryRun, in.ClientToken = aws.Bool(true), nil
	_, err := c.ec2.CopyImage(ctx, in)
	return denial("CopyImage", spec.Name+" to "+c.region, err)
}

// MayDeregisterImage asks whether the image may be deregistered.
func (c *Client) MayDeregisterImage(ctx context.Context, id string) error {
	_, err := c.ec2.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: aws.String(id), DryRun: aws.Bool(true)})
	return denial("DeregisterImage", id, err)
}

// MayDeleteSnapshot asks whether the snapshot may be deleted.
func (c *Client) MayDeleteSnapshot(ctx context.Context, id string) error {
	_, err := c.ec2.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: aws.String(id), DryRun: aws.Bool(true)})
	return denial("DeleteSnapshot", id, err)
}

func denial(op, resource string, err error) error {
	if err = apiError(op, resource, err); errors.Is(err, ErrAccessDenied) {
		return err
	}
	return nil
}

// encodedMark comes before the encoded part of an UnauthorizedOperation's
// message ("DecodeAuthorizationMessage" in the STS API reference).
const encodedMark = "Encoded authorization failure message: "

// Explain adds to a refused call what AWS says about the reason, when AWS has
// said so in code and the credentials may read it. Other errors are returned as
// they are.
func (c *Client) Explain(ctx context.Context, err error) error {
	var api *APIError
	if !errors.As(err, &api) {
		return err
	}
	_, rest, found := strings.Cut(api.Message, encodedMark)
	encoded, _, _ := strings.Cut(rest, " ")
	if !found || encoded == "" {
		return err
	}
	out, decodeErr := c.sts.DecodeAuthorizationMessage(ctx, &sts.DecodeAuthorizationMessageInput{EncodedMessage: aws.String(encoded)})
	if decodeErr != nil {
		return errors.Join(err, apiError("DecodeAuthorizationMessage", "", decodeErr))
	}
	return &explained{err: err, encoded: encoded, decoded: aws.ToString(out.DecodedMessage)}
}

// explained is an error with the encoded part of its text decoded.
type explained struct {
	err              error
	encoded, decoded string
}

func (e *explained) Error() string { return strings.ReplaceAll(e.err.Error(), e.encoded, e.decoded) }
func (e *explained) Unwrap() error { return e.err }
