package check

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imagebakery/packer-plugin-bakery/internal/junit"
)

// The file holds to the schema of what Jenkins, GitLab and GitHub's viewers read.
func TestJUnitSchema(t *testing.T) {
	if _, err := exec.LookPath("xmllint"); err != nil {
		t.Skipf("needs xmllint, of libxml2-utils: %v", err)
	}
	file := filepath.Join(t.TempDir(), "report.xml")
	if err := sampleReport().SaveJUnit(file); err != nil {
		t.Fatal(err)
	}
	validate := func() ([]byte, error) {
		return exec.CommandContext(t.Context(), "xmllint", "--noout", "--schema", "testdata/junit.xsd", file).CombinedOutput()
	}
	if out, err := validate(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	// The schema is one that can be broken.
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range [][2]string{{` classname="`, ` class="`}, {"<failure ", "<broken "}, {` timestamp="2`, ` timestamp="x`}} {
		broken := strings.ReplaceAll(strings.ReplaceAll(string(data), cut[0], cut[1]), "</failure>", "</broken>")
		writeTestFile(t, file, broken, 0o600)
		if out, err := validate(); err == nil {
			t.Errorf("%q for %q is valid: %s", cut[1], cut[0], out)
		}
	}
}

// What is written is what this project reads of other test runners.
func TestJUnitIsRead(t *testing.T) {
	var out bytes.Buffer
	if err := sampleReport().WriteJUnit(&out); err != nil {
		t.Fatal(err)
	}
	suites, err := junit.Read(&out)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[junit.Outcome]int{}
	for _, s := range suites {
		for _, c := range s.Cases {
			counts[c.Outcome]++
		}
	}
	if len(suites) != 2 || counts[junit.Passed] != 2 || counts[junit.Failed] != 1 || counts[junit.Errored] != 1 || counts[junit.Skipped] != 2 {
		t.Errorf("%d suites, %v", len(suites), counts)
	}
}

func TestTAP(t *testing.T) {
	var out bytes.Buffer
	if err := sampleReport().WriteTAP(&out); err != nil {
		t.Fatal(err)
	}
	want := `TAP version 13
1..6
# suite shop.v1 (offline)
not ok 1 - shop.v1 file:/etc/timezone:contains
  ---
  outcome: "failed"
  severity: "medium"
  expected: "\"Etc/UTC\""
  actual: "\u003c]]\u003e\u0026\u001b \ufffd"
  at: "shop.spec.hcl:7"
  ...
ok 2 - shop.v1 file:/etc/timezone:mode
not ok 3 - shop.v1 command:sleep 9:exit_status
  ---
  outcome: "error"
  severity: "critical"
  expected: "0"
  actual: "killed"
  at: "shop.spec.hcl:7"
  ...
not ok 4 - shop.v1 file:/etc/motd:mode # TODO waived until 2027-01-31: OPS-1
  ---
  outcome: "waived"
  severity: "low"
  expected: "0644"
  actual: "0600"
  at: "shop.spec.hcl:7"
  ...
ok 5 - shop.v1 service:nslcd:running # SKIP left to the booted run
# suite inline (offline)
ok 6 - inline user:root:uid
# warning: beware\x00
`
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
	}
	forged := &Report{Suites: []SuiteReport{{Name: "a # SKIP", Results: []Result{{
		Assertion: &Assertion{Kind: "file", Subject: "/x\nok 2 - y # TODO", Property: "mode"}, Outcome: Failed,
	}}}}}
	out.Reset()
	if err := forged.WriteTAP(&out); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "ok ") || strings.Contains(line, " # ") {
			t.Errorf("a name has made the line %q", line)
		}
	}
}

func TestSaveReports(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "reports", "new")
	r := sampleReport()
	for name, save := range map[string]func(string) error{"r.xml": r.SaveJUnit, "r.json": r.SaveJSON, "r.tap": r.SaveTAP} {
		if err := save(filepath.Join(dir, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "r.json"))
	if err != nil {
		t.Fatal(err)
	}
	var read struct {
		Mode   string         `json:"mode"`
		Counts map[string]int `json:"counts"`
	}
	if err := json.Unmarshal(data, &read); err != nil || read.Mode != "offline" || read.Counts["failed"] != 1 {
		t.Errorf("%+v: %v", read, err)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
