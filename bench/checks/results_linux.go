package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/bench/figures"
)

// cell is what was measured: a tool in a place with a number of checks.
type cell struct {
	tool, place string
	checks      int
}

// results are all that was measured.
type results struct {
	conditions figures.Conditions
	sizes      []int
	tools      map[string][]string     // by place
	took       map[cell]figures.Series // milliseconds, by round
	sent       map[cell]int            // bytes, over ssh
}

// places are in the order of the tables.
var places = []string{inChroot, overSSH}

func newResults(c figures.Conditions, sizes []int, withServerspec bool) *results {
	r := &results{conditions: c, sizes: sizes, tools: map[string][]string{}, took: map[cell]figures.Series{}, sent: map[cell]int{}}
	for _, place := range places {
		r.tools[place] = toolsFor(place, withServerspec)
	}
	return r
}

// most is the greatest number of checks.
func (r *results) most() int { return r.sizes[len(r.sizes)-1] }

// controlChecks is how many checks are tried of which one is wrong.
const controlChecks = 10

// control makes sure that each tool notices a check that does not hold: what
// passes everything is quick.
func (w *world) control(ctx context.Context, r *results) error {
	base, err := w.suites("control", suiteOf(w, controlChecks).withMistake())
	if err != nil {
		return err
	}
	for _, place := range places {
		for _, tool := range r.tools[place] {
			o, err := w.check(ctx, tool, place, base)
			if err == nil {
				err = o.expect(controlChecks-1, 1)
			}
			if err != nil {
				return fmt.Errorf("%s, %s, one of %d checks is wrong: %w", tool, place, controlChecks, err)
			}
		}
	}
	return nil
}

// measure lets the tools take turns, so that what changes on the machine meets
// all of them, and who is first changes too. limit says in how many rounds a tool
// takes part.
func (w *world) measure(ctx context.Context, r *results, limit func(tool, place string, checks int) int) error {
	bases := map[int]string{}
	for _, n := range r.sizes {
		base, err := w.suites(fmt.Sprint(n), suiteOf(w, n))
		if err != nil {
			return err
		}
		bases[n] = base
	}
	for round := 0; ; round++ {
		began, some := time.Now(), false
		for _, place := range places {
			for _, n := range r.sizes {
				tools := slices.Clone(r.tools[place])
				if round%2 == 1 {
					slices.Reverse(tools)
				}
				for _, tool := range tools {
					if round >= limit(tool, place, n) {
						continue
					}
					some = true
					if err := w.once(ctx, r, cell{tool, place, n}, bases[n]); err != nil {
						return err
					}
				}
			}
		}
		if !some {
			return nil
		}
		fmt.Printf("round %d: %s\n", round+1, time.Since(began).Round(time.Second/10))
	}
}

// once measures one run.
func (w *world) once(ctx context.Context, r *results, of cell, base string) error {
	o, err := w.check(ctx, of.tool, of.place, base)
	if err == nil {
		err = o.expect(of.checks, 0)
	}
	if err != nil {
		return fmt.Errorf("%s, %s, %d checks: %w", of.tool, of.place, of.checks, err)
	}
	r.took[of] = append(r.took[of], float64(o.took)/float64(time.Millisecond))
	r.sent[of] = o.sent
	return nil
}

// ratios divides the times of two tools, in the rounds that both took part in.
func (r *results) ratios(of, to cell) (figures.Series, error) {
	a, b := r.took[of], r.took[to]
	rounds := min(len(a), len(b))
	return a[:rounds].Ratios(b[:rounds])
}

// differences are the milliseconds by which one took longer than the other.
func (r *results) differences(of, to cell) figures.Series {
	a, b := r.took[of], r.took[to]
	var d figures.Series
	for i := range min(len(a), len(b)) {
		d = append(d, a[i]-b[i])
	}
	return d
}
