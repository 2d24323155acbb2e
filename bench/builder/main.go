//go:build linux

// Command builder compares bakery-chroot with Packer's own amazon-chroot: both
// bake the same template, in turn, on one local cloud that is as slow as EC2.
//
// It runs from the top of the tree, as root, after `make release peer rootfs`;
// `make bench PART=builder` does all of that.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/bench/figures"
	"github.com/imagebakery/packer-plugin-bakery/internal/run"
)

// options are the command line.
type options struct {
	pairs   int
	quick   int
	atOnce  string
	bin     string
	docs    string
	results string
	resume  bool
}

func main() {
	var o options
	flag.IntVar(&o.pairs, "pairs", 5, "how often each builder bakes, in turn")
	flag.IntVar(&o.quick, "quick", 1, "how often amazon-chroot also bakes with a delay of 1 s between two looks")
	flag.StringVar(&o.atOnce, "at-once", "4,16", "how many bakes to run at once; empty: none")
	flag.StringVar(&o.bin, "bin", "bin", "folder of the programs and of the Debian root in cache/")
	flag.StringVar(&o.docs, "docs", "docs/benchmarks.md", "file to write the section to; empty: stdout")
	flag.StringVar(&o.results, "results", "bin/bench-builder.json", "file for what was measured, written after each bake")
	flag.BoolVar(&o.resume, "resume", false, "go on where an earlier run has ended, with what it has measured")
	flag.Parse()
	log.SetOutput(io.Discard) // what was run; errors say it
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:gocritic // stop only restores signals
	}
}

func bench(ctx context.Context, o options) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("bakes mount disks: run as root")
	}
	counts, err := numbers(o.atOnce)
	if err != nil {
		return err
	}
	t, err := findTools(o.bin)
	if err != nil {
		return err
	}
	conditions, err := conditions(ctx, t)
	if err != nil {
		return err
	}
	r, err := load(o.results, conditions, o.resume)
	if err != nil {
		return err
	}
	plan := newPlan(o, counts)
	fmt.Printf("%d bakes or groups of bakes, about %v\n", len(plan), plan.takes().Round(time.Minute))
	w, err := newWorld(ctx, t)
	defer func() { err = errors.Join(err, w.close()) }()
	if err != nil {
		return err
	}
	for i, item := range plan {
		if item.done(r) {
			continue
		}
		fmt.Printf("[%d/%d] %s %s: ", i+1, len(plan), time.Now().Format(time.TimeOnly), item)
		said, err := item.measure(ctx, w, t.packer, r)
		if err != nil {
			fmt.Println("failed")
			return err
		}
		fmt.Println(said)
		if err := r.save(); err != nil {
			return err
		}
	}
	text, err := report(r, counts)
	if err != nil {
		return err
	}
	if o.docs == "" {
		fmt.Println(text)
		return nil
	}
	model, err := delays()
	if err != nil {
		return err
	}
	return errors.Join(figures.WriteSection(o.docs, "builder", text), figures.WriteSection(o.docs, "delays", model))
}

// numbers reads a list such as 4,16.
func numbers(text string) ([]int, error) {
	var list []int
	for word := range strings.SplitSeq(text, ",") {
		if word == "" {
			continue
		}
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > maxAtOnce {
			return nil, fmt.Errorf("-at-once %q: write numbers from 1 to %d, with commas", text, maxAtOnce)
		}
		list = append(list, n)
	}
	return list, nil
}

// maxAtOnce is how many device names amazon-chroot is given: xvdza to xvdzz.
const maxAtOnce = 26

func findTools(bin string) (tools, error) {
	t := tools{bakery: "bakery", peer: "packer-plugin-amazon", plugin: "packer-plugin-bakery", rootfs: "cache/debian-bookworm"}
	for _, path := range []*string{&t.bakery, &t.peer, &t.plugin, &t.rootfs} {
		abs, err := filepath.Abs(filepath.Join(bin, *path))
		if err == nil {
			_, err = os.Stat(abs)
		}
		if err != nil {
			return tools{}, fmt.Errorf("%w; run make bench PART=builder", err)
		}
		*path = abs
	}
	packer, err := exec.LookPath("packer")
	if err != nil {
		return tools{}, fmt.Errorf("%w; run make bench PART=builder", err)
	}
	t.packer, err = filepath.Abs(packer)
	return t, err
}

