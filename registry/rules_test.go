package registry_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// The states that an image can be in, and how one gets there.
var states = []struct {
	name string
	into func(b *bench) registry.Image
}{
	{"built", func(b *bench) registry.Image { return b.add(image("base 1", "ami-foundation-1")) }},
	{"tested", func(b *bench) registry.Image { return b.add(image("base 1", "ami-foundation-1"), passed("s")) }},
	{"rejected", func(b *bench) registry.Image { return b.add(image("base 1", "ami-foundation-1"), failed("s")) }},
	{"promoted", func(b *bench) registry.Image {
		img := b.add(image("base 1", "ami-foundation-1"), passed("s"))
		b.must(operations["promote"](b, img))
		return img
	}},
	{"deprecated", func(b *bench) registry.Image { return b.in("deprecate") }},
	{"retired", func(b *bench) registry.Image { return b.in("retire") }},
	{"revoked", func(b *bench) registry.Image { return b.in("revoke") }},
	{"revoked by its ancestor", func(b *bench) registry.Image {
		img := b.add(image("base 1", "ami-foundation-1"), passed("s"))
		foundation, err := b.Resolve(b.t.Context(), "ami-foundation-1")
		b.must(err)
		b.mark(foundation.Image, registry.MarkRevoked)
		return img
	}},
}

