package registrytest

import (
	"fmt"
	"testing"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

func imageOfOneCloud(t *testing.T, s registry.Store) {
	foundation := image(1)
	full := registry.Image{
		ID: "01JFULL", Application: "shop & \"co\"", Version: "1.4.2~rc1+b1|%7C", Layer: "application",
		Environment: "prod", Release: "bookworm", Arch: "x86_64", Owner: "team ünïcode",
		Labels: map[string]string{"kernel": "6.1.0-18", "empty": ""},
		Parent: foundation.ID, ParentImage: foundation.Artifacts[0].Ref,
		Artifacts: []registry.Artifact{
			{Ref: registry.Ref{Cloud: "local", Region: "eu-west-1", ID: "ami-a"}},
			{Ref: registry.Ref{Cloud: "local", Region: "us-east-1", ID: "ami-b"}},
		},
		Bake: registry.Bake{
			ID: "01B", Builder: "bakery|chroot", Build: "shop", Run: "run", Key: "key",
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

	elsewhere := image(2)
	elsewhere.Artifacts[0].Region = "us-west-2"
	wantError(t, "an image of another region", s.Commit(t.Context(), registry.Change{Image: &elsewhere}), registry.ErrUnsupported)
	elsewhere.Artifacts[0].Ref = registry.Ref{Cloud: "docker", ID: "sha256:1"}
	wantError(t, "an image of another cloud", s.Commit(t.Context(), registry.Change{Image: &elsewhere}), registry.ErrUnsupported)
}

func artifactOnceInARegion(t *testing.T, s registry.Store) {
	first, second := image(1), image(2)
	commitImages(t, s, first)
	second.Artifacts = append(second.Artifacts, first.Artifacts...)
	wantError(t, "Commit", s.Commit(t.Context(), registry.Change{Image: &second}), registry.ErrExists)
	wantEqual(t, "images", []string{first.ID}, ids(t, s, registry.Filter{}))
	second.Artifacts = []registry.Artifact{{Ref: registry.Ref{Cloud: "local", Region: "eu-west-1", ID: first.Artifacts[0].ID}}}
	commitImages(t, s, second)
}

func packagesRefused(t *testing.T, s registry.Store) {
	list := packageList()
	wantError(t, "Commit", s.Commit(t.Context(), registry.Change{Packages: &list}), registry.ErrUnsupported)
	_, err := s.Packages(t.Context(), list.Digest())
	wantError(t, "Packages", err, registry.ErrNotFound)
}

func bareFacts(t *testing.T, s registry.Store) {
	one, two := image(1), image(2)
	commitImages(t, s, one, two)
	failed := result(1, one)
	failed.Outcome, failed.Mode, failed.SuiteDigest, failed.Tool = registry.Failed, "offline", "digest", "bakery-spec 1"
	failed.Counts = registry.Counts{Passed: 1, Failed: 2, Errors: 3, Skipped: 4}
	failed.Actor, failed.Seconds = "me", 1.5
	scheduled := mark(1, one)
	scheduled.Kind, scheduled.EffectiveAt, scheduled.Actor = registry.MarkRevoked, start.Add(time.Hour), "me"
	cleared := mark(3, one)
	cleared.Kind, cleared.Clears = registry.MarkRevoked, scheduled.ID
	gone := mark(4, two)
	gone.Kind, gone.Artifact, gone.Reason = registry.MarkRetired, two.Artifacts[0].Ref, ""

	commit(t, s, registry.Change{Marks: []registry.Mark{cleared}, Results: []registry.TestResult{result(2, one)}})
	commit(t, s, registry.Change{Marks: []registry.Mark{scheduled, gone}, Results: []registry.TestResult{failed}})
	got, err := s.Facts(t.Context(), one.ID, two.ID)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "facts", map[string]registry.Facts{
		one.ID: {Results: []registry.TestResult{failed, result(2, one)}, Marks: []registry.Mark{scheduled, cleared}},
		two.ID: {Marks: []registry.Mark{gone}},
	}, got)
}

func channelRefused(t *testing.T, s registry.Store) {
	one := image(1)
	commitImages(t, s, one)
	err := s.Commit(t.Context(), registry.Change{Channel: new(channel(1, one)), Marks: []registry.Mark{mark(1, one)}})
	wantError(t, "Commit", err, registry.ErrUnsupported)
	_, err = s.Channel(t.Context(), one.Line(), "stable")
	wantError(t, "Channel", err, registry.ErrNotFound)
	if facts, err := s.Facts(t.Context(), one.ID); err != nil || len(facts) != 0 {
		t.Errorf("facts = %v, %v; want none", facts, err)
	}
}

func refusedWhole(t *testing.T, s registry.Store) {
	one, two := image(1), image(2)
	commitImages(t, s, one)
	err := s.Commit(t.Context(), registry.Change{
		Image: &two, Results: []registry.TestResult{result(1, one)}, Marks: []registry.Mark{mark(1, two)},
		Channel: new(channel(7, one)), Events: []registry.Event{event(1, one)},
	})
	wantError(t, "Commit", err, registry.ErrUnsupported)
	wantEqual(t, "images", []string{one.ID}, ids(t, s, registry.Filter{}))
	if got, err := s.Facts(t.Context(), one.ID, two.ID); err != nil || len(got) != 0 {
		t.Errorf("facts = %v, %v; want none", got, err)
	}
}

// seenBefore wants a change to be refused that was decided on facts which others
// have seen change before it was sent.
func seenBefore(t *testing.T, s registry.Store) {
	parent, child := image(1), image(2)
	commitImages(t, s, parent, child)
	revision := func() map[string]int64 {
		facts, err := s.Facts(t.Context(), parent.ID)
		if err != nil {
			t.Fatal(err)
		}
		return map[string]int64{parent.ID: facts[parent.ID].Revision}
	}
	send := func(n int, seen map[string]int64) error {
		return s.Commit(t.Context(), registry.Change{Seen: seen, Marks: []registry.Mark{mark(n, child)}})
	}
	before := revision()
	if err := send(1, before); err != nil {
		t.Fatal(err)
	}
	commit(t, s, registry.Change{Marks: []registry.Mark{mark(9, parent)}})
	wantError(t, "a mark on the parent", send(2, before), registry.ErrConflict)
	if err := send(3, revision()); err != nil {
		t.Error(err)
	}
	facts, err := s.Facts(t.Context(), child.ID)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "marks", []registry.Mark{mark(1, child), mark(3, child)}, facts[child.ID].Marks)
}

func noHistory(t *testing.T, s registry.Store) {
	one := image(1)
	commitImages(t, s, one)
	commit(t, s, registry.Change{Events: []registry.Event{event(1, one)}})
	for e, err := range s.Events(t.Context(), "") {
		t.Errorf("event %v, %v; want none", e, err)
	}
}

// concurrentRegisterMerges wants one whole image of many registrations.
func concurrentRegisterMerges(t *testing.T, s registry.Store) {
	version := func(n int) registry.Image {
		img := image(n)
		img.Artifacts, img.Environment = image(0).Artifacts, fmt.Sprint("of writer ", n)
		return img
	}
	errs := race(func(n int) error { return s.Commit(t.Context(), registry.Change{Image: new(version(n))}) })
	won := false
	for n, err := range errs {
		if won = won || err == nil; err != nil {
			wantError(t, fmt.Sprint("writer ", n), err, registry.ErrExists)
		}
	}
	if !won {
		t.Error("no writer won")
	}
	found := ids(t, s, registry.Filter{Artifact: image(0).Artifacts[0].Ref})
	if len(found) != 1 {
		t.Fatalf("the artifact is that of %d images, want 1", len(found))
	}
	got, err := s.Image(t.Context(), found[0])
	if err != nil {
		t.Fatal(err)
	}
	for n := range writers {
		if want := version(n); want.ID == got.ID {
			wantEqual(t, "the image of one writer", want, got)
		}
	}
}

func concurrentChannelRefused(t *testing.T, s registry.Store) {
	one := image(1)
	commitImages(t, s, one)
	for n, err := range race(func(int) error { return s.Commit(t.Context(), registry.Change{Channel: new(channel(1, one))}) }) {
		wantError(t, fmt.Sprint("writer ", n), err, registry.ErrUnsupported)
	}
}

// concurrentSuites has each writer run a suite of its own twice. A store of facts
// may forget the first run when it is short of room.
func concurrentSuites(t *testing.T, s registry.Store) {
	img := image(1)
	commitImages(t, s, img)
	run := func(n, at int) registry.TestResult {
		r := result(n*2+at, img)
		r.Suite, r.StartedAt = fmt.Sprint("suite ", n), start.Add(time.Duration(at)*time.Second)
		return r
	}
	for n, err := range race(func(n int) error {
		for at := range 2 {
			if err := s.Commit(t.Context(), registry.Change{Results: []registry.TestResult{run(n, at)}}); err != nil {
				return err
			}
		}
		return nil
	}) {
		if err != nil {
			t.Errorf("writer %d: %v", n, err)
		}
	}
	facts, err := s.Facts(t.Context(), img.ID)
	if err != nil {
		t.Fatal(err)
	}
	newest := map[string]registry.TestResult{}
	for _, r := range facts[img.ID].Results {
		newest[r.Suite] = r
	}
	for n := range writers {
		wantEqual(t, "the newest run of a suite", run(n, 1), newest[fmt.Sprint("suite ", n)])
	}
}