func conditions(ctx context.Context, t tools) (figures.Conditions, error) {
	machine, err := figures.ThisMachine()
	if err != nil {
		return figures.Conditions{}, err
	}
	packer, err := figures.FirstLine(ctx, t.packer, "version")
	if err != nil {
		return figures.Conditions{}, err
	}
	c := figures.Conditions{Machine: machine, Versions: []string{packer}, Command: "make bench PART=builder", When: time.Now()}
	for _, plugin := range []string{t.peer, t.plugin} {
		out, err := run.Output(ctx, plugin, "describe")
		if err != nil {
			return c, err
		}
		var described struct{ Version string }
		if err := json.Unmarshal(out, &described); err != nil {
			return c, fmt.Errorf("%s describe: %w", plugin, err)
		}
		c.Versions = append(c.Versions, filepath.Base(plugin)+" "+described.Version)
	}
	return c, nil
}

// item is one thing to measure: a bake, or several at once.
type item struct {
	builder builder
	round   int // of single bakes, from 0
	atOnce  int // 0: a single bake
}

func (i item) String() string {
	if i.atOnce > 0 {
		return fmt.Sprintf("%d bakes at once, %s", i.atOnce, i.builder)
	}
	return fmt.Sprintf("round %d, %s", i.round+1, i.builder)
}

type plan []item

// newPlan lets the builders take turns, so that what changes on the machine
// meets all of them, and who is first changes too.
func newPlan(o options, counts []int) plan {
	var p plan
	for round := range o.pairs {
		builders := []builder{peer, bakery}
		if round < o.quick {
			builders = append(builders, peerQuick)
		}
		if round%2 == 1 {
			slices.Reverse(builders)
		}
		for _, b := range builders {
			p = append(p, item{builder: b, round: round})
		}
	}
	for _, n := range counts {
		p = append(p, item{builder: bakery, atOnce: n}, item{builder: peer, atOnce: n})
	}
	return p
}

// takes estimates how long a plan takes, from the delays of the model and the
// way in which amazon-chroot waits: bakes at once create and attach their
// volumes one after the other.
func (p plan) takes() time.Duration {
	var seconds int
	for _, i := range p {
		switch i.builder {
		case bakery:
			seconds += 80 + 3*i.atOnce
		case peerQuick:
			seconds += 85
		default:
			seconds += 110 + 22*i.atOnce
		}
	}
	return time.Duration(seconds) * time.Second
}

func (i item) done(r *results) bool {
	if i.atOnce > 0 {
		_, ok := r.Many[many(i.builder, i.atOnce)]
		return ok
	}
	return len(r.One[i.builder.String()]) > i.round
}

// measure does the work, and returns what came of it for whoever watches.
func (i item) measure(ctx context.Context, w *world, packer string, r *results) (string, error) {
	if i.atOnce > 0 {
		f, err := w.bakeMany(ctx, packer, i.builder, i.atOnce)
		if err != nil {
			return "", err
		}
		r.Many[many(i.builder, i.atOnce)] = f
		return fmt.Sprintf("%.1f s, %d calls, %.1f s of CPU", f.Wall, f.Calls, f.CPU), nil
	}
	f, err := w.bakeOne(ctx, packer, i.builder)
	if err != nil {
		return "", err
	}
	key := i.builder.String()
	r.One[key] = append(r.One[key], f)
	return fmt.Sprintf("%.1f s: provisioning %.1f, cloud %.1f, own %.2f; %d calls, %.1f s of CPU",
		f.Wall, f.Provision, f.Cloud, f.own(), f.Calls, f.CPU), nil
}
