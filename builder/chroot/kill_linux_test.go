package chroot

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/imagebakery/packer-plugin-bakery/internal/access"
	"github.com/imagebakery/packer-plugin-bakery/internal/disk/disktest"
	"github.com/imagebakery/packer-plugin-bakery/internal/handoff"
	"github.com/imagebakery/packer-plugin-bakery/internal/journal"
	"github.com/imagebakery/packer-plugin-bakery/internal/localcloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/reap"
)

// childBake makes the test binary run one bake, which it describes.
const childBake = "BAKERY_TEST_CHILD_BAKE"

// child is a bake in a process of its own.
type child struct {
	Dir     string         // of the local cloud and the journals
	Options map[string]any //
	Guest   int            // seconds that a daemon of the guest sleeps, by which it is known; 0: none
	Fail    bool           // the provisioners fail
	Die     string         // the moment at which the process kills itself; empty: it tells of each
}

// A test binary that finds a bake to run does that instead of testing.
func init() {
	text := os.Getenv(childBake)
	if text == "" {
		return
	}
	var c child
	err := json.Unmarshal([]byte(text), &c)
	if err == nil {
		err = c.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// run is the whole program of the child. Moments are written to stdout.
func (c child) run() error {
	ctx := context.Background()
	local, err := localcloud.Open(ctx, c.Dir)
	if err != nil {
		return err
	}
	b := new(Builder)
	if _, _, err := b.Prepare(c.Options); err != nil {
		return err
	}
	moments := &moments{die: c.Die, seen: map[string]int{}}
	b.journals = filepath.Join(c.Dir, "journal")
	b.config.UseTransport(witness{local.Transport(), moments})
	out := &said{hear: func(text string) {
		if line := strings.TrimSpace(text); strings.HasSuffix(line, "...") {
			moments.reach("step: " + line)
		}
	}}
	ui := &packersdk.BasicUi{Reader: strings.NewReader(""), Writer: out, ErrorWriter: out, PB: new(packersdk.NoopProgressTracker)}
	_, err = b.Run(ctx, ui, hookFunc(func(ctx context.Context, comm packersdk.Communicator) error {
		moments.reach("provisioning begins")
		if c.Fail {
			return errors.New("provisioners fail as they were told")
		}
		if c.Guest > 0 {
			daemon := &packersdk.RemoteCmd{Command: fmt.Sprintf("cd /etc && setsid sleep %d </dev/null >/dev/null 2>&1 & echo yes > /etc/baked", c.Guest)}
			if err := daemon.RunWithUi(ctx, comm, ui); err != nil {
				return err
			}
			if daemon.ExitStatus() != 0 {
				return fmt.Errorf("the guest's exit status is %d", daemon.ExitStatus())
			}
		}
		moments.reach("provisioning ends, a daemon runs")
		return nil
	}))
	moments.reach("the bake has ended")
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out.String())
	}
	return nil
}

// moments counts what happens in a process, and ends it when it is time.
type moments struct {
	die  string
	mu   sync.Mutex
	seen map[string]int
}

