package registry_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/imagebakery/packer-plugin-bakery/registry"
	"github.com/imagebakery/packer-plugin-bakery/registry/sqlite"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// bench is a registry on a real store, with a clock that a test can set.
type bench struct {
	*registry.Registry
	t     *testing.T
	store registry.Store
	mu    sync.Mutex
	now   time.Time
}

func newBench(t *testing.T) *bench {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "registry.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	b := &bench{t: t, store: store, now: start}
	b.Registry = registry.New(store, registry.As("tester"), registry.WithClock(func() time.Time {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.now
	}))
	return b
}

func (b *bench) advance(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

// image returns the image of a name such as "base 1.4" whose cloud id is
// "ami-base-1.4", baked from parent (its cloud id; empty for none).
func image(name, parent string) registry.Image {
	application, version, _ := strings.Cut(name, " ")
	img := registry.Image{
		Application: application, Version: version, Layer: application,
		Release: "bookworm", Arch: "x86_64",
		Artifacts: []registry.Artifact{{Ref: ami("ami-" + application + "-" + version)}},
	}
	if parent != "" {
		img.ParentImage = ami(parent)
	}
	return img
}

func ami(id string) registry.Ref {
	return registry.Ref{Cloud: "local", Region: "us-east-1", ID: id}
}

func passed(suite string) registry.TestResult {
	return registry.TestResult{Suite: suite, Outcome: registry.Passed, Counts: registry.Counts{Passed: 2}}
}

func failed(suite string) registry.TestResult {
	return registry.TestResult{Suite: suite, Outcome: registry.Failed, Counts: registry.Counts{Passed: 1, Failed: 1}}
}

// add registers an image a minute after the one before it.
func (b *bench) add(img registry.Image, results ...registry.TestResult) registry.Image {
	b.t.Helper()
	b.advance(time.Minute)
	img, created, err := b.Register(b.t.Context(), img, results...)
	if err != nil {
		b.t.Fatal(err)
	}
	if !created {
		b.t.Fatalf("%s was registered before", img)
	}
	return img
}

func (b *bench) mark(img registry.Image, kind registry.MarkKind) {
	b.t.Helper()
	if _, err := b.Mark(b.t.Context(), registry.Mark{Image: img.ID, Kind: kind, Reason: "because"}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) status(img registry.Image) registry.Status {
	b.t.Helper()
	view, err := b.Resolve(b.t.Context(), img.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	return view.Status
}

func wantEqual[T any](t *testing.T, what string, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestLineage(t *testing.T) {
	b := newBench(t)
	// The application is registered before the image that it was baked from.
	shop := b.add(image("shop 1", "ami-base-1"))
	base := b.add(image("base 1", "ami-foundation-1"))
	foundation := b.add(image("foundation 1", "ami-vendor"))

	view, err := b.Resolve(t.Context(), shop.ID)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, img := range view.Lineage.Ancestors {
		names = append(names, img.Application)
	}
	wantEqual(t, "ancestors", []string{"base", "foundation"}, names)
	wantEqual(t, "root", ami("ami-vendor"), view.Lineage.Root)

	second := b.add(image("shop 2", "ami-base-1"))
	if second.Parent != base.ID {
		t.Errorf("parent of the second is %q, want %q", second.Parent, base.ID)
	}
	tree, err := b.Descendants(t.Context(), foundation.ID)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "descendants", "foundation 1[base 1[shop 2[] shop 1[]]]", draw(tree))
	forest, err := b.Forest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(forest) != 1 || draw(forest[0]) != draw(tree) {
		t.Errorf("forest is %v, want the tree of the foundation", forest)
	}
}

func draw(tree registry.Tree) string {
	var below []string
	for _, child := range tree.Children {
		below = append(below, draw(child))
	}
	return fmt.Sprintf("%s %s[%s]", tree.Application, tree.Version, strings.Join(below, " "))
}

func TestParentIsFoundThroughItsCopies(t *testing.T) {
	b := newBench(t)
	base := image("base 1", "")
	base.Artifacts = append(base.Artifacts, registry.Artifact{Ref: registry.Ref{Cloud: "local", Region: "eu-west-1", ID: "ami-copy"}})
	base = b.add(base)
	shop := image("shop 1", "")
	shop.ParentImage = registry.Ref{Cloud: "local", Region: "eu-west-1", ID: "ami-copy"}
	if shop = b.add(shop); shop.Parent != base.ID {
		t.Errorf("parent is %q, want %q", shop.Parent, base.ID)
	}
}

func TestCircularLineage(t *testing.T) {
	b := newBench(t)
	a := b.add(image("a 1", "ami-b-1"))
	_, _, err := b.Register(t.Context(), image("b 1", "ami-a-1"))
	if err == nil || !strings.Contains(err.Error(), "it would be its own ancestor: a 1 (ami-a-1) was baked from local/us-east-1/ami-b-1") {
		t.Errorf("error is %v", err)
	}

	// Two registrations at once can get past that; reading says so.
	other := image("b 1", "ami-a-1")
	other.ID, other.Parent = "01J", a.ID
	if err := b.store.Commit(t.Context(), registry.Change{Image: &other}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Resolve(t.Context(), "ami-a-1"); err == nil || !strings.Contains(err.Error(), "is its own ancestor") {
		t.Errorf("error of reading one is %v", err)
	}
	if _, err := b.Forest(t.Context()); err == nil || !strings.Contains(err.Error(), "2 images are their own ancestors") {
		t.Errorf("error of reading all is %v", err)
	}
}

func TestRevocationReachesDescendantsAtOnce(t *testing.T) {
	b := newBench(t)
	foundation := b.add(image("foundation 1", ""), passed("s"))
	base := b.add(image("base 1", "ami-foundation-1"), passed("s"))
	shop := b.add(image("shop 1", "ami-base-1"), passed("s"))
	other := b.add(image("other 1", "ami-foundation-1"), passed("s"))

	b.mark(base, registry.MarkRevoked)
	got := []registry.Status{b.status(foundation), b.status(base), b.status(shop), b.status(other)}
	wantEqual(t, "statuses", []registry.Status{"tested", "revoked", "revoked", "tested"}, got)

	_, _, err := b.Register(t.Context(), image("shop 2", "ami-base-1"), passed("s"))
	if !errors.Is(err, registry.ErrRevoked) || !strings.Contains(err.Error(), "because") {
		t.Errorf("error of a child of a revoked image is %v", err)
	}
	if _, err := b.Resolve(t.Context(), "ami-shop-2"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("the refused child is registered: %v", err)
	}

	if n, err := b.Clear(t.Context(), base.ID, registry.MarkRevoked, "false alarm"); n != 1 || err != nil {
		t.Fatalf("Clear = %d, %v; want 1", n, err)
	}
	if got := b.status(shop); got != registry.StatusTested {
		t.Errorf("status after restoring is %s, want tested", got)
	}
	if n, err := b.Clear(t.Context(), base.ID, registry.MarkRevoked, "again"); n != 0 || err != nil {
		t.Errorf("Clear again = %d, %v; want 0", n, err)
	}
}

func TestScheduledRevocation(t *testing.T) {
	b := newBench(t)
	base := b.add(image("base 1", ""), passed("s"))
	shop := b.add(image("shop 1", "ami-base-1"), passed("s"))
	at := b.now.Add(time.Hour)
	_, err := b.Mark(t.Context(), registry.Mark{Image: base.ID, Kind: registry.MarkRevoked, Reason: "end of life", EffectiveAt: at})
	if err != nil {
		t.Fatal(err)
	}
	b.advance(59 * time.Minute)
	view, err := b.Resolve(t.Context(), shop.ID)
	if err != nil || view.Status != registry.StatusTested || !view.RevokeAt.Equal(at) {
		t.Errorf("before: %s, revoked at %v, %v; want tested, %v", view.Status, view.RevokeAt, err, at)
	}
	b.advance(time.Minute)
	if got := b.status(shop); got != registry.StatusRevoked {
		t.Errorf("after: %s, want revoked", got)
	}
}

func TestRegisteringAgain(t *testing.T) {
	b := newBench(t)
	first := b.add(image("base 1", ""), passed("a"))

	again, created, err := b.Register(t.Context(), image("base 1", ""), passed("b"))
	if err != nil || created || again.ID != first.ID {
		t.Fatalf("second registration: %s, created %v, %v; want %s", again.ID, created, err, first.ID)
	}
	same := passed("b")
	same.StartedAt = b.now
	if _, _, err := b.Register(t.Context(), image("base 1", ""), same); err != nil {
		t.Fatal(err)
	}
	detail, err := b.Show(t.Context(), first.ID)
	if err != nil {
		t.Fatal(err)
	}
	var suites []string
	for _, r := range detail.Results {
		suites = append(suites, r.Suite)
	}
	wantEqual(t, "suites of the results", []string{"a", "b"}, suites)

	other := image("base 2", "")
	other.Artifacts = first.Artifacts
	if _, _, err = b.Register(t.Context(), other); !errors.Is(err, registry.ErrExists) || !strings.Contains(err.Error(), "register base 2 (ami-base-1): it is registered already, as "+first.ID+" with version 1") {
		t.Errorf("error of another version is %v", err)
	}
}

func TestRegisterRefuses(t *testing.T) {
	b := newBench(t)
	_, _, err := b.Register(t.Context(), registry.Image{
		Version: " 1", Layer: "x\ny", Owner: strings.Repeat("o", 300),
		Labels: map[string]string{"": "x", "a": "\x00"},
	}, registry.TestResult{Outcome: registry.Passed}, registry.TestResult{Suite: "s", Outcome: "fine"},
		registry.TestResult{Suite: "t", Outcome: registry.Passed, Counts: registry.Counts{Passed: 1, Errors: 1}})
	if err == nil {
		t.Fatal("it is registered")
	}
	for _, want := range []string{
		"application is missing", `version " 1" begins or ends with white space`, `layer "x\ny" has control characters`,
		"is longer than 256 bytes", "a label has no name", `label a = "\x00" has control`, "in no region",
		"names no suite", `outcome of suite s is "fine"`, "suite t is said to have passed, with 0 checks failed and 1 in error",
		"without a check that passed",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
	for name, broken := range map[string]func(*registry.Image){
		"is listed twice":           func(i *registry.Image) { i.Artifacts = append(i.Artifacts, i.Artifacts[0]) },
		"names no cloud":            func(i *registry.Image) { i.Artifacts[0].Cloud = "" },
		"would be its own parent":   func(i *registry.Image) { i.ParentImage = i.Artifacts[0].Ref },
		"parent 01JNONE: not found": func(i *registry.Image) { i.Parent = "01JNONE" },
	} {
		img := image("base 1", "")
		broken(&img)
		if _, _, err := b.Register(t.Context(), img); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error is %v, want one with %q", err, name)
		}
	}
}

func TestMarkRefuses(t *testing.T) {
	b := newBench(t)
	img := b.add(image("base 1", ""))
	for _, test := range []struct {
		mark registry.Mark
		want string
	}{
		{registry.Mark{Image: img.ID, Kind: registry.MarkRevoked}, "needs a reason"},
		{registry.Mark{Image: img.ID, Kind: "doomed"}, `mark "doomed" is none of`},
		{registry.Mark{Image: img.ID, Kind: registry.MarkPromoted, Channel: "stable"}, "promote it to a channel"},
		{registry.Mark{Image: img.ID, Kind: registry.MarkHeld, Channel: "stable"}, "names a channel"},
		{registry.Mark{Image: img.ID, Kind: registry.MarkHeld, Artifact: img.Artifacts[0].Ref}, "only a retirement names a copy"},
		{registry.Mark{Image: img.ID, Kind: registry.MarkHeld, Reason: strings.Repeat("x", 4097)}, "longer than 4096"},
		{registry.Mark{Image: "01JNONE", Kind: registry.MarkHeld}, "not found"},
	} {
		if _, err := b.Mark(t.Context(), test.mark); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error of %+v is %v, want one with %q", test.mark, err, test.want)
		}
	}
}

func TestPromote(t *testing.T) {
	b := newBench(t)
	one, two := b.add(image("base 1", ""), passed("s")), b.add(image("base 2", ""), passed("s"))
	head, err := b.Promote(t.Context(), one.ID, "stable", 0, "")
	if err != nil || head.Revision != 1 {
		t.Fatalf("Promote = %+v, %v", head, err)
	}
	if _, err := b.Promote(t.Context(), two.ID, "stable", 0, ""); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("promotion on what was seen before: %v, want ErrConflict", err)
	}
	if _, err := b.Promote(t.Context(), two.ID, "stable", head.Revision, ""); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "statuses", []registry.Status{"tested", "promoted"}, []registry.Status{b.status(one), b.status(two)})
	got, err := b.Channel(t.Context(), one.Line(), "stable")
	if err != nil || got.Image != two.ID || got.Revision != 2 {
		t.Errorf("channel is %+v, %v", got, err)
	}

	untested, rejected := b.add(image("base 3", "")), b.add(image("base 4", ""), failed("s"))
	for img, want := range map[string]string{untested.ID: "is built: no test result", rejected.ID: "is rejected: suite s", "01JNONE": "not found"} {
		if _, err := b.Promote(t.Context(), img, "stable", 2, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want one with %q", err, want)
		}
	}
	if _, err := b.Promote(t.Context(), two.ID, "", 0, ""); err == nil {
		t.Error("promoted to a channel without a name")
	}
}

func TestDemotedImageHeadsNothing(t *testing.T) {
	b := newBench(t)
	one, two := b.add(image("base 1", ""), passed("s")), b.add(image("base 2", ""), passed("s"))
	promote := func(img registry.Image, revision int64) {
		t.Helper()
		if _, err := b.Promote(t.Context(), img.ID, "stable", revision, ""); err != nil {
			t.Fatal(err)
		}
	}
	promote(one, 0)
	promote(two, 1)
	if err := b.Demote(t.Context(), one.ID, "stable", "it is not the head any more"); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("demotion of an earlier head: %v, want ErrConflict", err)
	}
	if err := b.Demote(t.Context(), two.ID, "stable", "bad"); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "statuses", []registry.Status{"tested", "tested"}, []registry.Status{b.status(one), b.status(two)})
	_, err := b.Find(t.Context(), registry.Query{Application: "base", Channel: "stable"})
	if !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("found in the channel: %v", err)
	}
	// Whoever has seen revision 2 may promote again, once.
	promote(two, 2)
	wantEqual(t, "status", "promoted", b.status(two))
	promote(one, 3)
	wantEqual(t, "statuses", []registry.Status{"promoted", "tested"}, []registry.Status{b.status(one), b.status(two)})
}

