package registry

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// Outdated is an image that should be baked again.
type Outdated struct {
	View

	Why string `json:"why"` // in a few words

	// Round counts from 1: images of one round can be baked at once, when all
	// of the rounds before it are done.
	Round int `json:"round"`

	// From is the image to bake from; nil when that is baked in an earlier
	// round, or when there is none.
	From *Image `json:"from,omitempty"`
}

// Outdated returns, in the order in which to bake them again, the newest image
// of each line that is revoked, or whose ancestor is no longer the newest
// tested image of its own line, or whose ancestor is to be baked again itself.
//
// What counts is the nearest ancestor that is of another line. Images that are
// retired or rejected by their tests are passed over for the one before them; a
// line whose newest image is deprecated is left alone.
func (r *Registry) Outdated(ctx context.Context) ([]Outdated, error) {
	o := &outdating{registry: r, load: newLoader(r.store), lines: map[Line][]Image{}, visited: map[Line]*Outdated{}}
	if err := o.read(ctx); err != nil {
		return nil, fmt.Errorf("look for outdated images: %w", err)
	}
	list := []Outdated{}
	for line := range o.lines {
		found, err := o.visit(ctx, line)
		if err != nil {
			return nil, fmt.Errorf("look for outdated images: %w", err)
		}
		if found != nil {
			list = append(list, *found)
		}
	}
	slices.SortFunc(list, func(a, b Outdated) int {
		return cmp.Or(cmp.Compare(a.Round, b.Round), cmp.Compare(a.Line().String(), b.Line().String()), cmp.Compare(a.ID, b.ID))
	})
	return list, nil
}

// outdating is one look for outdated images.
type outdating struct {
	registry *Registry
	load     *loader
	lines    map[Line][]Image // newest first
	visited  map[Line]*Outdated
}

func (o *outdating) read(ctx context.Context) error {
	var all []Image
	for img, err := range o.registry.store.Images(ctx, Filter{}) {
		if err != nil {
			return err
		}
		o.load.images[img.ID] = img
		o.lines[img.Line()] = append(o.lines[img.Line()], img)
		all = append(all, img)
	}
	return o.load.prefetch(ctx, all...)
}

// visit says whether the newest image of a line is outdated. A line is visited
// once; lines that were baked from each other by turns end the way round.
func (o *outdating) visit(ctx context.Context, line Line) (*Outdated, error) {
	if found, done := o.visited[line]; done {
		return found, nil
	}
	o.visited[line] = nil
	current, err := o.first(ctx, line, func(v View) bool { return v.Retired == nil && !v.Rejected() })
	if err != nil || current == nil || current.Deprecated != nil {
		return nil, err
	}
	found := &Outdated{View: *current, Round: 1}
	if current.Revoked != nil {
		found.Why = "it is revoked: " + current.Reason
	}
	at := slices.IndexFunc(current.Lineage.Ancestors, func(a Image) bool { return a.Line() != line })
	if at >= 0 {
		if err := o.ancestor(ctx, found, current.Lineage.Ancestors[at]); err != nil {
			return nil, err
		}
	}
	if found.Why == "" {
		return nil, nil
	}
	o.visited[line] = found
	return found, nil
}

// ancestor says what the ancestor of an image, of another line, means for it.
func (o *outdating) ancestor(ctx context.Context, found *Outdated, ancestor Image) error {
	first, err := o.visit(ctx, ancestor.Line())
	if err != nil {
		return err
	}
	if first != nil {
		found.Round = first.Round + 1
		found.Why = cmp.Or(found.Why, fmt.Sprintf("%s is to be baked again", first.Image))
		return nil
	}
	newest, err := o.first(ctx, ancestor.Line(), func(v View) bool { return v.Usable() && v.Tested })
	if err != nil {
		return err
	}
	view, err := o.registry.view(ctx, o.load, ancestor)
	if err != nil {
		return err
	}
	gone := view.Revoked != nil || view.Deprecated != nil || view.Rejected()
	switch {
	case newest != nil && newest.ID != ancestor.ID && (gone || newer(newest.Image, ancestor) < 0):
		found.From = &newest.Image
		found.Why = cmp.Or(found.Why, fmt.Sprintf("%s has replaced %s", newest.Image, ancestor))
	case newest == nil && gone:
		found.Why = cmp.Or(found.Why, fmt.Sprintf("%s is %s and no other image of its line is tested", ancestor, view.Status))
	case newest != nil:
		found.From = &newest.Image
	}
	return nil
}

// first returns the newest image of a line that meets a condition, or nil.
func (o *outdating) first(ctx context.Context, line Line, meets func(View) bool) (*View, error) {
	for _, img := range o.lines[line] {
		view, err := o.registry.view(ctx, o.load, img)
		if err != nil {
			return nil, err
		}
		if meets(view) {
			return &view, nil
		}
	}
	return nil, nil
}
