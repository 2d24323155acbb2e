package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"
)

// Registry records images and answers questions about them. It is safe for
// concurrent use.
type Registry struct {
	store Store
	actor string
	now   func() time.Time
}

// Option changes how a [Registry] works.
type Option func(*Registry)

// As names the person or job that records are written as. Without it they name
// nobody.
func As(actor string) Option { return func(r *Registry) { r.actor = actor } }

// WithClock replaces the clock by which marks become effective and records are
// dated.
func WithClock(now func() time.Time) Option { return func(r *Registry) { r.now = now } }

// New returns a registry over store. The caller closes the store.
func New(store Store, opts ...Option) *Registry {
	r := &Registry{store: store, now: time.Now}
	for _, opt := range opts {
		opt(r)
	}
	return r
}

// NewID returns an id for an image that is not registered yet, for callers that
// want to write it elsewhere before they register the image.
func NewID() string { return ulid.Make().String() }

// moment is the present, as records keep it.
func (r *Registry) moment() time.Time { return stamp(r.now()) }

// stamp rounds t to what every store keeps.
func stamp(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Truncate(time.Millisecond)
}

func (r *Registry) event(op Op, image, detail string) Event {
	return Event{ID: NewID(), At: r.moment(), Actor: r.actor, Op: op, Image: image, Detail: detail}
}

// Register records img with the results of its tests. An id and the times that
// are not set are filled in, the parent is looked up by img.ParentImage, and
// what was recorded is returned.
//
// Registering the same image again is no error: results that are new are
// added, and created is false. Register returns ErrExists when an artifact of
// img is registered with other attributes, and ErrRevoked when the image that
// it was baked from is revoked; then nothing is recorded.
func (r *Registry) Register(ctx context.Context, img Image, results ...TestResult) (recorded Image, created bool, err error) {
	return r.register(ctx, nil, img, results)
}

// register is Register, and stores lease, unless that is nil, in the same go.
func (r *Registry) register(ctx context.Context, lease *Lease, img Image, results []TestResult) (recorded Image, created bool, err error) {
	img = r.fill(img)
	results = r.fillResults(img.ID, results)
	if err := validate(img, results); err != nil {
		return Image{}, false, fmt.Errorf("register %s: %w", img, err)
	}
	for _, a := range img.Artifacts {
		old, err := newLoader(r.store).at(ctx, a.Ref)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return Image{}, false, fmt.Errorf("register %s: %w", img, err)
		}
		return r.again(ctx, lease, old, img, results)
	}
	recorded, err = r.commitNew(ctx, lease, img, results)
	if errors.Is(err, ErrExists) {
		// Someone else registered it since we looked.
		for _, a := range img.Artifacts {
			if old, lookErr := newLoader(r.store).at(ctx, a.Ref); lookErr == nil {
				return r.again(ctx, lease, old, img, results)
			}
		}
	}
	if err != nil {
		return Image{}, false, fmt.Errorf("register %s: %w", img, err)
	}
	return recorded, true, nil
}

// maxTries is how often a registration is tried that meets other writers.
const maxTries = 10

// commitNew stores an image that is not registered yet, on the condition that its
// lineage is as it was looked at.
func (r *Registry) commitNew(ctx context.Context, lease *Lease, img Image, results []TestResult) (Image, error) {
	for try := 1; ; try++ {
		linked, seen, err := r.link(ctx, img)
		if err != nil {
			return img, err
		}
		events := []Event{r.event(OpRegister, linked.ID, linked.String())}
		err = r.store.Commit(ctx, Change{
			Seen:  seen,
			Image: &linked, Results: results, Lease: lease, Events: append(events, r.testEvents(results)...),
		})
		// Mostly it is a test of the parent, which changes nothing: look again. Who
		// has a lease does that by himself.
		if !errors.Is(err, ErrConflict) || lease != nil || try == maxTries {
			return linked, err
		}
	}
}

