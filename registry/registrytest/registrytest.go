// Package registrytest holds every kind of [registry.Store] to the contract of
// that interface.
package registrytest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// Option changes what [Run] does.
type Option func(*options)

type options struct {
	scanned   int
	factsOnly bool
}

// FactsOnly is for a store that keeps images, results and marks, and of images
// those of the cloud local in us-east-1 and eu-west-1 only. It must refuse
// channels and packages with [registry.ErrUnsupported], and lose no fact; it may
// keep no history, and let the last of two registrations of one image win.
func FactsOnly() Option { return func(o *options) { o.factsOnly = true } }

// ScanOf sets how many images the longest scan has, 700 by default. It must be
// more than the first two pages of the store.
func ScanOf(images int) Option { return func(o *options) { o.scanned = images } }

// Run tests the stores that open returns. Each call of open must return an
// empty store, and close it when the test ends.
func Run(t *testing.T, open func(t *testing.T) registry.Store, opts ...Option) {
	o := options{scanned: 700}
	for _, opt := range opts {
		opt(&o)
	}
	longScan := func(t *testing.T, s registry.Store) { longScan(t, s, o.scanned) }
	for _, test := range []struct {
		name      string
		run       func(*testing.T, registry.Store)
		factsOnly func(*testing.T, registry.Store) // in its place for a store of facts only
	}{
		{"an image comes back as it was committed", imageRoundTrip, imageOfOneCloud},
		{"what does not exist is not found", notFound, nil},
		{"an id is registered once", idOnce, nil},
		{"an artifact is registered once", artifactOnce, artifactOnceInARegion},
		{"images come newest first", newestFirst, nil},
		{"long scans lose and repeat nothing", longScan, nil},
		{"filters let through what meets all of them", filters, nil},
		{"a list of packages is kept once, and comes back by its digest", packages, packagesRefused},
		{"several lists of packages are read at once", packagesAtOnce, nil},
		{"an image has packages that are recorded", packagesFirst, packagesRefused},
		{"facts come back by image, in order", facts, bareFacts},
		{"facts need an image", factsNeedImage, nil},
		{"facts that are sent again change nothing", factsAgain, nil},
		{"a channel moves by compare-and-set", channelMoves, channelRefused},
		{"channels of other lines do not meet", channelLines, channelRefused},
		{"a change is stored whole or not at all", atomic, refusedWhole},
		{"a change is refused when what it was decided on has changed", seen, seenBefore},
		{"events come in order, of one image or all", events, noHistory},
		{"one of many registers an artifact", concurrentRegister, concurrentRegisterMerges},
		{"one of many moves a channel", concurrentChannel, concurrentChannelRefused},
		{"no result of many writers is lost", concurrentResults, concurrentSuites},
		{"no mark of many writers is lost", concurrentMarks, nil},
		{"calls end with their context", canceled, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if o.factsOnly && test.factsOnly != nil {
				test.factsOnly(t, open(t))
				return
			}
			test.run(t, open(t))
		})
	}
	runLeases(t, open)
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 123e6, time.UTC)

// image returns the n-th image: the greater n, the newer.
func image(n int) registry.Image {
	return registry.Image{
		ID: fmt.Sprintf("01J%023d", n), Application: "shop", Version: fmt.Sprintf("1.%d", n), Layer: "application",
		Artifacts:    []registry.Artifact{{Ref: registry.Ref{Cloud: "local", Region: "us-east-1", ID: fmt.Sprintf("ami-%d", n)}}},
		CreatedAt:    start.Add(time.Duration(n) * time.Minute),
		RegisteredAt: start.Add(24 * time.Hour),
	}
}

func result(n int, image registry.Image) registry.TestResult {
	return registry.TestResult{
		ID: fmt.Sprintf("01R%023d", n), Image: image.ID, Suite: "shop.spec.hcl", Outcome: registry.Passed,
		Counts: registry.Counts{Passed: n}, StartedAt: start,
	}
}

func mark(n int, image registry.Image) registry.Mark {
	return registry.Mark{
		ID: fmt.Sprintf("01M%023d", n), Image: image.ID, Kind: registry.MarkHeld, At: start, EffectiveAt: start,
		Reason: fmt.Sprint("reason ", n),
	}
}

