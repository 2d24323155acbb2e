package registry_test

import (
	"context"
	"errors"
	"testing"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// everything is all that a registry says.
type everything struct {
	Forest []registry.Tree
	Detail map[string]registry.Detail
	Events []registry.Event
}

func readEverything(t *testing.T, b *bench) everything {
	t.Helper()
	all := everything{Detail: map[string]registry.Detail{}}
	var err error
	if all.Forest, err = b.Forest(t.Context()); err != nil {
		t.Fatal(err)
	}
	for img, err := range b.store.Images(t.Context(), registry.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if all.Detail[img.ID], err = b.Show(t.Context(), img.ID); err != nil {
			t.Fatal(err)
		}
	}
	for e, err := range b.store.Events(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		all.Events = append(all.Events, e)
	}
	return all
}

func TestCopy(t *testing.T) {
	from, to := stocked(t), newBench(t)
	head, err := from.Find(t.Context(), registry.Query{Application: "base", Channel: "stable"})
	if err != nil {
		t.Fatal(err)
	}
	for revision := int64(1); revision < 4; revision++ {
		if _, err := from.Promote(t.Context(), head.ID, "stable", revision, ""); err != nil {
			t.Fatal(err)
		}
	}
	done, err := registry.Copy(t.Context(), to.store, from.store)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "what was copied", registry.Copied{Images: 8, Results: 8, Marks: 5, Channels: 1, Events: 21}, done)
	to.now = from.now
	wantEqual(t, "the copy", readEverything(t, from), readEverything(t, to))

	// Again, nothing is copied; what is new comes with the next.
	if done, err = registry.Copy(t.Context(), to.store, from.store); err != nil || done != (registry.Copied{}) {
		t.Errorf("the second copy is %+v, %v; want nothing", done, err)
	}
	from.mark(head.Image, registry.MarkHeld)
	done, err = registry.Copy(t.Context(), to.store, from.store)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "what is new", registry.Copied{Marks: 1, Events: 1}, done)

	// Two histories of one channel do not become one.
	if _, err := to.Promote(t.Context(), head.ID, "stable", 4, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Copy(t.Context(), to.store, from.store); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("copy over a channel that was moved: %v, want ErrConflict", err)
	}
}

// failing is a store that fails after some commits.
type failing struct {
	registry.Store
	left int
}

var errFailed = errors.New("the power went out")

func (f *failing) Commit(ctx context.Context, c registry.Change) error {
	if f.left--; f.left < 0 {
		return errFailed
	}
	return f.Store.Commit(ctx, c)
}

func TestInterruptedCopyIsFinishedByTheNext(t *testing.T) {
	from := stocked(t)
	for interrupted := 0; ; interrupted += 3 {
		to := newBench(t)
		_, err := registry.Copy(t.Context(), &failing{to.store, interrupted}, from.store)
		if err != nil && !errors.Is(err, errFailed) {
			t.Fatal(err)
		}
		if _, err := registry.Copy(t.Context(), to.store, from.store); err != nil {
			t.Fatalf("after %d commits: %v", interrupted, err)
		}
		to.now = from.now
		wantEqual(t, "the copy", readEverything(t, from), readEverything(t, to))
		if err == nil || t.Failed() {
			return
		}
	}
}
