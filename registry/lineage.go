package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
)

// maxDepth is how many ancestors an image can have. Bakes go three or four
// layers deep; a chain that is longer than this is an error in the records.
const maxDepth = 64

// Lineage is the chain of ancestors of an image.
type Lineage struct {
	// Ancestors are those that the registry knows, nearest first.
	Ancestors []Image `json:"ancestors"`

	// Root is the image at the far end that the registry does not know, as the
	// cloud names it. It is zero when the last image was baked from nothing
	// that is recorded.
	Root Ref `json:"root,omitzero"`
}

// loader reads records once for one question.
type loader struct {
	store   Store
	images  map[string]Image
	refs    map[Ref]string // what is known of parents that were recorded by Ref; "" for unknown
	facts   map[string]Facts
	factsOf map[string]bool
	lists   map[string]PackageList // by digest and the names that were asked for
}

func newLoader(store Store) *loader {
	return &loader{
		store: store, images: map[string]Image{}, refs: map[Ref]string{},
		facts: map[string]Facts{}, factsOf: map[string]bool{}, lists: map[string]PackageList{},
	}
}

// packages returns the packages of img that have one of the given names; known
// is false when what img has installed is not recorded.
func (l *loader) packages(ctx context.Context, img Image, names []string) (list PackageList, known bool, err error) {
	if img.Packages == "" {
		return PackageList{}, false, nil
	}
	key := listKey(img.Packages, names)
	if list, known = l.lists[key]; known {
		return list, true, nil
	}
	list, err = l.store.Packages(ctx, img.Packages, names...)
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrUnsupported):
		return PackageList{}, false, nil
	case err != nil:
		return PackageList{}, false, fmt.Errorf("read the packages of %s: %w", img, err)
	}
	l.lists[key] = list
	return list, true, nil
}

func listKey(digest string, names []string) string {
	return digest + "\n" + strings.Join(names, "\n")
}

// prefetchPackages reads for [loader.packages] what several images have of the
// given names, where the store can do that at once.
func (l *loader) prefetchPackages(ctx context.Context, images []Image, names []string) error {
	index, ok := l.store.(PackageIndex)
	if !ok {
		return nil
	}
	var digests []string
	for _, img := range images {
		if _, known := l.lists[listKey(img.Packages, names)]; !known && img.Packages != "" {
			digests = append(digests, img.Packages)
		}
	}
	if len(digests) < 2 {
		return nil
	}
	found, err := index.PackagesOf(ctx, digests, names...)
	if err != nil {
		return fmt.Errorf("read the packages of %d images: %w", len(digests), err)
	}
	for digest, list := range found {
		l.lists[listKey(digest, names)] = list
	}
	return nil
}

func (l *loader) image(ctx context.Context, id string) (Image, error) {
	if img, ok := l.images[id]; ok {
		return img, nil
	}
	img, err := l.store.Image(ctx, id)
	if err != nil {
		return Image{}, err
	}
	l.images[id] = img
	return img, nil
}

// at returns the image that has the artifact ref, or ErrNotFound.
func (l *loader) at(ctx context.Context, ref Ref) (Image, error) {
	id, known := l.refs[ref]
	if !known {
		for img, err := range l.store.Images(ctx, Filter{Artifact: ref}) {
			if err != nil {
				return Image{}, err
			}
			l.images[img.ID], id = img, img.ID
			break
		}
		l.refs[ref] = id
	}
	if id == "" {
		return Image{}, fmt.Errorf("image %s: %w", ref, ErrNotFound)
	}
	return l.image(ctx, id)
}

// parent returns the image that img was baked from; ok is false when the
// registry does not know it. An image whose parent was registered after it
// finds it all the same.
func (l *loader) parent(ctx context.Context, img Image) (parent Image, ok bool, err error) {
	switch {
	case img.Parent != "":
		parent, err = l.image(ctx, img.Parent)
	case img.ParentImage.ID != "":
		parent, err = l.at(ctx, img.ParentImage)
	default:
		return Image{}, false, nil
	}
	if errors.Is(err, ErrNotFound) {
		return Image{}, false, nil
	}
	return parent, err == nil, err
}

// lineage walks from img to its foundation.
func (l *loader) lineage(ctx context.Context, img Image) (Lineage, error) {
	chain := Lineage{Ancestors: []Image{}}
	seen := map[string]bool{img.ID: true}
	for at := img; ; {
		parent, ok, err := l.parent(ctx, at)
		if err != nil {
			return Lineage{}, fmt.Errorf("read the lineage of %s: %w", img, err)
		}
		if !ok {
			chain.Root = at.ParentImage
			return chain, nil
		}
		if seen[parent.ID] {
			return Lineage{}, fmt.Errorf("read the lineage of %s: %s is its own ancestor", img, parent)
		}
		if len(chain.Ancestors) == maxDepth {
			return Lineage{}, fmt.Errorf("read the lineage of %s: it has more than %d ancestors", img, maxDepth)
		}
		seen[parent.ID] = true
		chain.Ancestors = append(chain.Ancestors, parent)
		at = parent
	}
}

// prefetch reads the facts of images in one call.
func (l *loader) prefetch(ctx context.Context, images ...Image) error {
	var ids []string
	for _, img := range images {
		if !l.factsOf[img.ID] {
			l.factsOf[img.ID] = true
			ids = append(ids, img.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	facts, err := l.store.Facts(ctx, ids...)
	if err != nil {
		return err
	}
	maps.Copy(l.facts, facts)
	return nil
}

// seen returns the revisions of the facts of images that were prefetched.
func (l *loader) seen(images ...Image) map[string]int64 {
	revisions := map[string]int64{}
	for _, img := range images {
		revisions[img.ID] = l.facts[img.ID].Revision
	}
	return revisions
}

// children yields the images that were baked from img, newest first, each once.
func (l *loader) children(ctx context.Context, img Image) ([]Image, error) {
	filters := []Filter{{Parent: img.ID}}
	for _, a := range img.Artifacts {
		filters = append(filters, Filter{ParentImage: a.Ref})
	}
	seen := map[string]bool{}
	var children []Image
	for _, f := range filters {
		for child, err := range l.store.Images(ctx, f) {
			if err != nil {
				return nil, err
			}
			if !seen[child.ID] {
				seen[child.ID] = true
				l.images[child.ID] = child
				children = append(children, child)
			}
		}
	}
	sortImages(children)
	return children, nil
}
