package ec2tags

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// Commit implements [registry.Store], as far as tags can: what is of one image
// in one region is written in one call. A change that was written to some
// regions only says so in its error, and is completed when it is sent again. It
// refuses channels and packages with [registry.ErrUnsupported], and drops events.
func (s *Store) Commit(ctx context.Context, c registry.Change) error {
	return s.wrap("record in", s.commit(ctx, c))
}

func (s *Store) commit(ctx context.Context, c registry.Change) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case c.Channel != nil:
		if err := s.wantImages(ctx, c.Channel.Image); err != nil {
			return err
		}
		return unsupported("channel %s of %s: nobody could tell who has moved it first; use a registry in SQLite or DynamoDB",
			c.Channel.Name, c.Channel.Line)
	case c.Lease != nil:
		return unsupported("a lease: nobody could tell who has it; use a registry in SQLite or DynamoDB")
	case c.Packages != nil:
		return unsupported("a list of %d packages: tags have no room for it", len(c.Packages.Packages))
	}
	if err := s.wantSeen(ctx, c.Seen); err != nil {
		return err
	}
	facts := map[string]map[string]string{} // tags by image
	add := func(image, key, value string) {
		if facts[image] == nil {
			facts[image] = map[string]string{}
		}
		facts[image][key] = value
	}
	for _, r := range c.Results {
		key, value := resultTag(r)
		add(r.Image, key, value)
	}
	for _, m := range c.Marks {
		key, value := markTag(m)
		add(m.Image, key, value)
	}
	if err := s.wantImages(ctx, missingIn(c)...); err != nil {
		return err
	}
	if c.Image != nil {
		copies, err := s.unregistered(ctx, *c.Image)
		if err != nil {
			return err
		}
		tags := imageTags(*c.Image)
		maps.Copy(tags, facts[c.Image.ID])
		delete(facts, c.Image.ID)
		if err := s.write(ctx, copies, tags); err != nil {
			return err
		}
	}
	for image, tags := range facts {
		found, err := s.byID(ctx, image)
		if err != nil {
			return err
		}
		if err := s.write(ctx, found[image], tags); err != nil {
			return err
		}
	}
	return nil
}

// wantSeen returns registry.ErrConflict when images have other facts than they
// had. It looks just before it is written, which is as much as tags can do.
func (s *Store) wantSeen(ctx context.Context, seen map[string]int64) error {
	facts, err := s.Facts(ctx, slices.Collect(maps.Keys(seen))...)
	if err != nil {
		return err
	}
	for image, revision := range seen {
		if facts[image].Revision != revision {
			return fmt.Errorf("what is recorded about image %s: %w", image, registry.ErrConflict)
		}
	}
	return nil
}

// missingIn returns the images that c is about and does not make.
func missingIn(c registry.Change) []string {
	images := map[string]bool{}
	for _, r := range c.Results {
		images[r.Image] = true
	}
	for _, m := range c.Marks {
		images[m.Image] = true
	}
	for _, e := range c.Events {
		images[e.Image] = true
	}
	if c.Image != nil {
		delete(images, c.Image.ID)
	}
	return slices.Sorted(maps.Keys(images))
}

// wantImages returns registry.ErrNotFound unless all images are registered.
func (s *Store) wantImages(ctx context.Context, ids ...string) error {
	found, err := s.byID(ctx, ids...)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if len(found[id]) == 0 {
			return fmt.Errorf("image %s: %w", id, registry.ErrNotFound)
		}
	}
	return nil
}

