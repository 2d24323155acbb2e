// Command registry measures how a registry in SQLite answers when it has a
// thousand, ten thousand and a hundred thousand images: whether what a bake asks
// takes longer when there is more that it does not ask for.
//
// It runs from the top of the tree; `make bench PART=registry` does that.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/bench/figures"
	"github.com/imagebakery/packer-plugin-bakery/registry"
	"github.com/imagebakery/packer-plugin-bakery/registry/sqlite"
	"github.com/imagebakery/packer-plugin-bakery/version"
)

// options are the command line.
type options struct {
	sizes string
	docs  string
}

func main() {
	var o options
	flag.StringVar(&o.sizes, "sizes", "1000,10000,100000", "how many images there are, in growing order")
	flag.StringVar(&o.docs, "docs", "docs/benchmarks.md", "file to write the section to; empty: stdout")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:gocritic // stop only restores signals
	}
}

func bench(ctx context.Context, o options) (err error) {
	sizes, err := numbers(o.sizes)
	if err != nil {
		return err
	}
	machine, err := figures.ThisMachine()
	if err != nil {
		return err
	}
	conditions := figures.Conditions{
		Machine: machine, Command: "make bench PART=registry", When: time.Now(),
		Versions: []string{"bakery " + version.PluginVersion.FormattedVersion()},
	}
	dir, err := os.MkdirTemp("", "bakery-bench-registry-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var all []measured
	for _, size := range sizes {
		m, err := measure(ctx, filepath.Join(dir, strconv.Itoa(size)), size)
		if err != nil {
			return fmt.Errorf("%d images: %w", size, err)
		}
		all = append(all, m)
	}
	text, err := report(conditions, all)
	if err != nil || o.docs == "" {
		fmt.Println(text)
		return err
	}
	return figures.WriteSection(o.docs, "registry", text)
}

// numbers reads a growing list such as 1000,10000.
func numbers(text string) ([]int, error) {
	var list []int
	for word := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < least || len(list) > 0 && n <= list[len(list)-1] {
			return nil, fmt.Errorf("-sizes %q: write growing numbers from %d on, with commas", text, least)
		}
		list = append(list, n)
	}
	return list, nil
}

// measured is what a registry of one size took.
type measured struct {
	size     int // images
	packages int
	bytes    int64            // of the file
	fill     float64          // milliseconds for one image
	took     []figures.Series // milliseconds, by question
}

// measure makes a registry and asks it every question.
func measure(ctx context.Context, dir string, size int) (m measured, err error) {
	path := filepath.Join(dir, "registry.db")
	began := time.Now()
	w, err := generate(ctx, path, size)
	if err != nil {
		return measured{}, fmt.Errorf("make the registry: %w", err)
	}
	m = measured{size: size, packages: size * packagesPerImage}
	m.fill = milliseconds(time.Since(began)) / float64(size)
	info, err := os.Stat(path)
	if err != nil {
		return measured{}, err
	}
	m.bytes = info.Size()
	// Only read from here on, as a data source does.
	store, err := sqlite.Open(ctx, path, sqlite.ReadOnly())
	if err != nil {
		return measured{}, err
	}
	defer store.Close() //nolint:errcheck // it was only read
	reg := registry.New(store)
	for _, q := range questions {
		var took figures.Series
		for round := range q.rounds {
			began := time.Now()
			if err := q.ask(ctx, reg, w, round); err != nil {
				return measured{}, fmt.Errorf("%s: %w", q.name, err)
			}
			took = append(took, milliseconds(time.Since(began)))
		}
		m.took = append(m.took, took)
	}
	fmt.Fprintf(os.Stderr, "%d images: made in %s, asked in %s\n", size,
		time.Duration(m.fill*float64(size)*float64(time.Millisecond)).Round(time.Second), time.Since(began).Round(time.Second))
	return m, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
