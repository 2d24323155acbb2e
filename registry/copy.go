package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Copied is how much [Copy] has found in one store and written to another.
type Copied struct {
	Images   int `json:"images"` // that the other did not have
	Results  int `json:"results"`
	Marks    int `json:"marks"`
	Channels int `json:"channels"` // that the other did not have, or had at an earlier revision
	Events   int `json:"events"`
}

// copyChunk is how many facts are written at once: what every store can.
const copyChunk = 40

// Copy writes everything that one store holds to another, ids, times and
// revisions included. What is there already stays: a copy that was interrupted
// is finished by the next, and a second one brings what is new.
//
// It returns ErrConflict for a channel that both have moved, and ErrExists for
// an artifact that the other has as another image. What was copied before stays.
func Copy(ctx context.Context, to, from Store) (Copied, error) {
	var done Copied
	var images []Image
	for img, err := range from.Images(ctx, Filter{}) {
		if err != nil {
			return done, fmt.Errorf("copy: %w", err)
		}
		images = append(images, img)
	}
	// The oldest first, so that an image never comes before its parent.
	for _, img := range slices.Backward(images) {
		if err := copyImage(ctx, to, from, img, &done); err != nil {
			return done, fmt.Errorf("copy %s: %w", img, err)
		}
	}
	for _, img := range slices.Backward(images) {
		if err := copyChannels(ctx, to, from, img, &done); err != nil {
			return done, fmt.Errorf("copy the channels of %s: %w", img, err)
		}
	}
	return done, copyEvents(ctx, to, from, &done)
}

func copyImage(ctx context.Context, to, from Store, img Image, done *Copied) error {
	switch _, err := to.Image(ctx, img.ID); {
	case errors.Is(err, ErrNotFound):
		if err := copyPackages(ctx, to, from, img.Packages); err != nil {
			return err
		}
		if err := to.Commit(ctx, Change{Image: &img}); err != nil {
			return err
		}
		done.Images++
	case err != nil:
		return err
	}
	facts, err := from.Facts(ctx, img.ID)
	if err != nil {
		return err
	}
	there, err := to.Facts(ctx, img.ID)
	if err != nil {
		return err
	}
	results := without(facts[img.ID].Results, there[img.ID].Results, func(r TestResult) string { return r.ID })
	for chunk := range slices.Chunk(results, copyChunk) {
		if err := to.Commit(ctx, Change{Results: chunk}); err != nil {
			return err
		}
		done.Results += len(chunk)
	}
	marks := without(facts[img.ID].Marks, there[img.ID].Marks, func(m Mark) string { return m.ID })
	for chunk := range slices.Chunk(marks, copyChunk) {
		if err := to.Commit(ctx, Change{Marks: chunk}); err != nil {
			return err
		}
		done.Marks += len(chunk)
	}
	return nil
}

// copyPackages writes a list of packages that the other does not have.
func copyPackages(ctx context.Context, to, from Store, digest string) error {
	if digest == "" {
		return nil
	}
	// Asked for no package, it only says whether the list is there.
	if _, err := to.Packages(ctx, digest, ""); !errors.Is(err, ErrNotFound) {
		return err
	}
	list, err := from.Packages(ctx, digest)
	if err != nil {
		return err
	}
	return to.Commit(ctx, Change{Packages: &list})
}

// without returns those of list whose id none of there has.
func without[T any](list, there []T, id func(T) string) []T {
	known := map[string]bool{}
	for _, one := range there {
		known[id(one)] = true
	}
	return slices.DeleteFunc(slices.Clone(list), func(one T) bool { return known[id(one)] })
}

// copyChannels brings the channels that img is the head of to their revision.
// Revisions grow by one at a time, so that a channel goes through those between.
func copyChannels(ctx context.Context, to, from Store, img Image, done *Copied) error {
	facts, err := from.Facts(ctx, img.ID)
	if err != nil {
		return err
	}
	for _, head := range facts[img.ID].Channels {
		old, err := to.Channel(ctx, head.Line, head.Name)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if old.Revision == head.Revision && old.Image == head.Image {
			continue
		}
		if old.Revision >= head.Revision {
			return fmt.Errorf("channel %s of %s is at revision %d in one and at %d in the other: %w",
				head.Name, head.Line, head.Revision, old.Revision, ErrConflict)
		}
		for step := head; old.Revision < head.Revision; {
			old.Revision++
			step.Revision = old.Revision
			if err := to.Commit(ctx, Change{Channel: &step}); err != nil {
				return err
			}
		}
		done.Channels++
	}
	return nil
}

// copyEvents writes the events that the other does not have.
func copyEvents(ctx context.Context, to, from Store, done *Copied) error {
	known := map[string]bool{}
	for e, err := range to.Events(ctx, "") {
		if err != nil {
			return fmt.Errorf("copy events: %w", err)
		}
		known[e.ID] = true
	}
	var chunk []Event
	flush := func() error {
		if len(chunk) == 0 {
			return nil
		}
		if err := to.Commit(ctx, Change{Events: chunk}); err != nil {
			return fmt.Errorf("copy events: %w", err)
		}
		done.Events += len(chunk)
		chunk = nil
		return nil
	}
	for e, err := range from.Events(ctx, "") {
		if err != nil {
			return fmt.Errorf("copy events: %w", err)
		}
		if known[e.ID] {
			continue
		}
		if chunk = append(chunk, e); len(chunk) == copyChunk {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}
