package registry

import (
	"context"
	"errors"
	"iter"
	"slices"
)

// Errors of stores and of [Registry]. Match them with errors.Is; the errors
// that carry them say which record and why.
var (
	// ErrNotFound: there is no such image or channel.
	ErrNotFound = errors.New("not found")

	// ErrExists: the id, or an artifact in the same cloud and region, is
	// recorded already.
	ErrExists = errors.New("is registered already")

	// ErrConflict: the channel was moved by someone else since it was read.
	// Read it again and decide again.
	ErrConflict = errors.New("changed by someone else")

	// ErrNoRegistry: there is nothing at the place that a registry was opened
	// at for reading; nothing was ever registered there.
	ErrNoRegistry = errors.New("no registry")

	// ErrRevoked: the image, or one that it was baked from, is revoked.
	ErrRevoked = errors.New("is revoked")

	// ErrUnsupported: this kind of store cannot promise what was asked.
	ErrUnsupported = errors.New("not supported by this kind of registry")
)

// Store keeps the records of a registry. It decides nothing: what a status is,
// which image is newest, what revocation reaches is worked out above it, by
// [Registry], from the records that it returns.
//
// A store's whole life in one story. A bake registers an image with the result
// of its tests and the event that says so, in one [Change]:
//
//	store.Commit(ctx, Change{Image: &img, Results: results, Events: events})
//
// Either all of it can be read from now on, by every process, or none. Sent
// again after a lost answer it returns [ErrExists], and nothing is there twice.
// Next, a data source looks for an ancestor. It scans coarsely, newest first,
// and stops when it has found what it wants:
//
//	for img, err := range store.Images(ctx, Filter{Application: "base"}) { … }
//
// For each image that fits so far it asks for the facts of the image and its
// ancestors, in one call, and works out the status:
//
//	facts, err := store.Facts(ctx, img.ID, parent.ID)
//
// Then someone promotes the image. They read the channel, see revision 3, and
// commit the move with that revision:
//
//	store.Commit(ctx, Change{Channel: &Channel{…, Revision: 4}, Marks: promoted, Events: events})
//
// When somebody else moved it in between, its revision is 4 already, the commit
// returns [ErrConflict], and nothing of the change is stored.
//
// Stores are safe for concurrent use, by goroutines and by processes. Records
// come back equal to what was committed, times to the millisecond. Errors wrap
// the sentinels above where those fit, and the context's error when it ended.
// Package registrytest holds every store to this.
type Store interface {
	// Commit stores c as a whole or not at all.
	//
	// It returns ErrExists when the image's id or one of its artifacts is
	// recorded, ErrConflict when the channel's revision is not one more than
	// the stored one (1 for a channel that does not exist), and when a lease's
	// is not, ErrNotFound when a
	// result, a mark or a channel is of an image that is not recorded, or an
	// image has packages that are not. It returns ErrConflict, too, when an
	// image of c.Seen has other facts than then. Results, marks and events whose id is
	// recorded already are left as they are, without an error: they were sent
	// again. So is a list of packages whose digest is.
	Commit(ctx context.Context, c Change) error

	// Image returns the image with the given id, or ErrNotFound.
	Image(ctx context.Context, id string) (Image, error)

	// Images yields the images that f lets through, newest first, in the order
	// that the package comment sets. It is lazy: a caller that stops early has
	// paid only for what it has seen. Images that are registered while it runs
	// may be left out.
	Images(ctx context.Context, f Filter) iter.Seq2[Image, error]

	// Facts returns what is recorded about the images with the given ids,
	// results and marks in the order of their ids. An image without facts, or
	// that does not exist, is not in the map.
	Facts(ctx context.Context, ids ...string) (map[string]Facts, error)

	// Packages returns the list of packages with a digest, or ErrNotFound. With
	// names, it returns only the packages of these names, none perhaps.
	Packages(ctx context.Context, digest string, names ...string) (PackageList, error)

	// Channel returns the channel of a line by name, or ErrNotFound.
	Channel(ctx context.Context, line Line, name string) (Channel, error)

	// Events yields the history in the order of the events' ids: of one image,
	// or, when image is empty, of all.
	Events(ctx context.Context, image string) iter.Seq2[Event, error]

	// Close releases what the store holds. What was committed stays.
	Close() error
}

// PackageIndex is a [Store] that reads several lists of packages at once. A
// search that looks at many images uses it.
type PackageIndex interface {
	// PackagesOf returns, by digest, what [Store.Packages] does of each list
	// that there is.
	PackagesOf(ctx context.Context, digests []string, names ...string) (map[string]PackageList, error)
}

// Change is what is stored in one go.
type Change struct {
	// Seen are the facts that the change was decided on: by the id of an image,
	// their revision as [Facts] had it.
	Seen map[string]int64

	Packages *PackageList // kept once, under its digest
	Image    *Image       // a new image; nil for none
	Results  []TestResult
	Marks    []Mark
	Channel  *Channel // the channel as it shall be, its revision one more than it was
	Lease    *Lease   // the same of a lease; only a [Leaser] can keep it
	Events   []Event
}

// Filter is a coarse condition on images. Fields that are empty let everything
// through; an image must meet all others.
type Filter struct {
	Application string
	Layer       string
	Parent      string // id of the image that it was baked from
	ParentImage Ref    // the same, as the cloud names it
	BakeKey     string // digest of what determined the image
	Artifact    Ref    // one of its artifacts: its id, and cloud and region where they are set
}

// Lets reports whether f lets img through, for stores that cannot sort out all of
// it.
func (f Filter) Lets(img Image) bool {
	return (f.Application == "" || f.Application == img.Application) &&
		(f.Layer == "" || f.Layer == img.Layer) &&
		(f.Parent == "" || f.Parent == img.Parent) &&
		(f.BakeKey == "" || f.BakeKey == img.Bake.Key) &&
		(f.ParentImage == Ref{} || f.ParentImage.matches(img.ParentImage)) &&
		(f.Artifact == Ref{} || slices.ContainsFunc(img.Artifacts, func(a Artifact) bool { return f.Artifact.matches(a.Ref) }))
}

// Facts is what is recorded about an image beside the image itself.
type Facts struct {
	Results  []TestResult
	Marks    []Mark
	Channels []Channel // that it is the head of

	// Revision is another one whenever results or marks have been added; 0 when
	// there are none.
	Revision int64
}