// reach is called when something happens. It does not return when that is the
// moment to die at.
func (m *moments) reach(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[what]++
	moment := fmt.Sprintf("%s #%d", what, m.seen[what])
	fmt.Println(moment)
	if moment == m.die {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// witness sees calls that change something before they are made, and after
// they have had their effect.
type witness struct {
	http.RoundTripper
	moments *moments
}

// RoundTrip implements [http.RoundTripper].
func (w witness) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	form, _ := url.ParseQuery(string(body))
	action := form.Get("Action")
	if action == "" || strings.HasPrefix(action, "Describe") || strings.HasPrefix(action, "Get") || form.Get("DryRun") == "true" {
		return w.RoundTripper.RoundTrip(req)
	}
	w.moments.reach("before " + action)
	resp, err := w.RoundTripper.RoundTrip(req)
	w.moments.reach("after " + action)
	return resp, err
}

// start runs the child and returns what it wrote, and how it ended.
func (c child) start(t *testing.T) (stdout string, err error) {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = append(os.Environ(), childBake+"="+string(text))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err = cmd.Run(); err != nil {
		err = fmt.Errorf("%w\n%s", err, errs.String())
	}
	return out.String(), err
}

// guestDisk is tinyDisk with a root in which the host's programs run, once its
// /usr is mounted there.
func guestDisk(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: loop devices and mounts")
	}
	disktest.NeedTools(t, "mkfs.ext4", "blkid", "mount", "setsid", "sleep")
	root := tinyRoot(t, "usr")
	for _, name := range []string{"bin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+name, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	return diskOf(t, root)
}

// childOptions are those of a bake that makes every call and whose guests have
// the host's programs.
func (w *world) childOptions() map[string]any {
	options := map[string]any{
		"cloud": "local", "region": here, "source_ami": w.source.ID, "ami_name": "baked", "copy_files": []string{},
		"packer_build_name": "tiny", "packer_builder_type": "bakery-chroot",
		"chroot_mounts": [][]string{{"proc", "proc", "/proc"}, {"bind", "/dev", "/dev"}, {"bind", "/usr", "/usr"}},
	}
	maps.Copy(options, everything())
	return options
}

// TestKill kills the process of a bake, with a daemon of a guest alive from
// provisioning on, at the beginning of every step, and before and after every
// call that changes something. Half of the times `bakery reap`'s way of tidying
// follows, else the next bake.
func TestKill(t *testing.T) {
	disk := guestDisk(t)
	w := newWorld(t, disk)
	w.must(t, everything())
	w.unprotect(t)
	out, err := child{Dir: w.dir, Options: w.childOptions(), Guest: 900000}.start(t)
	if err != nil {
		t.Fatal(err)
	}
	list := strings.Split(strings.TrimSpace(out), "\n")
	if len(list) < 50 {
		t.Fatalf("a bake has only %d moments:\n%s", len(list), out)
	}
	results := make([]string, len(list))
	next := make(chan int)
	var workers sync.WaitGroup
	for range 10 {
		workers.Go(func() {
			for i := range next {
				name := strings.NewReplacer(" ", "-", "/", "-").Replace(list[i])
				t.Run(name, func(t *testing.T) { results[i] = surviveKill(t, disk, list[i], 900001+i) })
			}
		})
	}
	for i := range list {
		next <- i
	}
	close(next)
	workers.Wait()
	var table strings.Builder
	fmt.Fprintf(&table, "SIGKILL, %d moments in their order:\n%-72s %s", len(list), "moment", "afterwards")
	// The line in the journal that makes the image good comes after the calls
	// that tell other hosts.
	commit := 0
	for i, moment := range list {
		if strings.Contains(moment, " CreateTags ") {
			commit = i
		}
	}
	for i, moment := range list {
		fmt.Fprintf(&table, "\n%-72s %s", moment, cmp.Or(results[i], "FAILED"))
		if good := strings.HasPrefix(results[i], finished); results[i] != "" && good != (i > commit) {
			t.Errorf("killed at %q, which is moment %d and the image is good after %d: %s", moment, i, commit, results[i])
		}
	}
	t.Log(table.String())
}

// surviveKill kills a bake at a moment, tidies up, and says what came of it.
func surviveKill(t *testing.T, disk, moment string, guest int) string {
	w := newWorld(t, disk)
	old := w.must(t, everything()).artifact
	w.unprotect(t)
	_, err := child{Dir: w.dir, Options: w.childOptions(), Guest: guest, Die: moment}.start(t)
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the bake was not killed at %q: %v", moment, err)
	}
	wantNoGuest(t, guest)
	bakes := w.bakes(t)

	byBake := guest%2 == 0
	want := slices.Clone(settledWorld)
	if byBake {
		// A small one: it takes neither the name nor anything else of the other.
		w.must(t, map[string]any{"ami_name": "next"})
		want = append(want, here+" image next", here+" snapshot")
		slices.Sort(want)
	} else if err := w.reap(t); err != nil {
		t.Error(err)
	}
	if diff := gocmp.Diff(want, w.kinds(t)); diff != "" {
		t.Errorf("after the kill (-want +got):\n%s", diff)
	}
	if list := w.onHost(t); len(list) > 0 {
		t.Errorf("left on the host: %v", list)
	}
	for _, id := range bakes {
		if _, err := os.Lstat(filepath.Join(mountParent, strings.ToLower(id))); err == nil {
			t.Errorf("the mount point of bake %s is left", id)
		}
	}
	by := "reap"
	if byBake {
		by = "the next bake"
	}
	return w.outcome(t, old) + ", by " + by
}

// What a bake that was killed can have come to.
const (
	undone   = "undone"
	restored = "undone, what it replaced registered again"
	finished = "the image is good, the rest removed"
)

// outcome says what has become of the image that was to be replaced.
func (w *world) outcome(t *testing.T, old *Artifact) string {
	t.Helper()
	img, err := w.client.ImageNamed(t.Context(), "baked")
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case img.Tags[reap.OwnerTag] != old.bake.ID:
		return finished
	case !slices.ContainsFunc(old.bake.Images, func(i handoff.Image) bool { return i.ID == img.ID }):
		return restored
	}
	return undone
}

// reap tidies up as `bakery reap` does.
func (w *world) reap(t *testing.T) error {
	t.Helper()
	return w.orphans(t, false)
}

// reapKept is reap with --kept.
func (w *world) reapKept(t *testing.T) error {
	t.Helper()
	return w.orphans(t, true)
}

func (w *world) orphans(t *testing.T, kept bool) error {
	t.Helper()
	config := new(access.Config)
	config.UseTransport(openCloud(t, w.dir).Transport())
	_, err := reap.Orphans(t.Context(), filepath.Join(w.dir, "journal"), kept, config.Connect, func(kind journal.Kind, id string) {
		t.Logf("removed %s %s", kind, id)
	})
	return err
}

// bakes are the ids of those that have a journal.
func (w *world) bakes(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(w.dir, "journal", "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for i, file := range files {
		files[i] = strings.TrimSuffix(filepath.Base(file), ".jsonl")
	}
	return files
}

// wantNoGuest waits until the daemon that sleeps so many seconds is gone.
func wantNoGuest(t *testing.T, seconds int) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		alive := ""
		procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range procs {
			if line, err := os.ReadFile(path); err == nil && strings.Contains(string(line), fmt.Sprintf("sleep\x00%d\x00", seconds)) {
				alive = path
			}
		}
		if alive == "" {
			return
		}
		if time.Now().After(limit) {
			t.Errorf("the guest's daemon has outlived its bake: %s", alive)
			return
		}
	}
}
