package sqlite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// The test binary runs itself as further writers: with these set it writes
// until it is done or killed, and does not test.
const (
	childPath  = "BAKERY_TEST_REGISTRY"
	childName  = "BAKERY_TEST_WRITER"
	childCount = 40
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childPath); path != "" {
		if err := child(context.Background(), path, os.Getenv(childName)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child registers images of its own, each with a result, competes with all
// other writers for the shared channel, and says on stdout what was
// acknowledged. The writer called "forever" does not stop.
func child(ctx context.Context, path, name string) error {
	store, err := Open(ctx, path)
	if err != nil {
		return err
	}
	for n := 0; n < childCount || name == "forever"; n++ {
		img := numbered(name, n)
		err := store.Commit(ctx, registry.Change{Image: &img, Results: []registry.TestResult{{
			ID: "R-" + img.ID, Image: img.ID, Suite: "s", Outcome: registry.Passed,
		}}})
		if err != nil {
			return err
		}
		fmt.Println("image", img.ID)

		head, err := store.Channel(ctx, img.Line(), "latest")
		if err != nil && !errors.Is(err, registry.ErrNotFound) {
			return err
		}
		next := registry.Channel{Line: img.Line(), Name: "latest", Image: img.ID, Revision: head.Revision + 1}
		switch err := store.Commit(ctx, registry.Change{Channel: &next}); {
		case err == nil:
			fmt.Println("moved", next.Revision)
		case !errors.Is(err, registry.ErrConflict):
			return err
		}
	}
	return store.Close()
}

func numbered(name string, n int) registry.Image {
	id := fmt.Sprintf("%s-%d-%04d", name, os.Getpid(), n)
	return registry.Image{
		ID: id, Application: "base", Version: fmt.Sprint(n), Layer: "base", CreatedAt: time.Unix(int64(n), 0).UTC(),
		Artifacts: []registry.Artifact{{Ref: registry.Ref{Cloud: "local", Region: "us-east-1", ID: "ami-" + id}}},
	}
}

func startChild(t *testing.T, path, name string) (*exec.Cmd, io.Reader) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childPath+"="+path, childName+"="+name)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// acknowledged collects what writers said was committed.
type acknowledged struct {
	images []string
	moves  map[string]int // by revision: how many said that they made it
}

func (a *acknowledged) read(r io.Reader) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		var what, value string
		if n, _ := fmt.Sscan(lines.Text(), &what, &value); n != 2 {
			continue
		}
		if what == "image" {
			a.images = append(a.images, value)
		} else {
			a.moves[value]++
		}
	}
}

// verify checks that store has what was acknowledged.
func (a *acknowledged) verify(t *testing.T, store *Store) {
	t.Helper()
	if err := store.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	facts, err := store.Facts(t.Context(), a.images...)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range a.images {
		if _, err := store.Image(t.Context(), id); err != nil {
			t.Errorf("an acknowledged image is lost: %v", err)
		}
		if len(facts[id].Results) != 1 {
			t.Errorf("image %s has %d results, want the one of its change", id, len(facts[id].Results))
		}
	}
	for revision, winners := range a.moves {
		if winners != 1 {
			t.Errorf("%d writers moved the channel to revision %s", winners, revision)
		}
	}
	head, err := store.Channel(t.Context(), numbered("", 0).Line(), "latest")
	if err != nil && len(a.moves) > 0 {
		t.Fatal(err)
	}
	if head.Revision < int64(len(a.moves)) {
		t.Errorf("the channel is at revision %d after %d acknowledged moves", head.Revision, len(a.moves))
	}
}

func TestProcessesWriteAtOnce(t *testing.T) {
	// The first thing that they do at once is to make the file.
	path := filepath.Join(t.TempDir(), "registry.db")
	const processes = 4
	all := acknowledged{moves: map[string]int{}}
	var cmds []*exec.Cmd
	var outs []io.Reader
	for n := range processes {
		cmd, out := startChild(t, path, fmt.Sprint("writer", n))
		cmds, outs = append(cmds, cmd), append(outs, out)
	}
	for n, cmd := range cmds {
		all.read(outs[n])
		if err := cmd.Wait(); err != nil {
			t.Errorf("writer %d: %v", n, err)
		}
	}
	if got, want := len(all.images), processes*childCount; got != want {
		t.Errorf("%d images were acknowledged, want %d", got, want)
	}
	all.verify(t, open(t, path))
}

// TestKilledWriters kills a writer at a random moment, again and again, and
// wants the file to be whole and everything that was acknowledged to be in it.
func TestKilledWriters(t *testing.T) {
	rounds := 200
	if testing.Short() {
		rounds = 3
	}
	path := filepath.Join(t.TempDir(), "registry.db")
	all := acknowledged{moves: map[string]int{}}
	for round := range rounds {
		cmd, out := startChild(t, path, "forever")
		// The delay differs from round to round, so that the signal meets
		// different moments of a commit; it makes no test pass.
		kill := time.AfterFunc(time.Duration(30+round*7%60)*time.Millisecond, func() { _ = cmd.Process.Kill() })
		all.read(out)
		err := cmd.Wait()
		kill.Stop()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != -1 {
			t.Fatalf("round %d: the writer ended by itself: %v", round, err)
		}
		if round%20 == 19 {
			all.verify(t, open(t, path))
		}
	}
	if len(all.images) == 0 {
		t.Fatal("no writer lived long enough to commit anything")
	}
	t.Logf("%d images were acknowledged", len(all.images))
	all.verify(t, open(t, path))
}

func TestWaitingWriterCanBeCancelled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	holder, waiter := open(t, path), open(t, path)
	tx, err := holder.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begun := time.Now()
	err = waiter.Commit(ctx, registry.Change{Image: new(someImage())})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v, want that the deadline passed", err)
	}
	if took := time.Since(begun); took > busyTimeout/2 {
		t.Errorf("it took %s to give up", took)
	}
}
