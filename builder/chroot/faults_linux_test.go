package chroot

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// calls notes calls in the order in which they are made.
type calls struct {
	mu  sync.Mutex
	all []string
}

func (c *calls) add(call, _ string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, call)
}

func (c *calls) list() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.all)
}

// everything are options that make a bake call all that it can call: it copies,
// replaces, shares, deprecates and protects.
func everything() map[string]any {
	return map[string]any{
		"ami_regions": []string{there}, "force_deregister": true, "force_delete_snapshot": true,
		"ami_users": []string{"111122223333"}, "snapshot_users": []string{"111122223333"}, "deprecate_after": "1y",
		"deregistration_protection": map[string]any{"enabled": true},
	}
}

// settledWorld is what everything leaves, without ids.
var settledWorld = []string{
	there + " image baked", there + " snapshot", here + " image baked", here + " image tiny", here + " snapshot",
}

func (w *world) kinds(t *testing.T) []string {
	t.Helper()
	var list []string
	for _, line := range w.contents(t) {
		words := strings.Fields(line)
		list = append(list, strings.Join(slices.Delete(words, 2, 3), " "))
	}
	slices.Sort(list)
	return list
}

// unprotect makes the baked images ones that the next bake can replace.
func (w *world) unprotect(t *testing.T) {
	t.Helper()
	for _, region := range []string{here, there} {
		c := w.client.InRegion(region)
		img, err := c.ImageNamed(t.Context(), "baked")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.UnprotectImage(t.Context(), img.ID); err != nil {
			t.Fatal(err)
		}
	}
}

// faultCase is one fault in one call of a bake.
type faultCase struct {
	call string // RegisterImage
	nth  int    // of the calls of that name
	kind string // a column of the table
}

// rule is the fault in the words of the local cloud. A hang is an answer that
// is later than anybody waits.
func (f faultCase) rule() string {
	return fmt.Sprintf("%s=%s:1@%d", f.call, map[string]string{
		"error": "error:UnauthorizedOperation", "throttled": "throttle", "answer lost": "lose", "late": "late:300ms", "hang, Ctrl-C": "late:20s",
	}[f.kind], f.nth)
}

// dryRuns are how many calls of a name only ask whether they are permitted.
var dryRuns = map[string]int{"CreateVolume": 1, "RegisterImage": 1, "CopyImage": 1, "DeregisterImage": 2, "DeleteSnapshot": 2}

// TestFaults lets every call that a bake makes go wrong, in each way. After
// each nothing may be left of the bake, the error must be one and say what went
// wrong, and a following bake must succeed.
func TestFaults(t *testing.T) {
	disk := tinyDisk(t)
	w := newWorld(t, disk)
	w.must(t, everything())
	w.unprotect(t)
	made := new(calls)
	if out := w.bake(t, attempt{options: everything(), watch: made.add}); out.err != nil {
		t.Fatal(out.err)
	}
	wantPermitted(t, made.list())
	counts := map[string]int{}
	for _, call := range made.list() {
		service, name, _ := strings.Cut(call, ":")
		if service == "ec2" {
			counts[name]++
		}
	}
	var cases []faultCase
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		for nth := 1; nth <= counts[name]; nth++ {
			cases = append(cases, faultCase{name, nth, "error"})
		}
		for _, kind := range []string{"throttled", "answer lost", "late", "hang, Ctrl-C"} {
			cases = append(cases, faultCase{name, dryRuns[name] + 1, kind})
		}
	}
	table := faultTable{cells: map[faultCase]string{}}
	// Bakes wait more than they work, so more run at once than there are
	// processors.
	next := make(chan faultCase)
	var workers sync.WaitGroup
	for range 10 {
		workers.Go(func() {
			for f := range next {
				t.Run(strings.ReplaceAll(fmt.Sprintf("%s %d %s", f.call, f.nth, f.kind), " ", "-"), func(t *testing.T) {
					table.set(f, survive(t, disk, f))
				})
			}
		})
	}
	for _, f := range cases {
		next <- f
	}
	close(next)
	workers.Wait()
	t.Log(table.text(counts))
}

