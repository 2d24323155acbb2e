package chroot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/journal"
	"github.com/imagebakery/packer-plugin-bakery/internal/reap"
)

// graceful is how long a call that makes something may go on after the bake was
// cancelled: to know what it made is better than to search for it.
const graceful = 5 * time.Second

// graced returns a context for calls that make something.
func graced(ctx context.Context) (context.Context, context.CancelFunc) {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-inner.Done():
		case <-time.After(graceful):
			cancel()
		}
	})
	return inner, func() { stop(); cancel() }
}

// createSnapshot takes the snapshot. What it holds is settled when the call
// returns, so the volume is detached while EC2 copies.
func (b *bake) createSnapshot(ctx context.Context) error {
	calling, done := graced(ctx)
	defer done()
	id, err := b.client.CreateSnapshot(calling, b.volume.id, "Root of "+b.image.Name, beating(b.snapshotTags), reap.OwnerTag)
	if err != nil {
		return err
	}
	b.snapshot = id
	if err := b.record(journal.Snapshot, id, "", b.home() == nil); err != nil {
		return err
	}
	b.ui.Say("Snapshot: " + id)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return b.client.WaitSnapshot(ctx, id) })
	group.Go(func() error { return b.detachVolume(ctx) })
	return group.Wait()
}

// register makes the image: under its own name when it is to stay and the name
// is free, else under one for the time being. The volume, of no use any more,
// goes meanwhile.
func (b *bake) register(ctx context.Context) error {
	b.rootDevice().SnapshotID = b.snapshot
	spec, final := b.image, true
	home := b.home()
	switch {
	case home == nil:
		spec.Name, final = b.interim("uncopied"), false
	case home.replaces != nil:
		spec.Name, final = b.interim("next"), false
	}
	var made cloud.Image
	var group errgroup.Group
	group.Go(func() (err error) {
		made, err = b.registerAs(ctx, b.client, spec, !final)
		return err
	})
	group.Go(func() error {
		if err := b.deleteVolume(ctx); err != nil {
			// The image does not depend on it; the end of the bake tries again.
			b.ui.Say(err.Error())
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return err
	}
	b.registered = made
	if home != nil {
		home.image, home.snapshots = made, []string{b.snapshot}
	}
	return nil
}

// registerAs registers an image and waits for it.
func (b *bake) registerAs(ctx context.Context, client *cloud.Client, spec cloud.ImageSpec, temporary bool) (cloud.Image, error) {
	calling, done := graced(ctx)
	defer done()
	spec.Tags = beating(spec.Tags)
	id, err := client.RegisterImage(calling, spec, reap.OwnerTag)
	if err != nil {
		return cloud.Image{}, err
	}
	if err := b.record(journal.Image, id, client.Region(), temporary); err != nil {
		return cloud.Image{}, err
	}
	b.ui.Say(fmt.Sprintf("Image in %s: %s", client.Region(), id))
	return b.awaitImage(ctx, client.WaitImage, id)
}

// awaitImage waits for an image and makes sure that it is billed as its source
// is. EC2 derives that from the snapshot when an image is registered, and may
// not be able to: "you should discard the AMI" then, its API reference says.
func (b *bake) awaitImage(ctx context.Context, wait func(context.Context, string) (cloud.Image, error), id string) (cloud.Image, error) {
	img, err := wait(ctx, id)
	if err != nil || b.source.ID == "" || b.config.SkipBillingCheck {
		return img, err
	}
	if img.Platform != b.source.Platform || img.UsageOperation != b.source.UsageOperation {
		return img, fmt.Errorf("image %s would be billed as %q (%s), its source %s is as %q (%s): EC2 did not find the billing "+
			"information in the snapshot; bake this system with amazon-ebs, or set skip_billing_check = true if that is right",
			id, img.Platform, img.UsageOperation, b.source.ID, b.source.Platform, b.source.UsageOperation)
	}
	return img, nil
}

// copySpec says how the image comes to a region.
func (b *bake) copySpec(t *target) cloud.CopySpec {
	spec := cloud.CopySpec{
		Source: b.registered.ID, SourceRegion: b.client.Region(), Name: b.image.Name, Description: b.image.Description,
		Minutes: b.config.CopyMinutes, Tags: b.image.Tags, SnapshotTags: b.snapshotTags, Token: b.id + "-" + t.region(),
	}
	if t.replaces != nil {
		spec.Name = b.interim("copy")
	}
	if b.config.EncryptBoot.True() {
		spec.Encrypted, spec.KMSKeyID = new(true), t.key
	}
	return spec
}

// copyImages copies the image to all regions at once.
func (b *bake) copyImages(ctx context.Context) error {
	// All copies are begun, and noted, before any is waited for.
	if err := b.eachTarget(ctx, b.beginCopy); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, t := range b.targets {
		if !t.copied {
			continue
		}
		group.Go(func() error {
			if err := b.awaitCopy(ctx, t); err != nil {
				return fmt.Errorf("%s: %w", t.region(), err)
			}
			return nil
		})
	}
	return group.Wait()
}

func (b *bake) beginCopy(ctx context.Context, t *target) error {
	if !t.copied {
		return nil
	}
	calling, done := graced(ctx)
	defer done()
	spec := b.copySpec(t)
	spec.Tags, spec.SnapshotTags = beating(spec.Tags), beating(spec.SnapshotTags)
	id, err := t.client.CopyImage(calling, spec)
	if err != nil {
		return err
	}
	t.image.ID = id
	return b.record(journal.Image, id, t.region(), t.replaces != nil)
}

func (b *bake) awaitCopy(ctx context.Context, t *target) (err error) {
	if t.image, err = b.awaitImage(ctx, t.client.WaitCopy, t.image.ID); err != nil {
		return err
	}
	t.snapshots = t.image.Snapshots()
	for _, id := range t.snapshots {
		if err := b.record(journal.Snapshot, id, t.region(), false); err != nil {
			return err
		}
	}
	b.ui.Say(fmt.Sprintf("Image in %s: %s", t.region(), t.image.ID))
	return nil
}

// replaceAll gives the image its name in every region where another has it.
func (b *bake) replaceAll(ctx context.Context) error { return b.eachTarget(ctx, b.replaceOld) }

// nameFreeWithin is how long EC2 may take to see that a name has become free.
const nameFreeWithin = 2 * time.Minute

// replaceOld gives the image the name that another one has. No two images of an
// account can have one name in a region, so the other is deregistered first;
// but only now, when the image is complete in every region under a name for the
// time being, and all that is left to do is to register its snapshots once
// more. When that or anything later fails, the other image is registered again.
func (b *bake) replaceOld(ctx context.Context, t *target) error {
	if t.replaces == nil {
		return nil
	}
	switch now, err := t.client.ImageNamed(ctx, b.image.Name); {
	case errors.Is(err, cloud.ErrNotFound):
	case err != nil:
		return err
	case now.ID != t.replaces.ID:
		return fmt.Errorf("the name %q has passed from image %s to %s meanwhile", b.image.Name, t.replaces.ID, now.ID)
	default:
		entry, err := reap.Replacing(ctx, t.client, now)
		if err != nil {
			return err
		}
		if _, err := b.journal.Record(entry); err != nil {
			return err
		}
		if err := t.client.DeregisterImage(ctx, now.ID); err != nil {
			return err
		}
		b.ui.Say(fmt.Sprintf("Deregistered %s in %s", now.ID, t.region()))
	}
	spec := b.image
	spec.BlockDevices = t.image.BlockDevices
	var made cloud.Image
	for begin := time.Now(); ; {
		var err error
		if made, err = b.registerAs(ctx, t.client, spec, false); err == nil {
			break
		}
		if !errors.Is(err, cloud.ErrDuplicateName) || time.Since(begin) > nameFreeWithin {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		case <-time.After(time.Second):
		}
	}
	t.image = made
	return nil
}

// commit ends the bake well. From then on what it made is its result, and what
// it replaced is to go.
func (b *bake) commit(ctx context.Context) error {
	var obsolete []journal.Entry
	if b.config.ForceDeleteSnapshot {
		for _, t := range b.targets {
			list, err := b.unused(ctx, t)
			if err != nil {
				return fmt.Errorf("%s: %w", t.region(), err)
			}
			obsolete = append(obsolete, list...)
		}
	}
	if err := b.end(ctx); err != nil {
		return err
	}
	return b.journal.Commit(obsolete...)
}

// unused are the snapshots that nothing uses after the image that was replaced.
func (b *bake) unused(ctx context.Context, t *target) ([]journal.Entry, error) {
	if t.replaces == nil {
		return nil, nil
	}
	var list []journal.Entry
	for _, snap := range t.replaces.Snapshots() {
		users, err := t.client.Images(ctx, cloud.ImageQuery{
			Owners: []string{"self"}, IncludeDeprecated: true,
			Filters: map[string][]string{"block-device-mapping.snapshot-id": {snap}},
		})
		if err != nil {
			return nil, err
		}
		if len(users) > 0 {
			b.ui.Say(fmt.Sprintf("Snapshot %s stays: image %s uses it too", snap, users[0].ID))
			continue
		}
		list = append(list, journal.Entry{Kind: journal.Snapshot, ID: snap, Region: t.region(), Temporary: true})
	}
	return list, nil
}

// planSnapshotTags renders the tags of the snapshots: those of the image and
// what overrides them.
func (b *bake) planSnapshotTags() error {
	tags, err := b.renderTags("snapshot_tags", b.config.SnapshotTags)
	if err != nil {
		return err
	}
	all := maps.Clone(b.image.Tags)
	maps.Copy(all, tags)
	b.snapshotTags = b.ownTags(all)
	return nil
}