// unregistered returns the copies of an image that is not registered yet.
func (s *Store) unregistered(ctx context.Context, img registry.Image) ([]copied, error) {
	switch err := s.wantImages(ctx, img.ID); {
	case err == nil:
		return nil, fmt.Errorf("image %s %w", img.ID, registry.ErrExists)
	case !errors.Is(err, registry.ErrNotFound):
		return nil, err
	}
	var copies []copied
	for _, a := range img.Artifacts {
		switch {
		case a.Cloud != s.place.Cloud:
			return nil, unsupported("%s is not in the cloud %s, whose tags this registry is", a.Ref, s.place.Cloud)
		case s.clients[a.Region] == nil:
			return nil, unsupported("%s is in a region that this registry does not name; add it: region=%s,%s",
				a.Ref, strings.Join(s.place.Regions, ","), a.Region)
		}
		c, ok, err := s.at(ctx, a.Region, a.ID)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("%s cannot be tagged: there is no such image", a.Ref)
		}
		if _, registered := c.tags[keyRecord]; registered {
			return nil, fmt.Errorf("%s %w, as an artifact of %s", a.Ref, registry.ErrExists, c.tags[keyID])
		}
		copies = append(copies, c)
	}
	return copies, nil
}

// write adds tags to all copies of an image, but facts that are there already,
// and waits until they can be read.
func (s *Store) write(ctx context.Context, copies []copied, tags map[string]string) error {
	if err := fit(tags); err != nil {
		return err
	}
	there := union(copies)
	for key := range tags {
		_, known := there[key]
		if fact := strings.HasPrefix(key, resultPrefix) || strings.HasPrefix(key, markPrefix); known && fact {
			tags[key] = there[key] // it was sent again, and completed where it is missing
		}
	}
	// Room is made before anything is written: nothing is half there then.
	if err := s.makeRoom(ctx, copies, tags); err != nil {
		return err
	}
	for i, c := range copies {
		if err := s.tag(ctx, c, tags); err != nil {
			if i > 0 {
				return fmt.Errorf("tag %s: %w; other copies have the tags: do it again", c.Ref, err)
			}
			return fmt.Errorf("tag %s: %w", c.Ref, err)
		}
	}
	for _, c := range copies {
		if err := s.settle(ctx, c, tags); err != nil {
			return err
		}
	}
	return nil
}

// makeRoom removes what is superseded when an image would have too many tags.
func (s *Store) makeRoom(ctx context.Context, copies []copied, tags map[string]string) error {
	after := union(copies)
	maps.Copy(after, tags)
	if own(after) <= maxTags {
		return nil
	}
	keys, err := superseded(after)
	if err != nil {
		return err
	}
	for _, key := range keys {
		delete(after, key)
	}
	if n := own(after); n > maxTags {
		return unsupported("%s would have %d tags of the registry, which takes %d at most; use fewer labels, or a registry in SQLite or DynamoDB",
			copies[0].Ref, n, maxTags)
	}
	for _, key := range keys {
		delete(tags, key) // of no use even before it was written
		for _, c := range copies {
			if _, ok := c.tags[key]; !ok {
				continue
			}
			_, err := s.clients[c.Region].DeleteTags(ctx, &ec2.DeleteTagsInput{
				Resources: []string{c.ID}, Tags: []types.Tag{{Key: aws.String(key)}},
			})
			if err != nil {
				return fmt.Errorf("make room on %s: %w", c.Ref, err)
			}
		}
	}
	return nil
}

func (s *Store) tag(ctx context.Context, c copied, tags map[string]string) error {
	in := &ec2.CreateTagsInput{Resources: []string{c.ID}}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		in.Tags = append(in.Tags, types.Tag{Key: aws.String(key), Value: aws.String(tags[key])})
	}
	if len(in.Tags) == 0 {
		return nil
	}
	_, err := s.clients[c.Region].CreateTags(ctx, in)
	return err
}

// How long is waited until EC2 shows what it has taken.
const (
	patience   = 30 * time.Second
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

// settle waits until the keys of tags can be read.
func (s *Store) settle(ctx context.Context, c copied, tags map[string]string) error {
	deadline := time.Now().Add(patience)
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		now, ok, err := s.at(ctx, c.Region, c.ID)
		if err != nil {
			return err
		}
		if ok && hasAll(now.tags, tags) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("tag %s: EC2 has taken the tags and does not show them after %s", c.Ref, patience)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

func hasAll(tags, keys map[string]string) bool {
	for key := range keys {
		if _, ok := tags[key]; !ok {
			return false
		}
	}
	return true
}
