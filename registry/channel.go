package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Promote makes the image with the given id the head of a channel of its line.
// revision is that of the channel as the caller has seen it, 0 when it did not
// exist; reason may be empty.
//
// It refuses an image that is not tested and usable. It returns ErrConflict
// when in between the channel was moved, or anything was recorded about the image
// or an ancestor, and ErrNotFound when there is no such image.
func (r *Registry) Promote(ctx context.Context, image, channel string, revision int64, reason string) (Channel, error) {
	wrap := func(err error) error { return fmt.Errorf("promote %s to %s: %w", image, channel, err) }

	if channel == "" {
		return Channel{}, wrap(errors.New("the channel has no name"))
	}
	if why := unfit(channel); why != "" {
		return Channel{}, wrap(fmt.Errorf("the name of channel %q %s", channel, why))
	}
	load := newLoader(r.store)
	img, err := load.image(ctx, image)
	if err != nil {
		return Channel{}, wrap(err)
	}
	view, err := r.view(ctx, load, img)
	if err != nil {
		return Channel{}, wrap(err)
	}
	if !view.Usable() || !view.Tested {
		return Channel{}, wrap(fmt.Errorf("%s is %s: %s", img, view.Status, view.Reason))
	}

	now := r.moment()
	head := Channel{Line: img.Line(), Name: channel, Image: img.ID, Revision: revision + 1, MovedAt: now, Actor: r.actor}
	mark := Mark{
		ID: NewID(), Image: img.ID, Kind: MarkPromoted, Channel: channel,
		At: now, EffectiveAt: now, Reason: reason, Actor: r.actor,
	}
	if err := mark.validate(); err != nil {
		return Channel{}, wrap(err)
	}
	err = r.store.Commit(ctx, Change{
		// A test that fails, or a revocation, while this is decided, decides.
		Seen:    load.seen(append([]Image{img}, view.Lineage.Ancestors...)...),
		Channel: &head, Marks: []Mark{mark}, Events: []Event{r.event(OpPromote, img.ID, detail(channel, reason))},
	})
	if err != nil {
		return Channel{}, wrap(err)
	}
	return head, nil
}

// Demote takes back that the image with the given id was promoted to a channel.
// The channel has no head then, until an image is promoted to it. It returns
// ErrConflict when the image is not the head of the channel: what someone else
// has promoted in between stays.
func (r *Registry) Demote(ctx context.Context, image, channel, reason string) error {
	wrap := func(err error) error { return fmt.Errorf("demote %s from %s: %w", image, channel, err) }
	facts, err := r.store.Facts(ctx, image)
	if err != nil {
		return wrap(err)
	}
	marks := facts[image].Marks
	isHead := slices.ContainsFunc(facts[image].Channels, func(c Channel) bool { return c.Name == channel })
	if !isHead || demoted(marks, channel) {
		return wrap(fmt.Errorf("it is not the head of that channel: %w", ErrConflict))
	}
	var clears []Mark
	for _, m := range standing(marks, MarkPromoted) {
		if m.Channel == channel {
			clears = append(clears, r.clearing(m, reason))
		}
	}
	err = r.store.Commit(ctx, Change{
		Marks: clears, Events: []Event{r.event(OpDemote, image, detail(channel, reason))},
	})
	if err != nil {
		return wrap(err)
	}
	return nil
}

// Channel returns the channel of a line by name, or ErrNotFound.
func (r *Registry) Channel(ctx context.Context, line Line, name string) (Channel, error) {
	return r.store.Channel(ctx, line, name)
}
