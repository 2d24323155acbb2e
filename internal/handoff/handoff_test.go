package handoff

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/imagebakery/packer-plugin-bakery/internal/home"
)

func TestBakeSurvivesLooseMaps(t *testing.T) {
	want := Bake{
		ID: "01J", Cloud: "local", Region: "us-east-1", SourceImage: "ami-1", ImageName: "x",
		Tags:        map[string]string{"layer": "base"},
		Images:      []Image{{Region: "us-east-1", ID: "ami-2", Snapshots: []string{"snap-1"}}},
		Steps:       []Step{{Name: "mount", Seconds: 0.5}},
		StartedUnix: 1700000000,
	}
	got, ok, err := DecodeBake(loosen(want.State()))
	if err != nil || !ok {
		t.Fatalf("DecodeBake: ok %v, error %v", ok, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("bake changed on the wire (-sent +received):\n%s", diff)
	}
}

// loosen gives v the types that Packer's msgpack wire leaves of it.
func loosen(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := map[any]any{}
		for k, e := range v {
			m[k] = loosen(e)
		}
		return m
	case map[string]string:
		m := map[any]any{}
		for k, e := range v {
			m[k] = e
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = loosen(e)
		}
		return l
	case []string:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = e
		}
		return l
	default:
		return v
	}
}

func TestForeignArtifact(t *testing.T) {
	if _, ok, err := DecodeBake(nil); ok || err != nil {
		t.Errorf("DecodeBake(nil) = %v, %v; want not ok and no error", ok, err)
	}
}

func TestResultsAreBoundToTheBuild(t *testing.T) {
	t.Setenv(home.Env, t.TempDir())
	shop := Build{Run: "run-1", Name: "shop"}
	for _, r := range []Result{
		{BakeID: "a", Suite: "first"}, {BakeID: "b", Suite: "of another bake"}, {Suite: "unbound"},
	} {
		if err := shop.Put(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := (Build{Run: "run-1", Name: "other"}).Put(Result{Suite: "of another build"}); err != nil {
		t.Fatal(err)
	}
	results, err := shop.Results("a")
	if err != nil {
		t.Fatal(err)
	}
	var suites []string
	for _, r := range results {
		suites = append(suites, r.Suite)
	}
	if diff := cmp.Diff([]string{"first", "unbound"}, suites); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	if err := shop.Done("a"); err != nil {
		t.Fatal(err)
	}
	if results, err := shop.Results("a"); len(results) != 0 || err != nil {
		t.Errorf("after Done: %v, %v", results, err)
	}
	// Another bake of the same name runs at the same time.
	if results, err := shop.Results("b"); len(results) != 1 || err != nil {
		t.Errorf("results of the other bake after Done: %v, %v", results, err)
	}
	if err := shop.Done("b"); err != nil {
		t.Fatal(err)
	}
	if dir, err := home.Path("runs", "run-1", "shop"); err != nil {
		t.Fatal(err)
	} else if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder of the build stays behind: %v", err)
	}
	if err := shop.Done("b"); err != nil {
		t.Errorf("Done of nothing: %v", err)
	}
}

// TestBakesOfOneNameAtOnce has the bakes of one source block hand over, read
// and finish at the same time, in one folder.
func TestBakesOfOneNameAtOnce(t *testing.T) {
	t.Setenv(home.Env, t.TempDir())
	shop := Build{Run: "run-1", Name: "shop"}
	var group sync.WaitGroup
	for n := range 8 {
		bake := fmt.Sprint("bake ", n)
		group.Go(func() {
			for range 20 {
				if err := shop.Put(Result{BakeID: bake, Suite: bake}); err != nil {
					t.Error(err)
				}
				results, err := shop.Results(bake)
				if err != nil || len(results) != 1 || results[0].Suite != bake {
					t.Errorf("results of %s: %v, %v; want its own one", bake, results, err)
				}
				if err := shop.Done(bake); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

func TestOutsidePacker(t *testing.T) {
	t.Setenv(home.Env, t.TempDir())
	for _, b := range []Build{{Name: "shop"}, {Run: "r"}, {Run: "..", Name: "shop"}, {Run: "r", Name: "a/b"}} {
		if err := b.Put(Result{Suite: "s"}); err == nil {
			t.Errorf("Put for %+v succeeded", b)
		}
	}
}

func TestStaleRunsAreDropped(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(home.Env, dir)
	old := filepath.Join(dir, "runs", "old")
	if err := os.MkdirAll(old, 0o700); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-2 * staleAfter)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	if err := (Build{Run: "new", Name: "shop"}).Put(Result{Suite: "s"}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("stale run is still there: %v", err)
	}
}
