package spec

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The reports are written beside each other, also when checks fail; what an
// earlier run has left is not taken for that of this one.
func TestReports(t *testing.T) {
	dir := t.TempDir()
	suite := filepath.Join(dir, "vars.spec.hcl")
	if err := os.WriteFile(suite, []byte("variable \"paths\" { default = [] }\nfile {\n  paths = var.paths\n}\nfile \"/etc/passwd\" {\n  when = facts.mode == \"offline\"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	report := filepath.Join(dir, "reports", "{{ build_name }}")
	said, handed, err := provision(t, `
suite = ["`+suite+`"]
vars  = { paths = "[\"/etc/passwd/no\", \"/nope\"]" }
junit = "`+report+`.xml"
json  = "`+report+`.json"
tap   = "`+report+`.tap"
`)
	if err == nil || !strings.Contains(err.Error(), "2 of 3 checks failed: file:/etc/passwd/no:exists") {
		t.Errorf("error %v; said:\n%s", err, said)
	}
	if len(handed) != 1 || len(handed[0].Checks) != 3 {
		t.Errorf("handed over: %+v", handed)
	}
	report = filepath.Join(dir, "reports", "shop")
	if suites := readJUnit(t, report+".xml"); suites.Failures != 2 || suites.Tests != 3 {
		t.Errorf("JUnit: %+v", suites)
	}
	data, err := os.ReadFile(report + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var read struct{ Counts map[string]int }
	if err := json.Unmarshal(data, &read); err != nil || read.Counts["failed"] != 2 || read.Counts["passed"] != 1 {
		t.Errorf("JSON: %+v: %v", read, err)
	}
	if data, err = os.ReadFile(report + ".tap"); err != nil || !strings.Contains(string(data), "\n1..3\n") || strings.Count(string(data), "\nnot ok ") != 2 {
		t.Errorf("TAP: %v:\n%s", err, data)
	}
}

func TestVariablesOfTheTemplate(t *testing.T) {
	suite := filepath.Join(t.TempDir(), "vars.spec.hcl")
	if err := os.WriteFile(suite, []byte("variable \"path\" {}\nfile {\n  path = var.path\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := prepare(t, `suite = ["`+suite+`"]`); err == nil || !strings.Contains(err.Error(), `vars.spec.hcl:1: variable "path" has no value`) {
		t.Errorf("error %v", err)
	}
	// A value that Packer learns during the build.
	p, err := prepare(t, "suite = [\""+suite+"\"]\nvars = { path = \"<unknown>\" }")
	if err != nil || !p.plan.Partial {
		t.Errorf("error %v", err)
	}
	if _, err := prepare(t, "suite = [\""+suite+"\"]\nvars = { path = \"/x\", paht = \"/y\" }"); err == nil || !strings.Contains(err.Error(), `no suite declares the variable "paht"`) {
		t.Errorf("error %v", err)
	}
}
