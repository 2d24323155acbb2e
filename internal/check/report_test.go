package check

import (
	"bytes"
	"encoding/xml"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jstemmer/go-junit-report/v2/junit"
)

// sampleReport has a result of each outcome, and texts that XML cannot hold.
func sampleReport() *Report {
	a := func(kind, subject, property, expected string, severity Severity) *Assertion {
		return &Assertion{Kind: kind, Subject: subject, Property: property, Expected: expected, Severity: severity, Source: Source{"shop.spec.hcl", 7}}
	}
	return &Report{
		Mode: Offline, ModeReason: "the builder has mounted it in a chroot", OS: "debian 12",
		Started: someDay, Took: 1500 * time.Millisecond, Warnings: []string{"beware\x00"},
		Suites: []SuiteReport{{
			Name: "shop.v1", File: "shop.spec.hcl", Digest: "abc",
			Results: []Result{
				{Assertion: a("file", "/etc/timezone", "contains", `"Etc/UTC"`, Medium), Outcome: Failed, Actual: "<]]>&\x1b \xff"},
				{Assertion: a("file", "/etc/timezone", "mode", "0644", Medium), Outcome: Passed, Actual: "0644"},
				{Assertion: a("command", "sleep 9", "exit_status", "0", Critical), Outcome: Errored, Actual: "killed", Took: time.Second},
				{Assertion: a("file", "/etc/motd", "mode", "0644", Low), Outcome: Waived, Actual: "0600", Note: "waived until 2027-01-31: OPS-1"},
				{Assertion: a("service", "nslcd", "running", "true", Low), Outcome: Deferred},
			},
		}, {Name: "inline", Digest: "def", Results: []Result{{Assertion: a("user", "root", "uid", "0", High), Outcome: Passed}}}},
	}
}

func TestJUnit(t *testing.T) {
	var out bytes.Buffer
	if err := sampleReport().WriteJUnit(&out); err != nil {
		t.Fatal(err)
	}
	var got junit.Testsuites
	if err := xml.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v:\n%s", err, out.String())
	}
	if got.Tests != 6 || got.Failures != 1 || got.Errors != 1 || got.Skipped != 2 || got.Time != "1.500" {
		t.Errorf("totals: %+v", got)
	}
	checkJUnit(t, got)

	properties := map[string]string{}
	for _, p := range *got.Suites[0].Properties {
		properties[p.Name] = p.Value
	}
	if diff := cmp.Diff(map[string]string{
		"mode": "offline", "mode.reason": "the builder has mounted it in a chroot", "suite": "shop.v1", "digest": "abc", "os": "debian 12",
	}, properties); diff != "" {
		t.Errorf("properties (-want +got):\n%s", diff)
	}
	failed := got.Suites[0].Testcases[0]
	if failed.Classname != "shop_v1.file" || failed.Name != "/etc/timezone contains" || failed.Failure == nil ||
		failed.Failure.Message != "expected \"Etc/UTC\", got <]]>&\uFFFD \uFFFD" || failed.Failure.Type != "contains" {
		t.Errorf("failed case: %+v, %+v", failed, failed.Failure)
	}
	if undecided := got.Suites[0].Testcases[2]; undecided.Error == nil || undecided.Failure != nil || undecided.Time != "1.000" {
		t.Errorf("undecided case: %+v", undecided)
	}
}

// checkJUnit holds what readers of JUnit files rely on: totals that add up, a
// name and a class for each case, at most one outcome, distinct names.
func checkJUnit(t *testing.T, all junit.Testsuites) {
	t.Helper()
	for _, s := range all.Suites {
		var failures, errors, skipped int
		names := map[string]bool{}
		for _, c := range s.Testcases {
			outcomes := 0
			for counter, result := range map[*int]*junit.Result{&failures: c.Failure, &errors: c.Error, &skipped: c.Skipped} {
				if result != nil {
					*counter++
					outcomes++
					if result.Message == "" || result.Type == "" {
						t.Errorf("%s: a result without message or type", c.Name)
					}
				}
			}
			if outcomes > 1 || c.Name == "" || !strings.Contains(c.Classname, ".") || names[c.Classname+c.Name] {
				t.Errorf("case %+v", c)
			}
			names[c.Classname+c.Name] = true
			if _, err := strconv.ParseFloat(c.Time, 64); err != nil {
				t.Errorf("%s: time %q", c.Name, c.Time)
			}
		}
		if s.Name == "" || s.Tests != len(s.Testcases) || s.Failures != failures || s.Errors != errors || s.Skipped != skipped {
			t.Errorf("suite %q: %d tests, %d failures, %d errors, %d skipped", s.Name, s.Tests, s.Failures, s.Errors, s.Skipped)
		}
		if _, err := time.Parse(time.RFC3339, s.Timestamp); err != nil {
			t.Errorf("suite %q: %v", s.Name, err)
		}
	}
}

