package pace

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// play waits for something that takes so long, in no time, and returns when was
// looked.
func play(t *testing.T, m *Memory, kind string, takes time.Duration) (looks []time.Duration) {
	t.Helper()
	w := m.Begin(kind)
	for at := time.Duration(0); ; {
		delay := w.Next(at)
		if delay <= 0 {
			t.Fatalf("after looks at %v: the next after %v", looks, delay)
		}
		at += delay
		looks = append(looks, at)
		if at >= takes {
			w.Done(t.Context(), at)
			return looks
		}
		w.Looked(at)
		if len(looks) > 1000 {
			t.Fatal("no end")
		}
	}
}

func open(t *testing.T) *Memory { return Open(filepath.Join(t.TempDir(), "home", "pace.json")) }

func late(looks []time.Duration, takes time.Duration) time.Duration {
	return looks[len(looks)-1] - takes
}

func TestNothingKnown(t *testing.T) {
	for _, m := range []*Memory{nil, open(t)} {
		looks := play(t, m, "x", 4*time.Second)
		want := []time.Duration{250, 625, 1187, 2031, 3296, 5195}
		for i := range looks {
			looks[i] = looks[i].Truncate(time.Millisecond) / time.Millisecond
		}
		if diff := cmp.Diff(want, looks); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	looks := play(t, nil, "x", time.Hour)
	if gap := looks[len(looks)-1] - looks[len(looks)-2]; gap != Most {
		t.Errorf("in a long wait looks are %v apart", gap)
	}
}

// TestLearns repeats waits that take equally long: soon a few looks are enough
// to see them end in time.
func TestLearns(t *testing.T) {
	for _, takes := range []time.Duration{5 * time.Millisecond, 2 * time.Second, 3100 * time.Millisecond, 5 * time.Second, time.Minute, 20 * time.Minute} {
		m := open(t)
		for range 8 {
			play(t, m, "x", takes)
		}
		looks, worst := 0, time.Duration(0)
		for range 20 {
			l := play(t, m, "x", takes)
			looks += len(l)
			worst = max(worst, late(l, takes))
		}
		if limit := max(150*time.Millisecond, takes*2/100); worst > limit {
			t.Errorf("%v: seen up to %v late, want at most %v", takes, worst, limit)
		}
		if limit := 2 * 20; takes < long && looks > limit || looks > limit*3/2 {
			t.Errorf("%v: %d looks in 20 waits", takes, looks)
		}
	}
}

// TestChanges lets waits become longer and shorter than was ever seen.
func TestChanges(t *testing.T) {
	for _, c := range []struct{ before, after, late time.Duration }{
		{3 * time.Second, 4 * time.Second, time.Second},
		{3 * time.Second, time.Second, 2200 * time.Millisecond},
		{time.Minute, 90 * time.Second, Most},
		{time.Minute, 20 * time.Second, 11 * time.Second},
		{time.Minute, 40 * time.Second, 21 * time.Second},
	} {
		m := open(t)
		for range 10 {
			play(t, m, "x", c.before)
		}
		if got := late(play(t, m, "x", c.after), c.after); got > c.late {
			t.Errorf("%v after %v: seen %v late the first time", c.after, c.before, got)
		}
		for range 12 {
			play(t, m, "x", c.after)
		}
		if got, limit := late(play(t, m, "x", c.after), c.after), max(200*time.Millisecond, c.after*2/100); got > limit {
			t.Errorf("%v after %v: seen %v late after a while", c.after, c.before, got)
		}
	}
}

// TestVaries has waits that differ: between the shortest and the longest that
// were seen, looks must not be far apart.
func TestVaries(t *testing.T) {
	m := open(t)
	for range 3 {
		for _, takes := range []int{40, 90, 55, 70, 62} {
			d := time.Duration(takes) * time.Second
			looks := play(t, m, "x", d)
			if got := late(looks, d); got > Most && takes != 40 {
				t.Errorf("%v: seen %v late", d, got)
			}
		}
	}
}

func TestKindsAreApart(t *testing.T) {
	m := open(t)
	for range 5 {
		play(t, m, "slow", time.Minute)
	}
	if looks := play(t, m, "quick", time.Second); looks[0] != First {
		t.Errorf("the first look for another kind is at %v", looks[0])
	}
	if looks := play(t, Open(m.file), "slow", time.Minute); len(looks) > 4 {
		t.Errorf("another process looks at %v", looks)
	}
}

func TestDamage(t *testing.T) {
	m := open(t)
	play(t, m, "x", time.Second)
	for _, text := range []string{"", "{", `{"x":[{"not_by":5,"by":1}]}`, `{"x":[{"not_by":-1,"by":1}]}`, `{"x":[{"by":1e300}]}`, "[]", "null"} {
		if err := os.WriteFile(m.file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if looks := play(t, m, "x", time.Second); looks[0] != First {
			t.Errorf("%q: the first look is at %v", text, looks[0])
		}
		if looks := play(t, m, "x", time.Second); len(looks) > 3 {
			t.Errorf("%q: it is not repaired: looks at %v", text, looks)
		}
	}
	// A place that cannot be written to is no obstacle either.
	play(t, Open("/proc/no/such/pace.json"), "x", time.Second)
}

func TestManyAtOnce(t *testing.T) {
	m := open(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			w := Open(m.file).Begin("x")
			w.Looked(time.Second)
			w.Done(t.Context(), 2*time.Second)
		})
	}
	all.Wait()
	if got := len(m.recall("x")); got != remembered {
		t.Errorf("%d of 8 waits are remembered, want the last %d", got, remembered)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"x":[{"not_by":1,"by":2}]}`))
	f.Add([]byte(`{"x":[{"not_by":0,"by":0}]}`))
	f.Add([]byte(`{"x":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(t.TempDir(), "pace.json")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		w := Open(file).Begin("x")
		for at, n := time.Duration(0), 0; at < longest+time.Hour && n < 100; n++ {
			delay := w.Next(at)
			if delay <= 0 {
				t.Fatalf("the next look at %v is after %v", at, delay)
			}
			at += delay
		}
	})
}
