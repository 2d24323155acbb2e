package figures

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSeries(t *testing.T) {
	for _, c := range []struct {
		name                              string
		s                                 Series
		median, lower, upper, least, most float64
		cell                              string
	}{
		{"one", Series{4}, 4, 4, 4, 4, 4, "4 s"},
		{"odd, unsorted", Series{9, 1, 5, 3, 7}, 5, 3, 7, 1, 9, "5 s (1 to 9)"},
		{"even", Series{1, 2, 3, 4}, 2.5, 1.75, 3.25, 1, 4, "2.50 s (1 to 4)"},
		{"outlier", Series{10, 10.5, 11, 1000}, 10.75, 10.375, 258.25, 10, 1000, "10.8 s (10 to 1000)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := append(Series(nil), c.s...)
			lower, upper := c.s.Quartiles()
			least, most := c.s.Range()
			got := []float64{c.s.Median(), lower, upper, least, most}
			if diff := cmp.Diff([]float64{c.median, c.lower, c.upper, c.least, c.most}, got); diff != "" {
				t.Errorf("median, quartiles, range (-want +got):\n%s", diff)
			}
			if got := c.s.Cell("s"); got != c.cell {
				t.Errorf("Cell is %q, want %q", got, c.cell)
			}
			if diff := cmp.Diff(before, c.s); diff != "" {
				t.Errorf("the series has changed (-before +after):\n%s", diff)
			}
		})
	}
	if !math.IsNaN(Series(nil).Median()) {
		t.Error("the median of nothing is a number")
	}
	if got := Series(nil).Cell("s"); got != "-" {
		t.Errorf("nothing measured is shown as %q", got)
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 12: "12", 1234567: "1234567", 1234.5: "1234", 99.96: "100", 12.34: "12.3", 9.996: "10.0",
		1.239: "1.24", 0.1: "0.10", 0.0123: "0.012", -2.5: "-2.50",
	} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestRatios(t *testing.T) {
	// A busy second round changes both, and not their ratio.
	got, err := Series{2, 20, 4}.Ratios(Series{8, 80, 8})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Series{0.25, 0.25, 0.5}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, base := range []Series{{1, 2}, {1, 0, 1}} {
		if got, err := (Series{1, 2, 3}).Ratios(base); err == nil {
			t.Errorf("ratios to %v are %v", base, got)
		}
	}
}

func TestTable(t *testing.T) {
	got, err := Table([]string{"what", "a", "b"}, [][]string{{"wall | all", "1", "2"}, {"two\nlines", "", "-"}})
	want := "| what | a | b |\n|---|---:|---:|\n| wall \\| all | 1 | 2 |\n| two lines |  | - |\n"
	if err != nil || got != want {
		t.Errorf("got %v\n%s\nwant\n%s", err, got, want)
	}
	if _, err := Table([]string{"a"}, [][]string{{"1", "2"}}); err == nil {
		t.Error("a row may be longer than the header")
	}
}

func TestWriteSection(t *testing.T) {
	file := filepath.Join(t.TempDir(), "benchmarks.md")
	write := func(name, text string) {
		t.Helper()
		if err := WriteSection(file, name, text); err != nil {
			t.Fatal(err)
		}
	}
	read := func() string {
		t.Helper()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	write("one", "first")
	if got, want := read(), "<!-- begin one -->\n\nfirst\n\n<!-- end one -->\n"; got != want {
		t.Errorf("a new file is %q, want %q", got, want)
	}
	const document = "# Benchmarks\n\nBy hand.\n\n<!-- begin one -->\nold\n<!-- end one -->\n\nBetween, $1 \\0.\n\n<!-- begin two -->\ntwo\n<!-- end two -->\nlast, without a newline"
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	write("one", "\n## One\n\nnew $1\n")
	want := strings.Replace(document, "\nold\n", "\n\n## One\n\nnew $1\n\n", 1)
	if diff := cmp.Diff(want, read()); diff != "" {
		t.Errorf("a section was replaced (-want +got):\n%s", diff)
	}
	write("three", "third")
	want += "\n\n<!-- begin three -->\n\nthird\n\n<!-- end three -->\n"
	if diff := cmp.Diff(want, read()); diff != "" {
		t.Errorf("a section was added (-want +got):\n%s", diff)
	}
	write("three", "third")
	if diff := cmp.Diff(want, read()); diff != "" {
		t.Errorf("a section was written again (-want +got):\n%s", diff)
	}
	if files, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".*")); len(files) > 0 {
		t.Errorf("files are left: %v", files)
	}
}

func TestWriteSectionRefuses(t *testing.T) {
	for name, c := range map[string]struct{ document, section, text string }{
		"no end":       {"<!-- begin a -->\n", "a", "x"},
		"no begin":     {"<!-- end a -->\n", "a", "x"},
		"wrong order":  {"<!-- end a -->\n<!-- begin a -->\n", "a", "x"},
		"twice":        {strings.Repeat("<!-- begin a -->\n<!-- end a -->\n", 2), "a", "x"},
		"name":         {"", "a -->", "x"},
		"marker in it": {"", "a", "<!-- end a -->"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "benchmarks.md")
			if err := os.WriteFile(file, []byte(c.document), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := WriteSection(file, c.section, c.text); err == nil {
				t.Error("no error")
			}
			if text, _ := os.ReadFile(file); string(text) != c.document {
				t.Errorf("the file has changed to %q", text)
			}
		})
	}
}

func TestMachine(t *testing.T) {
	var m Machine
	err := m.read(map[string]string{
		"/proc/cpuinfo":              "processor\t: 0\nmodel name\t: Swift Seven\nflags\t\t: fpu hypervisor sse\n",
		"/proc/meminfo":              "MemTotal:        8143220 kB\nMemFree: 1 kB\n",
		"/proc/sys/kernel/osrelease": "6.1.0-9-amd64\n",
		"/proc/loadavg":              "0.42 0.30 0.20 1/234 5678\n",
		"/etc/os-release":            "NAME=\"Debian GNU/Linux\"\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n",
	})
	m.Cores = 2
	if err != nil {
		t.Fatal(err)
	}
	got := Conditions{
		Machine: m, Versions: []string{"packer 1.16.0"}, Command: "make bench PART=x",
		When: time.Date(2026, 11, 21, 1, 0, 0, 0, time.FixedZone("", 7200)),
	}.Text()
	for _, want := range []string{
		"2026-11-20", "`make bench PART=x`", "packer 1.16.0, go1.", "load before the run 0.42",
		"Swift Seven, 2 cores, 7.8 GiB memory (virtual machine), Debian GNU/Linux 13 (trixie), Linux 6.1.0-9-amd64",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if err := new(Machine).read(map[string]string{"/proc/meminfo": "MemTotal: lots\n"}); err == nil {
		t.Error("a machine without memory is no error")
	}
}
