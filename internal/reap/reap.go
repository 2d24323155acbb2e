// Package reap undoes bakes: the one that has just failed, and those that died
// and left a journal behind. It removes only what a journal lists or what
// carries the tag of the journal's bake.
package reap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/journal"
	"github.com/imagebakery/packer-plugin-bakery/internal/volume"
)

// OwnerTag is the tag, with the id of its bake as its value, of everything that
// a bake creates in a cloud.
const OwnerTag = "bakery:bake"

// Report hears of what was undone: the kind and id of what was removed, or of
// an image that was to be replaced and is there again.
type Report func(kind journal.Kind, id string)

// Undo removes one resource and notes it in the journal. A resource that is
// gone already is no error.
func Undo(ctx context.Context, client *cloud.Client, j *journal.Journal, entry journal.Entry) error {
	_, err := undo(ctx, client, j, entry)
	return err
}

// undo is Undo; id is of what report shall hear of, or empty.
func undo(ctx context.Context, client *cloud.Client, j *journal.Journal, entry journal.Entry) (id string, err error) {
	if entry.Region != "" {
		client = client.InRegion(entry.Region)
	}
	id = entry.ID
	switch entry.Kind {
	case journal.Replaced:
		id, err = restore(ctx, client, entry)
	case journal.Mount:
		if err = volume.Unmount(ctx, entry.ID); err == nil {
			err = removeMountPoint(entry.ID, j.Header.Bake)
		}
	default:
		err = remove(ctx, client, entry.Kind, entry.ID)
	}
	if err != nil {
		return "", fmt.Errorf("remove %s %s: %w", entry.Kind, entry.ID, err)
	}
	return id, j.Gone(entry)
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
		return deregister(ctx, client, id)
	case journal.Snapshot:
		return client.DeleteSnapshot(ctx, id)
	case journal.Attachment:
		return client.DetachVolume(ctx, id)
	case journal.Volume:
		return client.DeleteVolume(ctx, id)
	default:
		return fmt.Errorf("a journal of a newer release? It has a resource of kind %q", kind)
	}
}

// deregister removes an image that the bake made, protected as it may be by
// then.
func deregister(ctx context.Context, client *cloud.Client, id string) error {
	err := client.DeregisterImage(ctx, id)
	if !errors.Is(err, cloud.ErrProtected) {
		return err
	}
	if err := client.UnprotectImage(ctx, id); err != nil {
		return err
	}
	return client.DeregisterImage(ctx, id)
}

// order is in which order kinds are undone: what uses another before what it
// uses, and what takes a name before what gets it back.
var order = []journal.Kind{journal.Image, journal.Replaced, journal.Snapshot, journal.Mount, journal.Attachment, journal.Volume}

// All undoes everything that the journal lists, and then what the bake may have
// created without living to list it. What cannot be removed stays
// listed and is in the error; the rest is removed all the same. When all is
// gone, so is the journal.
func All(ctx context.Context, client *cloud.Client, j *journal.Journal, report Report) error {
	u := &undoing{client: client, journal: j, report: report, failed: map[string]bool{}}
	entries := j.Entries()
	slices.SortStableFunc(entries, func(x, y journal.Entry) int {
		return cmp.Compare(slices.Index(order, x.Kind), slices.Index(order, y.Kind))
	})
	images := slices.IndexFunc(entries, func(e journal.Entry) bool { return e.Kind != journal.Image })
	if images < 0 {
		images = len(entries)
	}
	u.undo(ctx, entries[:images])
	if !j.Committed() {
		// An image that the bake did not live to list holds snapshots, and maybe
		// the name of one that is to be there again.
		for _, region := range regions(client, j.Header) {
			u.sweepImages(ctx, client.InRegion(region))
		}
	}
	u.undo(ctx, entries[images:])
	if !j.Committed() {
		for _, region := range regions(client, j.Header) {
			u.sweep(ctx, client.InRegion(region))
		}
	}
	if err := errors.Join(u.errs...); err != nil {
		return errors.Join(err, j.Close())
	}
	return j.Done()
}

// undoing is the undoing of one bake.
type undoing struct {
	client  *cloud.Client
	journal *journal.Journal
	report  Report

	errs   []error
	failed map[string]bool // what could not be removed: not to be tried twice
	stays  bool            // an image could not be removed
}

