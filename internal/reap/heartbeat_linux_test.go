package reap_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/imagebakery/packer-plugin-bakery/internal/journal"
	"github.com/imagebakery/packer-plugin-bakery/internal/reap"
)

// A story is a bake, or somebody else, and what it has made.
type story struct {
	name string
	tell func(r *rand.Rand, bake string) []piece
}

// piece is a resource of a story, and whether it is left behind.
type piece struct {
	kind journal.Kind
	tags map[string]string
	left bool
}

const minAge = time.Hour

// stale is a heartbeat that is too old, by much or by little.
func stale(r *rand.Rand) string {
	return ago(minAge + time.Second + time.Duration(r.Int64N(int64(1000*time.Hour))))
}

// fresh is a heartbeat that is not.
func fresh(r *rand.Rand) string { return ago(time.Duration(r.Int64N(int64(minAge - time.Minute)))) }

func anyKind(r *rand.Rand) journal.Kind {
	return []journal.Kind{journal.Volume, journal.Snapshot, journal.Image}[r.IntN(3)]
}

// some makes one to three pieces of any kinds.
func some(r *rand.Rand, left bool, tags func() map[string]string) []piece {
	var list []piece
	for range 1 + r.IntN(3) {
		list = append(list, piece{anyKind(r), tags(), left})
	}
	return list
}

var stories = []story{
	{"a bake that died", func(r *rand.Rand, bake string) []piece {
		return some(r, true, func() map[string]string { return of(bake, stale(r)) })
	}},
	{"a bake that runs", func(r *rand.Rand, bake string) []piece {
		return some(r, false, func() map[string]string { return of(bake, fresh(r)) })
	}},
	{"a bake one of whose signs of life came through", func(r *rand.Rand, bake string) []piece {
		list := some(r, false, func() map[string]string { return of(bake, stale(r)) })
		return append(list, piece{anyKind(r), of(bake, fresh(r)), false})
	}},
	{"a bake on a host whose clock is ahead", func(r *rand.Rand, bake string) []piece {
		return some(r, false, func() map[string]string { return of(bake, ago(-10*time.Minute)) })
	}},
	{"a bake that ended well", func(r *rand.Rand, bake string) []piece {
		return some(r, false, func() map[string]string { return of(bake, reap.Ended) })
	}},
	{"a bake that ended well and left its volume", func(r *rand.Rand, bake string) []piece {
		return []piece{{journal.Image, of(bake, reap.Ended), false}, {journal.Volume, of(bake, stale(r)), true}}
	}},
	{"a bake that this host knows to run", func(r *rand.Rand, bake string) []piece {
		return some(r, false, func() map[string]string { return of(bake+"-known", stale(r)) })
	}},
	{"a bake that was kept", func(r *rand.Rand, bake string) []piece {
		return some(r, false, func() map[string]string { return of(bake, reap.Kept) })
	}},
	{"others, without a tag of bakes", func(r *rand.Rand, _ string) []piece {
		return some(r, false, func() map[string]string { return map[string]string{"test": "yes", "Name": "database"} })
	}},
	{"others, with an owner alone", func(r *rand.Rand, bake string) []piece {
		return some(r, false, func() map[string]string { return map[string]string{"test": "yes", reap.OwnerTag: bake} })
	}},
	{"others, with a heartbeat alone", func(r *rand.Rand, _ string) []piece {
		return some(r, false, func() map[string]string { return map[string]string{"test": "yes", reap.HeartbeatTag: stale(r)} })
	}},
	{"others, with an empty owner", func(r *rand.Rand, _ string) []piece {
		return some(r, false, func() map[string]string { return of("", stale(r)) })
	}},
	{"others, with a heartbeat in words of their own", func(r *rand.Rand, bake string) []piece {
		words := []string{"", "yes", "2001-02-03", "0", "Ended", "981173106"}
		return some(r, false, func() map[string]string { return of(bake, words[r.IntN(len(words))]) })
	}},
}

// Whatever there is, and however it is mixed: what is removed is all that dead
// bakes have left and nothing else, and looking again finds nothing.
func TestReapingTouchesOnlyWhatDeadBakesMade(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := rand.New(rand.NewPCG(seed, 1))
			var stay, gone []string
			whose := map[string]string{}
			for i, s := range stories {
				for _, p := range s.tell(r, fmt.Sprintf("01BAKE%d", i)) {
					ids := w.make(t, p.kind, p.tags)
					for _, id := range ids {
						whose[id] = s.name
					}
					if p.left {
						gone = append(gone, ids...)
					} else {
						stay = append(stay, ids...)
					}
				}
			}
			slices.Sort(stay)
			slices.Sort(gone)
			alive := func(bake string) bool { return strings.HasSuffix(bake, "-known") }
			found, err := reap.Abandoned(t.Context(), w.client, minAge, false, alive)
			if err != nil {
				t.Fatal(err)
			}
			var removed []string
			if err := reap.Remove(t.Context(), w.client, found, func(l reap.Leftover) { removed = append(removed, l.ID) }); err != nil {
				t.Error(err)
			}
			slices.Sort(removed)
			if diff := cmp.Diff(gone, removed); diff != "" {
				t.Errorf("removed (-want +got):\n%s\n%v", diff, whose)
			}
			if diff := cmp.Diff(stay, w.contents(t)); diff != "" {
				t.Errorf("still there (-want +got):\n%s\n%v", diff, whose)
			}
			if again, err := reap.Abandoned(t.Context(), w.client, minAge, false, alive); err != nil || len(again) > 0 {
				t.Errorf("looking again finds %+v, %v", again, err)
			}
		})
	}
}

