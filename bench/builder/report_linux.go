package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/bench/figures"
	"github.com/imagebakery/packer-plugin-bakery/internal/localcloud"
)

// report is the section of docs/benchmarks.md.
func report(r *results, counts []int) (string, error) {
	one, err := oneTable(r)
	if err != nil {
		return "", err
	}
	many, err := manyTable(r, counts)
	if err != nil {
		return "", err
	}
	calls, err := callsTable(r)
	if err != nil {
		return "", err
	}
	goals, err := goalTable(r)
	if err != nil {
		return "", err
	}
	return "## bakery-chroot and amazon-chroot\n\n" + r.Conditions.Text() + `
Both builders bake [one template](../bench/builder/bake.pkr.hcl), in which only the
type of the source differs: a Debian root of 240 MB gets a package of 20 MB, which
is uploaded and unpacked, 40 MB written in all. Both meet the same
` + "`bakery local serve --latency aws`" + ` over HTTP. They take turns.

` + goals + `
### One bake

` + one + `
- Provisioning is the time from the begin of the first provisioner to the end of
  the last; the fixed part is all the rest.
- The cloud's part is the time, outside of provisioning, in which the cloud was
  answering a call of the bake, or something that the bake had asked for was not
  ready by the [table of delays](#delays-of-the-local-cloud). What overlaps counts once. A detachment
  counts for both, though only amazon-chroot waits for it.
- A builder's own time is the fixed part without the cloud's: starting Packer and
  plugins, mounting, cleaning up, and noticing late that the cloud was ready.
- The CPU time is that of Packer and its plugins.
- bakery-chroot remembers how long its waits took on a host. The first round is the
  first on a host that knows nothing yet: it looks most often and notices latest.
- amazon-chroot looks every 15 s, every 5 s for attachments. The delays of the model
  for a snapshot and an attachment are whole multiples of that, so it notices these
  two at once; with other delays it would not. "Polling every 1 s" is the same with
  ` + "`aws_polling { delay_seconds = 1 }`" + `.

### Many bakes at once

Each with a Packer process of its own, all started at the same time; the time until
the last has ended. amazon-chroot holds a lock of the host from before a volume is
created until it is attached, so bakes begin one after the other.

` + many + `
### API calls

Of one bake, without instance metadata.

` + calls, nil
}

// delays is the section on the model that the times rest on.
func delays() (string, error) {
	table, err := delayTable()
	return "## Delays of the local cloud\n\nThe model of `--latency aws`, as `bakery local latency` shows it. " +
		"Nothing of it was\nmeasured against AWS.\n\n" + table, err
}

// goalTable compares what was measured with what the project wants.
func goalTable(r *results) (string, error) {
	theirs, ours := r.One[peer.String()], r.One[bakery.String()]
	rounds := min(len(theirs), len(ours))
	own, calls := figuresOfOne.own, func(f figuresOfOne) float64 { return float64(f.Calls) }
	ownRatio, err := series(ours, rounds, own).Ratios(series(theirs, rounds, own))
	if err != nil {
		return "", err
	}
	callRatio, err := series(ours, rounds, calls).Ratios(series(theirs, rounds, calls))
	if err != nil {
		return "", err
	}
	var atOnce figures.Series
	p, okP := r.Many[many(peer, 16)]
	b, okB := r.Many[many(bakery, 16)]
	if okP && okB {
		atOnce = figures.Series{b.Wall / p.Wall}
	}
	var rows [][]string
	for _, goal := range []struct {
		name, limit, unit string
		got               figures.Series
		met               func(median float64) bool
	}{
		{"own time, part of amazon-chroot's", "at most 0.10", "", ownRatio, func(v float64) bool { return v <= 0.1 }},
		{"own time", "under 3 s", "s", series(ours, rounds, own), func(v float64) bool { return v < 3 }},
		{"API calls, part of amazon-chroot's", "under 1", "", callRatio, func(v float64) bool { return v < 1 }},
		{"16 bakes at once, part of amazon-chroot's time", "at most 0.25", "", atOnce, func(v float64) bool { return v <= 0.25 }},
	} {
		verdict := "missed"
		switch {
		case len(goal.got) == 0:
			verdict = "not measured"
		case goal.met(goal.got.Median()):
			verdict = "met"
		}
		median := goal.got
		if len(median) > 0 {
			median = figures.Series{goal.got.Median()}
		}
		rows = append(rows, []string{goal.name, goal.limit, median.Cell(goal.unit), verdict})
	}
	return figures.Table([]string{"goal", "wanted", "median", "verdict"}, rows)
}

