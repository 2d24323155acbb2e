package chroot

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/imagebakery/packer-plugin-bakery/internal/bakekey"
	"github.com/imagebakery/packer-plugin-bakery/internal/handoff"
	"github.com/imagebakery/packer-plugin-bakery/internal/home"
	"github.com/imagebakery/packer-plugin-bakery/registry"
	"github.com/imagebakery/packer-plugin-bakery/registry/sqlite"
)

// reuseWorld is a world whose bakes look for equal images in a registry, with a
// template of its own.
type reuseWorld struct {
	*world
	template string // folder
	path     string // of the registry
	store    *sqlite.Store
	registry *registry.Registry
	options  map[string]any
}

func newReuseWorld(t *testing.T) *reuseWorld {
	t.Helper()
	w := &reuseWorld{world: newWorld(t, tinyDisk(t)), template: t.TempDir()}
	t.Setenv(home.Env, t.TempDir())
	w.path = filepath.Join(t.TempDir(), "registry.db")
	var err error
	if w.store, err = sqlite.Open(t.Context(), w.path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.store.Close() })
	w.registry = registry.New(w.store)
	w.put(t, "shop.pkr.hcl", "template")
	w.put(t, "files/motd", "hello")
	w.options = map[string]any{
		"reuse": true, "registry": "sqlite:" + w.path, "ami_name": "shop-{{uuid}}", "reuse_lease": "20s",
	}
	return w
}