func TestRetiredCopyIsNotFound(t *testing.T) {
	b := newBench(t)
	older := b.add(image("base 1", ""), passed("s"))
	img := image("base 2", "")
	here := img.Artifacts[0].Ref
	there := registry.Ref{Cloud: here.Cloud, Region: "eu-west-1", ID: "ami-copy"}
	img.Artifacts = append(img.Artifacts, registry.Artifact{Ref: there})
	img = b.add(img, passed("s"))

	retire := func(ref registry.Ref) registry.Mark {
		t.Helper()
		mark, err := b.Mark(t.Context(), registry.Mark{Image: img.ID, Kind: registry.MarkRetired, Artifact: ref})
		if err != nil {
			t.Fatal(err)
		}
		return mark
	}
	find := func(region string) string {
		t.Helper()
		found, err := b.Find(t.Context(), registry.Query{
			Application: "base", AtLeast: registry.StatusTested, Cloud: here.Cloud, Region: region,
		})
		if err != nil {
			return err.Error()
		}
		return found.ID
	}
	mark := retire(here)
	wantEqual(t, "status", "tested", b.status(img))
	wantEqual(t, "where it was removed", older.ID, find(here.Region))
	wantEqual(t, "where its copy is", img.ID, find(there.Region))
	retire(there)
	wantEqual(t, "status without copies", "retired", b.status(img))
	if err := b.Unmark(t.Context(), mark, "it is back"); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "where it is back", img.ID, find(here.Region))
	if got := find(there.Region); !strings.Contains(got, "its copy in "+there.Cloud+"/"+there.Region+" is gone") {
		t.Errorf("the search where it is gone says %q", got)
	}
}