func TestKeptIsFoundWhenAskedFor(t *testing.T) {
	w := newWorld(t)
	volume := w.volume(t, of("01KEPT", reap.Kept))
	w.volume(t, of("01RUNS", ago(time.Minute)))
	found, err := reap.Abandoned(t.Context(), w.client, minAge, true, nobody)
	want := []reap.Leftover{{Kind: journal.Volume, ID: volume, Region: region, Bake: "01KEPT"}}
	if diff := cmp.Diff(want, found); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// A heartbeat is taken for silence from minAge on, and not before.
func TestAgeOfAHeartbeat(t *testing.T) {
	w := newWorld(t)
	w.volume(t, of("01BAKE", ago(minAge-time.Minute)))
	for age, want := range map[time.Duration]int{minAge: 0, minAge - 2*time.Minute: 1} {
		if found, err := reap.Abandoned(t.Context(), w.client, age, false, nobody); err != nil || len(found) != want {
			t.Errorf("minAge %v: %+v, %v; want %d", age, found, err, want)
		}
	}
}

// A snapshot that somebody's image uses stays, and the error says so; the rest
// of what was left goes.
func TestSnapshotInUseStays(t *testing.T) {
	w := newWorld(t)
	dead := of("01DEAD", ago(2*minAge))
	used, free, volume := w.snapshot(t, dead), w.snapshot(t, dead), w.volume(t, dead)
	theirs := w.image(t, used, map[string]string{"Name": "somebody's"})
	found, err := reap.Abandoned(t.Context(), w.client, minAge, false, nobody)
	if err != nil || len(found) != 3 {
		t.Fatalf("found %+v, %v", found, err)
	}
	var removed []string
	err = reap.Remove(t.Context(), w.client, found, func(l reap.Leftover) { removed = append(removed, l.ID) })
	want := fmt.Sprintf("remove snapshot %s of bake 01DEAD: image %s uses it", used, theirs)
	if err == nil || err.Error() != want {
		t.Errorf("error = %v\nwant %s", err, want)
	}
	slices.Sort(removed)
	both := []string{free, volume}
	slices.Sort(both)
	if diff := cmp.Diff(both, removed); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
}

// What cannot be removed is named, each with what EC2 said; the rest goes, and
// the next attempt removes what was left.
func TestRemovingGoesOnAfterAFailure(t *testing.T) {
	w := newWorld(t)
	dead := of("01DEAD", ago(2*minAge))
	ids := slices.Concat(w.make(t, journal.Image, dead), w.make(t, journal.Volume, dead), w.make(t, journal.Volume, dead))
	found, err := reap.Abandoned(t.Context(), w.client, minAge, false, nobody)
	if err != nil || len(found) != len(ids) {
		t.Fatalf("found %+v, %v", found, err)
	}
	broken := w.connect(t, "DeleteVolume=error:UnauthorizedOperation:1")
	removed := 0
	err = reap.Remove(t.Context(), broken, found, func(reap.Leftover) { removed++ })
	if err == nil || !strings.Contains(err.Error(), "UnauthorizedOperation") || !strings.Contains(err.Error(), "of bake 01DEAD") || strings.Contains(err.Error(), "\n") {
		t.Errorf("error = %v, want one about one volume", err)
	}
	if left := w.contents(t); removed != len(ids)-1 || len(left) != 1 {
		t.Errorf("%d removed, left %v", removed, left)
	}
	again, err := reap.Abandoned(t.Context(), w.client, minAge, false, nobody)
	if err != nil || len(again) != 1 {
		t.Fatalf("found again %+v, %v", again, err)
	}
	if err := reap.Remove(t.Context(), w.client, again, func(reap.Leftover) {}); err != nil || len(w.contents(t)) > 0 {
		t.Errorf("left %v, %v", w.contents(t), err)
	}
	// Two hosts may reap at once: what the other has removed is no error.
	if err := reap.Remove(t.Context(), w.client, found, func(reap.Leftover) {}); err != nil {
		t.Errorf("removing what is gone: %v", err)
	}
}
