package reap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/journal"
)

// HeartbeatTag is the tag of what a bake creates that says, to any host, whether
// the bake is alive: the time of its last sign of life, as [Beat] writes it, or
// one of the words below. It is set in the creating call.
const HeartbeatTag = "bakery:heartbeat"

// What a heartbeat can say instead of a time.
const (
	Ended = "ended" // the bake has ended well and this is its result
	Kept  = "kept"  // the bake has failed and -on-error=abort has kept this
)

// HeartbeatEvery is how often a bake gives a sign of life, with one call for
// each region. Most bakes end before the first.
const HeartbeatEvery = 5 * time.Minute

// MinAge is the shortest silence that can be taken for death: a few signs of
// life may be lost to throttling, and the clocks of two hosts that AWS talks to
// are less than five minutes apart, or it would refuse their signatures.
const MinAge = 3 * HeartbeatEvery

// Beat is the value of [HeartbeatTag] of a bake that is alive at that time.
func Beat(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// Leftover is a resource of a bake that has died on some host.
type Leftover struct {
	Kind     journal.Kind // Image, Snapshot or Volume
	ID       string
	Region   string
	Bake     string    // id of the bake
	LastSeen time.Time // last sign of life of the bake; zero for what was kept
}

// kinds are the words of EC2 for the kinds of resources that bakes tag.
var kinds = map[string]journal.Kind{"image": journal.Image, "snapshot": journal.Snapshot, "volume": journal.Volume}

// Abandoned finds what bakes have left in the client's region whose last sign
// of life, on any of their resources, is at least minAge ago. With kept, also
// what -on-error=abort has kept, of whatever age. Bakes that alive knows of are
// left alone.
//
// It takes for left behind only what carries both tags of a bake and a time, or
// Kept, as its heartbeat: the result of a bake that ended well says [Ended].
func Abandoned(ctx context.Context, client *cloud.Client, minAge time.Duration, kept bool, alive func(bake string) bool) ([]Leftover, error) {
	tagged, err := client.Tagged(ctx, OwnerTag, HeartbeatTag)
	if err != nil {
		return nil, err
	}
	there, err := existing(ctx, client)
	if err != nil {
		return nil, err
	}
	var found []Leftover
	lastSeen := map[string]time.Time{}
	for _, r := range tagged {
		l := Leftover{Kind: kinds[r.Type], ID: r.ID, Region: client.Region(), Bake: r.Tags[OwnerTag]}
		beat := r.Tags[HeartbeatTag]
		at, err := time.Parse(time.RFC3339, beat)
		if l.Kind == "" || !there[l.ID] || l.Bake == "" || err != nil && (beat != Kept || !kept) || alive(l.Bake) {
			continue
		}
		if at.After(lastSeen[l.Bake]) {
			lastSeen[l.Bake] = at
		}
		found = append(found, l)
	}
	found = slices.DeleteFunc(found, func(l Leftover) bool { return time.Since(lastSeen[l.Bake]) < minAge })
	for i := range found {
		found[i].LastSeen = lastSeen[found[i].Bake]
	}
	slices.SortFunc(found, func(x, y Leftover) int {
		return cmp.Or(cmp.Compare(x.Bake, y.Bake),
			cmp.Compare(slices.Index(order, x.Kind), slices.Index(order, y.Kind)), cmp.Compare(x.ID, y.ID))
	})
	return found, nil
}

// existing are the ids of the resources with a heartbeat that are there: EC2
// shows the tags of what was deleted for a while.
func existing(ctx context.Context, client *cloud.Client) (map[string]bool, error) {
	there := map[string]bool{}
	volumes, err := client.VolumesWithTag(ctx, HeartbeatTag, "*")
	if err != nil {
		return nil, err
	}
	for _, id := range volumes {
		there[id] = true
	}
	snapshots, err := client.SnapshotsWithTag(ctx, HeartbeatTag, "*")
	if err != nil {
		return nil, err
	}
	for _, snap := range snapshots {
		there[snap.ID] = true
	}
	images, err := client.Images(ctx, cloud.ImageQuery{
		Owners: []string{"self"}, IncludeDeprecated: true, Filters: map[string][]string{"tag-key": {HeartbeatTag}},
	})
	for _, img := range images {
		there[img.ID] = true
	}
	return there, err
}

// detachWithin bounds the wait for a volume that another host may have mounted:
// EC2 detaches it when that host lets go.
const detachWithin = 2 * time.Minute

// Remove removes what [Abandoned] has found, in that order. A snapshot that an
// image uses stays. What cannot be removed is in the error; the rest is removed
// all the same.
func Remove(ctx context.Context, client *cloud.Client, found []Leftover, report func(Leftover)) error {
	var errs []error
	for _, l := range found {
		if err := removeLeftover(ctx, client, l); err != nil {
			errs = append(errs, fmt.Errorf("remove %s %s of bake %s: %w", l.Kind, l.ID, l.Bake, err))
			continue
		}
		report(l)
	}
	return errors.Join(errs...)
}

func removeLeftover(ctx context.Context, client *cloud.Client, l Leftover) error {
	switch l.Kind {
	case journal.Snapshot:
		if err := unused(ctx, client, l.ID); err != nil {
			return err
		}
	case journal.Volume:
		detaching, cancel := context.WithTimeoutCause(ctx, detachWithin,
			errors.New("the host that it is attached to does not let go of it: run `bakery reap` there, or restart that host"))
		defer cancel()
		if err := remove(detaching, client, journal.Attachment, l.ID); err != nil {
			return err
		}
	}
	return remove(ctx, client, l.Kind, l.ID)
}

// unused returns an error that names an image of the account which uses a
// snapshot, if there is one.
func unused(ctx context.Context, client *cloud.Client, snapshot string) error {
	users, err := client.Images(ctx, cloud.ImageQuery{
		Owners: []string{"self"}, IncludeDeprecated: true,
		Filters: map[string][]string{"block-device-mapping.snapshot-id": {snapshot}},
	})
	if err != nil {
		return err
	}
	if len(users) > 0 {
		return fmt.Errorf("image %s uses it", users[0].ID)
	}
	return nil
}