// in returns a tested image after an operation on it.
func (b *bench) in(operation string) registry.Image {
	img := b.add(image("base 1", "ami-foundation-1"), passed("s"))
	b.must(operations[operation](b, img))
	return img
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func marking(kind registry.MarkKind) func(*bench, registry.Image) error {
	return func(b *bench, img registry.Image) error {
		_, err := b.Mark(b.t.Context(), registry.Mark{Image: img.ID, Kind: kind, Reason: "because"})
		return err
	}
}

func clearing(kind registry.MarkKind) func(*bench, registry.Image) error {
	return func(b *bench, img registry.Image) error {
		n, err := b.Clear(b.t.Context(), img.ID, kind, "")
		if err == nil && n == 0 {
			err = errors.New("no such mark stands")
		}
		return err
	}
}

// What can be done to an image.
var operations = map[string]func(b *bench, img registry.Image) error{
	"test passes": func(b *bench, img registry.Image) error {
		return b.RecordResults(b.t.Context(), img.ID, passed("s"))
	},
	"test fails": func(b *bench, img registry.Image) error {
		return b.RecordResults(b.t.Context(), img.ID, failed("s"))
	},
	"promote": func(b *bench, img registry.Image) error {
		head, err := b.Channel(b.t.Context(), img.Line(), "stable")
		if err != nil && !errors.Is(err, registry.ErrNotFound) {
			return err
		}
		_, err = b.Promote(b.t.Context(), img.ID, "stable", head.Revision, "")
		return err
	},
	"demote":      func(b *bench, img registry.Image) error { return b.Demote(b.t.Context(), img.ID, "stable", "") },
	"deprecate":   marking(registry.MarkDeprecated),
	"retire":      marking(registry.MarkRetired),
	"revoke":      marking(registry.MarkRevoked),
	"hold":        marking(registry.MarkHeld),
	"undeprecate": clearing(registry.MarkDeprecated),
	"unretire":    clearing(registry.MarkRetired),
	"restore":     clearing(registry.MarkRevoked),
}

// TestStateMachine goes from every state by every operation: to the state that
// is written here, or, with "-", to a refusal that changes nothing.
func TestStateMachine(t *testing.T) {
	columns := []string{"test passes", "test fails", "promote", "demote", "deprecate", "retire", "revoke", "hold", "undeprecate", "unretire", "restore"}
	table := map[string]string{
		"built":                   "tested rejected - - deprecated retired revoked built - - -",
		"tested":                  "tested rejected promoted - deprecated retired revoked tested - - -",
		"rejected":                "tested rejected - - deprecated retired revoked rejected - - -",
		"promoted":                "promoted promoted promoted tested deprecated retired revoked promoted - - -",
		"deprecated":              "deprecated deprecated - - deprecated retired revoked deprecated tested - -",
		"retired":                 "retired retired - - retired retired revoked retired - tested -",
		"revoked":                 "revoked revoked - - revoked revoked revoked revoked - - tested",
		"revoked by its ancestor": "revoked revoked - - revoked revoked revoked revoked - - -",
	}
	for _, state := range states {
		for n, want := range strings.Fields(table[state.name]) {
			t.Run(state.name+", "+columns[n], func(t *testing.T) {
				b := newBench(t)
				b.add(image("foundation 1", ""), passed("s"))
				img := state.into(b)
				before := b.status(img)
				if !strings.HasPrefix(state.name, string(before)) {
					t.Fatalf("it is %s to begin with", before)
				}
				b.advance(time.Minute)
				err := operations[columns[n]](b, img)
				after := b.status(img)
				switch {
				case want == "-" && err == nil:
					t.Errorf("it is not refused; the image is %s", after)
				case want == "-" && after != before:
					t.Errorf("it is refused, %v, and the image is %s, no longer %s", err, after, before)
				case want != "-" && (err != nil || string(after) != want):
					t.Errorf("the image is %s, %v; want %s", after, err, want)
				}
			})
		}
	}
}

// between is a store in which something happens just before a change is stored.
type between struct {
	registry.Store
	happens func()
}

func (s *between) Commit(ctx context.Context, c registry.Change) error {
	if happens := s.happens; happens != nil && (c.Channel != nil || c.Image != nil) {
		s.happens = nil
		happens()
	}
	return s.Store.Commit(ctx, c)
}

// TestConcurrencyRules names the rules that hold whoever writes at once. The
// conformance suite holds stores to theirs; these are the registry's.
func TestConcurrencyRules(t *testing.T) {
	rules := map[string]func(t *testing.T, b *bench){
		"a channel moves only from the revision that was seen": func(t *testing.T, b *bench) {
			one, two := b.add(image("base 1", ""), passed("s")), b.add(image("base 2", ""), passed("s"))
			var won int
			errs := make([]error, 2)
			for n, img := range []registry.Image{one, two} {
				if _, errs[n] = b.Promote(t.Context(), img.ID, "stable", 0, ""); errs[n] == nil {
					won++
				}
			}
			if won != 1 || !errors.Is(errors.Join(errs...), registry.ErrConflict) {
				t.Errorf("%d won, %v; want one, and ErrConflict", won, errs)
			}
		},
		"what was decided on may not change before it is stored": func(t *testing.T, b *bench) {
			for what, happens := range map[string]func(b *bench, img registry.Image){
				"a revocation":                func(b *bench, img registry.Image) { b.mark(img, registry.MarkRevoked) },
				"a revocation of an ancestor": func(b *bench, _ registry.Image) { b.must(revokeFoundation(b)) },
				"a failed test":               func(b *bench, img registry.Image) { b.must(b.RecordResults(t.Context(), img.ID, failed("s"))) },
			} {
				b := newBench(t)
				b.add(image("foundation 1", ""), passed("s"))
				img := b.add(image("base 1", "ami-foundation-1"), passed("s"))
				store := &between{Store: b.store, happens: func() { happens(b, img) }}
				reg := registry.New(store, registry.WithClock(func() time.Time { return b.now }))
				if _, err := reg.Promote(t.Context(), img.ID, "stable", 0, ""); !errors.Is(err, registry.ErrConflict) {
					t.Errorf("promotion with %s in between: %v, want ErrConflict", what, err)
				}
				if _, err := b.Channel(t.Context(), img.Line(), "stable"); !errors.Is(err, registry.ErrNotFound) {
					t.Errorf("the channel has moved in spite of %s: %v", what, err)
				}
			}
		},
		"a parent is looked at again when its child is stored": func(t *testing.T, b *bench) {
			foundation := b.add(image("foundation 1", ""), passed("s"))
			store := &between{Store: b.store}
			reg := registry.New(store)
			// Another test of the parent is no reason to refuse.
			store.happens = func() { b.must(b.RecordResults(t.Context(), foundation.ID, passed("late"))) }
			if _, created, err := reg.Register(t.Context(), image("base 1", "ami-foundation-1")); err != nil || !created {
				t.Errorf("with a test in between: %v, %v", created, err)
			}
			store.happens = func() { b.must(revokeFoundation(b)) }
			if _, _, err := reg.Register(t.Context(), image("base 2", "ami-foundation-1")); !errors.Is(err, registry.ErrRevoked) {
				t.Errorf("with a revocation in between: %v, want ErrRevoked", err)
			}
			if _, err := b.Resolve(t.Context(), "ami-base-2"); !errors.Is(err, registry.ErrNotFound) {
				t.Errorf("it is registered: %v", err)
			}
		},
		"facts are appended, and the same fact twice is one": func(t *testing.T, b *bench) {
			img := b.add(image("base 1", ""))
			r := passed("s")
			r.ID = registry.NewID()
			for range 2 {
				b.must(b.RecordResults(t.Context(), img.ID, r))
			}
			detail, err := b.Show(t.Context(), img.ID)
			if err != nil || len(detail.Results) != 1 {
				t.Errorf("%d results, %v; want 1", len(detail.Results), err)
			}
		},
		"taking back one mark leaves what somebody else has marked since": func(t *testing.T, b *bench) {
			img := b.add(image("base 1", ""), passed("s"))
			mine, err := b.Mark(t.Context(), registry.Mark{Image: img.ID, Kind: registry.MarkRevoked, Reason: "mine"})
			b.must(err)
			b.mark(img, registry.MarkRevoked)
			b.must(b.Unmark(t.Context(), mine, "false alarm"))
			if got := b.status(img); got != registry.StatusRevoked {
				t.Errorf("status is %s, want revoked", got)
			}
		},
		"a revocation counts at once where the clock is behind": func(t *testing.T, b *bench) {
			img := b.add(image("base 1", ""), passed("s"))
			child := b.add(image("shop 1", "ami-base-1"), passed("s"))
			ahead := registry.New(b.store, registry.WithClock(func() time.Time { return b.now.Add(10 * time.Minute) }))
			_, err := ahead.Mark(t.Context(), registry.Mark{Image: img.ID, Kind: registry.MarkRevoked, Reason: "CVE"})
			b.must(err)
			for _, one := range []registry.Image{img, child} {
				if got := b.status(one); got != registry.StatusRevoked {
					t.Errorf("%s is %s where the clock is behind, want revoked", one, got)
				}
			}
			view, err := b.Resolve(t.Context(), img.ID)
			if err != nil || !view.RevokeAt.IsZero() {
				t.Errorf("it is taken for scheduled: %v, %v", view.RevokeAt, err)
			}
		},
		"a revocation reaches what is baked from the image afterwards": func(t *testing.T, b *bench) {
			b.add(image("foundation 1", ""), passed("s"))
			// The bake of base began before; it is registered after.
			b.must(revokeFoundation(b))
			_, _, err := b.Register(t.Context(), image("base 1", "ami-foundation-1"), passed("s"))
			if !errors.Is(err, registry.ErrRevoked) {
				t.Errorf("error is %v, want ErrRevoked", err)
			}
		},
		"a revocation reaches what was registered before its parent was": func(t *testing.T, b *bench) {
			shop := b.add(image("shop 1", "ami-foundation-1"), passed("s"))
			b.add(image("foundation 1", ""), passed("s"))
			b.must(revokeFoundation(b))
			if got := b.status(shop); got != registry.StatusRevoked {
				t.Errorf("status is %s, want revoked", got)
			}
		},
		"records of what is gone stay, and lineage leads through them": func(t *testing.T, b *bench) {
			foundation := b.add(image("foundation 1", ""), passed("s"))
			base := b.add(image("base 1", "ami-foundation-1"), passed("s"))
			shop := b.add(image("shop 1", "ami-base-1"), passed("s"))
			b.mark(base, registry.MarkRetired)
			view, err := b.Resolve(t.Context(), shop.ID)
			if err != nil || len(view.Lineage.Ancestors) != 2 || view.Status != registry.StatusTested {
				t.Errorf("%s with %d ancestors, %v; want tested with 2", view.Status, len(view.Lineage.Ancestors), err)
			}
			b.mark(foundation, registry.MarkRevoked)
			if got := b.status(shop); got != registry.StatusRevoked {
				t.Errorf("status is %s, want revoked", got)
			}
		},
		"no result is no test": func(t *testing.T, b *bench) {
			b.add(image("base 1", ""))
			_, err := b.Find(t.Context(), registry.Query{Application: "base", AtLeast: registry.StatusTested})
			if !errors.Is(err, registry.ErrNotFound) {
				t.Errorf("error is %v, want ErrNotFound", err)
			}
		},
		"the newest image is the same for every reader": func(t *testing.T, b *bench) {
			// Baked in the same millisecond, and read through two registries.
			at := b.now.Add(time.Hour)
			for n := range 5 {
				img := image(fmt.Sprint("base ", n), "")
				img.CreatedAt = at
				b.add(img, passed("s"))
			}
			var first string
			for range 5 {
				found, err := registry.New(b.store).Find(t.Context(), registry.Query{Application: "base"})
				b.must(err)
				if first == "" {
					first = found.ID
				}
				if found.ID != first {
					t.Errorf("found %s and then %s", first, found.ID)
				}
			}
		},
	}
	for rule, test := range rules {
		t.Run(rule, func(t *testing.T) { test(t, newBench(t)) })
	}
}

func revokeFoundation(b *bench) error {
	foundation, err := b.Resolve(b.t.Context(), "ami-foundation-1")
	if err != nil {
		return err
	}
	return marking(registry.MarkRevoked)(b, foundation.Image)
}
