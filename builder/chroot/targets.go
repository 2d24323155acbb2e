package chroot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/journal"
)

// target is a region that shall have the image.
type target struct {
	client    *cloud.Client
	copied    bool         // from the image that was registered; else it is that image
	key       string       // KMS key of a copy; empty: the region's default
	replaces  *cloud.Image // has the name that the image shall have
	image     cloud.Image  // as it is
	snapshots []string     // of the image that were made for it
}

func (t *target) region() string { return t.client.Region() }

// planTargets finds out which regions shall have the image, by which way, and
// that its name is to be had in all of them.
func (b *bake) planTargets(ctx context.Context) error {
	c, own := b.config, b.client.Region()
	for name := range c.RegionKMSKeyIDs {
		if name != own && !slices.Contains(c.Regions, name) {
			return fmt.Errorf("region_kms_key_ids has the region %s, which is neither %s nor in ami_regions; remove it there", name, own)
		}
	}
	if !c.SkipSaveBuildRegion {
		copied, err := b.copiedAtHome(ctx)
		if err != nil {
			return err
		}
		b.targets = append(b.targets, &target{client: b.client, copied: copied, key: b.homeKey()})
	}
	for _, name := range c.copyRegions(own) {
		b.targets = append(b.targets, &target{client: b.client.InRegion(name), copied: true, key: c.RegionKMSKeyIDs[name]})
	}
	if len(b.targets) == 0 {
		return errors.New("skip_save_build_region is set, but ami_regions names no region but this; no image would be left")
	}
	return b.eachTarget(ctx, b.checkName)
}

// homeKey is the KMS key of the image in the region of the bake.
func (b *bake) homeKey() string {
	if key, has := b.config.RegionKMSKeyIDs[b.client.Region()]; has {
		return key
	}
	return b.config.KMSKeyID
}

// copiedAtHome reports whether the image has to be copied inside its region to
// be encrypted as wanted. The root is encrypted while it is baked on, unless the
// template asks for something else there; further snapshots can only be copied.
func (b *bake) copiedAtHome(ctx context.Context) (bool, error) {
	c := b.config
	if !c.EncryptBoot.True() {
		return false, nil
	}
	if c.RootVolumeEncryptBoot.False() || c.RootVolumeKMSKeyID != "" && c.RootVolumeKMSKeyID != b.homeKey() {
		return true, nil
	}
	for _, dev := range b.image.BlockDevices {
		if dev.SnapshotID == "" {
			continue
		}
		snap, err := b.client.Snapshot(ctx, dev.SnapshotID)
		if err != nil {
			return false, fmt.Errorf("the snapshot of %s: %w", dev.DeviceName, err)
		}
		if !snap.Encrypted || b.homeKey() != "" {
			return true, nil
		}
	}
	return false, nil
}

// checkName makes sure that the image can have its name in a region.
func (b *bake) checkName(ctx context.Context, t *target) error {
	taken, err := t.client.ImageNamed(ctx, b.image.Name)
	switch {
	case errors.Is(err, cloud.ErrNotFound):
		return nil
	case err != nil:
		return err
	case !b.config.ForceDeregister:
		return fmt.Errorf("the name %q is taken by image %s; change ami_name, for instance with {{timestamp}}, "+
			"or replace that image with force_deregister = true", b.image.Name, taken.ID)
	case taken.Protected:
		return fmt.Errorf("image %s, which is to be replaced, is protected from deregistration; "+
			"switch that off, or change ami_name", taken.ID)
	}
	t.replaces = &taken
	return nil
}

// eachTarget does something for all regions at once and waits for all of them,
// so that what they have made is known. Errors name their region.
func (b *bake) eachTarget(ctx context.Context, do func(context.Context, *target) error) error {
	errs := make([]error, len(b.targets))
	var all sync.WaitGroup
	for i, t := range b.targets {
		all.Go(func() {
			if err := do(ctx, t); err != nil {
				errs[i] = fmt.Errorf("%s: %w", t.region(), err)
			}
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		// That all regions were cancelled need not be said for each.
		errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
		errs = errs[:min(1, len(errs))]
	}
	return errors.Join(errs...)
}

// checkPermissions asks EC2 whether it will permit what can be asked about
// before anything exists.
func (b *bake) checkPermissions(ctx context.Context) error {
	if b.config.SkipCredsValidation {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return b.client.MayCreateVolume(ctx, b.volumeSpec()) })
	// Of a source of another account EC2 would refuse what it permits for the
	// bake's own snapshot.
	if b.source.Owner == b.account && !b.config.SkipCreateAMI {
		group.Go(func() error {
			spec := b.image
			spec.BlockDevices = b.source.BlockDevices
			spec.RootDevice = b.source.RootDevice
			return b.client.MayRegisterImage(ctx, spec)
		})
	}
	for _, t := range b.targets {
		if t.copied && b.source.Owner == b.account {
			spec := b.copySpec(t)
			spec.Source = b.source.ID
			group.Go(func() error { return t.client.MayCopyImage(ctx, spec) })
		}
		if t.replaces == nil {
			continue
		}
		group.Go(func() error { return t.client.MayDeregisterImage(ctx, t.replaces.ID) })
		if b.config.ForceDeleteSnapshot {
			for _, snap := range t.replaces.Snapshots() {
				group.Go(func() error { return t.client.MayDeleteSnapshot(ctx, snap) })
			}
		}
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("the credentials do not permit this bake: %w", err)
	}
	return nil
}

// interim is the name of an image on its way to what it shall be.
func (b *bake) interim(what string) string { return "bakery-" + strings.ToLower(b.id) + "-" + what }

// home is the target that gets the registered image itself, or nil.
func (b *bake) home() *target {
	for _, t := range b.targets {
		if !t.copied {
			return t
		}
	}
	return nil
}

// record notes in the journal what was made for a region.
func (b *bake) record(kind journal.Kind, id, region string, temporary bool) error {
	_, err := b.journal.Record(journal.Entry{Kind: kind, ID: id, Region: region, Temporary: temporary})
	return err
}
