package registry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrLeaseLost means that somebody else has taken over what a lease was for,
// or that it was given back. Whoever held it must not record what it has made.
var ErrLeaseLost = errors.New("the lease is lost")

// Lease says who does something that is to be done once. It is renewed all the
// time while that goes on; of one that is not, the holder has died.
//
// No clock is compared with another host's: who waits for a lease looks whether
// its revision changes, and takes it over when it has stayed the same for TTL.
// A holder that was only slow finds out by its token, which every holder gets
// anew: what it commits with the token of the past is refused.
type Lease struct {
	Key      string        `json:"key"`
	Revision int64         `json:"revision"` // grows by one with each change; 1 when it is made
	Token    int64         `json:"token"`    // the revision with which the holder got it
	Holder   string        `json:"holder"`   // for people: host and process
	Since    time.Time     `json:"since"`    // when the holder got it, by its clock
	BeatAt   time.Time     `json:"beat_at"`  // when it was last renewed, by its clock
	TTL      time.Duration `json:"ttl"`      // without a renewal for so long the holder has died
	Free     bool          `json:"free,omitempty"`
}

// Leaser is a [Store] that can lease. It needs more than keeping facts: a write
// that is refused when somebody else has written in between.
type Leaser interface {
	Store

	// Lease returns the lease of a key, or ErrNotFound. Leases are written by
	// [Change.Lease].
	Lease(ctx context.Context, key string) (Lease, error)
}

// clockSkew is how far the clocks of two hosts may differ.
const clockSkew = 5 * time.Minute

// Contender wants a lease. It is not safe for concurrent use.
type Contender struct {
	registry *Registry
	store    Leaser
	lease    Lease // as it shall be when this contender gets it

	seen     Lease     // another's, as it was first seen with its revision
	seenFrom time.Time // when that was, by the monotonic clock
}

// Contend prepares to lease key. holder tells people who this is, and ttl is
// how long it may be silent before others take over. It returns ErrUnsupported
// when the registry's store cannot lease.
func (r *Registry) Contend(key, holder string, ttl time.Duration) (*Contender, error) {
	store, ok := r.store.(Leaser)
	if !ok {
		return nil, fmt.Errorf("lease %s: %w", key, ErrUnsupported)
	}
	return &Contender{registry: r, store: store, lease: Lease{Key: key, Holder: holder, TTL: ttl}}, nil
}

// Try gets the lease if nobody alive has it. Else held is nil, and other is who
// has it; call again a little later, and again: that somebody has died is only
// seen by watching.
func (c *Contender) Try(ctx context.Context) (held *Held, other Lease, err error) {
	old, err := c.store.Lease(ctx, c.lease.Key)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, Lease{}, fmt.Errorf("lease %s: %w", c.lease.Key, err)
	}
	if err == nil && !c.vacant(old) {
		return nil, old, nil
	}
	next := c.lease
	next.Revision = old.Revision + 1
	next.Token = next.Revision
	next.Since = c.registry.moment()
	next.BeatAt = next.Since
	switch err := c.store.Commit(ctx, Change{Lease: &next}); {
	case errors.Is(err, ErrConflict):
		// Somebody was faster, or is alive after all. Who it is shows next time.
		return nil, old, nil
	case err != nil:
		return nil, Lease{}, fmt.Errorf("lease %s: %w", c.lease.Key, err)
	}
	return newHeld(ctx, c.registry, c.store, next), Lease{}, nil
}

// vacant reports whether nobody alive holds l.
func (c *Contender) vacant(l Lease) bool {
	if l.Free {
		return true
	}
	if l.Revision != c.seen.Revision {
		c.seen, c.seenFrom = l, time.Now()
	}
	// A lease that nobody has touched for long need not be watched first.
	return time.Since(c.seenFrom) >= l.TTL || c.registry.now().Sub(l.BeatAt) > l.TTL+clockSkew
}

// Held is a lease that this process has. It renews itself until it is released,
// finished or lost.
type Held struct {
	registry *Registry
	store    Leaser
	token    int64

	mu    sync.Mutex
	lease Lease // as it is, as far as this process knows

	cancel context.CancelFunc
	over   chan struct{} // closed when nothing is renewed any more
	lost   chan struct{}
}

func newHeld(ctx context.Context, r *Registry, store Leaser, lease Lease) *Held {
	// It is held beyond the call that has got it.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	h := &Held{
		registry: r, store: store, token: lease.Token, lease: lease,
		cancel: cancel, over: make(chan struct{}), lost: make(chan struct{}),
	}
	go h.renew(ctx)
	return h
}

// Token is what [Registry.Finish] wants to see.
func (h *Held) Token() int64 { return h.token }

// Lost is closed when the lease is lost: what it was for is somebody else's now.
func (h *Held) Lost() <-chan struct{} { return h.lost }