func (w *reuseWorld) put(t *testing.T, name, content string) {
	t.Helper()
	path := filepath.Join(w.template, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// reuse runs a bake, in which a hook stands for the provisioners, and tells
// whether they ran.
func (w *reuseWorld) reuse(t *testing.T, a attempt) (out outcome, provisioned bool) {
	t.Helper()
	options := map[string]any{}
	maps.Copy(options, w.options)
	maps.Copy(options, a.options)
	hook := a.hook
	a.options = options
	a.call = func() (bakekey.Call, error) { return bakekey.Call{Template: w.template}, nil }
	a.hook = func(ctx context.Context, comm packersdk.Communicator) error {
		provisioned = true
		if hook != nil {
			return hook(ctx, comm)
		}
		return comm.Upload("/etc/baked", strings.NewReader("yes\n"), nil)
	}
	return w.bake(t, a), provisioned
}

// record registers the image of a bake with a test, as bakery-lineage does.
func (w *reuseWorld) record(t *testing.T, out outcome, outcomes ...registry.Outcome) (registry.Image, error) {
	t.Helper()
	if out.err != nil {
		t.Fatalf("%v\n%s", out.err, out.said)
	}
	bake, ok, err := handoff.DecodeBake(out.artifact.State(handoff.StateKey))
	if err != nil || !ok {
		t.Fatalf("the artifact has no bake: %v", err)
	}
	img := registry.Image{
		Application: "shop", Version: "1", Layer: "application", Bake: registry.Bake{Key: bake.Key},
		ParentImage: registry.Ref{Cloud: bake.Cloud, Region: bake.Region, ID: bake.SourceImage},
	}
	for _, there := range bake.Images {
		img.Artifacts = append(img.Artifacts, registry.Artifact{
			Ref: registry.Ref{Cloud: bake.Cloud, Region: there.Region, ID: there.ID}, Account: bake.Account, Snapshots: there.Snapshots,
		})
	}
	var results []registry.TestResult
	for _, outcome := range outcomes {
		r := registry.TestResult{Suite: "s", Outcome: outcome, Counts: registry.Counts{Passed: 1}}
		if outcome != registry.Passed {
			r.Counts = registry.Counts{Failed: 1}
		}
		results = append(results, r)
	}
	if bake.Lease == 0 {
		img, _, err = w.registry.Register(t.Context(), img, results...)
		return img, err
	}
	img, _, err = w.registry.Finish(t.Context(), bake.Lease, img, results...)
	return img, err
}

func (w *reuseWorld) mustRecord(t *testing.T, out outcome, outcomes ...registry.Outcome) registry.Image {
	t.Helper()
	img, err := w.record(t, out, outcomes...)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// wantReused wants the next bake to return an image instead of baking one, or,
// when it is nil, to bake.
func (w *reuseWorld) wantReused(t *testing.T, a attempt, want *outcome, say string) outcome {
	t.Helper()
	out, provisioned := w.reuse(t, a)
	if out.err != nil {
		t.Fatalf("%v\n%s", out.err, out.said)
	}
	if provisioned != (want == nil) {
		t.Errorf("provisioners ran: %v", provisioned)
	}
	if want != nil && out.artifact.Id() != want.artifact.Id() {
		t.Errorf("the artifact is %s, want %s", out.artifact.Id(), want.artifact.Id())
	}
	if !strings.Contains(out.said, say) {
		t.Errorf("it did not say %q:\n%s", say, out.said)
	}
	return out
}

// wantBaked wants the next bake to bake, and removes what it has made.
func (w *reuseWorld) wantBaked(t *testing.T, options map[string]any, say string) {
	t.Helper()
	out := w.wantReused(t, attempt{options: options}, nil, say)
	if err := out.artifact.Destroy(); err != nil {
		t.Fatal(err)
	}
}

func TestUnchangedBakeReturnsItsImage(t *testing.T) {
	w := newReuseWorld(t)
	first := w.wantReused(t, attempt{}, nil, "No image was baked from the same")
	w.mustRecord(t, first, registry.Passed)
	before := w.contents(t)
	again := w.wantReused(t, attempt{}, &first, "Nothing has changed since shop 1")
	if err := again.artifact.Destroy(); err != nil {
		t.Error(err)
	}
	if after := w.contents(t); strings.Join(before, "\n") != strings.Join(after, "\n") {
		t.Errorf("the cloud holds %v, it held %v", after, before)
	}
	if left := w.onHost(t); len(left) > 0 {
		t.Errorf("left on the host: %v", left)
	}
}

func TestWhatCountsIsBakedAgain(t *testing.T) {
	w := newReuseWorld(t)
	first := w.wantReused(t, attempt{}, nil, "")
	w.mustRecord(t, first, registry.Passed)

	for name, options := range map[string]map[string]any{
		"an option":     {"ami_description": "other"},
		"the name":      {"ami_name": "other-{{uuid}}"},
		"a value":       {"reuse_values": map[string]string{"kernel": "7"}},
		"another build": {"packer_build_name": "other"},
	} {
		t.Run(name, func(t *testing.T) {
			w.wantReused(t, attempt{options: options}, nil, "No image was baked from the same")
		})
	}
	t.Run("not how images are compared", func(t *testing.T) {
		w.wantReused(t, attempt{options: map[string]any{
			"reuse_max_age": "1h", "force_deregister": true, "reuse_ignore": []string{filepath.Join(w.template, "reports")},
		}}, &first, "")
	})
	t.Run("but with -force, and that is what is returned then", func(t *testing.T) {
		forced := w.wantReused(t, attempt{options: map[string]any{"packer_force": true}}, nil, "because of -force")
		if _, err := w.record(t, forced, registry.Passed); err != nil {
			t.Fatal(err)
		}
		first = forced
		w.wantReused(t, attempt{}, &forced, "")
	})
	t.Run("a file", func(t *testing.T) {
		w.put(t, "files/motd", "good evening")
		w.wantReused(t, attempt{}, nil, "files/motd\n")
		w.put(t, "files/motd", "hello")
		w.wantReused(t, attempt{}, &first, "")
	})
}

func TestWhatIsNotReturned(t *testing.T) {
	w := newReuseWorld(t)
	first := w.wantReused(t, attempt{}, nil, "")
	img := w.mustRecord(t, first)
	untested := map[string]any{"reuse_status": "built"}

	w.wantBaked(t, nil, "it is built, not tested")
	w.wantReused(t, attempt{options: untested}, &first, "")
	w.wantBaked(t, map[string]any{"reuse_status": "built", "reuse_max_age": "1ns"}, "ago, more than")

	mark, err := w.registry.Mark(t.Context(), registry.Mark{Image: img.ID, Kind: registry.MarkRevoked, Reason: "CVE"})
	if err != nil {
		t.Fatal(err)
	}
	w.wantBaked(t, untested, "it is revoked: CVE")
	if err := w.registry.Unmark(t.Context(), mark, ""); err != nil {
		t.Fatal(err)
	}
	w.wantReused(t, attempt{options: untested}, &first, "")
	if err := first.artifact.Destroy(); err != nil {
		t.Fatal(err)
	}
	w.wantBaked(t, untested, "is gone")
}

func TestWhatHasChangedIsSaid(t *testing.T) {
	w := newReuseWorld(t)
	w.wantBaked(t, nil, "No image was baked from the same\nCreating")
	w.put(t, "files/motd", "good evening")
	w.put(t, "files/new", "")
	w.wantBaked(t, nil, "Changed since the last bake here: files/motd, files/new\n")
	w.wantBaked(t, map[string]any{"tags": map[string]string{"a": "b"}}, "Changed since the last bake here: the options of the builder\n")
}

func TestRegistryThatCannotChoose(t *testing.T) {
	w := newReuseWorld(t)
	t.Setenv("BAKERY_HOME", w.dir)
	out, provisioned := w.reuse(t, attempt{options: map[string]any{"registry": "ec2tags://local?region=us-east-1"}})
	if !errors.Is(out.err, registry.ErrUnsupported) || provisioned || !strings.Contains(out.err.Error(), "reuse needs a registry in which") {
		t.Errorf("error is %v, provisioned %v", out.err, provisioned)
	}
}

func TestFailedBakeGivesTheLeaseBack(t *testing.T) {
	w := newReuseWorld(t)
	broken := errors.New("broken")
	out, _ := w.reuse(t, attempt{hook: func(context.Context, packersdk.Communicator) error { return broken }})
	if out.err == nil {
		t.Fatal("the bake ended well")
	}
	begin := time.Now()
	w.wantReused(t, attempt{}, nil, "")
	if took := time.Since(begin); took > 15*time.Second {
		t.Errorf("the next bake took %s, which sounds as if it had waited for the lease", took)
	}
}

func TestInputsThatChangeWhileBakingAreNotTrusted(t *testing.T) {
	w := newReuseWorld(t)
	out := w.wantReused(t, attempt{hook: func(context.Context, packersdk.Communicator) error {
		w.put(t, "reports/shop.xml", time.Now().String())
		return nil
	}}, nil, "inputs have changed while it was baked: reports/shop.xml")
	bake, _, err := handoff.DecodeBake(out.artifact.State(handoff.StateKey))
	if err != nil || bake.Key != "" || bake.Lease != 0 {
		t.Errorf("the bake has the key %q and the lease %d, %v; want none", bake.Key, bake.Lease, err)
	}
}

// TestSecondBakeWaitsForTheFirst has two bakes of the same at once.
func TestSecondBakeWaitsForTheFirst(t *testing.T) {
	w := newReuseWorld(t)
	begun, goOn := make(chan struct{}), make(chan struct{})
	first := make(chan outcome, 1)
	go func() {
		out, _ := w.reuse(t, attempt{hook: func(ctx context.Context, _ packersdk.Communicator) error {
			close(begun)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-goOn:
				return nil
			}
		}})
		first <- out
	}()
	<-begun
	waiting := make(chan struct{})
	var once sync.Once
	second := make(chan outcome, 1)
	go func() {
		out, provisioned := w.reuse(t, attempt{hear: func(text string) {
			if strings.Contains(text, "Waiting for "+holder()) {
				once.Do(func() { close(waiting) })
			}
		}})
		if provisioned {
			t.Error("both were provisioned")
		}
		second <- out
	}()
	select {
	case <-waiting:
	case got := <-second:
		t.Fatalf("the second bake did not wait; it ended with %v:\n%s", got.err, got.said)
	}
	close(goOn)
	out := <-first
	w.mustRecord(t, out, registry.Passed)
	if got := <-second; got.err != nil || got.artifact.Id() != out.artifact.Id() {
		t.Errorf("the second bake ended with %v:\n%s", got.err, got.said)
	}
}

func TestWaitingEndsWithTheBuild(t *testing.T) {
	w := newReuseWorld(t)
	first := w.wantReused(t, attempt{}, nil, "") // holds the lease until it is registered
	ctx, cancel := context.WithCancel(t.Context())
	out, provisioned := w.reuse(t, attempt{ctx: ctx, hear: func(text string) {
		if strings.Contains(text, "Waiting for ") {
			cancel()
		}
	}})
	if out.err == nil || provisioned {
		t.Errorf("the bake ended with %v, provisioned %v", out.err, provisioned)
	}
	if err := first.artifact.Destroy(); err != nil {
		t.Fatal(err)
	}
	w.wantReused(t, attempt{}, nil, "")
}

// TestBakeThatLosesItsLeaseEnds has somebody take the lease of a bake away, as
// who takes a bake for dead does.
func TestBakeThatLosesItsLeaseEnds(t *testing.T) {
	w := newReuseWorld(t)
	before := w.contents(t)
	out, _ := w.reuse(t, attempt{options: map[string]any{"reuse_lease": "2s"}, hook: func(ctx context.Context, _ packersdk.Communicator) error {
		key := w.leased(t)
		for {
			lease, err := w.store.Lease(ctx, key)
			if err != nil {
				return err
			}
			lease.Revision++
			lease.Token, lease.Holder = lease.Revision, "host other"
			if err := w.store.Commit(ctx, registry.Change{Lease: &lease}); err == nil {
				break
			}
		}
		<-ctx.Done()
		return ctx.Err()
	}})
	if !errors.Is(out.err, registry.ErrLeaseLost) {
		t.Errorf("error is %v, want that the lease is lost", out.err)
	}
	if after := w.contents(t); strings.Join(before, "\n") != strings.Join(after, "\n") {
		t.Errorf("the cloud holds %v, it held %v", after, before)
	}
}

// leased returns the key of the only lease.
func (w *reuseWorld) leased(t *testing.T) (key string) {
	t.Helper()
	db, err := sql.Open("sqlite", w.path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), `SELECT key FROM leases`).Scan(&key); err != nil {
		t.Fatal(err)
	}
	return key
}
