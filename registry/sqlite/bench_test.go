package sqlite

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// benchFill is how many images the benchmarks look through, in lines of 200.
const benchFill = 20_000

// fill registers images of several lines, each baked from the one foundation,
// in a single transaction. Of each line the newest image is not tested.
func fill(b *testing.B, s *Store, n int) {
	b.Helper()
	ctx := context.Background()
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer tx.Rollback()
	lines := n / 200
	for i := range n {
		id := fmt.Sprintf("01J%023d", i)
		img := registry.Image{
			ID: id, Application: fmt.Sprint("app", i%lines), Version: fmt.Sprintf("1.%d", i/lines), Layer: "application",
			Release: "bookworm", Arch: "x86_64", CreatedAt: time.Unix(int64(i), 0).UTC(),
			Artifacts: []registry.Artifact{{Ref: registry.Ref{Cloud: "aws", Region: "us-east-1", ID: "ami-" + id}}},
		}
		change := registry.Change{Image: &img}
		if i > 0 {
			img.Parent = fmt.Sprintf("01J%023d", 0)
		}
		if i < n-lines {
			change.Results = []registry.TestResult{{
				ID: "R" + id, Image: id, Suite: "s", Outcome: registry.Passed, Counts: registry.Counts{Passed: 20},
			}}
		}
		if err := write(ctx, tx, change); err != nil {
			b.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkFindNewestTested(b *testing.B) {
	s, err := Open(b.Context(), filepath.Join(b.TempDir(), "registry.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	fill(b, s, benchFill)
	reg := registry.New(s)
	for i := 0; b.Loop(); i++ {
		query := registry.Query{
			Application: fmt.Sprint("app", i%(benchFill/200)), Release: "bookworm", AtLeast: registry.StatusTested,
			Cloud: "aws", Region: "us-east-1",
		}
		found, err := reg.Find(b.Context(), query)
		if err != nil || len(found.Considered) != 2 {
			b.Fatalf("found %s after %d candidates, %v", found.Image, len(found.Considered), err)
		}
	}
}

func BenchmarkDescendantsOfAFoundation(b *testing.B) {
	s, err := Open(b.Context(), filepath.Join(b.TempDir(), "registry.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const n = 1000
	fill(b, s, n)
	reg := registry.New(s)
	for b.Loop() {
		tree, err := reg.Descendants(b.Context(), fmt.Sprintf("01J%023d", 0))
		if err != nil || len(tree.Children) != n-1 {
			b.Fatalf("%d descendants, %v", len(tree.Children), err)
		}
	}
}
