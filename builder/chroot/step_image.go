package chroot

import (
	"context"
	"maps"

	"golang.org/x/sync/errgroup"

	"github.com/imagebakery/packer-plugin-bakery/internal/journal"
	"github.com/imagebakery/packer-plugin-bakery/internal/reap"
)

// createSnapshot takes the snapshot. What it holds is settled when the call
// returns, so the volume is detached while EC2 copies.
func (b *bake) createSnapshot(ctx context.Context) error {
	tags, err := b.renderTags("snapshot_tags", b.config.SnapshotTags)
	if err != nil {
		return err
	}
	all := maps.Clone(b.image.Tags)
	maps.Copy(all, tags)
	id, err := b.client.CreateSnapshot(ctx, b.volume.id, "Root of "+b.image.Name, b.ownTags(all), reap.OwnerTag)
	if err != nil {
		return err
	}
	if err := b.made(&b.snapshot, journal.Snapshot, id); err != nil {
		return err
	}
	b.ui.Message("Snapshot: " + id)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return b.client.WaitSnapshot(ctx, id) })
	group.Go(func() error { return b.detachVolume(ctx) })
	return group.Wait()
}

func (b *bake) deleteSnapshot(ctx context.Context) error {
	if !b.failed() {
		return nil
	}
	return b.remove(ctx, &b.snapshot)
}

// register makes the image.
func (b *bake) register(ctx context.Context) error {
	b.rootDevice().SnapshotID = b.snapshot.id
	id, err := b.client.RegisterImage(ctx, b.image, reap.OwnerTag)
	if err != nil {
		return err
	}
	if err := b.made(&b.registered, journal.Image, id); err != nil {
		return err
	}
	b.ui.Message("Image: " + id)
	_, err = b.client.WaitImage(ctx, id)
	return err
}

func (b *bake) deregister(ctx context.Context) error {
	if !b.failed() {
		return nil
	}
	return b.remove(ctx, &b.registered)
}