// beats is how often a lease is renewed within its TTL.
const beats = 4

func (h *Held) renew(ctx context.Context) {
	defer close(h.over)
	tick := time.NewTicker(max(h.lease.TTL/beats, time.Millisecond))
	defer tick.Stop()
	for alive := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asked := time.Now()
		calling, done := context.WithDeadline(ctx, alive.Add(h.lease.TTL))
		err := h.beat(calling)
		done()
		switch {
		case err == nil:
			alive = asked
		case ctx.Err() != nil, errors.Is(err, errDone):
			return
		case errors.Is(err, ErrLeaseLost), time.Since(alive) >= h.lease.TTL:
			// Without an answer for so long others may take it for dead.
			close(h.lost)
			return
		}
	}
}

// errDone means that the lease was given back as it should be.
var errDone = errors.New("the lease was given back")

// beat renews the lease.
func (h *Held) beat(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	now, err := current(ctx, h.store, h.lease.Key, h.token)
	if errors.Is(err, ErrLeaseLost) && now.Token == h.token {
		return errDone // by Finish, in another process
	}
	if err != nil {
		return err
	}
	now.Revision++
	now.BeatAt = h.registry.moment()
	if err := h.store.Commit(ctx, Change{Lease: &now}); err != nil {
		return err // after a conflict the next beat sees what it was
	}
	h.lease = now
	return nil
}

// current returns the lease of key as it is, and ErrLeaseLost unless the holder
// with the token still has it.
func current(ctx context.Context, store Leaser, key string, token int64) (Lease, error) {
	now, err := store.Lease(ctx, key)
	switch {
	case errors.Is(err, ErrNotFound):
		return now, fmt.Errorf("lease %s: %w: it does not exist", key, ErrLeaseLost)
	case err != nil:
		return now, err
	case now.Token != token:
		return now, fmt.Errorf("lease %s: %w: %s has had it since %s", key, ErrLeaseLost, now.Holder, now.Since.Format(time.RFC3339))
	case now.Free:
		return now, fmt.Errorf("lease %s: %w: it was given back", key, ErrLeaseLost)
	}
	return now, nil
}

// Release gives the lease back, so that who waits need not wait until it runs
// out. It is no error when it is lost or finished already.
func (h *Held) Release(ctx context.Context) error {
	h.cancel()
	<-h.over
	err := whileLeased(ctx, h.store, h.lease.Key, h.token, func(free *Lease) error {
		return h.store.Commit(ctx, Change{Lease: free})
	})
	if err != nil && !errors.Is(err, ErrLeaseLost) {
		return fmt.Errorf("give back lease %s: %w", h.lease.Key, err)
	}
	return nil
}

// whileLeased calls commit with the lease as it is to be stored to give it back,
// and again when its holder has renewed it in between.
func whileLeased(ctx context.Context, store Leaser, key string, token int64, commit func(free *Lease) error) error {
	for {
		lease, err := current(ctx, store, key, token)
		if err != nil {
			return err
		}
		lease.Revision++
		lease.Free = true
		if err := commit(&lease); !errors.Is(err, ErrConflict) {
			return err
		}
	}
}

// Finish registers img, as [Registry.Register] does, as what the lease of
// img.Bake.Key with that token was for, and gives the lease back. It returns
// ErrLeaseLost, and records nothing, when somebody else has it meanwhile. Both
// is one change: of two who bake the same image, one registers it. Finishing the
// same image again is no error.
func (r *Registry) Finish(ctx context.Context, token int64, img Image, results ...TestResult) (recorded Image, created bool, err error) {
	store, ok := r.store.(Leaser)
	if !ok {
		return Image{}, false, fmt.Errorf("register %s: lease %s: %w", img, img.Bake.Key, ErrUnsupported)
	}
	err = whileLeased(ctx, store, img.Bake.Key, token, func(free *Lease) (err error) {
		recorded, created, err = r.register(ctx, free, img, results)
		return err
	})
	if !errors.Is(err, ErrLeaseLost) {
		return recorded, created, err
	}
	err = fmt.Errorf("register %s: %w", img, err)
	for _, a := range img.Artifacts {
		if _, lookErr := newLoader(r.store).at(ctx, a.Ref); lookErr == nil {
			// It was registered under the lease before: nothing is made twice.
			return r.register(ctx, nil, img, results)
		}
	}
	return Image{}, false, err
}

// Reused notes in the history that the image with the given id was returned
// instead of baking an equal one. It returns ErrNotFound when there is no such
// image.
func (r *Registry) Reused(ctx context.Context, image, detail string) error {
	if err := r.store.Commit(ctx, Change{Events: []Event{r.event(OpReuse, image, detail)}}); err != nil {
		return fmt.Errorf("note that %s was reused: %w", image, err)
	}
	return nil
}
