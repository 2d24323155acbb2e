package chroot

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
)

// shares reports whether the template asks for what cannot be part of the calls
// that make images.
func (c *Config) shares() bool {
	return !c.imagePermissions().Empty() || !c.snapshotPermissions().Empty() || len(c.ProductCodes) > 0 ||
		c.DeprecateAt != "" || c.DeprecateAfter != "" || len(c.Regions) > 0
}

func (c *Config) imagePermissions() cloud.Permissions {
	return cloud.Permissions{Users: c.Users, Groups: c.Groups, Organizations: c.OrgARNs, Units: c.OUARNs}
}

func (c *Config) snapshotPermissions() cloud.Permissions {
	return cloud.Permissions{Users: c.SnapshotUsers, Groups: c.SnapshotGroups}
}

// share gives the images of all regions their permissions and marks.
func (b *bake) share(ctx context.Context) error {
	at, err := b.config.deprecation(time.Now())
	if err != nil {
		return err
	}
	return b.eachTarget(ctx, func(ctx context.Context, t *target) error { return b.shareOne(ctx, t, at) })
}

func (b *bake) shareOne(ctx context.Context, t *target, deprecated time.Time) error {
	id := t.image.ID
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return t.client.ShareImage(ctx, id, b.config.imagePermissions()) })
	group.Go(func() error { return t.client.AddProductCodes(ctx, id, b.config.ProductCodes) })
	for _, snap := range t.snapshots {
		group.Go(func() error { return t.client.ShareSnapshot(ctx, snap, b.config.snapshotPermissions()) })
	}
	if !deprecated.IsZero() {
		group.Go(func() error { return t.client.DeprecateImage(ctx, id, deprecated) })
	}
	if b.image.IMDS != "" && t.image.IMDS == "" {
		group.Go(func() error { return t.client.RequireIMDSv2(ctx, id) })
	}
	return group.Wait()
}

// protect protects the images of all regions from deregistration, as the last
// thing that can fail. A cooldown, which nothing shortens, begins only where
// all regions have agreed to the protection.
func (b *bake) protect(ctx context.Context) error {
	protect := func(cooldown bool) error {
		return b.eachTarget(ctx, func(ctx context.Context, t *target) error {
			return t.client.ProtectImage(ctx, t.image.ID, cooldown)
		})
	}
	if err := protect(false); err != nil || !b.config.Protection.WithCooldown {
		return err
	}
	return protect(true)
}