func TestHistory(t *testing.T) {
	b := newBench(t)
	img := b.add(image("base 1", ""), passed("s"))
	if err := b.RecordResults(t.Context(), img.ID, failed("boot")); err != nil {
		t.Fatal(err)
	}
	b.mark(img, registry.MarkDeprecated)
	if _, err := b.Clear(t.Context(), img.ID, registry.MarkDeprecated, ""); err != nil {
		t.Fatal(err)
	}
	events, err := b.History(t.Context(), img.ID)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range events {
		got = append(got, fmt.Sprintf("%s %s: %s", e.Actor, e.Op, e.Detail))
	}
	wantEqual(t, "events", []string{
		"tester register: base 1 (ami-base-1)",
		"tester test: s: passed, 2 of 2 checks passed",
		"tester test: boot: failed, 1 of 2 checks passed",
		"tester mark: deprecated: because",
		"tester clear: deprecated",
	}, got)
}

func TestResolve(t *testing.T) {
	b := newBench(t)
	one, two := image("base 1", ""), image("base 2", "")
	two.Artifacts = []registry.Artifact{{Ref: registry.Ref{Cloud: "aws", Region: "us-east-1", ID: "ami-base-1"}}}
	one, two = b.add(one), b.add(two)
	for id, want := range map[string]string{
		one.ID: one.ID, "local/us-east-1/ami-base-1": one.ID, "aws/us-east-1/ami-base-1": two.ID,
	} {
		if got, err := b.Resolve(t.Context(), id); err != nil || got.ID != want {
			t.Errorf("Resolve(%q) = %s, %v; want %s", id, got.ID, err, want)
		}
	}
	if _, err := b.Resolve(t.Context(), "ami-base-1"); err == nil || !strings.Contains(err.Error(), "is the id of 2 images") {
		t.Errorf("error of an id in two clouds is %v", err)
	}
	for _, id := range []string{"", "ami-none", "local//ami-base-1x", "gcp/us-east-1/ami-base-1"} {
		if _, err := b.Resolve(t.Context(), id); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("error of %q is %v, want ErrNotFound", id, err)
		}
	}
}

