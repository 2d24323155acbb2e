package check

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// familyWords are what differs between the families in the texts of the matrix.
var familyWords = map[string]*strings.Replacer{
	"debian": strings.NewReplacer("NEWER", "> 1:2", "VERSION", ">= 1:1.4-1~deb12u1, < 1:1.4-1"),
	"redhat": strings.NewReplacer("NEWER", "> 1:2", "VERSION", ">= 1:1.4-2.el8, < 1:1.5"),
	"alpine": strings.NewReplacer("NEWER", "> 2", "VERSION", "> 1.4.2-r9, < 1.4.3_rc1"),
}

// Each kind of check gives each verdict on roots of each family, and leaves the
// root as it was.
func TestMatrix(t *testing.T) {
	if missing := slices.DeleteFunc(slices.Sorted(maps.Keys(kinds)), func(k string) bool { return matrix[k].holds != "" }); len(missing) > 0 {
		t.Errorf("kinds without a row: %v", missing)
	}
	for _, family := range families {
		t.Run(family, func(t *testing.T) {
			root := newFamilyRoot(t, family)
			before := root.digest(t)
			for kind, r := range matrix {
				target := Target{Shell: root.offline(0), Mounted: true}
				if r.live {
					target = Target{Shell: root.live(), Mode: Booted}
				}
				decideRow(t, family, kind, "holds", r.holds, target, Passed)
				decideRow(t, family, kind, "fails", r.fails, target, Failed)
				if kind == "command" || r.live {
					decideRow(t, family, kind, "open", r.open, Target{Shell: root.offline(0), Mounted: true}, Errored)
				}
			}
			decideRow(t, family, "facts", "holds", fmt.Sprintf("file \"/etc/os-release\" {\n when = facts.family == %q && facts.arch == %q && facts.mode == \"offline\"\n}\n", family, runtime.GOARCH),
				Target{Shell: root.offline(0), Mounted: true}, Passed)
			if root.digest(t) != before {
				t.Error("the checks have changed the root")
			}
			root.lock(t)
			before = root.digest(t)
			for kind, r := range matrix {
				if kind != "command" && !r.live {
					decideRow(t, family, kind, "open", r.open, Target{Shell: root.offline(nobody), Mounted: true}, Errored)
				}
			}
			if root.digest(t) != before {
				t.Error("the checks have changed the locked root")
			}
		})
	}
}

// decideRow runs a row of the matrix: all that it asserts must have one outcome.
func decideRow(t *testing.T, family, kind, verdict, text string, target Target, want Outcome) {
	t.Helper()
	t.Run(kind+"/"+verdict, func(t *testing.T) {
		text = strings.ReplaceAll(text, "SHA", sha256Of("listen = 8080\n"))
		plan := mustCompile(t, Auto, familyWords[family].Replace(text))
		report, err := Run(t.Context(), plan, target)
		if report == nil {
			t.Fatal(err)
		}
		found := 0
		for _, s := range report.Suites {
			for _, result := range s.Results {
				found++
				if result.Outcome != want {
					t.Errorf("%s: %s (%s), want %s", result.ID(), result.Outcome, result.Message(), want)
				}
			}
		}
		if found != plan.Len() {
			t.Errorf("%d results of %d assertions", found, plan.Len())
		}
	})
}