// survive bakes with the fault and says what came of it: "good", or "undone".
func survive(t *testing.T, disk string, f faultCase) string {
	w := newWorld(t, disk)
	first := w.must(t, everything())
	w.unprotect(t)
	before := w.kinds(t)
	if diff := cmp.Diff(settledWorld, before); diff != "" {
		t.Fatalf("before the fault (-want +got):\n%s\n%s", diff, first.said)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := new(calls)
	begin := time.Now()
	out := w.bake(t, attempt{options: everything(), faults: []string{f.rule()}, ctx: ctx, watch: func(call, region string) {
		seen.add(call, region)
		if f.kind == "hang, Ctrl-C" && call == "ec2:"+f.call && count(seen.list(), call) == f.nth {
			time.AfterFunc(50*time.Millisecond, cancel)
		}
	}})
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("the bake took %v", took)
	}
	wantPermitted(t, seen.list())
	result := "good"
	if out.err != nil {
		result = "undone"
		f.checkError(t, out.err)
		if list := w.onHost(t); len(list) > 0 {
			t.Errorf("left on the host: %v\n%s", list, out.said)
		}
	} else {
		w.unprotect(t)
	}
	if len(w.onHost(t)) == 0 {
		if diff := cmp.Diff(settledWorld, w.kinds(t)); diff != "" {
			t.Errorf("after the fault (-want +got):\n%s\n%v\n%s", diff, out.err, out.said)
		}
	} else {
		// What could not be removed is listed, and the next bake removes it.
		result = "good, rest by the next bake"
	}

	if out := w.bake(t, attempt{options: everything()}); out.err != nil {
		t.Errorf("the following bake: %v\n%s", out.err, out.said)
	}
	if diff := cmp.Diff(settledWorld, w.kinds(t)); diff != "" {
		t.Errorf("after the following bake (-want +got):\n%s", diff)
	}
	if list := w.onHost(t); len(list) > 0 {
		t.Errorf("left on the host after the following bake: %v", list)
	}
	return result
}

func (f faultCase) checkError(t *testing.T, err error) {
	t.Helper()
	var want []string
	switch f.kind {
	case "error":
		want = []string{": ", f.call, "UnauthorizedOperation"}
	case "hang, Ctrl-C":
	default:
		t.Errorf("%s must not fail a bake: %v", f.kind, err)
	}
	if !containsAll(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error = %v\nwant one, with %q", err, want)
	}
}

func count(list []string, value string) int {
	n := 0
	for _, item := range list {
		if item == value {
			n++
		}
	}
	return n
}

// faultTable is what came of each case.
type faultTable struct {
	mu    sync.Mutex
	cells map[faultCase]string
}

func (f *faultTable) set(c faultCase, result string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cells[c] = result
}

// text is the table: a line for each call, a column for each kind of fault.
func (f *faultTable) text(counts map[string]int) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out strings.Builder
	kinds := []string{"throttled", "answer lost", "late", "hang, Ctrl-C"}
	fmt.Fprintf(&out, "calls and faults:\n%-38s %5s  %-28s", "call", "times", "error, in each")
	for _, kind := range kinds {
		fmt.Fprintf(&out, " %-14s", kind)
	}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		results := map[string]int{}
		for nth := 1; nth <= counts[name]; nth++ {
			results[f.cells[faultCase{name, nth, "error"}]]++
		}
		var each []string
		for _, result := range slices.Sorted(maps.Keys(results)) {
			each = append(each, fmt.Sprintf("%d %s", results[result], result))
		}
		fmt.Fprintf(&out, "\n%-38s %5d  %-28s", name, counts[name], strings.Join(each, ", "))
		for _, kind := range kinds {
			fmt.Fprintf(&out, " %-14s", f.cells[faultCase{name, dryRuns[name] + 1, kind}])
		}
	}
	return out.String()
}