// Link returns img with what it was baked from: parent is an id as
// [Registry.Resolve] takes it. An image that the registry does not know is kept
// as its cloud names it; a cloud or region that parent leaves out is that of
// img. A release and an architecture that img does not say are those of its
// parent.
func (r *Registry) Link(ctx context.Context, img Image, parent string) (Image, error) {
	ref := ParseRef(parent)
	if len(img.Artifacts) > 0 {
		ref.Cloud = cmp.Or(ref.Cloud, img.Artifacts[0].Cloud)
		ref.Region = cmp.Or(ref.Region, img.Artifacts[0].Region)
	}
	known, err := r.resolve(ctx, newLoader(r.store), parent)
	switch {
	case errors.Is(err, ErrNotFound):
		img.ParentImage = ref
		return img, nil
	case err != nil:
		return img, fmt.Errorf("look up the parent %s: %w", parent, err)
	}
	img.Parent = known.ID
	img.Release = cmp.Or(img.Release, known.Release)
	img.Arch = cmp.Or(img.Arch, known.Arch)
	if known.ID == parent {
		// Named by its id in the registry: its copy where img is, if any.
		there, ok := known.In(ref.Cloud, ref.Region, "")
		if !ok {
			there = known.Artifacts[0]
		}
		ref = there.Ref
	}
	img.ParentImage = ref
	return img, nil
}

// fill sets what the caller may leave out.
func (r *Registry) fill(img Image) Image {
	if img.ID == "" {
		img.ID = NewID()
	}
	img.Arch = Arch(img.Arch)
	img.RegisteredAt = r.moment()
	if img.CreatedAt.IsZero() {
		img.CreatedAt = img.RegisteredAt
	}
	img.CreatedAt = stamp(img.CreatedAt)
	img.Bake.StartedAt, img.Bake.FinishedAt = stamp(img.Bake.StartedAt), stamp(img.Bake.FinishedAt)
	return img
}

func (r *Registry) fillResults(image string, results []TestResult) []TestResult {
	filled := slices.Clone(results)
	for i := range filled {
		f := &filled[i]
		f.Image = image
		if f.ID == "" {
			f.ID = NewID()
		}
		if f.Actor == "" {
			f.Actor = r.actor
		}
		if f.StartedAt.IsZero() {
			f.StartedAt = r.now()
		}
		f.StartedAt = stamp(f.StartedAt)
	}
	return filled
}

func validate(img Image, results []TestResult) error {
	errs := []error{img.validate()}
	for _, res := range results {
		errs = append(errs, res.validate())
	}
	return errors.Join(errs...)
}

// link finds the parent of img in the registry. It refuses one that is revoked,
// and one that was baked from img. seen are the facts that this was decided on.
func (r *Registry) link(ctx context.Context, img Image) (linked Image, seen map[string]int64, err error) {
	load := newLoader(r.store)
	parent, ok, err := load.parent(ctx, img)
	if err != nil {
		return img, nil, err
	}
	if !ok {
		if img.Parent != "" {
			return img, nil, fmt.Errorf("parent %s: %w", img.Parent, ErrNotFound)
		}
		return img, nil, nil
	}
	img.Parent = parent.ID
	view, err := r.view(ctx, load, parent)
	if err != nil {
		return img, nil, err
	}
	for _, a := range img.Artifacts {
		if a.Ref == view.Lineage.Root {
			return img, nil, fmt.Errorf("it would be its own ancestor: %s was baked from %s", parent, a.Ref)
		}
	}
	if view.Status == StatusRevoked {
		return img, nil, fmt.Errorf("its parent %s %w: %s", parent, ErrRevoked, view.Reason)
	}
	return img, load.seen(append([]Image{parent}, view.Lineage.Ancestors...)...), nil
}

// again adds to old what a second registration, as img, brings.
func (r *Registry) again(ctx context.Context, lease *Lease, old, img Image, results []TestResult) (Image, bool, error) {
	if differs := old.differs(img); differs != "" {
		return Image{}, false, fmt.Errorf("register %s: it %w, as %s with %s", img, ErrExists, old.ID, differs)
	}
	facts, err := r.store.Facts(ctx, old.ID)
	if err != nil {
		return Image{}, false, fmt.Errorf("register %s: %w", img, err)
	}
	known := func(res TestResult) bool {
		return slices.ContainsFunc(facts[old.ID].Results, func(k TestResult) bool {
			return k.Suite == res.Suite && k.Mode == res.Mode && k.StartedAt.Equal(res.StartedAt)
		})
	}
	results = slices.DeleteFunc(results, known)
	if len(results) > 0 {
		if err := r.RecordResults(ctx, old.ID, results...); err != nil {
			return Image{}, false, err
		}
	}
	if lease != nil {
		if err := r.store.Commit(ctx, Change{Lease: lease}); err != nil {
			return Image{}, false, fmt.Errorf("register %s: %w", img, err)
		}
	}
	return old, false, nil
}

