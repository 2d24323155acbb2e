// Package reap undoes bakes: the one that has just failed, and those that died
// and left a journal behind. It removes only what a journal lists or what
// carries the tag of the journal's bake.
package reap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/journal"
	"github.com/imagebakery/packer-plugin-bakery/internal/volume"
)

// OwnerTag is the tag, with the id of its bake as its value, of everything that
// a bake creates in a cloud.
const OwnerTag = "bakery:bake"

// Undo removes one resource and notes it in the journal. A resource that is
// gone already is no error.
func Undo(ctx context.Context, client *cloud.Client, j *journal.Journal, entry journal.Entry) error {
	if entry.Region != "" {
		client = client.InRegion(entry.Region)
	}
	err := remove(ctx, client, entry.Kind, entry.ID)
	if err == nil && entry.Kind == journal.Mount {
		err = removeMountPoint(entry.ID, j.Header.Bake)
	}
	if err != nil {
		return fmt.Errorf("remove %s %s: %w", entry.Kind, entry.ID, err)
	}
	return j.Gone(entry)
}

// removeMountPoint removes the folder that a root was mounted on when it was
// made for the bake: it then bears the bake's id. Others are the user's.
func removeMountPoint(path, bake string) error {
	if !strings.EqualFold(filepath.Base(path), bake) {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func remove(ctx context.Context, client *cloud.Client, kind journal.Kind, id string) error {
	switch kind {
	case journal.Image:
		return client.DeregisterImage(ctx, id)
	case journal.Snapshot:
		return client.DeleteSnapshot(ctx, id)
	case journal.Mount:
		return volume.Unmount(ctx, id)
	case journal.Attachment:
		if err := client.DetachVolume(ctx, id); err != nil {
			return err
		}
		return client.WaitVolumeDetached(ctx, id)
	case journal.Volume:
		return client.DeleteVolume(ctx, id)
	default:
		return fmt.Errorf("a journal of a newer release? It has a resource of kind %q", kind)
	}
}

// All undoes everything that the journal lists, newest first, and then what the
// bake may have created without living to list it. What cannot be removed stays
// listed and is in the error; the rest is removed all the same. When all is
// gone, so is the journal.
func All(ctx context.Context, client *cloud.Client, j *journal.Journal, removed func(kind journal.Kind, id string)) error {
	var errs []error
	for _, entry := range j.Entries() {
		if err := Undo(ctx, client, j, entry); err != nil {
			errs = append(errs, err)
			continue
		}
		removed(entry.Kind, entry.ID)
	}
	if !j.Committed() {
		errs = append(errs, sweep(ctx, client, j.Header.Bake, removed))
	}
	if err := errors.Join(errs...); err != nil {
		return errors.Join(err, j.Close())
	}
	return j.Done()
}

// sweep removes what carries the bake's tag in the client's region.
func sweep(ctx context.Context, client *cloud.Client, bake string, removed func(journal.Kind, string)) error {
	var errs []error
	try := func(kind journal.Kind, id string) {
		if err := remove(ctx, client, kind, id); err != nil {
			errs = append(errs, fmt.Errorf("remove %s %s: %w", kind, id, err))
			return
		}
		removed(kind, id)
	}
	images, err := client.Images(ctx, cloud.ImageQuery{
		Owners: []string{"self"}, Filters: map[string][]string{"tag:" + OwnerTag: {bake}}, IncludeDeprecated: true,
	})
	errs = append(errs, err)
	for _, img := range images {
		try(journal.Image, img.ID)
	}
	snapshots, err := client.SnapshotsWithTag(ctx, OwnerTag, bake)
	errs = append(errs, err)
	for _, snap := range snapshots {
		try(journal.Snapshot, snap.ID)
	}
	volumes, err := client.VolumesWithTag(ctx, OwnerTag, bake)
	errs = append(errs, err)
	for _, id := range volumes {
		if err := remove(ctx, client, journal.Attachment, id); err != nil {
			errs = append(errs, fmt.Errorf("detach volume %s: %w", id, err))
			continue
		}
		try(journal.Volume, id)
	}
	return errors.Join(errs...)
}

// Orphans undoes the bakes of this host that died: their journals are in dir.
// connect makes a client from a journal's header. With kept, also those are
// undone that were kept for a look. It returns how many bakes were undone.
func Orphans(ctx context.Context, dir string, kept bool,
	connect func(context.Context, journal.Header) (*cloud.Client, error),
	removed func(kind journal.Kind, id string),
) (int, error) {
	journals, err := journal.Orphans(dir, kept)
	errs := []error{err}
	undone := 0
	for _, j := range journals {
		if err := undoOrphan(ctx, j, connect, removed); err != nil {
			errs = append(errs, fmt.Errorf("clean up after bake %s: %w", j.Header.Bake, err))
			continue
		}
		undone++
	}
	return undone, errors.Join(errs...)
}

func undoOrphan(ctx context.Context, j *journal.Journal,
	connect func(context.Context, journal.Header) (*cloud.Client, error),
	removed func(kind journal.Kind, id string),
) error {
	client, err := connect(ctx, j.Header)
	if err != nil {
		return errors.Join(err, j.Close())
	}
	defer client.Close()
	return All(ctx, client, j, removed)
}
