package main

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/imagebakery/packer-plugin-bakery/bench/figures"
	"github.com/imagebakery/packer-plugin-bakery/internal/localcloud"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

func between(from, to float64) span { return span{at(from), at(to)} }

func TestLength(t *testing.T) {
	for name, c := range map[string]struct {
		spans []span
		want  time.Duration
	}{
		"nothing":       {nil, 0},
		"one":           {[]span{between(2, 5)}, 3 * time.Second},
		"overlapping":   {[]span{between(2, 5), between(4, 6)}, 4 * time.Second},
		"inside":        {[]span{between(2, 8), between(3, 4)}, 6 * time.Second},
		"not in order":  {[]span{between(7, 8), between(2, 3)}, 2 * time.Second},
		"over the edge": {[]span{between(-5, 1), between(9, 30)}, 2 * time.Second},
		"outside":       {[]span{between(-5, -1), between(10, 30)}, 0},
	} {
		if got := length(c.spans, between(0, 10)); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestMeasure splits up a bake of 30 s with provisioners from 10 s to 20 s.
func TestMeasure(t *testing.T) {
	calls := []localcloud.Served{
		{Began: at(1), Seconds: 0.25, Action: "DescribeImages"},
		{Began: at(2), Seconds: 0.5, Action: "CreateVolume"},                               // ready at 5.5
		{Began: at(5), Seconds: 0.25, Action: "DescribeVolumes"},                           // meanwhile
		{Began: at(6), Seconds: 0.25, Action: "CreateVolume", Error: "DryRunOperation"},    // makes nothing
		{Began: at(21), Seconds: 0.5, Action: "RegisterImage"},                             // ready at 23.5
		{Began: at(29), Seconds: 0.25, Action: "DeleteVolume"},                             // nobody waits for the end
		{Began: at(19), Seconds: 0.5, Action: "AttachVolume", Error: "", Service: "other"}, // ready at 24.5
	}
	f := measure(baked{all: between(0, 30), provision: between(10, 20), cpu: 3 * time.Second}, calls)
	want := figuresOfOne{
		Wall: 30, Provision: 10, CPU: 3, Calls: 7,
		// 0.25 + 3.5 + 0.25, and from 20 to 24.5, and 0.25.
		Cloud: 8.75,
		ByAction: map[string]int{
			"DescribeImages": 1, "CreateVolume": 2, "DescribeVolumes": 1, "RegisterImage": 1, "DeleteVolume": 1, "AttachVolume": 1,
		},
	}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if f.fixed() != 20 || f.own() != 11.25 {
		t.Errorf("fixed %v, own %v", f.fixed(), f.own())
	}
}

func TestAccessLog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "calls.log")
	const lines = `{"time":"2026-03-01T12:00:02Z","seconds":0.1,"service":"ec2","action":"B"}
{"time":"2026-03-01T12:00:01Z","seconds":0.1,"service":"imds","action":"/latest"}
{"time":"2026-03-01T12:00:01Z","seconds":0.1,"service":"sts","action":"A"}
`
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	actions := func(skip int) (names []string) {
		calls, n, err := accessLog{file}.since(skip)
		if err != nil || n != 3 {
			t.Fatalf("%d lines, %v", n, err)
		}
		for _, c := range calls {
			names = append(names, c.Action)
		}
		return names
	}
	if got := actions(0); !slices.Equal(got, []string{"A", "B"}) {
		t.Errorf("calls are %v", got)
	}
	if got := actions(2); !slices.Equal(got, []string{"A"}) {
		t.Errorf("calls after two lines are %v", got)
	}
	if err := os.WriteFile(file, []byte("half a li"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := (accessLog{file}).since(0); err == nil {
		t.Error("a damaged log is read")
	}
}

// TestPlan makes sure that builders take turns at being the first.
func TestPlan(t *testing.T) {
	var got []string
	for _, i := range newPlan(options{pairs: 3, quick: 1}, []int{4}) {
		got = append(got, i.String())
	}
	want := []string{
		"round 1, amazon-chroot", "round 1, bakery-chroot", "round 1, amazon-chroot, polling every 1 s",
		"round 2, bakery-chroot", "round 2, amazon-chroot",
		"round 3, amazon-chroot", "round 3, bakery-chroot",
		"4 bakes at once, bakery-chroot", "4 bakes at once, amazon-chroot",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestResume(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.json")
	now := figures.Conditions{Versions: []string{"packer 1"}}
	r, err := load(file, now, true)
	if err != nil {
		t.Fatal(err)
	}
	r.One[bakery.String()] = []figuresOfOne{{Wall: 3}}
	r.Many[many(bakery, 4)] = figuresOfMany{Wall: 5}
	if err := r.save(); err != nil {
		t.Fatal(err)
	}
	again, err := load(file, now, true)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, i := range newPlan(options{pairs: 2}, []int{4}) {
		if !i.done(again) {
			left = append(left, i.String())
		}
	}
	want := []string{"round 1, amazon-chroot", "round 2, bakery-chroot", "round 2, amazon-chroot", "4 bakes at once, amazon-chroot"}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Errorf("what is left to do (-want +got):\n%s", diff)
	}
	if fresh, err := load(file, now, false); err != nil || len(fresh.One) > 0 {
		t.Errorf("a new run begins with %v, %v", fresh, err)
	}
	if _, err := load(file, figures.Conditions{Versions: []string{"packer 2"}}, true); err == nil {
		t.Error("figures of other versions are mixed")
	}
}

func TestReport(t *testing.T) {
	one := func(wall, cloud float64, calls int) figuresOfOne {
		return figuresOfOne{Wall: wall, Provision: 1, Cloud: cloud, CPU: 2, Calls: calls, ByAction: map[string]int{"CreateVolume": 1, "DescribeVolumes": calls}}
	}
	r := &results{
		Conditions: figures.Conditions{Command: "make bench PART=builder"},
		One: map[string][]figuresOfOne{
			peer.String():      {one(111, 70, 30), one(121, 70, 30), one(131, 70, 32)},
			peerQuick.String(): {one(81, 70, 90)},
			bakery.String():    {one(73, 70, 20), one(74, 70, 20), one(75, 70, 20)},
		},
		Many: map[string]figuresOfMany{many(peer, 4): {Wall: 400, CPU: 8, Calls: 120}, many(bakery, 4): {Wall: 100, CPU: 6, Calls: 80}},
	}
	text, err := report(r, []int{4, 16})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| of that, own time | 50 (40 to 60) | 10 | 3 (2 to 4) | 0.06 (0.05 to 0.067) | 0.20 |",
		"| API calls (number) | 30 (30 to 32) | 90 | 20 | 0.67 (0.62 to 0.67) | 0.22 |",
		"| 4 | 400 s | 100 s | 0.25 | 30 | 20 | 8 s | 6 s |",
		"| DescribeVolumes | 32 | 20 |",
		"| own time, part of amazon-chroot's | at most 0.10 | 0.06 | met |",
		"| own time | under 3 s | 3 s | missed |",
		"| API calls, part of amazon-chroot's | under 1 | 0.67 | met |",
		"| 16 bakes at once, part of amazon-chroot's time | at most 0.25 | - | not measured |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if strings.Contains(text, "\n| 16 |") {
		t.Error("what was not measured has a line")
	}
}

var update = flag.Bool("update", false, "write the table of delays in docs/benchmarks.md anew")

// TestDelaysInTheDocumentation makes sure that the published table is that of
// the model.
func TestDelaysInTheDocumentation(t *testing.T) {
	const file = "../../docs/benchmarks.md"
	want, err := delays()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := figures.WriteSection(file, "delays", want); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), want) {
		t.Errorf("the delays of the local cloud have changed: measure anew with make bench PART=builder, or run this test with -update; they are now\n%s", want)
	}
}
