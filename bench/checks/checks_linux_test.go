package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/imagebakery/packer-plugin-bakery/bench/figures"
)

// TestMain lets this program be the client over ssh, as main does.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == clientWord {
		end(client(context.Background(), os.Args[2:]))
		return
	}
	os.Exit(m.Run())
}

func TestVerdicts(t *testing.T) {
	for name, tc := range map[string]struct {
		tool, said     string
		passed, failed int
		ok             bool
	}{
		"bakery":            {bakery, "suite 10: 10 checks: 10 passed\n10 checks in 12ms: 10 passed\n", 10, 0, true},
		"bakery, one":       {bakery, "1 check in 1.2s: 1 passed\nbytes sent: 900\n", 1, 0, true},
		"bakery, failed":    {bakery, "10 checks in 12ms: 9 passed, 1 failed\nbakery: 1 of 10 checks failed\n", 9, 1, true},
		"bakery, all":       {bakery, "2 checks in 12ms: 2 failed\n", 0, 2, true},
		"bakery, error":     {bakery, "10 checks in 12ms: 9 passed, 1 error\n", 0, 0, false},
		"bakery, deferred":  {bakery, "10 checks in 12ms: 9 passed, 1 deferred\n", 0, 0, false},
		"bakery, nothing":   {bakery, "bakery: no such file\n", 0, 0, false},
		"goss":              {goss, "..\n\nTotal Duration: 0.002s\nCount: 10, Failed: 0, Skipped: 0\n", 10, 0, true},
		"goss, failed":      {gossUploaded, "Count: 10, Failed: 1, Skipped: 0\n", 9, 1, true},
		"goss, skipped":     {goss, "Count: 10, Failed: 1, Skipped: 3\n", 9, 1, false},
		"goss, nothing":     {goss, "Error: no such file\n", 0, 0, false},
		"serverspec":        {serverspec, "\nFinished in 0.1 seconds\n10 examples, 0 failures\n", 10, 0, true},
		"serverspec, one":   {serverspec, "1 example, 1 failure\n", 0, 1, true},
		"serverspec, error": {serverspec, "0 examples, 0 failures, 1 error occurred outside of examples\n", 0, 0, false},
	} {
		passed, failed, ok := verdicts(tc.tool, tc.said)
		if ok != tc.ok || ok && (passed != tc.passed || failed != tc.failed) {
			t.Errorf("%s: %d passed, %d failed, %v", name, passed, failed, ok)
		}
	}
	for _, o := range []outcome{{passed: 9, failed: 1, good: true}, {passed: 10, good: false}, {passed: 9, good: true}} {
		if o.expect(10, 0) == nil {
			t.Errorf("%+v is taken for 10 checks that have passed", o)
		}
	}
	if err := (outcome{passed: 9, failed: 1}).expect(9, 1); err != nil {
		t.Error(err)
	}
}

// testWorld has what suites name, and no image.
func testWorld() *world {
	w := &world{}
	for i := range 2 {
		w.applications = append(w.applications, application{
			name: "app-0" + string(rune('0'+i)), config: "/etc/a.conf", program: "/usr/local/bin/a", state: "/var/lib/a", setting: "listen = 1", says: "a 1", id: 900,
		})
		w.packages = append(w.packages, installed{"p" + string(rune('0'+i)), "1:2.3+x"}, installed{"q" + string(rune('0'+i)), "1"})
	}
	return w
}

// TestSuites makes sure that a suite of n checks has n in each tool's words.
func TestSuites(t *testing.T) {
	for _, n := range []int{1, 2, 10, 20, 27} {
		s := suiteOf(testWorld(), n)
		claims := 0
		for _, sub := range s {
			claims += len(sub.claims)
		}
		if claims != n {
			t.Errorf("a suite of %d checks has %d", n, claims)
		}
		for tool, text := range map[string]string{"bakery-spec": s.spec(), "goss": s.goss()} {
			lines := 0
			for line := range strings.Lines(text) {
				if strings.HasPrefix(line, "  ") && !strings.HasSuffix(line, ":\n") {
					lines++
				}
			}
			if lines != n {
				t.Errorf("%s has %d of %d checks:\n%s", tool, lines, n, text)
			}
		}
		ruby := s.serverspec("")
		if lines := strings.Count(ruby, "  it { ") + strings.Count(ruby, "  its("); lines != n {
			t.Errorf("Serverspec has %d of %d checks:\n%s", lines, n, ruby)
		}
	}
	right, wrong := suiteOf(testWorld(), 10), suiteOf(testWorld(), 10).withMistake()
	for tool, texts := range map[string][2]string{
		bakery: {right.spec(), wrong.spec()}, goss: {right.goss(), wrong.goss()}, serverspec: {right.serverspec(""), wrong.serverspec("")},
	} {
		before, after := strings.Split(texts[0], "\n"), strings.Split(texts[1], "\n")
		differ := 0
		for i := range before {
			if before[i] != after[i] {
				differ++
			}
		}
		if len(before) != len(after) || differ != 1 {
			t.Errorf("%s: %d lines differ, want 1", tool, differ)
		}
	}
}