func event(n int, image registry.Image) registry.Event {
	return registry.Event{ID: fmt.Sprintf("01E%023d", n), At: start, Op: registry.OpMark, Image: image.ID, Detail: fmt.Sprint(n)}
}

func channel(revision int64, head registry.Image) registry.Channel {
	return registry.Channel{Line: head.Line(), Name: "stable", Image: head.ID, Revision: revision, MovedAt: start}
}

func commit(t *testing.T, s registry.Store, c registry.Change) {
	t.Helper()
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

func commitImages(t *testing.T, s registry.Store, images ...registry.Image) {
	t.Helper()
	for _, img := range images {
		commit(t, s, registry.Change{Image: &img})
	}
}

func wantError(t *testing.T, doing string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error is %v, want %v", doing, err, want)
	}
}

func wantEqual[T any](t *testing.T, what string, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(registry.Facts{}, "Revision")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// ids returns the ids of the images that f lets through, in order.
func ids(t *testing.T, s registry.Store, f registry.Filter) []string {
	t.Helper()
	list := []string{}
	for img, err := range s.Images(t.Context(), f) {
		if err != nil {
			t.Fatalf("Images(%+v): %v", f, err)
		}
		list = append(list, img.ID)
	}
	return list
}

func imageRoundTrip(t *testing.T, s registry.Store) {
	foundation := image(1)
	full := registry.Image{
		ID: "01JFULL", Application: "shop & \"co\"", Version: "1.4.2~rc1+b1", Layer: "application",
		Environment: "prod", Release: "bookworm", Arch: "x86_64", Owner: "team ünïcode",
		Labels: map[string]string{"kernel": "6.1.0-18", "empty": ""},
		Parent: foundation.ID, ParentImage: foundation.Artifacts[0].Ref,
		Artifacts: []registry.Artifact{
			{
				Ref: registry.Ref{Cloud: "aws", Region: "eu-west-1", ID: "ami-a"}, Account: "123456789012", Name: "shop 1",
				Snapshots: []string{"snap-1", "snap-2"}, Tags: map[string]string{"a": "b"},
			},
			{Ref: registry.Ref{Cloud: "aws", Region: "us-east-1", ID: "ami-b"}},
			{Ref: registry.Ref{Cloud: "docker", ID: "sha256:1"}},
		},
		Bake: registry.Bake{
			ID: "01B", Builder: "bakery.chroot", Build: "shop", Run: "run", Key: "key",
			StartedAt: start, FinishedAt: start.Add(time.Second),
		},
		CreatedAt: start, RegisteredAt: start.Add(time.Hour),
	}
	commitImages(t, s, foundation, full)
	for _, want := range []registry.Image{foundation, full} {
		got, err := s.Image(t.Context(), want.ID)
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "image", want, got)
	}
}

func notFound(t *testing.T, s registry.Store) {
	_, err := s.Image(t.Context(), "01JNONE")
	wantError(t, "Image", err, registry.ErrNotFound)
	_, err = s.Channel(t.Context(), image(1).Line(), "stable")
	wantError(t, "Channel", err, registry.ErrNotFound)
	got, err := s.Facts(t.Context(), "01JNONE")
	if err != nil || len(got) != 0 {
		t.Errorf("Facts of no image = %v, %v; want none", got, err)
	}
	if got, err := s.Facts(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("Facts of nothing = %v, %v; want none", got, err)
	}
	wantEqual(t, "images", []string{}, ids(t, s, registry.Filter{}))
}

func idOnce(t *testing.T, s registry.Store) {
	first, second := image(1), image(2)
	commitImages(t, s, first)
	second.ID = first.ID
	wantError(t, "Commit", s.Commit(t.Context(), registry.Change{Image: &second}), registry.ErrExists)
	got, err := s.Image(t.Context(), first.ID)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "the first image", first, got)
}

