// Package figures is what the benchmarks under bench/ share: what many
// measurements say in few numbers, the conditions that they were taken under,
// and the section of docs/benchmarks.md that they go into.
//
// A benchmark is a program in a folder of its own under bench/; `make bench`
// runs them all, `make bench PART=NAME` one of them.
package figures

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Series are measurements of one quantity, in the order in which they were
// taken. The figures of an empty series are NaN.
type Series []float64

// Median is the value that half of the measurements do not exceed.
func (s Series) Median() float64 { return s.quantile(0.5) }

// Quartiles are the values that a quarter and three quarters of the
// measurements do not exceed.
func (s Series) Quartiles() (lower, upper float64) { return s.quantile(0.25), s.quantile(0.75) }

// Range is the least and the greatest measurement.
func (s Series) Range() (least, greatest float64) { return s.quantile(0), s.quantile(1) }

// quantile interpolates between the two nearest measurements (type 7 of
// Hyndman and Fan, "Sample Quantiles in Statistical Packages", 1996: what most
// spreadsheets and statistics programs do).
func (s Series) quantile(p float64) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	at := p * float64(len(sorted)-1)
	below := int(at)
	above := min(below+1, len(sorted)-1)
	return sorted[below] + (at-float64(below))*(sorted[above]-sorted[below])
}

// Ratios divides the measurements of s by those of base that were taken in the
// same round. What disturbs both of a round alike, such as a busy machine,
// cancels out, which it does not in a ratio of two medians.
func (s Series) Ratios(base Series) (Series, error) {
	if len(s) != len(base) {
		return nil, fmt.Errorf("compare measurements: %d of one, %d of the other", len(s), len(base))
	}
	ratios := make(Series, len(s))
	for i := range s {
		if base[i] == 0 {
			return nil, fmt.Errorf("compare measurements: round %d of what to compare with is 0", i+1)
		}
		ratios[i] = s[i] / base[i]
	}
	return ratios, nil
}

// Cell is how a table shows a series: the median, and the range in parentheses
// unless all measurements are equal.
func (s Series) Cell(unit string) string {
	if len(s) == 0 {
		return "-"
	}
	if unit != "" {
		unit = " " + unit
	}
	least, greatest := s.Range()
	if least == greatest {
		return number(least) + unit
	}
	return fmt.Sprintf("%s%s (%s to %s)", number(s.Median()), unit, number(least), number(greatest))
}

// number keeps three significant digits, and all of a whole number.
func number(v float64) string {
	size := math.Abs(v)
	switch {
	case v == math.Trunc(v) && size < 1e15:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case size >= 99.95:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case size >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case size >= 0.0995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// Table is a table in Markdown. The first column is text, the others are set
// to the right. Each row has a cell for each column.
func Table(header []string, rows [][]string) (string, error) {
	var out strings.Builder
	line := func(cells []string) {
		for _, cell := range cells {
			cell = strings.ReplaceAll(strings.ReplaceAll(cell, "|", "\\|"), "\n", " ")
			out.WriteString("| " + cell + " ")
		}
		out.WriteString("|\n")
	}
	line(header)
	out.WriteString("|---" + strings.Repeat("|---:", max(0, len(header)-1)) + "|\n")
	for _, row := range rows {
		if len(row) != len(header) {
			return "", fmt.Errorf("a table of %d columns has a row of %d: %q", len(header), len(row), row)
		}
		line(row)
	}
	return out.String(), nil
}
