package main

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/imagebakery/packer-plugin-bakery/bench/figures"
)

// report is the section of docs/benchmarks.md.
func report(r *results) (string, error) {
	goals, err := goalTable(r)
	if err != nil {
		return "", err
	}
	var tables strings.Builder
	for _, place := range places {
		table, err := placeTable(r, place)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&tables, "### %s\n\n%s\n%s\n", headings[place], table, notes[place])
	}
	return "## bakery-spec, goss and Serverspec\n\n" + r.conditions.Text() + fmt.Sprintf(`
The three tools check the same things of one Debian image, with the same number of
verdicts: of every %d checks, 8 are about two files (existence, mode, owner, content),
4 about two packages (installed, version), 2 each about a user and a group, one
about an enabled service, and 3 about two commands. They take turns, and every run
must say that all checks have passed. Before that, each tool must find the one check
that does not hold among %d. Times are those of whole processes, in milliseconds.

`, perApplication, controlChecks) + goals + "\n" + tables.String(), nil
}

var headings = map[string]string{inChroot: "In a chroot", overSSH: "Over ssh"}

var notes = map[string]string{
	inChroot: "- bakery-spec is `bakery spec run --root DIR`: it makes and leaves a sandbox in each run,\n" +
		"  and nothing is put into the image.\n" +
		"- goss is `chroot DIR goss validate`; that the program was copied into the image before\n" +
		"  is not counted.\n" +
		"- Serverspec has no backend for a chroot: its shell is `chroot DIR /bin/sh`.\n",
	overSSH: "A real sshd on loopback, whose sessions are in the image; connecting counts for all.\n\n" +
		"- bakery-spec is the provisioner over Packer's communicator. It also reads for\n" +
		"  bakery-lineage what is installed.\n" +
		"- goss runs over the same communicator; its suite is uploaded. \"goss\" is there already,\n" +
		"  \"goss, uploaded\" is brought along and removed, as it is on a fresh image.\n" +
		"- Serverspec has its own client, with one connection for all.\n",
}

// goalTable compares what was measured with what the project wants.
func goalTable(r *results) (string, error) {
	most, least := r.most(), r.sizes[0]
	checks := humanize.Comma(int64(most)) + " checks"
	var rows [][]string
	for _, goal := range []struct {
		place, tool string
		checks      int
		least       float64 // times as fast
	}{
		{inChroot, goss, most, 2}, {inChroot, serverspec, most, 30}, {overSSH, goss, most, 1}, {overSSH, gossUploaded, most, 1},
	} {
		faster, err := r.ratios(cell{goal.tool, goal.place, goal.checks}, cell{bakery, goal.place, goal.checks})
		if err != nil {
			return "", err
		}
		wanted := fmt.Sprintf("at least %g times", goal.least)
		if goal.least == 1 {
			wanted = "more than 1 time"
		}
		rows = append(rows, goalRow(fmt.Sprintf("%s %s, as fast as %s", checks, phrases[goal.place], goal.tool), wanted, "", faster,
			func(median float64) bool { return median > goal.least || median == goal.least && goal.least > 1 }))
	}
	const extra = 20 // milliseconds
	more := r.differences(cell{bakery, inChroot, least}, cell{goss, inChroot, least})
	rows = append(rows, goalRow(fmt.Sprintf("starting up in a chroot (%s), longer than goss", count(least)), fmt.Sprintf("at most %d ms", extra), "ms", more,
		func(median float64) bool { return median <= extra }))
	return figures.Table([]string{"goal", "wanted", "median", "verdict"}, rows)
}

var phrases = map[string]string{inChroot: "in a chroot", overSSH: "over ssh"}

func count(n int) string {
	if n == 1 {
		return "1 check"
	}
	return humanize.Comma(int64(n)) + " checks"
}

func goalRow(name, wanted, unit string, got figures.Series, met func(median float64) bool) []string {
	verdict := "missed"
	switch {
	case len(got) == 0:
		verdict = "not measured"
	case met(got.Median()):
		verdict = "met"
	}
	return []string{name, wanted, got.Cell(unit), verdict}
}

// placeTable has a line for each tool with its times, and one for each other
// tool with how many times as long as bakery-spec that took.
func placeTable(r *results, place string) (string, error) {
	header := []string{"milliseconds"}
	for _, n := range r.sizes {
		header = append(header, count(n))
	}
	var rows [][]string
	if place == overSSH {
		header = append(header, "sent with "+humanize.Comma(int64(r.most())))
	}
	for _, tool := range r.tools[place] {
		row := []string{tool}
		for _, n := range r.sizes {
			row = append(row, r.took[cell{tool, place, n}].Cell(""))
		}
		if place == overSSH {
			sent := "-"
			if n := r.sent[cell{tool, place, r.most()}]; n > 0 {
				sent = humanize.IBytes(uint64(n))
			}
			row = append(row, sent)
		}
		rows = append(rows, row)
	}
	for _, tool := range r.tools[place][1:] {
		row := []string{tool + " / " + bakery}
		for _, n := range r.sizes {
			ratios, err := r.ratios(cell{tool, place, n}, cell{bakery, place, n})
			if err != nil {
				return "", err
			}
			row = append(row, ratios.Cell(""))
		}
		if place == overSSH {
			row = append(row, "")
		}
		rows = append(rows, row)
	}
	return figures.Table(header, rows)
}
