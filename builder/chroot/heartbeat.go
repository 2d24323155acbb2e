package chroot

import (
	"context"
	"errors"
	"log"
	"maps"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/journal"
	"github.com/imagebakery/packer-plugin-bakery/internal/reap"
)

// beating adds a sign of life to the tags of what is about to be created.
func beating(tags map[string]string) map[string]string {
	all := maps.Clone(tags)
	if all == nil {
		all = map[string]string{}
	}
	all[reap.HeartbeatTag] = reap.Beat(time.Now())
	return all
}

// startHeart gives signs of life until stopHeart.
func (b *bake) startHeart(ctx context.Context) {
	every := b.beatEvery
	if every == 0 {
		every = reap.HeartbeatEvery
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stopped := make(chan struct{})
	b.stopHeart = func() { cancel(); <-stopped }
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case at := <-ticker.C:
				// A sign that was lost is made up for by the next.
				if err := b.mark(ctx, reap.Beat(at)); err != nil && ctx.Err() == nil {
					log.Printf("[WARN] a sign of life was lost: %v", err)
				}
			}
		}
	}()
}

// mark sets the heartbeat of all that the bake has in the cloud, with one call
// for each region.
func (b *bake) mark(ctx context.Context, heartbeat string) error {
	resources := map[string][]string{}
	for _, e := range b.journal.Entries() {
		switch e.Kind {
		case journal.Volume, journal.Snapshot, journal.Image:
			resources[e.Region] = append(resources[e.Region], e.ID)
		}
	}
	var errs []error
	for region, ids := range resources {
		client := b.client
		if region != "" {
			client = client.InRegion(region)
		}
		errs = append(errs, markResources(ctx, client, heartbeat, ids))
	}
	return errors.Join(errs...)
}

func markResources(ctx context.Context, client *cloud.Client, heartbeat string, ids []string) error {
	tag := map[string]string{reap.HeartbeatTag: heartbeat}
	err := client.Tag(ctx, tag, ids...)
	if !errors.Is(err, cloud.ErrNotFound) {
		return err
	}
	// EC2 tags none when one of them is gone.
	var errs []error
	for _, id := range ids {
		if err := client.Tag(ctx, tag, id); !errors.Is(err, cloud.ErrNotFound) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// end says to all hosts that what the bake has made is good. It comes before the
// line in the journal: no other host may take for dead what this one has noted
// as its result.
func (b *bake) end(ctx context.Context) error {
	b.stopHeart()
	return b.eachTarget(ctx, func(ctx context.Context, t *target) error {
		return t.client.Tag(ctx, map[string]string{reap.HeartbeatTag: reap.Ended}, append([]string{t.image.ID}, t.snapshots...)...)
	})
}