func TestRounds(t *testing.T) {
	limit := options{rounds: 15, slow: 3, slowest: 1}.limit([]int{1, 1000})
	for _, tc := range []struct {
		tool, place string
		checks      int
		want        int
	}{
		{bakery, inChroot, 1000, 15}, {gossUploaded, overSSH, 1000, 15}, {serverspec, inChroot, 1000, 3}, {serverspec, overSSH, 1, 3}, {serverspec, overSSH, 1000, 1},
	} {
		if got := limit(tc.tool, tc.place, tc.checks); got != tc.want {
			t.Errorf("%s, %s, %d checks: %d rounds, want %d", tc.tool, tc.place, tc.checks, got, tc.want)
		}
	}
	for _, text := range []string{"", "x", "0", "10,1", "1,1", "2000"} {
		if _, err := numbers(text); err == nil {
			t.Errorf("%q is taken for growing numbers of checks", text)
		}
	}
	if got, err := numbers("1,10"); err != nil || !slices.Equal(got, []int{1, 10}) {
		t.Errorf("1,10 is %v, %v", got, err)
	}
}

func TestReport(t *testing.T) {
	r := newResults(figures.Conditions{Command: "make bench PART=checks"}, []int{1, 1000}, true)
	fill := func(tool, place string, checks int, milliseconds ...float64) {
		r.took[cell{tool, place, checks}] = milliseconds
	}
	fill(bakery, inChroot, 1, 30, 31, 30)
	fill(goss, inChroot, 1, 9, 10, 11)
	fill(serverspec, inChroot, 1, 300)
	fill(bakery, inChroot, 1000, 200, 220, 200)
	fill(goss, inChroot, 1000, 400, 440, 500)
	fill(serverspec, inChroot, 1000, 5000)
	fill(bakery, overSSH, 1000, 500, 500, 500)
	fill(goss, overSSH, 1000, 400, 510, 490)
	r.sent[cell{gossUploaded, overSSH, 1000}] = 15 << 20
	text, err := report(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| 1,000 checks in a chroot, as fast as goss | at least 2 times | 2 (2 to 2.50) | met |",
		"| 1,000 checks in a chroot, as fast as Serverspec | at least 30 times | 25 | missed |",
		"| 1,000 checks over ssh, as fast as goss | more than 1 time | 0.98 (0.80 to 1.02) | missed |",
		"| 1,000 checks over ssh, as fast as goss, uploaded | more than 1 time | - | not measured |",
		"| starting up in a chroot (1 check), longer than goss | at most 20 ms | 21 ms (19 to 21) | missed |",
		"| goss / bakery-spec | 0.32 (0.30 to 0.37) | 2 (2 to 2.50) |",
		"| goss, uploaded | - | - | 15 MiB |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

// TestSmoke runs the benchmark with few checks, without Serverspec, on the root
// that make rootfs has made.
func TestSmoke(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: chroot, mounts and namespaces")
	}
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{filepath.Join(bin, "goss"), filepath.Join(bin, "cache/debian-bookworm.complete"), sshd} {
		if _, err := os.Stat(file); err != nil {
			t.Skipf("needs what `make goss rootfs` and scripts/host-tools.sh tests install: %v", err)
		}
	}
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "bakery"), "../../cmd/bakery").CombinedOutput(); err != nil {
		t.Fatalf("build bakery: %v: %s", err, out)
	}
	for _, name := range []string{"goss", "cache"} {
		if err := os.Symlink(filepath.Join(bin, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.ReadDir(os.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	docs := filepath.Join(dir, "benchmarks.md")
	if err := bench(t.Context(), options{sizes: "1,10", rounds: 2, bin: dir, docs: docs}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<!-- begin checks -->", "| bakery-spec | ", "| goss, uploaded | ", "### Over ssh", "goss v0.4.9"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	after, err := os.ReadDir(os.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ours := func(entries []os.DirEntry) (names []string) {
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), "bakery-bench-checks-") {
				names = append(names, e.Name())
			}
		}
		return names
	}
	if diff := cmp.Diff(ours(before), ours(after)); diff != "" {
		t.Errorf("what the benchmark has left (-before +after):\n%s", diff)
	}
}
