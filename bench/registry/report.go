package main

import (
	"fmt"

	"github.com/dustin/go-humanize"

	"github.com/imagebakery/packer-plugin-bakery/bench/figures"
)

// goal is how long the question that every bake begins with may take, in
// milliseconds, however large the registry is.
const goal = 5

// report is the section of docs/benchmarks.md.
func report(conditions figures.Conditions, all []measured) (string, error) {
	first, last := all[0], all[len(all)-1]
	header := []string{"milliseconds"}
	for _, m := range all {
		header = append(header, humanize.Comma(int64(m.size))+" images")
	}
	header = append(header, fmt.Sprintf("%s / %s", humanize.Comma(int64(last.size)), humanize.Comma(int64(first.size))))
	var rows [][]string
	for i, q := range questions {
		row := []string{q.name}
		for _, m := range all {
			row = append(row, middle(m.took[i]))
		}
		rows = append(rows, append(row, figures.Series{last.took[i].Median() / first.took[i].Median()}.Cell("")))
	}
	row := []string{"registering an image, without waiting for the disk"}
	for _, m := range all {
		row = append(row, figures.Series{m.fill}.Cell(""))
	}
	rows = append(rows, append(row, figures.Series{last.fill / first.fill}.Cell("")))
	table, err := figures.Table(header, rows)
	if err != nil {
		return "", err
	}
	verdict := "is met"
	if worst := last.took[0].Median(); worst >= goal {
		verdict = "is missed"
	}
	return "## The registry\n\n" + conditions.Text() + fmt.Sprintf(`
A registry in one SQLite file of %s: %s images in %d lines, each image with a
test result, an event and %d packages, %s in all. Lines are applications on bases
on foundations; the smaller registries have fewer versions of each. Every answer
is checked. A cell shows the median, and in parentheses the middle half.

`, humanize.IBytes(uint64(last.bytes)), humanize.Comma(int64(last.size)), lines, packagesPerImage, humanize.Comma(int64(last.packages))) +
		table + fmt.Sprintf(`
The goal, to find the newest tested image within %d ms at any size, %s.
`, goal, verdict), nil
}

// middle is the median and the middle half of the measurements: some of many
// wait for other programs of the machine.
func middle(s figures.Series) string {
	lower, upper := s.Quartiles()
	number := func(v float64) string { return figures.Series{v}.Cell("") }
	return fmt.Sprintf("%s (%s to %s)", number(s.Median()), number(lower), number(upper))
}
