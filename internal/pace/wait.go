package pace

import (
	"context"
	"math"
	"slices"
	"time"
)

// Delays between looks where nothing is known, or what was known did not hold:
// the first, the longest, and what each is multiplied with for the next.
const (
	First  = 250 * time.Millisecond
	Most   = 5 * time.Second
	growth = 1.5
)

const (
	// Times closer than this, or than this part of them, are the same.
	close     = 100 * time.Millisecond
	closePart = 0.005

	// A stretch of time that is this many times as long as one that counts as
	// nothing is looked at more than once.
	little = 8

	// long is a wait in which it pays to look half-way whether it has become
	// much shorter.
	long = 10 * time.Second

	// A lower bound is doubted by this part with the first wait that does not
	// test it, and this many times more with each that follows: a look earlier
	// than the others finds out sooner or later that things have become shorter,
	// and soon by how much.
	doubt       = 0.003
	doubtGrowth = 6
)

// Wait is a wait that goes on. It is for one goroutine.
type Wait struct {
	memory *Memory
	kind   string
	newest took
	known  []time.Duration // when it was done the last times, ascending
	half   time.Duration   // a look before the first of these; 0: none

	last  time.Duration // of the looks
	grown time.Duration // delay before the next, where nothing is known
}

// Begin begins a wait. Waits of the same kind are expected to take equally long.
func (m *Memory) Begin(kind string) *Wait {
	w := &Wait{memory: m, kind: kind, grown: First}
	list := m.recall(kind)
	if len(list) == 0 {
		return w
	}
	w.newest = list[len(list)-1]
	for _, t := range list {
		w.known = append(w.known, duration(t.By))
	}
	w.known = append(w.known, w.newest.between()...)
	slices.Sort(w.known)
	w.known = merge(w.known)
	if w.known[0] > long {
		w.half = w.known[0] / 2
	}
	return w
}

// between are looks where it is not known well when it was done: one in the
// middle, or three when little is known.
func (t took) between() []time.Duration {
	lower, upper := t.lower(), duration(t.By)
	if near(lower, upper) {
		return nil
	}
	middle := (lower + upper) / 2
	if near(upper-(upper-lower)/little, upper) {
		return []time.Duration{middle}
	}
	return []time.Duration{(lower + middle) / 2, middle, (middle + upper) / 2}
}

// merge leaves the last of times that are near each other.
func merge(times []time.Duration) []time.Duration {
	var out []time.Duration
	for i, t := range times {
		if i == len(times)-1 || !near(t, times[i+1]) {
			out = append(out, t)
		}
	}
	return out
}

func near(a, b time.Duration) bool {
	return b-a <= max(close, time.Duration(float64(b)*closePart))
}

// lower is when it was not done yet, as far as that still can be believed.
func (t took) lower() time.Duration {
	if t.Untested == 0 {
		return duration(t.NotBy)
	}
	return duration(t.NotBy * max(0, 1-doubt*math.Pow(doubtGrowth, float64(t.Untested-1))))
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

// Known reports whether there were waits of the kind before.
func (w *Wait) Known() bool { return len(w.known) > 0 }

// Next is when to look again after elapsed, which is counted from the begin of
// the wait.
func (w *Wait) Next(elapsed time.Duration) time.Duration {
	if w.half > elapsed {
		return w.half - elapsed
	}
	for i, t := range w.known {
		if t <= elapsed {
			continue
		}
		if i > 0 {
			// In the time in which it may be done any moment.
			return min(t-elapsed, Most)
		}
		return t - elapsed
	}
	delay := w.grown
	w.grown = min(time.Duration(float64(w.grown)*growth), Most)
	return delay
}

// Looked notes a look that was begun at elapsed and found it not done yet.
func (w *Wait) Looked(elapsed time.Duration) { w.last = elapsed }

// Done notes that a look begun at elapsed has found it done. It ends the wait.
func (w *Wait) Done(ctx context.Context, elapsed time.Duration) {
	t := took{NotBy: w.last.Seconds(), By: elapsed.Seconds()}
	// A look where it was expected says nothing of how much sooner it was done;
	// earlier waits may.
	if w.newest.lower() > w.last && w.newest.NotBy < t.By {
		t.NotBy, t.Untested = w.newest.NotBy, w.newest.Untested+1
	}
	if elapsed <= longest {
		w.memory.remember(ctx, w.kind, t)
	}
}
