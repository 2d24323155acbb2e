package cloud

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Permissions say who else may use an image or a snapshot.
type Permissions struct {
	Users         []string `json:"users,omitempty"`         // account ids
	Groups        []string `json:"groups,omitempty"`        // "all" is the only one that EC2 has
	Organizations []string `json:"organizations,omitempty"` // ARNs; images only
	Units         []string `json:"units,omitempty"`         // ARNs of organizational units; images only
}

// Empty reports whether nobody else may.
func (p Permissions) Empty() bool {
	return len(p.Users)+len(p.Groups)+len(p.Organizations)+len(p.Units) == 0
}

// ShareImage lets others launch an image.
func (c *Client) ShareImage(ctx context.Context, id string, with Permissions) error {
	if with.Empty() {
		return nil
	}
	var add []types.LaunchPermission
	for _, user := range with.Users {
		add = append(add, types.LaunchPermission{UserId: aws.String(user)})
	}
	for _, group := range with.Groups {
		add = append(add, types.LaunchPermission{Group: types.PermissionGroup(group)})
	}
	for _, arn := range with.Organizations {
		add = append(add, types.LaunchPermission{OrganizationArn: aws.String(arn)})
	}
	for _, arn := range with.Units {
		add = append(add, types.LaunchPermission{OrganizationalUnitArn: aws.String(arn)})
	}
	_, err := c.ec2.ModifyImageAttribute(ctx, &ec2.ModifyImageAttributeInput{
		ImageId: aws.String(id), Attribute: aws.String("launchPermission"),
		LaunchPermission: &types.LaunchPermissionModifications{Add: add},
	})
	return apiError("ModifyImageAttribute", id, err)
}

// ImagePermissions returns who else may launch an image of the account.
func (c *Client) ImagePermissions(ctx context.Context, id string) (Permissions, error) {
	out, err := c.ec2.DescribeImageAttribute(ctx, &ec2.DescribeImageAttributeInput{
		ImageId: aws.String(id), Attribute: types.ImageAttributeNameLaunchPermission,
	})
	if err != nil {
		return Permissions{}, apiError("DescribeImageAttribute", id, err)
	}
	var who Permissions
	for _, p := range out.LaunchPermissions {
		switch {
		case p.UserId != nil:
			who.Users = append(who.Users, *p.UserId)
		case p.Group != "":
			who.Groups = append(who.Groups, string(p.Group))
		case p.OrganizationArn != nil:
			who.Organizations = append(who.Organizations, *p.OrganizationArn)
		case p.OrganizationalUnitArn != nil:
			who.Units = append(who.Units, *p.OrganizationalUnitArn)
		}
	}
	return who, nil
}

// ShareSnapshot lets others make volumes of a snapshot. Organizations cannot be
// named here: who may launch an image of an organization needs no permission on
// its snapshots.
func (c *Client) ShareSnapshot(ctx context.Context, id string, with Permissions) error {
	if len(with.Users)+len(with.Groups) == 0 {
		return nil
	}
	var add []types.CreateVolumePermission
	for _, user := range with.Users {
		add = append(add, types.CreateVolumePermission{UserId: aws.String(user)})
	}
	for _, group := range with.Groups {
		add = append(add, types.CreateVolumePermission{Group: types.PermissionGroup(group)})
	}
	_, err := c.ec2.ModifySnapshotAttribute(ctx, &ec2.ModifySnapshotAttributeInput{
		SnapshotId: aws.String(id), Attribute: types.SnapshotAttributeNameCreateVolumePermission,
		CreateVolumePermission: &types.CreateVolumePermissionModifications{Add: add},
	})
	return apiError("ModifySnapshotAttribute", id, err)
}

// AddProductCodes adds Marketplace product codes to an image.
func (c *Client) AddProductCodes(ctx context.Context, id string, codes []string) error {
	if len(codes) == 0 {
		return nil
	}
	_, err := c.ec2.ModifyImageAttribute(ctx, &ec2.ModifyImageAttributeInput{
		ImageId: aws.String(id), Attribute: aws.String("productCodes"),
		OperationType: types.OperationTypeAdd, ProductCodes: codes,
	})
	return apiError("ModifyImageAttribute", id, err)
}

// RequireIMDSv2 makes instances of an image accept IMDSv2 only.
func (c *Client) RequireIMDSv2(ctx context.Context, id string) error {
	_, err := c.ec2.ModifyImageAttribute(ctx, &ec2.ModifyImageAttributeInput{
		ImageId: aws.String(id), ImdsSupport: &types.AttributeValue{Value: aws.String("v2.0")},
	})
	return apiError("ModifyImageAttribute", id, err)
}

// DeprecateImage marks an image as deprecated from a moment on.
func (c *Client) DeprecateImage(ctx context.Context, id string, at time.Time) error {
	_, err := c.ec2.EnableImageDeprecation(ctx, &ec2.EnableImageDeprecationInput{
		ImageId: aws.String(id), DeprecateAt: aws.Time(at.UTC()),
	})
	return apiError("EnableImageDeprecation", id, err)
}

// ProtectImage protects an image from deregistration. With cooldown it stays
// protected for another day after the protection is switched off.
func (c *Client) ProtectImage(ctx context.Context, id string, cooldown bool) error {
	_, err := c.ec2.EnableImageDeregistrationProtection(ctx, &ec2.EnableImageDeregistrationProtectionInput{
		ImageId: aws.String(id), WithCooldown: optional(cooldown),
	})
	return apiError("EnableImageDeregistrationProtection", id, err)
}

// UnprotectImage switches the protection from deregistration off. An image that
// is gone is no error.
func (c *Client) UnprotectImage(ctx context.Context, id string) error {
	_, err := c.ec2.DisableImageDeregistrationProtection(ctx, &ec2.DisableImageDeregistrationProtectionInput{
		ImageId: aws.String(id),
	})
	err = apiError("DisableImageDeregistrationProtection", id, err)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
