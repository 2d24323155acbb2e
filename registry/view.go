package registry

import (
	"context"
	"fmt"
	"slices"
)

// View is an image and everything that is worked out about it.
type View struct {
	Image
	State
	Lineage Lineage `json:"lineage"`
}

// Tree is an image and all that was baked from it.
type Tree struct {
	View
	Children []Tree `json:"children"` // newest first
}

// Below returns the images of t but its own, those that were baked from an image
// behind it.
func (t Tree) Below() []View {
	var views []View
	for _, child := range t.Children {
		views = append(append(views, child.View), child.Below()...)
	}
	return views
}

func sortImages(images []Image) { slices.SortFunc(images, newer) }

// view works out the state of img.
func (r *Registry) view(ctx context.Context, load *loader, img Image) (View, error) {
	chain, err := load.lineage(ctx, img)
	if err != nil {
		return View{}, err
	}
	if err := load.prefetch(ctx, append([]Image{img}, chain.Ancestors...)...); err != nil {
		return View{}, fmt.Errorf("read what is recorded about %s: %w", img, err)
	}
	ancestors := make([]recorded, len(chain.Ancestors))
	for i, a := range chain.Ancestors {
		ancestors[i] = recorded{a, load.facts[a.ID]}
	}
	state := derive(recorded{img, load.facts[img.ID]}, ancestors, r.now())
	return View{Image: img, State: state, Lineage: chain}, nil
}

// Resolve finds an image by its id in the registry or in a cloud. An id of a
// cloud may be written as cloud/region/id; alone it must belong to one image
// only. Resolve returns ErrNotFound when there is none.
func (r *Registry) Resolve(ctx context.Context, id string) (View, error) {
	load := newLoader(r.store)
	img, err := r.resolve(ctx, load, id)
	if err != nil {
		return View{}, err
	}
	return r.view(ctx, load, img)
}

func (r *Registry) resolve(ctx context.Context, load *loader, id string) (Image, error) {
	ref := ParseRef(id)
	if ref.ID == "" {
		return Image{}, fmt.Errorf("image %q: %w", id, ErrNotFound)
	}
	if ref.Cloud == "" {
		img, err := load.image(ctx, id)
		if err == nil || !isNotFound(err) {
			return img, err
		}
	}
	var found []Image
	for img, err := range r.store.Images(ctx, Filter{Artifact: ref}) {
		if err != nil {
			return Image{}, err
		}
		found = append(found, img)
	}
	switch len(found) {
	case 0:
		return Image{}, fmt.Errorf("image %s: %w", id, ErrNotFound)
	case 1:
		return found[0], nil
	}
	return Image{}, fmt.Errorf("%s is the id of %d images, among them %s and %s; write it as cloud/region/id",
		id, len(found), found[0].ID, found[1].ID)
}

// Ancestors returns the images that img was baked from, nearest first, as far as
// the registry knows them. img need not be registered.
func (r *Registry) Ancestors(ctx context.Context, img Image) ([]Image, error) {
	chain, err := newLoader(r.store).lineage(ctx, img)
	return chain.Ancestors, err
}

// Descendants returns an image, whose id is resolved as [Registry.Resolve]
// does, and all that was baked from it.
func (r *Registry) Descendants(ctx context.Context, id string) (Tree, error) {
	load := newLoader(r.store)
	img, err := r.resolve(ctx, load, id)
	if err != nil {
		return Tree{}, err
	}
	return r.tree(ctx, load, img, 0)
}

// Forest returns every image whose parent the registry does not know, newest
// first, with all that was baked from it.
func (r *Registry) Forest(ctx context.Context) ([]Tree, error) {
	load := newLoader(r.store)
	var images []Image
	for img, err := range r.store.Images(ctx, Filter{}) {
		if err != nil {
			return nil, err
		}
		load.images[img.ID] = img
		images = append(images, img)
	}
	children := map[string][]Image{}
	roots := []Image{}
	for _, img := range images {
		parent, ok, err := load.parent(ctx, img)
		if err != nil {
			return nil, err
		}
		if ok {
			children[parent.ID] = append(children[parent.ID], img)
		} else {
			roots = append(roots, img)
		}
	}
	if err := load.prefetch(ctx, images...); err != nil {
		return nil, err
	}
	forest, placed := []Tree{}, 0
	of := func(img Image) ([]Image, error) {
		placed++
		return children[img.ID], nil
	}
	for _, root := range roots {
		tree, err := r.grow(ctx, load, root, of, 0)
		if err != nil {
			return nil, err
		}
		forest = append(forest, tree)
	}
	if lost := len(images) - placed; lost > 0 {
		return nil, fmt.Errorf("read the lineage: %d images are their own ancestors", lost)
	}
	return forest, nil
}

func (r *Registry) tree(ctx context.Context, load *loader, img Image, depth int) (Tree, error) {
	return r.grow(ctx, load, img, func(img Image) ([]Image, error) { return load.children(ctx, img) }, depth)
}

func (r *Registry) grow(ctx context.Context, load *loader, img Image, children func(Image) ([]Image, error), depth int) (Tree, error) {
	if depth > maxDepth {
		return Tree{}, fmt.Errorf("read the descendants: %s is more than %d layers down", img, maxDepth)
	}
	view, err := r.view(ctx, load, img)
	if err != nil {
		return Tree{}, err
	}
	tree := Tree{View: view, Children: []Tree{}}
	list, err := children(img)
	if err != nil {
		return Tree{}, fmt.Errorf("read what was baked from %s: %w", img, err)
	}
	if err := load.prefetch(ctx, list...); err != nil {
		return Tree{}, err
	}
	for _, child := range list {
		sub, err := r.grow(ctx, load, child, children, depth+1)
		if err != nil {
			return Tree{}, err
		}
		tree.Children = append(tree.Children, sub)
	}
	return tree, nil
}

// Detail is everything that is recorded about an image.
type Detail struct {
	Tree
	Results []TestResult `json:"results"` // all of them, oldest first
	Marks   []Mark       `json:"marks"`   // oldest first, cleared ones included
	Events  []Event      `json:"events"`  // oldest first
}

// Show returns everything about the image with the given id, which is resolved
// as [Registry.Resolve] does.
func (r *Registry) Show(ctx context.Context, id string) (Detail, error) {
	load := newLoader(r.store)
	img, err := r.resolve(ctx, load, id)
	if err != nil {
		return Detail{}, err
	}
	tree, err := r.tree(ctx, load, img, 0)
	if err != nil {
		return Detail{}, err
	}
	events, err := r.History(ctx, img.ID)
	if err != nil {
		return Detail{}, err
	}
	facts := load.facts[img.ID]
	return Detail{
		Tree: tree, Events: events,
		Results: append([]TestResult{}, facts.Results...), Marks: append([]Mark{}, facts.Marks...),
	}, nil
}
