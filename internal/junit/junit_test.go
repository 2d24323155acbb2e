package junit

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRead(t *testing.T) {
	const report = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="5" failures="1" errors="1">
  <properties><property name="x" value="y"/></properties>
  <testsuite name="web" tests="4" failures="1" errors="1" skipped="1" time="1,002.5" timestamp="2026-03-01T10:00:00">
    <testcase classname="file" name="/etc/timezone"/>
    <testcase classname="service" name="nginx"><failure message="not running">trace</failure></testcase>
    <testcase name="port 80"><error>
      no answer
    </error></testcase>
    <testcase classname="user" name="bob"><skipped/></testcase>
  </testsuite>
  <testsuite name="outer" tests="1"><testsuite name="inner" timestamp="2026-03-01T10:00:00+02:00"><testcase name="a"/></testsuite></testsuite>
  <testsuite name="empty" tests="0"/>
</testsuites>`
	want := []Suite{
		{
			Name: "web", Seconds: 1002.5, Started: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC),
			Cases: []Case{
				{"file./etc/timezone", Passed, ""},
				{"service.nginx", Failed, "not running"},
				{"port 80", Errored, "no answer"},
				{"user.bob", Skipped, ""},
			},
		},
		{Name: "inner", Started: time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC), Cases: []Case{{"a", Passed, ""}}},
	}
	got, err := Read(strings.NewReader(report))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })); diff != "" {
		t.Errorf("suites (-want +got):\n%s", diff)
	}
}

func TestOneSuiteAlone(t *testing.T) {
	got, err := Read(strings.NewReader(`<testsuite name="s"><testcase name="a"/></testsuite>`))
	if err != nil || len(got) != 1 || got[0].Name != "s" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestRefused(t *testing.T) {
	for name, test := range map[string]struct{ report, want string }{
		"nothing":           {"", "EOF"},
		"no XML":            {"all tests passed", "EOF"},
		"cut off":           {`<testsuite name="s"><testcase name="a"/>`, "unexpected EOF"},
		"other XML":         {`<html/>`, "begins with <html>"},
		"no tests":          {`<testsuites><testsuite name="s"/></testsuites>`, "no tests"},
		"hidden failures":   {`<testsuite name="s" failures="2"><testcase name="a"><failure/></testcase></testsuite>`, `"s" says it has 2 failures and errors but lists 1`},
		"hidden tests":      {`<testsuite name="s" tests="2"><testcase name="a"/></testsuite>`, `says it has 2 tests but lists 1`},
		"hidden at the top": {`<testsuites errors="1"><testsuite name="s"><testcase name="a"/></testsuite></testsuites>`, "1 failures and errors but lists 0"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read(strings.NewReader(test.report))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want one with %q", err, test.want)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	f.Add(`<testsuites><testsuite name="s" tests="1" time="x"><testcase name="a"><failure message="m">t</failure></testcase></testsuite></testsuites>`)
	f.Add(`<testsuite><testsuite><testcase/></testsuite></testsuite>`)
	f.Fuzz(func(t *testing.T, report string) {
		suites, err := Read(strings.NewReader(report))
		if err != nil {
			return
		}
		for _, s := range suites {
			if len(s.Cases) == 0 {
				t.Errorf("suite %q has no tests", s.Name)
			}
			for _, c := range s.Cases {
				switch c.Outcome {
				case Passed, Failed, Errored, Skipped:
				default:
					t.Errorf("test %q ended as %q", c.Name, c.Outcome)
				}
			}
		}
	})
}
