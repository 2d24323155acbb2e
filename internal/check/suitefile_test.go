package check

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadSuite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "shop.spec.hcl")
	writeTestFile(t, file, `# The shop.
file "/etc/shop.conf" {
  mode  = 0640
  owner = "shop"
}

waiver "file:/etc/shop.conf:mode" {
  until  = "2027-01-31"
  reason = "OPS-1234"
}

user {
  names = ["shop", "cron"]
  uid   = 1000
}
`, 0o600)
	suite, errs := ReadSuite(file)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if suite.Name != "shop" || suite.File != file || len(suite.Entries) != 2 || len(suite.Waivers) != 1 {
		t.Fatalf("suite %+v", suite)
	}
	want := &File{Path: "/etc/shop.conf", Mode: new("640"), Owner: new("shop")}
	if diff := cmp.Diff(want, suite.Entries[0].Block); diff != "" {
		t.Errorf("file block (-want +got):\n%s", diff)
	}
	plan, errs := Compile([]Suite{suite}, Auto, someDay)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var at []string
	for _, a := range plan.Suites[0].Assertions {
		at = append(at, filepath.Base(a.Source.String())+" "+a.ID())
	}
	if diff := cmp.Diff([]string{
		"shop.spec.hcl:3 file:/etc/shop.conf:mode", "shop.spec.hcl:4 file:/etc/shop.conf:owner",
		"shop.spec.hcl:14 user:shop:uid", "shop.spec.hcl:14 user:cron:uid",
	}, at); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
}

func TestReadSuiteErrors(t *testing.T) {
	if _, errs := ReadSuite(filepath.Join(t.TempDir(), "none.spec.hcl")); len(errs) != 1 {
		t.Errorf("missing file: %v", errs)
	}
	_, errs := ParseSuite("x.spec.hcl", []byte("file \"/a\" {\n"))
	if len(errs) == 0 || !strings.HasPrefix(errs[0].Error(), "x.spec.hcl:") {
		t.Errorf("errors %v, want one with file and line", errs)
	}
	_, errs = ParseSuite("x.spec.hcl", []byte("file \"/a\" {\n  contains = \"x\"\n  mode = [1]\n}\nuser \"b\" {\n  locked = \"maybe\"\n}\n"))
	if len(errs) < 3 {
		t.Errorf("%d errors, want all of the file: %v", len(errs), errs)
	}
}

// What an offline run defers, a booted run reads and decides.
func TestDeferredRoundTrip(t *testing.T) {
	plan := mustCompile(t, Auto, `
service "nslcd" {
  running  = true
  requires = "boot"
}
command "getent passwd jeremy" {
  exit_status    = 0
  stdout_matches = ["^jeremy:"]
  severity       = "high"
  requires       = "boot"
}
file { 
  paths    = ["/run/a", "/run/b"]
  exists   = false
  requires = "boot"
}
file "/etc/passwd" {}
`)
	report, err := Run(t.Context(), plan, Target{Shell: local{argv: []string{"sh", "-s"}}, Mounted: true})
	if err != nil {
		t.Fatal(err)
	}
	if c := report.Counts(); c[Deferred] != 5 || c[Passed] != 1 {
		t.Fatalf("counts: %s", c)
	}
	if outcome, decided := report.Suites[0].Outcome(Low); outcome != Passed || !decided {
		t.Errorf("outcome %s, decided %v", outcome, decided)
	}
	data, err := report.DeferredJSON()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "deferred.json")
	writeTestFile(t, file, string(data), 0o600)
	suite, errs := ReadSuite(file)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	again, errs := Compile([]Suite{suite}, Booted, someDay)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var want []string
	for _, id := range ids(plan) {
		if !strings.HasPrefix(id, "file:/etc/passwd") {
			want = append(want, id)
		}
	}
	if diff := cmp.Diff(want, ids(again)); diff != "" {
		t.Errorf("assertions of the booted run (-offline +booted):\n%s", diff)
	}
	for _, a := range again.Suites[0].Assertions {
		if a.Kind == "command" && a.Severity != High {
			t.Errorf("%s lost its severity", a.ID())
		}
	}
	for _, bad := range []string{`{}`, `[]`, `{"version":1,"checks":[{"kind":"flie"}]}`, `{"version":1,"checks":[{"kind":"file","attributes":{"x":1}}]}`} {
		if _, err := parseDeferred("d.json", []byte(bad)); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}

func TestOnlyDeferredIsNotDecided(t *testing.T) {
	_, report := runText(t, Target{Shell: local{argv: []string{"sh", "-s"}}, Mounted: true}, `service "x" {
  running  = true
  requires = "boot"
}`)
	if _, decided := report.Suites[0].Outcome(Low); decided {
		t.Error("a suite of which nothing was decided counts as decided")
	}
}

func FuzzParseSuite(f *testing.F) {
	seed, err := os.ReadFile("testdata/example.spec.hcl")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`file "/a" "b" { mode = 0644 }`))
	f.Add([]byte(`waiver { check = null }`))
	f.Add([]byte(`command { run = "${x}" }`))
	f.Fuzz(func(t *testing.T, data []byte) {
		suite, errs := ParseSuite("fuzz.spec.hcl", data)
		for _, err := range errs {
			if !strings.Contains(err.Error(), "fuzz.spec.hcl") {
				t.Errorf("an error names no file: %v", err)
			}
		}
		if len(errs) > 0 {
			return
		}
		plan, problems := Compile([]Suite{suite}, Auto, someDay)
		if len(problems) == 0 && plan.Len() == 0 && !plan.Partial {
			t.Errorf("a suite without assertions is accepted: %q", data)
		}
		for _, err := range problems {
			if !bytes.Contains([]byte(err.Error()), []byte("fuzz.spec.hcl")) {
				t.Errorf("a problem names no file: %v", err)
			}
		}
		if len(problems) == 0 && !plan.Partial {
			newScript(testNonce, plan.needs(Booted), Booted).text()
		}
	})
}