func artifactOnce(t *testing.T, s registry.Store) {
	first, second := image(1), image(2)
	commitImages(t, s, first)
	second.Artifacts = append(second.Artifacts, first.Artifacts...)
	wantError(t, "Commit", s.Commit(t.Context(), registry.Change{Image: &second}), registry.ErrExists)
	wantEqual(t, "images", []string{first.ID}, ids(t, s, registry.Filter{}))

	// The same id in another region or cloud is another image.
	second.Artifacts = []registry.Artifact{
		{Ref: registry.Ref{Cloud: "local", Region: "eu-west-1", ID: first.Artifacts[0].ID}},
		{Ref: registry.Ref{Cloud: "aws", Region: "us-east-1", ID: first.Artifacts[0].ID}},
	}
	commitImages(t, s, second)
}

func newestFirst(t *testing.T, s registry.Store) {
	// 3 and 4 were baked in the same millisecond; 2 is registered last.
	four := image(4)
	four.CreatedAt = image(3).CreatedAt
	commitImages(t, s, image(3), image(1), four, image(2))
	wantEqual(t, "images", []string{four.ID, image(3).ID, image(2).ID, image(1).ID}, ids(t, s, registry.Filter{}))
	for img, err := range s.Images(t.Context(), registry.Filter{}) {
		if err != nil || img.ID != four.ID {
			t.Errorf("first image is %s, %v; want %s", img.ID, err, four.ID)
		}
		break
	}
}

func longScan(t *testing.T, s registry.Store, n int) {
	want := make([]string, n)
	for i := range n {
		img := image(i)
		img.CreatedAt = start.Add(time.Duration(i/10) * time.Millisecond) // ten at a time
		commitImages(t, s, img)
		want[n-1-i] = img.ID
	}
	wantEqual(t, "images", want, ids(t, s, registry.Filter{Application: "shop"}))
}

func filters(t *testing.T, s registry.Store) {
	base, shop, other := image(1), image(2), image(3)
	base.Application, base.Layer = "base", "base"
	shop.Parent, shop.ParentImage = base.ID, base.Artifacts[0].Ref
	other.ParentImage = registry.Ref{Cloud: "aws", Region: "us-east-1", ID: base.Artifacts[0].ID}
	shop.Bake.Key, other.Bake.Key = "k", "k2"
	commitImages(t, s, base, shop, other)
	for _, test := range []struct {
		name   string
		filter registry.Filter
		want   []string
	}{
		{"all", registry.Filter{}, []string{other.ID, shop.ID, base.ID}},
		{"application", registry.Filter{Application: "base"}, []string{base.ID}},
		{"layer", registry.Filter{Layer: "application"}, []string{other.ID, shop.ID}},
		{"application and layer", registry.Filter{Application: "base", Layer: "application"}, nil},
		{"parent", registry.Filter{Parent: base.ID}, []string{shop.ID}},
		{"parent image", registry.Filter{ParentImage: base.Artifacts[0].Ref}, []string{shop.ID}},
		{"parent image by id", registry.Filter{ParentImage: registry.Ref{ID: "ami-1"}}, []string{other.ID, shop.ID}},
		{"artifact", registry.Filter{Artifact: shop.Artifacts[0].Ref}, []string{shop.ID}},
		{"artifact by id", registry.Filter{Artifact: registry.Ref{ID: "ami-2"}}, []string{shop.ID}},
		{"artifact elsewhere", registry.Filter{Artifact: registry.Ref{Cloud: "aws", ID: "ami-2"}}, nil},
		{"artifact of another layer", registry.Filter{Layer: "base", Artifact: registry.Ref{ID: "ami-2"}}, nil},
		{"bake key", registry.Filter{BakeKey: "k"}, []string{shop.ID}},
		{"bake key of another parent", registry.Filter{BakeKey: "k2", Parent: base.ID}, nil},
		{"unknown", registry.Filter{Application: "none"}, nil},
	} {
		wantEqual(t, test.name, test.want, ids(t, s, test.filter))
	}
}