func (r *Registry) testEvents(results []TestResult) []Event {
	var events []Event
	for _, res := range results {
		events = append(events, r.event(OpTest, res.Image, fmt.Sprintf("%s: %s, %s",
			res.Title(), res.Outcome, score(res.Counts.Passed, res.Counts.Total(), res.Counts.Skipped))))
	}
	return events
}

// RecordResults appends results to the image with the given id. It returns
// ErrNotFound when there is no such image.
func (r *Registry) RecordResults(ctx context.Context, image string, results ...TestResult) error {
	results = r.fillResults(image, results)
	var errs []error
	for _, res := range results {
		errs = append(errs, res.validate())
	}
	err := errors.Join(errs...)
	if err == nil {
		err = r.store.Commit(ctx, Change{Results: results, Events: r.testEvents(results)})
	}
	if err != nil {
		return fmt.Errorf("record test results of %s: %w", image, err)
	}
	return nil
}

// Mark appends a mark of any kind but a promotion, which [Registry.Promote]
// makes. Its id, its time and its actor are filled in; without an EffectiveAt
// it counts at once. It returns ErrNotFound when there is no such image.
func (r *Registry) Mark(ctx context.Context, m Mark) (Mark, error) {
	m.ID, m.At, m.Actor, m.Clears = NewID(), r.moment(), r.actor, ""
	if m.EffectiveAt.IsZero() {
		m.EffectiveAt = m.At
	}
	m.EffectiveAt = stamp(m.EffectiveAt)
	err := m.validate()
	if err == nil && m.Kind == MarkPromoted {
		err = errors.New("promote it to a channel instead")
	}
	if err == nil {
		event := r.event(OpMark, m.Image, detail(string(m.Kind), m.Reason))
		err = r.store.Commit(ctx, Change{Marks: []Mark{m}, Events: []Event{event}})
	}
	if err != nil {
		return Mark{}, fmt.Errorf("mark %s as %s: %w", m.Image, m.Kind, err)
	}
	return m, nil
}

// Clear takes back the marks of one kind that stand on an image, scheduled ones
// included, and returns how many it took back. A revocation that the image has
// from an ancestor is taken back there.
func (r *Registry) Clear(ctx context.Context, image string, kind MarkKind, reason string) (int, error) {
	facts, err := r.store.Facts(ctx, image)
	if err != nil {
		return 0, fmt.Errorf("clear the mark %s of %s: %w", kind, image, err)
	}
	var clears []Mark
	for _, m := range standing(facts[image].Marks, kind) {
		clears = append(clears, r.clearing(m, reason))
	}
	if len(clears) == 0 {
		return 0, nil
	}
	err = r.store.Commit(ctx, Change{
		Marks: clears, Events: []Event{r.event(OpClear, image, detail(string(kind), reason))},
	})
	if err != nil {
		return 0, fmt.Errorf("clear the mark %s of %s: %w", kind, image, err)
	}
	return len(clears), nil
}

// Unmark takes back one mark, as [Registry.Mark] returned it.
func (r *Registry) Unmark(ctx context.Context, m Mark, reason string) error {
	err := r.store.Commit(ctx, Change{
		Marks: []Mark{r.clearing(m, reason)}, Events: []Event{r.event(OpClear, m.Image, detail(string(m.Kind), reason))},
	})
	if err != nil {
		return fmt.Errorf("clear the mark %s of %s: %w", m.Kind, m.Image, err)
	}
	return nil
}

// clearing returns the mark that takes m back.
func (r *Registry) clearing(m Mark, reason string) Mark {
	at := r.moment()
	return Mark{
		ID: NewID(), Image: m.Image, Kind: m.Kind, Channel: m.Channel, Artifact: m.Artifact,
		At: at, EffectiveAt: at, Reason: reason, Actor: r.actor, Clears: m.ID,
	}
}

// detail says in an event what was decided and, where it is known, why.
func detail(what, why string) string {
	if why == "" {
		return what
	}
	return what + ": " + why
}

// History returns what happened to the image with the given id, oldest first.
func (r *Registry) History(ctx context.Context, image string) ([]Event, error) {
	events := []Event{}
	for event, err := range r.store.Events(ctx, image) {
		if err != nil {
			return nil, fmt.Errorf("read the history of %s: %w", image, err)
		}
		events = append(events, event)
	}
	return events, nil
}