func TestErrorOfAReport(t *testing.T) {
	r := sampleReport()
	want := "1 of 6 checks failed, and 1 could not be decided: " +
		"command:sleep 9:exit_status: expected 0, but it could not be decided: killed (shop.spec.hcl:7); " +
		"file:/etc/timezone:contains: expected \"Etc/UTC\", got <]]>&\x1b \xff (shop.spec.hcl:7)"
	if err := r.Err(Low); err == nil || err.Error() != want {
		t.Errorf("error %v\nwant  %s", err, want)
	}
	var failure *Failure
	if err := r.Err(High); !errors.As(err, &failure) || len(failure.Bad) != 1 || failure.OnlyFailed {
		t.Errorf("at high: %v", err)
	}
	r.Suites[0].Results[2].Outcome = Passed
	if err := r.Err(High); err != nil {
		t.Errorf("at high, with a failure of medium: %v", err)
	}
	if err := r.Err(Low); !errors.As(err, &failure) || !failure.OnlyFailed || !strings.HasPrefix(err.Error(), "1 of 6 checks failed: file:") {
		t.Errorf("with one failure: %v", err)
	}
}

func TestOutcomeOfASuite(t *testing.T) {
	s := sampleReport().Suites[0]
	for severity, want := range map[Severity]Outcome{Low: Errored, Critical: Errored} {
		if got, _ := s.Outcome(severity); got != want {
			t.Errorf("at %s: %s, want %s", severity, got, want)
		}
	}
	s.Results[2].Outcome = Passed
	for severity, want := range map[Severity]Outcome{Low: Failed, Medium: Failed, High: Passed} {
		if got, _ := s.Outcome(severity); got != want {
			t.Errorf("at %s: %s, want %s", severity, got, want)
		}
	}
}

func TestRefusalOffline(t *testing.T) {
	plan := mustCompile(t, Auto, "service \"nslcd\" { running = true }\nfile \"/etc/passwd\" {}\nfile \"/run/x\" {}")
	report, err := Run(t.Context(), plan, Target{Mounted: true})
	if err == nil || !strings.Contains(err.Error(), `Write enabled = true`) || !strings.Contains(err.Error(), "/run belongs to the build host") {
		t.Errorf("error = %v", err)
	}
	if report == nil || report.Counts()[Errored] != 2 || report.Counts().Total() != 2 {
		t.Errorf("report = %+v", report)
	}
}

func TestBootedInAChrootIsRefused(t *testing.T) {
	_, err := Run(t.Context(), mustCompile(t, Booted, `file "/a" {}`), Target{Mode: Booted, Mounted: true})
	if err == nil || !strings.Contains(err.Error(), `mode = "booted" is wrong`) {
		t.Errorf("error = %v", err)
	}
}

func TestWaivers(t *testing.T) {
	shell := local{argv: []string{"sh", "-s"}}
	suite := func(waived string) string {
		return "file \"/etc/passwd\" {\n mode = 7777\n type = \"file\"\n}\nuser \"root\" { uid = 1 }\n" +
			"waiver \"" + waived + "\" {\n until = \"2999-01-31\"\n reason = \"OPS-1\"\n}"
	}
	results, _ := runText(t, Target{Shell: shell, Mounted: true}, suite("file:/etc/passwd:mode"))
	expect(t, results, map[string]Outcome{"file:/etc/passwd:mode": Waived, "file:/etc/passwd:type": Passed, "user:root:uid": Failed})
	if note := results["file:/etc/passwd:mode"].Note; note != "waived until 2999-01-31: OPS-1" {
		t.Errorf("note = %q", note)
	}
	results, report := runText(t, Target{Shell: shell, Mounted: true}, suite("file:/etc/passwd"))
	expect(t, results, map[string]Outcome{"file:/etc/passwd:mode": Waived, "file:/etc/passwd:type": Passed, "user:root:uid": Failed})
	if len(report.Warnings) > 0 {
		t.Errorf("warnings = %q", report.Warnings)
	}
	_, report = runText(t, Target{Shell: shell, Mounted: true}, suite("file:/etc/passwd:type"))
	if len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0], "no longer needed") {
		t.Errorf("warnings = %q, want that the waiver is not needed", report.Warnings)
	}
}

// What the image says must not steer the terminal that shows it.
func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"root":              "root",
		"a b \u00e9 \u65e5": "a b \u00e9 \u65e5",
		"x\x1b[31mred\r\n":  `x\x1b[31mred\r\n`,
		"\xff\x00":          "\uFFFD" + `\x00`,
	} {
		if got := printable(text); got != want {
			t.Errorf("printable(%q) = %q, want %q", text, got, want)
		}
	}
	if got := printable(strings.Repeat("x", 5000)); len(got) > actualLimit+10 {
		t.Errorf("%d bytes are shown", len(got))
	}
}

func TestProgress(t *testing.T) {
	n := &needs{commands: []*commandNeed{{text: "sleep  9", seconds: 10}}}
	if got := doing(frame{tag: "out", args: []string{"0"}, at: time.Now().Add(-12 * time.Second)}, n); got != `running the command "sleep 9" for 12s` {
		t.Errorf("doing = %s", got)
	}
	for _, fr := range []frame{{}, {tag: "out", args: []string{"1"}}, {tag: "stat", args: []string{"0"}}} {
		if got := doing(fr, n); got != "reading the image" {
			t.Errorf("doing(%v) = %s", fr, got)
		}
	}
	told := make(chan struct{}, 100)
	stop := every(time.Millisecond, func() { told <- struct{}{} })
	<-told
	<-told
	stop()
	for len(told) > 0 {
		<-told
	}
	select {
	case <-told:
		t.Error("it was called after stop")
	case <-time.After(20 * time.Millisecond):
	}
}
