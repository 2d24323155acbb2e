package together

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// registry answers questions, and notes them.
type registry struct {
	mu    sync.Mutex
	has   map[string]int
	asked [][]string
	begun chan struct{} // gets one for each question, when set
	hold  chan struct{} // what a question waits for, when set
}

func (r *registry) ask(ctx context.Context, ids []string) (map[string]int, error) {
	r.mu.Lock()
	r.asked = append(r.asked, slices.Clone(ids))
	r.mu.Unlock()
	if r.begun != nil {
		r.begun <- struct{}{}
	}
	if r.hold != nil {
		select {
		case <-r.hold:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	answers := map[string]int{}
	for _, id := range ids {
		if n, ok := r.has[id]; ok {
			answers[id] = n
		}
	}
	return answers, nil
}

func files(t *testing.T, d *Desk) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// questions waits until so many lie on the desk.
func questions(t *testing.T, d *Desk, n int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		got := slices.DeleteFunc(files(t, d), func(name string) bool { return name == lockName })
		if len(got) == n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d questions, want %d", len(got), n)
		}
	}
}

// TestOneForAll: those who come while a question is under way are answered by
// the next, all of them, and by none that was begun before they came.
func TestOneForAll(t *testing.T) {
	d := Open(filepath.Join(t.TempDir(), "desk"))
	r := &registry{has: map[string]int{"vol-1": 1}, begun: make(chan struct{}, 9), hold: make(chan struct{})}
	got := make([]int, 6)
	var all sync.WaitGroup
	ask := func(i int) {
		all.Go(func() {
			n, found, err := Ask(t.Context(), d, fmt.Sprintf("vol-%d", i), r.ask)
			if err != nil || !found {
				t.Errorf("vol-%d: found %v, %v", i, found, err)
			}
			got[i] = n
		})
	}
	ask(1)
	<-r.begun
	for i := 2; i < len(got); i++ {
		ask(i)
	}
	questions(t, d, 5)
	r.mu.Lock()
	r.has = map[string]int{"vol-1": 1, "vol-2": 2, "vol-3": 3, "vol-4": 4, "vol-5": 5}
	r.mu.Unlock()
	close(r.hold)
	all.Wait()
	if diff := cmp.Diff([]int{0, 1, 2, 3, 4, 5}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(r.asked) != 2 || len(r.asked[0]) != 1 || len(r.asked[1]) != 4 {
		t.Errorf("asked for %v, want one and then four", r.asked)
	}
	if left := files(t, d); !slices.Equal(left, []string{lockName}) {
		t.Errorf("left on the desk: %v", left)
	}
}

// TestWhatOthersDoNotSee: who was left out of an answer asks for itself.
func TestWhatOthersDoNotSee(t *testing.T) {
	d := Open(t.TempDir())
	mine := &registry{has: map[string]int{"vol-2": 2}}
	if err := os.WriteFile(filepath.Join(d.dir, "vol-1.other"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, found, err := Ask(t.Context(), d, "vol-3", mine.ask)
	if err != nil || found {
		t.Errorf("found %v, %v, want nothing", found, err)
	}
	if diff := cmp.Diff([][]string{{"vol-3", "vol-1"}, {"vol-3"}}, mine.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{lockName, "vol-1.other"}, files(t, d)); diff != "" {
		t.Errorf("left on the desk (-want +got):\n%s", diff)
	}
}

// TestErrorsAreForTheAsker: others ask for themselves when a question failed.
func TestErrorsAreForTheAsker(t *testing.T) {
	d := Open(t.TempDir())
	other := filepath.Join(d.dir, "vol-2.other")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("no answer")
	_, _, err := Ask(t.Context(), d, "vol-1", func(context.Context, []string) (map[string]int, error) { return nil, broken })
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	if text, err := os.ReadFile(other); err != nil || len(text) > 0 {
		t.Errorf("the other's question holds %q, %v", text, err)
	}
}

// TestTheDead: a question whose asker was killed is asked no longer than a
// minute, and one with half an answer is none.
func TestTheDead(t *testing.T) {
	d := Open(t.TempDir())
	old := filepath.Join(d.dir, "vol-8.dead")
	if err := os.WriteFile(old, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-2 * abandoned)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.dir, "vol-9.half"), []byte(`{"a`), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &registry{has: map[string]int{"vol-1": 1}}
	if n, found, err := Ask(t.Context(), d, "vol-1", r.ask); n != 1 || !found || err != nil {
		t.Errorf("got %d, %v, %v", n, found, err)
	}
	if diff := cmp.Diff([][]string{{"vol-1"}}, r.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{lockName, "vol-9.half"}, files(t, d)); diff != "" {
		t.Errorf("left on the desk (-want +got):\n%s", diff)
	}
	if q := (question{"vol-9", filepath.Join(d.dir, "vol-9.half")}); q.answered(new(int)) {
		t.Error("half an answer is taken for one")
	}
}

// TestOneThatHangs: a question that hangs holds up others for seconds.
func TestOneThatHangs(t *testing.T) {
	d := Open(t.TempDir())
	hanging := &registry{begun: make(chan struct{}, 1), hold: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, _, err := Ask(ctx, d, "vol-1", hanging.ask)
		ended <- err
	}()
	<-hanging.begun
	if _, _, err := Ask(t.Context(), d, "vol-2", (&registry{}).ask); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

// TestAlone: without a desk, or with one that cannot be used, each asks for
// itself.
func TestAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, d := range []*Desk{nil, (*Desk)(nil).At("volumes"), Open(filepath.Join(file, "desk"))} {
		r := &registry{has: map[string]int{"vol-1": 1}}
		if n, found, err := Ask(t.Context(), d, "vol-1", r.ask); n != 1 || !found || err != nil {
			t.Errorf("got %d, %v, %v", n, found, err)
		}
		if err := d.HoldBack(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestHoldBack: only what another process has asked a moment ago is company.
func TestHoldBack(t *testing.T) {
	d := Open(t.TempDir())
	lock := filepath.Join(d.dir, lockName)
	held := func() time.Duration {
		begin := time.Now()
		if err := d.HoldBack(t.Context()); err != nil {
			t.Fatal(err)
		}
		return time.Now().Truncate(slot).Sub(begin.Truncate(slot))
	}
	if _, _, err := Ask(t.Context(), d, "vol-1", (&registry{}).ask); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		who  string
		when time.Time
		held bool
	}{
		"another, now":         {"1", time.Now(), true},
		"another, a while ago": {"1", time.Now().Add(-2 * companyFor), false},
		"this, now":            {fmt.Sprint(os.Getpid()), time.Now(), false},
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		c := cases[name]
		if err := os.WriteFile(lock, []byte(c.who), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(lock, c.when, c.when); err != nil {
			t.Fatal(err)
		}
		// What is not held back may cross into the next moment by chance, not thrice.
		var crossed int
		for range 3 {
			if held() > 0 {
				crossed++
			}
		}
		if c.held != (crossed == 3) {
			t.Errorf("%s: held back %d times of 3, want %v", name, crossed, c.held)
		}
	}
	if err := os.WriteFile(lock, []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("Ctrl-C"))
	if err := d.HoldBack(ctx); err == nil || !strings.Contains(err.Error(), "Ctrl-C") {
		t.Errorf("a cancelled wait: %v", err)
	}
}
