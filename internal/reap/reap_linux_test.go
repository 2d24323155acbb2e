package reap_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/journal"
	"github.com/imagebakery/packer-plugin-bakery/internal/reap"
)

// begin makes the journal of a bake that runs.
func begin(t *testing.T, dir, bake string, entries ...journal.Entry) *journal.Journal {
	t.Helper()
	j, err := journal.Create(dir, journal.Header{Bake: bake, Started: time.Now(), Region: region, Regions: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	for _, entry := range entries {
		if _, err := j.Record(entry); err != nil {
			t.Fatal(err)
		}
	}
	return j
}

// die leaves the journal as a process does that is killed: without its lock.
func die(t *testing.T, j *journal.Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// orphans undoes the bakes whose journals are in dir.
func (w *world) orphans(t *testing.T, dir string, kept bool, client func() *cloud.Client) (undone int, removed []string, err error) {
	t.Helper()
	undone, err = reap.Orphans(t.Context(), dir, kept,
		func(context.Context, journal.Header) (*cloud.Client, error) { return client(), nil },
		func(_ journal.Kind, id string) { removed = append(removed, id) })
	slices.Sort(removed)
	return undone, removed, err
}

func (w *world) working() *cloud.Client { return w.client }

// A bake that runs is left alone, also when its heartbeat is old: its journal is
// locked. One that died is undone: what its journal lists, and what carries its
// tag and is not listed. Others' resources are never touched.
func TestOrphansAreUndoneAndRunningBakesAreNot(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	old := ago(1000 * time.Hour)
	listed, unlisted := w.volume(t, of("01DEAD", old)), w.make(t, journal.Image, of("01DEAD", old))
	running := slices.Concat(w.make(t, journal.Volume, of("01RUNS", old)), w.make(t, journal.Image, of("01RUNS", old)))
	others := slices.Concat(w.make(t, journal.Image, map[string]string{"test": "yes"}), w.make(t, journal.Snapshot, of("01ELSEWHERE", old)))
	die(t, begin(t, dir, "01DEAD", journal.Entry{Kind: journal.Volume, ID: listed}))
	alive := begin(t, dir, "01RUNS", journal.Entry{Kind: journal.Volume, ID: running[0]})

	undone, removed, err := w.orphans(t, dir, false, w.working)
	want := append(unlisted, listed)
	slices.Sort(want)
	if diff := cmp.Diff(want, removed); err != nil || undone != 1 || diff != "" {
		t.Errorf("%d undone, %v (-want +got):\n%s", undone, err, diff)
	}
	stay := append(running, others...)
	slices.Sort(stay)
	if diff := cmp.Diff(stay, w.contents(t)); diff != "" {
		t.Errorf("still there (-want +got):\n%s", diff)
	}
	if undone, removed, err := w.orphans(t, dir, true, w.working); undone != 0 || len(removed) > 0 || err != nil {
		t.Errorf("once more: %d undone, %v, %v", undone, removed, err)
	}
	die(t, alive)
	if undone, _, err := w.orphans(t, dir, false, w.working); undone != 1 || err != nil {
		t.Errorf("after it died too: %d undone, %v", undone, err)
	}
	slices.Sort(others)
	if diff := cmp.Diff(others, w.contents(t)); diff != "" {
		t.Errorf("still there (-want +got):\n%s", diff)
	}
}

// A journal's list is what may be removed, whatever else carries no tag: an id
// that is gone is no error, and nothing takes its place.
func TestWhatIsGoneIsNoError(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	die(t, begin(t, dir, "01DEAD",
		journal.Entry{Kind: journal.Volume, ID: "vol-0123456789abcdef0"},
		journal.Entry{Kind: journal.Attachment, ID: "vol-0123456789abcdef0"},
		journal.Entry{Kind: journal.Snapshot, ID: "snap-0123456789abcdef0"},
		journal.Entry{Kind: journal.Image, ID: "ami-0123456789abcdef0"},
		journal.Entry{Kind: journal.Mount, ID: filepath.Join(dir, "nowhere")},
	))
	if undone, _, err := w.orphans(t, dir, false, w.working); undone != 1 || err != nil {
		t.Errorf("%d undone, %v", undone, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.jsonl")); len(left) > 0 {
		t.Errorf("journals are left: %v", left)
	}
}

// What a committed journal lists as its result stays; what is temporary goes,
// and nothing is looked for by the tag, which the result has too.
func TestResultsOfACommittedBakeStay(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	volume := w.volume(t, of("01DONE", ago(time.Minute)))
	image := w.make(t, journal.Image, of("01DONE", reap.Ended))
	interim := w.make(t, journal.Image, of("01DONE", reap.Ended))
	j := begin(t, dir, "01DONE",
		journal.Entry{Kind: journal.Volume, ID: volume},
		journal.Entry{Kind: journal.Snapshot, ID: image[0]}, journal.Entry{Kind: journal.Image, ID: image[1]},
		journal.Entry{Kind: journal.Snapshot, ID: interim[0], Temporary: true}, journal.Entry{Kind: journal.Image, ID: interim[1], Temporary: true},
	)
	if err := j.Commit(); err != nil {
		t.Fatal(err)
	}
	die(t, j)
	if undone, _, err := w.orphans(t, dir, false, w.working); undone != 1 || err != nil {
		t.Errorf("%d undone, %v", undone, err)
	}
	slices.Sort(image)
	if diff := cmp.Diff(image, w.contents(t)); diff != "" {
		t.Errorf("still there (-want +got):\n%s", diff)
	}
}

func TestKeptBakesStayUntilAskedFor(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	volume := w.volume(t, of("01KEPT", reap.Kept))
	j := begin(t, dir, "01KEPT", journal.Entry{Kind: journal.Volume, ID: volume})
	if err := j.Keep(); err != nil {
		t.Fatal(err)
	}
	die(t, j)
	if undone, _, err := w.orphans(t, dir, false, w.working); undone != 0 || err != nil {
		t.Errorf("%d undone, %v; want it kept", undone, err)
	}
	listed := []string{}
	if n, err := reap.List(dir, true, func(_ journal.Kind, id string) { listed = append(listed, id) }); n != 1 || err != nil || !slices.Equal(listed, []string{volume}) {
		t.Errorf("listed %v of %d bakes, %v", listed, n, err)
	}
	if undone, removed, err := w.orphans(t, dir, true, w.working); undone != 1 || err != nil || !slices.Equal(removed, []string{volume}) {
		t.Errorf("%d undone, %v, %v", undone, removed, err)
	}
}

// A failure is reported with the bake, the resource and what EC2 said. The rest
// of the bake is undone, and the journal keeps what is left for the next time.
func TestFailuresAreReportedAndTriedAgain(t *testing.T) {
	for _, call := range []string{"DeregisterImage", "DeleteSnapshot", "DeleteVolume", "DescribeImages", "DescribeSnapshots", "DescribeVolumes"} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			dir := t.TempDir()
			tags := of("01DEAD", ago(time.Hour))
			image, volume := w.make(t, journal.Image, tags), w.volume(t, tags)
			die(t, begin(t, dir, "01DEAD", journal.Entry{Kind: journal.Volume, ID: volume},
				journal.Entry{Kind: journal.Snapshot, ID: image[0]}, journal.Entry{Kind: journal.Image, ID: image[1]}))
			all := w.contents(t)
			broken := w.connect(t, call+"=error:UnauthorizedOperation")
			undone, removed, err := w.orphans(t, dir, false, func() *cloud.Client { return broken })
			if undone != 0 || err == nil || !strings.Contains(err.Error(), "clean up after bake 01DEAD: ") || !strings.Contains(err.Error(), call) || !errors.Is(err, cloud.ErrAccessDenied) {
				t.Errorf("%d undone, error %v; want one about %s", undone, err, call)
			}
			left := w.contents(t)
			if len(left)+len(removed) < len(all) || strings.HasPrefix(call, "De") && call != "DeregisterImage" && len(left) == len(all) {
				t.Errorf("left %v, reported as removed %v", left, removed)
			}
			if undone, _, err := w.orphans(t, dir, false, w.working); undone != 1 || err != nil || len(w.contents(t)) > 0 {
				t.Errorf("the next time: %d undone, %v, left %v", undone, err, w.contents(t))
			}
		})
	}
}

// A bake whose cloud cannot be reached does not keep others from being undone.
func TestOneOrphanDoesNotKeepTheOthers(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	for i := range 3 {
		bake := fmt.Sprintf("01DEAD%d", i)
		die(t, begin(t, dir, bake, journal.Entry{Kind: journal.Volume, ID: w.volume(t, of(bake, ago(time.Hour)))}))
	}
	gone := errors.New("the credentials have expired")
	undone, err := reap.Orphans(t.Context(), dir, false, func(_ context.Context, h journal.Header) (*cloud.Client, error) {
		if h.Bake == "01DEAD1" {
			return nil, gone
		}
		return w.client, nil
	}, func(journal.Kind, string) {})
	if undone != 2 || !errors.Is(err, gone) || !strings.Contains(err.Error(), "clean up after bake 01DEAD1: ") || len(w.contents(t)) != 1 {
		t.Errorf("%d undone, %v, left %v", undone, err, w.contents(t))
	}
	if undone, _, err := w.orphans(t, dir, false, w.working); undone != 1 || err != nil || len(w.contents(t)) > 0 {
		t.Errorf("the next time: %d undone, %v", undone, err)
	}
}

// Two processes that clean up at once undo each bake once, and neither fails.
func TestOrphansByTwoAtOnce(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	const bakes = 6
	for i := range bakes {
		bake := fmt.Sprintf("01DEAD%d", i)
		die(t, begin(t, dir, bake, journal.Entry{Kind: journal.Volume, ID: w.volume(t, of(bake, ago(time.Hour)))}))
	}
	type result struct {
		undone int
		err    error
	}
	results := make(chan result)
	for range 2 {
		client := w.connect(t)
		go func() {
			undone, err := reap.Orphans(t.Context(), dir, false,
				func(context.Context, journal.Header) (*cloud.Client, error) { return client, nil }, func(journal.Kind, string) {})
			results <- result{undone, err}
		}()
	}
	one, two := <-results, <-results
	if err := errors.Join(one.err, two.err); err != nil || one.undone+two.undone != bakes || len(w.contents(t)) > 0 {
		t.Errorf("undone %d and %d, want %d together; %v; left %v", one.undone, two.undone, bakes, err, w.contents(t))
	}
}

// An image that is protected by now is removed all the same, and a folder that
// was not made for the bake stays.
func TestProtectedImagesAndForeignFolders(t *testing.T) {
	w := newWorld(t)
	dir, theirs := t.TempDir(), filepath.Join(t.TempDir(), "theirs")
	own := filepath.Join(t.TempDir(), "01dead")
	for _, folder := range []string{theirs, own} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	image := w.make(t, journal.Image, of("01DEAD", ago(time.Hour)))
	if err := w.client.ProtectImage(t.Context(), image[1], false); err != nil {
		t.Fatal(err)
	}
	die(t, begin(t, dir, "01DEAD", journal.Entry{Kind: journal.Image, ID: image[1]}, journal.Entry{Kind: journal.Snapshot, ID: image[0]},
		journal.Entry{Kind: journal.Mount, ID: theirs}, journal.Entry{Kind: journal.Mount, ID: own}))
	if undone, _, err := w.orphans(t, dir, false, w.working); undone != 1 || err != nil || len(w.contents(t)) > 0 {
		t.Errorf("%d undone, %v, left %v", undone, err, w.contents(t))
	}
	if _, err := os.Stat(theirs); err != nil {
		t.Errorf("a folder of the user: %v", err)
	}
	if _, err := os.Stat(own); !os.IsNotExist(err) {
		t.Errorf("the folder of the bake: %v", err)
	}
}
