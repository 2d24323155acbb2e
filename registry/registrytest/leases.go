package registrytest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// leases are the tests of a store that is a [registry.Leaser].
var leases = []struct {
	name string
	run  func(*testing.T, registry.Leaser)
}{
	{"a lease comes back as it was committed", leaseRoundTrip},
	{"a lease changes by compare-and-set", leaseMoves},
	{"leases of other keys do not meet", leaseKeys},
	{"an image and its lease are stored whole or not at all", leaseAtomic},
	{"one of many gets a lease", concurrentLease},
	{"bakes that are equal register one image", concurrentFinish},
}

// runLeases runs them, or makes sure that a store that cannot lease says so.
func runLeases(t *testing.T, open func(t *testing.T) registry.Store) {
	for _, test := range leases {
		t.Run(test.name, func(t *testing.T) {
			s := open(t)
			leaser, ok := s.(registry.Leaser)
			if !ok {
				_, err := registry.New(s).Contend("key", "me", time.Minute)
				wantError(t, "Contend", err, registry.ErrUnsupported)
				_, _, err = registry.New(s).Finish(t.Context(), 1, image(1))
				wantError(t, "Finish", err, registry.ErrUnsupported)
				return
			}
			test.run(t, leaser)
		})
	}
}

func lease(revision int64, key string) registry.Lease {
	return registry.Lease{
		Key: key, Revision: revision, Token: revision, Holder: "host h, process 1", Since: start, BeatAt: start, TTL: 90 * time.Second,
	}
}

func leaseRoundTrip(t *testing.T, s registry.Leaser) {
	if _, err := s.Lease(t.Context(), "a#b/c"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("the lease exists: %v", err)
	}
	want := lease(1, "a#b/c")
	want.Free = true
	commit(t, s, registry.Change{Lease: &want})
	got, err := s.Lease(t.Context(), "a#b/c")
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "lease", want, got)
}

func leaseMoves(t *testing.T, s registry.Leaser) {
	wantError(t, "first write with a revision", s.Commit(t.Context(), registry.Change{Lease: new(lease(2, "k"))}), registry.ErrConflict)
	commit(t, s, registry.Change{Lease: new(lease(1, "k"))})
	wantError(t, "the same revision", s.Commit(t.Context(), registry.Change{Lease: new(lease(1, "k"))}), registry.ErrConflict)
	wantError(t, "a later revision", s.Commit(t.Context(), registry.Change{Lease: new(lease(3, "k"))}), registry.ErrConflict)
	commit(t, s, registry.Change{Lease: new(lease(2, "k"))})
	got, err := s.Lease(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "lease", lease(2, "k"), got)
}

func leaseKeys(t *testing.T, s registry.Leaser) {
	for _, key := range []string{"a", "b"} {
		commit(t, s, registry.Change{Lease: new(lease(1, key))})
	}
	for _, key := range []string{"a", "b"} {
		got, err := s.Lease(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "lease", lease(1, key), got)
	}
}

func leaseAtomic(t *testing.T, s registry.Leaser) {
	one := image(1)
	commit(t, s, registry.Change{Lease: new(lease(1, "k"))})
	err := s.Commit(t.Context(), registry.Change{Image: &one, Lease: new(lease(7, "k")), Events: []registry.Event{event(1, one)}})
	wantError(t, "Commit", err, registry.ErrConflict)
	wantEqual(t, "images", nil, ids(t, s, registry.Filter{}))
	commitImages(t, s, one)
	err = s.Commit(t.Context(), registry.Change{Image: &one, Lease: new(lease(2, "k"))})
	wantError(t, "Commit", err, registry.ErrExists)
	got, err := s.Lease(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "lease", lease(1, "k"), got)
}

func concurrentLease(t *testing.T, s registry.Leaser) {
	for revision := int64(1); revision <= 5; revision++ {
		errs := race(func(n int) error {
			l := lease(revision, "k")
			l.Holder = fmt.Sprint(n)
			return s.Commit(t.Context(), registry.Change{Lease: &l})
		})
		winner := wantOneWinner(t, errs, registry.ErrConflict)
		got, err := s.Lease(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "holder", fmt.Sprint(winner), got.Holder)
	}
}

// concurrentFinish has many bakers of the same image, of which each takes the
// lease, bakes and registers unless another has done so.
func concurrentFinish(t *testing.T, s registry.Leaser) {
	reg := registry.New(s)
	equal := registry.Query{BakeKey: "k", AtLeast: registry.StatusBuilt}
	baked := 0 // guarded by the lease
	errs := race(func(n int) error {
		contender, err := reg.Contend("k", fmt.Sprint("baker ", n), time.Minute)
		if err != nil {
			return err
		}
		for {
			if _, err := reg.Find(t.Context(), equal); !errors.Is(err, registry.ErrNotFound) {
				return err
			}
			held, _, err := contender.Try(t.Context())
			if err != nil {
				return err
			}
			if held == nil {
				continue
			}
			if _, err := reg.Find(t.Context(), equal); !errors.Is(err, registry.ErrNotFound) {
				return errors.Join(err, held.Release(t.Context()))
			}
			baked++
			img := image(n)
			img.Bake.Key = "k"
			_, _, err = reg.Finish(t.Context(), held.Token(), img)
			return errors.Join(err, held.Release(t.Context()))
		}
	})
	for n, err := range errs {
		if err != nil {
			t.Errorf("baker %d: %v", n, err)
		}
	}
	if got := ids(t, s, registry.Filter{BakeKey: "k"}); baked != 1 || len(got) != 1 {
		t.Errorf("%d bakes and the images %v, want one", baked, got)
	}
}