// undo undoes what the journal lists.
func (u *undoing) undo(ctx context.Context, entries []journal.Entry) {
	for _, entry := range entries {
		client := u.client
		if entry.Region != "" {
			client = client.InRegion(entry.Region)
		}
		id, err := entry.ID, u.free(ctx, client, entry.Kind, entry.ID)
		if err != nil {
			err = fmt.Errorf("remove %s %s: %w", entry.Kind, entry.ID, err)
		} else {
			id, err = undo(ctx, u.client, u.journal, entry)
		}
		u.done(entry.Kind, entry.ID, id, err)
	}
}

// free returns an error for a snapshot of which it is not worth waiting that
// EC2 lets it go: the image that uses it has just been found to stay.
func (u *undoing) free(ctx context.Context, client *cloud.Client, kind journal.Kind, id string) error {
	if kind != journal.Snapshot || !u.stays {
		return nil
	}
	return unused(ctx, client, id)
}

// done notes what came of removing id; shown is what is reported of it, if
// anything.
func (u *undoing) done(kind journal.Kind, id, shown string, err error) {
	switch {
	case err != nil:
		u.errs = append(u.errs, err)
		u.failed[id] = true
		u.stays = u.stays || kind == journal.Image
	case shown != "":
		u.report(kind, shown)
	}
}

// regions are all in which a bake may have made something.
func regions(client *cloud.Client, header journal.Header) []string {
	all := append([]string{client.Region()}, header.Regions...)
	slices.Sort(all)
	return slices.Compact(all)
}

// sweep removes what carries the bake's tag in the client's region.
func (u *undoing) sweep(ctx context.Context, client *cloud.Client) {
	u.sweepImages(ctx, client)
	bake := u.journal.Header.Bake
	snapshots, err := client.SnapshotsWithTag(ctx, OwnerTag, bake)
	u.look(err)
	for _, snap := range snapshots {
		u.try(ctx, client, journal.Snapshot, snap.ID)
	}
	volumes, err := client.VolumesWithTag(ctx, OwnerTag, bake)
	u.look(err)
	for _, id := range volumes {
		if u.failed[id] {
			continue
		}
		if err := remove(ctx, client, journal.Attachment, id); err != nil {
			u.errs = append(u.errs, fmt.Errorf("detach volume %s: %w", id, err))
			continue
		}
		u.try(ctx, client, journal.Volume, id)
	}
}

func (u *undoing) sweepImages(ctx context.Context, client *cloud.Client) {
	images, err := client.Images(ctx, cloud.ImageQuery{
		Owners: []string{"self"}, Filters: map[string][]string{"tag:" + OwnerTag: {u.journal.Header.Bake}}, IncludeDeprecated: true,
	})
	u.look(err)
	for _, img := range images {
		u.try(ctx, client, journal.Image, img.ID)
	}
}

// look notes that looking for something has failed.
func (u *undoing) look(err error) {
	if err != nil {
		u.errs = append(u.errs, err)
	}
}

// try removes something that has not been tried before.
func (u *undoing) try(ctx context.Context, client *cloud.Client, kind journal.Kind, id string) {
	if u.failed[id] {
		return
	}
	err := u.free(ctx, client, kind, id)
	if err == nil {
		err = remove(ctx, client, kind, id)
	}
	if err != nil {
		err = fmt.Errorf("remove %s %s: %w", kind, id, err)
	}
	u.done(kind, id, id, err)
}

// Orphans undoes the bakes of this host that died: their journals are in dir.
// connect makes a client from a journal's header. With kept, also those are
// undone that were kept for a look. It returns how many bakes were undone.
func Orphans(ctx context.Context, dir string, kept bool,
	connect func(context.Context, journal.Header) (*cloud.Client, error),
	report Report,
) (int, error) {
	journals, err := journal.Orphans(dir, kept)
	errs := []error{err}
	undone := 0
	for _, j := range journals {
		if err := undoOrphan(ctx, j, connect, report); err != nil {
			errs = append(errs, fmt.Errorf("clean up after bake %s: %w", j.Header.Bake, err))
			continue
		}
		undone++
	}
	return undone, errors.Join(errs...)
}

// List reports what [Orphans] would undo, and returns of how many bakes.
func List(dir string, kept bool, report Report) (int, error) {
	journals, err := journal.Orphans(dir, kept)
	errs := []error{err}
	for _, j := range journals {
		for _, e := range j.Entries() {
			report(e.Kind, e.ID)
		}
		errs = append(errs, j.Close())
	}
	return len(journals), errors.Join(errs...)
}

func undoOrphan(ctx context.Context, j *journal.Journal,
	connect func(context.Context, journal.Header) (*cloud.Client, error),
	report Report,
) error {
	client, err := connect(ctx, j.Header)
	if err != nil {
		return errors.Join(err, j.Close())
	}
	defer client.Close()
	return All(ctx, client, j, report)
}
