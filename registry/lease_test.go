package registry_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/registry"
	"github.com/imagebakery/packer-plugin-bakery/registry/sqlite"
)

const leaseKey = "k"

func openStore(t *testing.T) *sqlite.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "registry.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// contend returns a contender for the lease of the tests.
func contend(t *testing.T, reg *registry.Registry, holder string, ttl time.Duration) *registry.Contender {
	t.Helper()
	c, err := reg.Contend(leaseKey, holder, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// try wants to get the lease, or not.
func try(t *testing.T, c *registry.Contender, want bool) (*registry.Held, registry.Lease) {
	t.Helper()
	held, other, err := c.Try(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if (held != nil) != want {
		t.Fatalf("got the lease: %v, want %v; it is %+v", held != nil, want, other)
	}
	if held != nil {
		t.Cleanup(func() { _ = held.Release(context.Background()) })
	}
	return held, other
}

// dead is a holder that stops renewing at once, as by SIGKILL.
func dead(t *testing.T, store registry.Store, ttl time.Duration, at time.Time) registry.Lease {
	t.Helper()
	l := registry.Lease{Key: leaseKey, Revision: 1, Token: 1, Holder: "dead", Since: at, BeatAt: at, TTL: ttl}
	if err := store.Commit(t.Context(), registry.Change{Lease: &l}); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLeaseOfALivingHolderIsRespected(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	const ttl = 2 * time.Second
	held, _ := try(t, contend(t, registry.New(store), "first", ttl), true)
	second := contend(t, registry.New(store), "second", ttl)
	for begin := time.Now(); time.Since(begin) < 2*ttl; time.Sleep(ttl / 20) {
		if _, other := try(t, second, false); other.Holder != "first" {
			t.Fatalf("the holder is %s, want first", other.Holder)
		}
	}
	select {
	case <-held.Lost():
		t.Fatal("the holder lost the lease, which it has renewed")
	default:
	}
	if err := held.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, _ := try(t, second, true)
	if got.Token() <= held.Token() {
		t.Errorf("the token is %d after %d, want a greater one", got.Token(), held.Token())
	}
	if err := held.Release(t.Context()); err != nil {
		t.Errorf("released twice: %v", err)
	}
}

func TestDeadHolderIsReplaced(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	const ttl = time.Second
	dead(t, store, ttl, time.Now())
	c := contend(t, registry.New(store), "second", time.Minute)
	try(t, c, false)
	time.Sleep(ttl)
	held, _ := try(t, c, true)
	if held.Token() != 2 {
		t.Errorf("the token is %d, want 2", held.Token())
	}
}

// A holder whose clock runs behind by less than the allowance is not taken for
// dead by its time, only by its silence.
func TestClocksOfHostsMayDiffer(t *testing.T) {
	for name, test := range map[string]struct {
		behind time.Duration
		taken  bool
	}{"a little": {5 * time.Minute, false}, "long ago": {7 * time.Minute, true}, "ahead": {-time.Hour, false}} {
		t.Run(name, func(t *testing.T) {
			store := openStore(t)
			dead(t, store, time.Minute, time.Now().Add(-test.behind))
			try(t, contend(t, registry.New(store), "second", time.Minute), test.taken)
		})
	}
}

// stalling fails to answer while it is told to.
type stalling struct {
	registry.Leaser
	stall atomic.Bool
}

func (s *stalling) Lease(ctx context.Context, key string) (registry.Lease, error) {
	if s.stall.Load() {
		<-ctx.Done()
		return registry.Lease{}, ctx.Err()
	}
	return s.Leaser.Lease(ctx, key)
}

func TestHolderThatCannotRenewHasLost(t *testing.T) {
	store := &stalling{Leaser: openStore(t)}
	held, _ := try(t, contend(t, registry.New(store), "first", 100*time.Millisecond), true)
	store.stall.Store(true)
	defer store.stall.Store(false)
	select {
	case <-held.Lost():
	case <-time.After(30 * time.Second):
		t.Fatal("the holder goes on without a lease")
	}
}

func TestHolderWhoLostTheLeaseRegistersNothing(t *testing.T) {
	store := openStore(t)
	reg := registry.New(store)
	slow := dead(t, store, 10*time.Millisecond, time.Now().Add(-time.Hour))
	held, _ := try(t, contend(t, reg, "second", time.Minute), true)

	img := leased(1)
	if _, _, err := reg.Finish(t.Context(), slow.Token, img); !errors.Is(err, registry.ErrLeaseLost) {
		t.Fatalf("error is %v, want that the lease is lost", err)
	}
	if _, err := reg.Resolve(t.Context(), img.ID); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("the image is registered: %v", err)
	}

	other := leased(2)
	if _, created, err := reg.Finish(t.Context(), held.Token(), other); err != nil || !created {
		t.Fatalf("created %v, %v", created, err)
	}
	if now, err := store.Lease(t.Context(), leaseKey); err != nil || !now.Free {
		t.Errorf("the lease is %+v, %v; want it free", now, err)
	}
	// The same again changes nothing.
	if again, created, err := reg.Finish(t.Context(), held.Token(), other); err != nil || created || again.ID != other.ID {
		t.Errorf("finished again: %s, created %v, %v", again.ID, created, err)
	}
	// But no second image with one token.
	if _, _, err := reg.Finish(t.Context(), held.Token(), leased(3)); !errors.Is(err, registry.ErrLeaseLost) {
		t.Errorf("error is %v, want that the lease is lost", err)
	}
}

func TestFinishingIsNoLoss(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	reg := registry.New(store)
	const ttl = 2 * time.Second
	held, _ := try(t, contend(t, reg, "first", ttl), true)
	if _, _, err := registry.New(store).Finish(t.Context(), held.Token(), leased(1)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(ttl) // for several renewals
	select {
	case <-held.Lost():
		t.Error("the holder takes the end of its work for a loss")
	default:
	}
}

func TestFinishOfARegisteredImageFreesTheLease(t *testing.T) {
	store := openStore(t)
	reg := registry.New(store)
	img := leased(1)
	if _, _, err := reg.Register(t.Context(), img); err != nil {
		t.Fatal(err)
	}
	held, _ := try(t, contend(t, reg, "first", time.Minute), true)
	if _, created, err := reg.Finish(t.Context(), held.Token(), img); err != nil || created {
		t.Fatalf("created %v, %v", created, err)
	}
	try(t, contend(t, reg, "second", time.Minute), true)
}

func TestReusedIsInTheHistory(t *testing.T) {
	reg := registry.New(openStore(t))
	img := leased(1)
	if _, _, err := reg.Register(t.Context(), img); err != nil {
		t.Fatal(err)
	}
	if err := reg.Reused(t.Context(), img.ID, "build x"); err != nil {
		t.Fatal(err)
	}
	events, err := reg.History(t.Context(), img.ID)
	if err != nil {
		t.Fatal(err)
	}
	if last := events[len(events)-1]; last.Op != registry.OpReuse || last.Detail != "build x" {
		t.Errorf("the last event is %+v", last)
	}
	if err := reg.Reused(t.Context(), "none", ""); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("error is %v, want that it is not found", err)
	}
}

// leased is the n-th image that the lease of the tests is for.
func leased(n int) registry.Image {
	ref := registry.Ref{Cloud: "local", Region: "us-east-1", ID: "ami-" + string(rune('0'+n))}
	return registry.Image{
		ID: registry.NewID(), Application: "shop", Version: "1", Layer: "application",
		Artifacts: []registry.Artifact{{Ref: ref}}, Bake: registry.Bake{Key: leaseKey},
	}
}