func TestLink(t *testing.T) {
	b := newBench(t)
	base := image("base 1", "")
	base.Artifacts = append(base.Artifacts, registry.Artifact{Ref: registry.Ref{Cloud: "local", Region: "eu-west-1", ID: "ami-copy"}})
	base = b.add(base)
	shop := registry.Image{Artifacts: []registry.Artifact{{Ref: registry.Ref{Cloud: "local", Region: "eu-west-1", ID: "ami-shop"}}}}
	copied := registry.Ref{Cloud: "local", Region: "eu-west-1", ID: "ami-copy"}
	for _, test := range []struct {
		name, parent string
		want         registry.Image
	}{
		{"by its id in the registry", base.ID, registry.Image{Parent: base.ID, ParentImage: copied, Release: "bookworm", Arch: "x86_64"}},
		{"by its id in the cloud", "ami-copy", registry.Image{Parent: base.ID, ParentImage: copied, Release: "bookworm", Arch: "x86_64"}},
		{"elsewhere", "local/us-east-1/ami-base-1", registry.Image{Parent: base.ID, ParentImage: ami("ami-base-1"), Release: "bookworm", Arch: "x86_64"}},
		{"unknown", "ami-vendor", registry.Image{ParentImage: registry.Ref{Cloud: "local", Region: "eu-west-1", ID: "ami-vendor"}}},
		{"unknown elsewhere", "aws/us-east-1/ami-vendor", registry.Image{ParentImage: registry.Ref{Cloud: "aws", Region: "us-east-1", ID: "ami-vendor"}}},
	} {
		got, err := b.Link(t.Context(), shop, test.parent)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		got.Artifacts = nil
		wantEqual(t, test.name, test.want, got)
	}
}

func TestConcurrentRegistrationsOfOneImage(t *testing.T) {
	b := newBench(t)
	const n = 8
	ids, created := make([]string, n), make([]bool, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			img, first, err := b.Register(t.Context(), image("base 1", ""), passed(fmt.Sprint("suite ", i)))
			if err != nil {
				t.Error(err)
			}
			ids[i], created[i] = img.ID, first
		})
	}
	group.Wait()
	winners := 0
	for i := range n {
		if ids[i] != ids[0] {
			t.Errorf("registration %d returned %s, another %s", i, ids[i], ids[0])
		}
		if created[i] {
			winners++
		}
	}
	detail, err := b.Show(t.Context(), ids[0])
	if err != nil {
		t.Fatal(err)
	}
	if winners != 1 || len(detail.Results) != n {
		t.Errorf("%d created it and %d results are recorded, want 1 and %d", winners, len(detail.Results), n)
	}
}
