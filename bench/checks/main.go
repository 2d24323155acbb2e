//go:build linux

// Command checks compares bakery-spec with goss and Serverspec: the same checks
// of the same image, in a chroot and over ssh, in turn.
//
// It runs from the top of the tree, as root, after `make bakery goss rootfs`;
// `make bench PART=checks` does all of that.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/bench/figures"
)

// options are the command line.
type options struct {
	sizes      string
	rounds     int
	slow       int
	slowest    int
	serverspec bool
	bin        string
	docs       string
}

func main() {
	log.SetOutput(io.Discard) // what was run; errors say it
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 1 && os.Args[1] == clientWord {
		end(client(ctx, os.Args[2:]))
		return
	}
	var o options
	flag.StringVar(&o.sizes, "sizes", "1,10,100,1000", "how many checks there are, in growing order")
	flag.IntVar(&o.rounds, "rounds", 15, "how often each tool checks, in turn")
	flag.IntVar(&o.slow, "slow", 3, "how often Serverspec does")
	flag.IntVar(&o.slowest, "slowest", 1, "how often Serverspec does with the most checks over ssh, which takes more than a minute")
	flag.BoolVar(&o.serverspec, "serverspec", true, "compare with Serverspec too")
	flag.StringVar(&o.bin, "bin", "bin", "folder of the programs and of the Debian root in cache/")
	flag.StringVar(&o.docs, "docs", "docs/benchmarks.md", "file to write the section to; empty: stdout")
	flag.Parse()
	end(bench(ctx, o))
}

func end(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, o options) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("checks enter a chroot: run as root")
	}
	sizes, err := numbers(o.sizes)
	if err != nil {
		return err
	}
	p, err := findPrograms(o.bin, o.serverspec)
	if err != nil {
		return err
	}
	conditions, err := conditions(ctx, p)
	if err != nil {
		return err
	}
	w, err := newWorld(ctx, p, sizes[len(sizes)-1])
	defer func() { err = errors.Join(err, w.close()) }()
	if err != nil {
		return err
	}
	r := newResults(conditions, sizes, o.serverspec)
	if err := w.control(ctx, r); err != nil {
		return err
	}
	if err := w.measure(ctx, r, o.limit(sizes)); err != nil {
		return err
	}
	text, err := report(r)
	if err != nil || o.docs == "" {
		fmt.Println(text)
		return err
	}
	return figures.WriteSection(o.docs, "checks", text)
}

// limit returns in how many rounds a tool takes part: those take too long in
// which nothing is decided any more.
func (o options) limit(sizes []int) func(tool, place string, checks int) int {
	return func(tool, place string, checks int) int {
		switch {
		case tool != serverspec:
			return o.rounds
		case place == overSSH && checks == sizes[len(sizes)-1]:
			return min(o.rounds, o.slowest)
		}
		return min(o.rounds, o.slow)
	}
}

// numbers reads a growing list such as 10,100,1000.
func numbers(text string) ([]int, error) {
	var list []int
	for word := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > maxChecks || len(list) > 0 && n <= list[len(list)-1] {
			return nil, fmt.Errorf("-sizes %q: write growing numbers from 1 to %d, with commas", text, maxChecks)
		}
		list = append(list, n)
	}
	return list, nil
}

// maxChecks is how many a root of debootstrap has packages for.
const maxChecks = 1000

func findPrograms(bin string, withServerspec bool) (programs, error) {
	p := programs{bakery: "bakery", goss: "goss", rootfs: "cache/debian-bookworm"}
	for _, path := range []*string{&p.bakery, &p.goss, &p.rootfs} {
		abs, err := filepath.Abs(filepath.Join(bin, *path))
		if err == nil {
			_, err = os.Stat(abs)
		}
		if err != nil {
			return programs{}, fmt.Errorf("%w; run make bench PART=checks", err)
		}
		*path = abs
	}
	var err error
	if withServerspec {
		if p.serverspec, err = exec.LookPath("rspec"); err != nil {
			return programs{}, fmt.Errorf("%w; install ruby-serverspec, or leave it out with -serverspec=false", err)
		}
	}
	p.self, err = os.Executable()
	return p, err
}

func conditions(ctx context.Context, p programs) (figures.Conditions, error) {
	machine, err := figures.ThisMachine()
	if err != nil {
		return figures.Conditions{}, err
	}
	c := figures.Conditions{Machine: machine, Command: "make bench PART=checks", When: time.Now()}
	commands := [][]string{{p.bakery, "version"}, {p.goss, "--version"}}
	if p.serverspec != "" {
		commands = append(commands,
			[]string{"ruby", "-e", "require 'serverspec/version'; require 'specinfra/version'; puts \"Serverspec #{Serverspec::VERSION}, specinfra #{Specinfra::VERSION}\""},
			[]string{"ruby", "-e", "puts \"ruby #{RUBY_VERSION}\""})
	}
	for _, argv := range commands {
		line, err := figures.FirstLine(ctx, argv[0], argv[1:]...)
		if err != nil {
			return figures.Conditions{}, err
		}
		line, _, _ = strings.Cut(line, ", built with")
		c.Versions = append(c.Versions, strings.Replace(line, "goss version ", "goss ", 1))
	}
	return c, nil
}