func facts(t *testing.T, s registry.Store) {
	one, two, three := image(1), image(2), image(3)
	commitImages(t, s, one, two, three)
	failed := result(1, one)
	failed.Outcome, failed.Mode, failed.SuiteDigest, failed.Tool = registry.Failed, "offline", "digest", "bakery-spec 1"
	failed.Counts = registry.Counts{Passed: 1, Failed: 2, Errors: 3, Skipped: 4}
	failed.Problems = []registry.Problem{{Check: "file:/x:mode", Outcome: registry.Failed, Message: "want 0644,\ngot 0600"}}
	failed.Report, failed.Actor, failed.Seconds = "sha", "me", 1.5
	scheduled := mark(1, one)
	scheduled.Kind, scheduled.EffectiveAt, scheduled.Actor = registry.MarkRevoked, start.Add(time.Hour), "me"
	cleared := mark(3, one)
	cleared.Kind, cleared.Clears = registry.MarkRevoked, scheduled.ID

	// Committed against the order of their ids.
	commit(t, s, registry.Change{Marks: []registry.Mark{cleared}, Results: []registry.TestResult{result(2, one)}})
	commit(t, s, registry.Change{Marks: []registry.Mark{scheduled}, Results: []registry.TestResult{failed, result(3, two)}})
	commit(t, s, registry.Change{Channel: new(channel(1, one))})

	got, err := s.Facts(t.Context(), one.ID, two.ID, three.ID)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "facts", map[string]registry.Facts{
		one.ID: {
			Results:  []registry.TestResult{failed, result(2, one)},
			Marks:    []registry.Mark{scheduled, cleared},
			Channels: []registry.Channel{channel(1, one)},
		},
		two.ID: {Results: []registry.TestResult{result(3, two)}},
	}, got)
	if got, err = s.Facts(t.Context(), two.ID); err != nil || len(got) != 1 {
		t.Errorf("Facts of one image = %v, %v", got, err)
	}
}

func factsNeedImage(t *testing.T, s registry.Store) {
	none := image(1)
	for what, change := range map[string]registry.Change{
		"result":  {Results: []registry.TestResult{result(1, none)}},
		"mark":    {Marks: []registry.Mark{mark(1, none)}},
		"channel": {Channel: new(channel(1, none))},
	} {
		wantError(t, what, s.Commit(t.Context(), change), registry.ErrNotFound)
	}
	if _, err := s.Channel(t.Context(), none.Line(), "stable"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("the channel exists: %v", err)
	}
}

func factsAgain(t *testing.T, s registry.Store) {
	img := image(1)
	commitImages(t, s, img)
	change := registry.Change{
		Results: []registry.TestResult{result(1, img)}, Marks: []registry.Mark{mark(1, img)}, Events: []registry.Event{event(1, img)},
	}
	commit(t, s, change)
	other := change
	other.Marks = []registry.Mark{mark(1, img)}
	other.Marks[0].Reason = "changed"
	commit(t, s, other)
	got, err := s.Facts(t.Context(), img.ID)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "facts", registry.Facts{Results: change.Results, Marks: change.Marks}, got[img.ID])
}

func channelMoves(t *testing.T, s registry.Store) {
	one, two := image(1), image(2)
	commitImages(t, s, one, two)
	wantError(t, "first move with a revision", s.Commit(t.Context(), registry.Change{Channel: new(channel(2, one))}), registry.ErrConflict)
	commit(t, s, registry.Change{Channel: new(channel(1, one))})
	wantError(t, "the same revision", s.Commit(t.Context(), registry.Change{Channel: new(channel(1, two))}), registry.ErrConflict)
	wantError(t, "a later revision", s.Commit(t.Context(), registry.Change{Channel: new(channel(3, two))}), registry.ErrConflict)
	commit(t, s, registry.Change{Channel: new(channel(2, two))})

	got, err := s.Channel(t.Context(), one.Line(), "stable")
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "channel", channel(2, two), got)
	facts, err := s.Facts(t.Context(), one.ID, two.ID)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "channels of the old head", nil, facts[one.ID].Channels)
	wantEqual(t, "channels of the new head", []registry.Channel{channel(2, two)}, facts[two.ID].Channels)
}