func oneTable(r *results) (string, error) {
	builders := []builder{peer, peerQuick, bakery}
	header := []string{"seconds"}
	for _, b := range builders {
		header = append(header, b.String())
	}
	header = append(header, "bakery / amazon", "bakery / amazon, 1 s")
	var rows [][]string
	for _, line := range []struct {
		name string
		pick func(figuresOfOne) float64
	}{
		{"wall time", func(f figuresOfOne) float64 { return f.Wall }},
		{"provisioning", func(f figuresOfOne) float64 { return f.Provision }},
		{"fixed part", figuresOfOne.fixed},
		{"of that, the cloud's", func(f figuresOfOne) float64 { return f.Cloud }},
		{"of that, own time", figuresOfOne.own},
		{"CPU time", func(f figuresOfOne) float64 { return f.CPU }},
		{"API calls (number)", func(f figuresOfOne) float64 { return float64(f.Calls) }},
	} {
		row := []string{line.name}
		for _, b := range builders {
			list := r.One[b.String()]
			row = append(row, series(list, len(list), line.pick).Cell(""))
		}
		for _, base := range []builder{peer, peerQuick} {
			cell, err := ratio(r.One[bakery.String()], r.One[base.String()], line.pick)
			if err != nil {
				return "", err
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	return figures.Table(header, rows)
}

// ratio compares the rounds that both have.
func ratio(of, to []figuresOfOne, pick func(figuresOfOne) float64) (string, error) {
	rounds := min(len(of), len(to))
	ratios, err := series(of, rounds, pick).Ratios(series(to, rounds, pick))
	if err != nil {
		return "", err
	}
	return ratios.Cell(""), nil
}

func manyTable(r *results, counts []int) (string, error) {
	var rows [][]string
	for _, n := range counts {
		p, okP := r.Many[many(peer, n)]
		b, okB := r.Many[many(bakery, n)]
		if !okP || !okB {
			continue
		}
		rows = append(rows, []string{
			fmt.Sprint(n), figures.Series{p.Wall}.Cell("s"), figures.Series{b.Wall}.Cell("s"), figures.Series{b.Wall / p.Wall}.Cell(""),
			perBake(p.Calls, n), perBake(b.Calls, n), figures.Series{p.CPU}.Cell("s"), figures.Series{b.CPU}.Cell("s"),
		})
	}
	return figures.Table([]string{"at once", "amazon-chroot", "bakery-chroot", "bakery / amazon",
		"calls per bake, amazon", "bakery", "CPU time, amazon", "bakery"}, rows)
}

func perBake(calls, n int) string { return figures.Series{float64(calls) / float64(n)}.Cell("") }

// callsTable has the calls of the last round of each.
func callsTable(r *results) (string, error) {
	last := func(b builder) map[string]int {
		list := r.One[b.String()]
		if len(list) == 0 {
			return nil
		}
		return list[len(list)-1].ByAction
	}
	p, b := last(peer), last(bakery)
	actions := maps.Clone(p)
	if actions == nil {
		actions = map[string]int{}
	}
	maps.Copy(actions, b)
	var rows [][]string
	for _, action := range slices.Sorted(maps.Keys(actions)) {
		rows = append(rows, []string{action, fmt.Sprint(p[action]), fmt.Sprint(b[action])})
	}
	return figures.Table([]string{"action", "amazon-chroot", "bakery-chroot"}, rows)
}

// delayTable is the model of the cloud's delays.
func delayTable() (string, error) {
	var rows [][]string
	for _, d := range localcloud.AWSDelays() {
		action, settle := d.Action, seconds(d.Settle)
		if action == "" {
			action = "any other"
		}
		if d.PerGiB > 0 {
			settle += " + " + seconds(d.PerGiB) + "/GiB"
		}
		rows = append(rows, []string{action, seconds(d.Answer), settle, d.Basis()})
	}
	table, err := figures.Table([]string{"action", "answered after", "ready after that", "basis"}, rows)
	return strings.Replace(table, "---:|---:|---:|", "---:|---:|---|", 1), err
}

func seconds(d time.Duration) string { return fmt.Sprintf("%g s", d.Seconds()) }
