package registrytest

import (
	"errors"
	"sync"
	"testing"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// writers is how many goroutines write at once.
const writers = 8

// race runs write in many goroutines at once and returns their errors.
func race(write func(n int) error) []error {
	errs := make([]error, writers)
	begin := make(chan struct{})
	var group sync.WaitGroup
	for n := range writers {
		group.Go(func() {
			<-begin
			errs[n] = write(n)
		})
	}
	close(begin)
	group.Wait()
	return errs
}

// wantOneWinner wants one of the errors to be nil and all others to be loss.
func wantOneWinner(t *testing.T, errs []error, loss error) (winner int) {
	t.Helper()
	winner = -1
	for n, err := range errs {
		switch {
		case err == nil && winner >= 0:
			t.Errorf("writers %d and %d both won", winner, n)
		case err == nil:
			winner = n
		case !errors.Is(err, loss):
			t.Errorf("writer %d: %v, want %v", n, err, loss)
		}
	}
	if winner < 0 {
		t.Fatal("no writer won")
	}
	return winner
}

func concurrentRegister(t *testing.T, s registry.Store) {
	for round := range 5 {
		errs := race(func(n int) error {
			img := image(round*writers + n)
			img.Artifacts = image(round).Artifacts
			return s.Commit(t.Context(), registry.Change{Image: &img})
		})
		winner := wantOneWinner(t, errs, registry.ErrExists)
		want := []string{image(round*writers + winner).ID}
		wantEqual(t, "images of the artifact", want, ids(t, s, registry.Filter{Artifact: image(round).Artifacts[0].Ref}))
	}
}

func concurrentChannel(t *testing.T, s registry.Store) {
	for n := range writers {
		commitImages(t, s, image(n))
	}
	for revision := int64(1); revision <= 5; revision++ {
		errs := race(func(n int) error {
			return s.Commit(t.Context(), registry.Change{
				Channel: new(channel(revision, image(n))),
				Marks:   []registry.Mark{mark(int(revision)*writers+n, image(n))},
			})
		})
		winner := wantOneWinner(t, errs, registry.ErrConflict)
		got, err := s.Channel(t.Context(), image(0).Line(), "stable")
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "channel", channel(revision, image(winner)), got)
	}
	// Of each round, the winner's mark is there and no loser's.
	var marks int
	for n := range writers {
		facts, err := s.Facts(t.Context(), image(n).ID)
		if err != nil {
			t.Fatal(err)
		}
		marks += len(facts[image(n).ID].Marks)
	}
	if marks != 5 {
		t.Errorf("%d marks are recorded, want 5", marks)
	}
}

func concurrentResults(t *testing.T, s registry.Store) {
	img := image(1)
	commitImages(t, s, img)
	const each = 10
	errs := race(func(n int) error {
		for i := range each {
			r := result(n*each+i, img)
			if err := s.Commit(t.Context(), registry.Change{Results: []registry.TestResult{r}}); err != nil {
				return err
			}
		}
		return nil
	})
	for n, err := range errs {
		if err != nil {
			t.Errorf("writer %d: %v", n, err)
		}
	}
	facts, err := s.Facts(t.Context(), img.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(facts[img.ID].Results); got != writers*each {
		t.Errorf("%d results are recorded, want %d", got, writers*each)
	}
}

func concurrentMarks(t *testing.T, s registry.Store) {
	img := image(1)
	commitImages(t, s, img)
	errs := race(func(n int) error { return s.Commit(t.Context(), registry.Change{Marks: []registry.Mark{mark(n, img)}}) })
	for n, err := range errs {
		if err != nil {
			t.Errorf("writer %d: %v", n, err)
		}
	}
	facts, err := s.Facts(t.Context(), img.ID)
	if err != nil {
		t.Fatal(err)
	}
	var want []registry.Mark
	for n := range writers {
		want = append(want, mark(n, img))
	}
	wantEqual(t, "marks", want, facts[img.ID].Marks)
}