func channelLines(t *testing.T, s registry.Store) {
	one, two := image(1), image(2)
	two.Release = "trixie"
	commitImages(t, s, one, two)
	commit(t, s, registry.Change{Channel: new(channel(1, one))})
	commit(t, s, registry.Change{Channel: new(channel(1, two))})
	for _, img := range []registry.Image{one, two} {
		got, err := s.Channel(t.Context(), img.Line(), "stable")
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "channel", channel(1, img), got)
	}
}

func atomic(t *testing.T, s registry.Store) {
	one, two := image(1), image(2)
	commitImages(t, s, one)
	err := s.Commit(t.Context(), registry.Change{
		Image: &two, Results: []registry.TestResult{result(1, one)}, Marks: []registry.Mark{mark(1, two)},
		Channel: new(channel(7, one)), Events: []registry.Event{event(1, one)},
	})
	wantError(t, "Commit", err, registry.ErrConflict)
	wantEqual(t, "images", []string{one.ID}, ids(t, s, registry.Filter{}))
	if got, err := s.Facts(t.Context(), one.ID, two.ID); err != nil || len(got) != 0 {
		t.Errorf("facts = %v, %v; want none", got, err)
	}
	for e, err := range s.Events(t.Context(), "") {
		t.Errorf("event %v, %v; want none", e, err)
	}
}

func seen(t *testing.T, s registry.Store) {
	parent, child := image(1), image(2)
	commitImages(t, s, parent, child)
	revisions := func() map[string]int64 {
		facts, err := s.Facts(t.Context(), parent.ID, child.ID)
		if err != nil {
			t.Fatal(err)
		}
		return map[string]int64{parent.ID: facts[parent.ID].Revision, child.ID: facts[child.ID].Revision}
	}
	before := revisions()
	wantEqual(t, "revisions without facts", map[string]int64{parent.ID: 0, child.ID: 0}, before)
	move := func(revision int64, seen map[string]int64) error {
		return s.Commit(t.Context(), registry.Change{
			Seen: seen, Channel: new(channel(revision, child)), Marks: []registry.Mark{mark(int(revision), child)},
		})
	}
	commit(t, s, registry.Change{Marks: []registry.Mark{mark(90, parent)}})
	wantError(t, "a mark on the parent", move(1, before), registry.ErrConflict)
	before = revisions()
	commit(t, s, registry.Change{Results: []registry.TestResult{result(91, child)}})
	wantError(t, "a result of the child", move(1, before), registry.ErrConflict)
	if _, err := s.Channel(t.Context(), child.Line(), "stable"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("the channel exists: %v", err)
	}
	for revision := int64(1); revision <= 2; revision++ {
		if err := move(revision, revisions()); err != nil {
			t.Errorf("move %d on what is there: %v", revision, err)
		}
	}
}

func events(t *testing.T, s registry.Store) {
	one, two := image(1), image(2)
	commitImages(t, s, one, two)
	const n = 600
	var all, ofOne []registry.Event
	for i := range n {
		e := event(i, []registry.Image{one, two}[i%2])
		all = append(all, e)
		if i%2 == 0 {
			ofOne = append(ofOne, e)
		}
	}
	commit(t, s, registry.Change{Events: all[n/2:]})
	commit(t, s, registry.Change{Events: all[:n/2]})
	for image, want := range map[string][]registry.Event{"": all, one.ID: ofOne, "01JNONE": nil} {
		var got []registry.Event
		for e, err := range s.Events(t.Context(), image) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e)
		}
		wantEqual(t, "events of "+image, want, got)
	}
}

func canceled(t *testing.T, s registry.Store) {
	img := image(1)
	commitImages(t, s, img)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantError(t, "Commit", s.Commit(ctx, registry.Change{Marks: []registry.Mark{mark(1, img)}}), context.Canceled)
	_, err := s.Image(ctx, img.ID)
	wantError(t, "Image", err, context.Canceled)
	_, err = s.Facts(ctx, img.ID)
	wantError(t, "Facts", err, context.Canceled)
	for _, err := range s.Images(ctx, registry.Filter{}) {
		wantError(t, "Images", err, context.Canceled)
	}
	if got, err := s.Facts(t.Context(), img.ID); err != nil || len(got) != 0 {
		t.Errorf("facts = %v, %v; want none", got, err)
	}
}
