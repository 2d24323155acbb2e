package check

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// expectations are of each kind, with all of its values.
func expectations() []Entry {
	var entries []Entry
	for of, subject := range map[string]string{
		"file": "/x", "package": "shop", "service": "shop", "command": "echo x", "user": "root", "group": "root", "process": "httpd",
		"port": "tcp6:80", "addr": "tcp://127.0.0.1:80", "dns": "MX:example.com", "http": "http://localhost/", "interface": "eth0",
		"kernel-param": "vm.swappiness", "mount": "/srv", "matching": "m",
	} {
		b := &Expect{Of: of, ID: of, Subject: subject, Options: Options{Content: "x"}}
		if of == "dns" {
			b.Options.Server = "10.0.0.2:53"
		}
		c := &compiler{plan: &Plan{}, suite: &PlannedSuite{}, entry: &Entry{Block: b}}
		for _, v := range valueKinds()[of].values(c, b) {
			b.Values = append(b.Values, Expected{Name: v.name, Want: map[string]any{"match-regexp": "x"}})
		}
		entries = append(entries, b.Entry(Source{File: "all.yaml", Line: 1}))
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Block.kind(), b.Block.kind()) })
	return entries
}

// FuzzExpect gives an image's whole answer to all values of all kinds, whatever
// it is: each is decided or is an error, and none of them panics.
func FuzzExpect(f *testing.F) {
	plan, errs := Compile([]Suite{ForeignSuite("all", "all.yaml", expectations(), 0, false)}, Booted, time.Now())
	if len(errs) > 0 {
		f.Fatal(errs)
	}
	n := plan.needs(Booted)
	s := newScript(testNonce, n, Booted)
	for _, answer := range []string{
		"begin 0\n", "packages dpkg read\nPackage: shop\nStatus: install ok installed\nVersion: 1\n", "passwd read\nroot:x:0:0::/:/bin/sh\n", "group read\nroot:x:0:root\n",
		"units systemd read\nshop.service static -\n", "running systemd\nactive\n", "entries 0 true\nll\n", "stat 0\n81a4:0:0:1\n81a4:0:0:1\n", "links 0\na1ff:0:0:4\n", "links 1\na1ff:0:0:4\n",
		"content 0\n36 25 0:33 / /srv rw,nosuid shared:1 - ext4 /dev/sda1 rw,errors=x\n@@content-end 0 read\n", "processes read\n@@process 1\nName:\thttpd\nState:\tS\nUid:\t0\t0\n",
		"out 0\n10 mail.example.com.\n@@ran 0 0\n", "out 1\n100 40\n@@ran 1 0\n",
	} {
		f.Add([]byte("@@" + answer))
	}
	f.Fuzz(func(t *testing.T, stream []byte) { decideAnswer(t, plan, n, s, stream) })
}

// What systemctl calls enabled is taken as it is, but where that is not true.
func TestExpectEnabled(t *testing.T) {
	facts := newFacts(Offline)
	facts.services.systemd, facts.services.machineID = stateRead, stateAbsent
	facts.services.units = map[string]unitState{
		"up.service": {"enabled", "enabled"}, "down.service": {"disabled", "disabled"}, "static.service": {"static", ""}, "masked.service": {"masked", ""},
		"preset.service": {"disabled", "enabled"}, "woken.service": {"disabled", "disabled"}, "woken.socket": {"enabled", "enabled"},
	}
	for _, test := range []struct {
		name    string
		want    bool
		outcome Outcome
		actual  string
	}{
		{"up", true, Passed, "true (enabled)"}, {"up", false, Failed, "true (enabled)"},
		{"down", false, Passed, "false (disabled)"}, {"down", true, Failed, "false (disabled)"},
		{"masked", false, Passed, "false (masked)"}, {"none", false, Passed, "false (no such service)"}, {"none", true, Failed, "false (no such service)"},
		{"static", true, Failed, "false (static): it has no [Install] section"}, {"static", false, Failed, "true (static)"},
		{"preset", false, Failed, "preset.service is disabled now, but the first boot enables it"}, {"woken", false, Failed, "woken.socket is enabled and starts it"},
	} {
		b := &Expect{Of: "service", ID: test.name, Subject: test.name, Values: []Expected{{Name: "enabled", Want: test.want}}}
		plan, errs := Compile([]Suite{ForeignSuite("s", "s.yaml", []Entry{b.Entry(Source{})}, 0, false)}, Auto, time.Now())
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		v := plan.Suites[0].Assertions[0].decide(facts)
		if v.outcome != test.outcome || !strings.Contains(v.actual, test.actual) {
			t.Errorf("%s enabled = %t: %s %q, want %s %q", test.name, test.want, v.outcome, v.actual, test.outcome, test.actual)
		}
	}
}

// What a file holds that not everybody may read is not shown.
func TestExpectHidesPrivateContent(t *testing.T) {
	facts := newFacts(Offline)
	facts.nodes["/x"] = &node{presence: present, statted: true, mode: 0o100600, contentRead: stateRead, content: []byte(`{"key": "hunter2"}`)}
	for _, want := range []any{
		"other", []any{"other", "!hunter2"}, map[string]any{"gjson": map[string]any{"key": "other"}}, map[string]any{"contain-elements": []any{"other"}}, map[string]any{"have-len": 1},
	} {
		b := &Expect{Of: "file", ID: "/x", Subject: "/x", Values: []Expected{{Name: "contents", Want: want}}}
		plan, errs := Compile([]Suite{ForeignSuite("s", "s.yaml", []Entry{b.Entry(Source{})}, 0, false)}, Auto, time.Now())
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		if v := plan.Suites[0].Assertions[0].decide(facts); v.outcome != Failed || strings.Contains(strings.ReplaceAll(v.actual, `"hunter2" is in line`, ""), "hunter2") {
			t.Errorf("%v: %s %q", want, v.outcome, v.actual)
		}
	}
}

// Expectations that wait for the booted run are read from its file, as they were.
func TestDeferredExpectations(t *testing.T) {
	var entries []Entry
	for _, e := range expectations() {
		b, _ := e.Block.(*Expect)
		b.Requires = new("boot")
		b.Severity, b.Retry = new("high"), new("2m")
		b.Options.Content = []any{1, 1.0, "x"}
		entries = append(entries, e)
	}
	plan, errs := Compile([]Suite{ForeignSuite("all", "all.yaml", entries, 0, false)}, Offline, time.Now())
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	report := &Report{Suites: []SuiteReport{{Name: "all"}}}
	for _, a := range plan.Suites[0].Assertions {
		report.Suites[0].Results = append(report.Suites[0].Results, Result{Assertion: a, Outcome: Deferred})
	}
	data, err := report.DeferredJSON()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "deferred.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	suite, errs := ReadSuite(file)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	booted, errs := Compile([]Suite{suite}, Booted, time.Now())
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	say := func(p *Plan) (lines []string) {
		for _, a := range p.Suites[0].Assertions {
			lines = append(lines, strings.Join([]string{a.ID(), a.Expected, a.Severity.String(), a.retry.String()}, " "))
		}
		return lines
	}
	if diff := cmp.Diff(say(plan), say(booted)); diff != "" {
		t.Error(diff)
	}
	for i, e := range suite.Entries {
		if before, _ := entries[i].Block.(*Expect); !cmp.Equal(before.Options, e.Block.(*Expect).Options) {
			t.Errorf("options %+v, want %+v", e.Block.(*Expect).Options, before.Options)
		}
	}
	if _, err := parseDeferredExpect("file", json.RawMessage(`{"common": {"nope": "x"}}`)); err == nil {
		t.Error("an attribute that there is not was read")
	}
}

func TestParseRecords(t *testing.T) {
	for _, test := range []struct {
		record, text string
		want         []string
	}{
		{"A", "alias.example.com.\n192.0.2.1\n2001:db8::1\n", []string{"192.0.2.1"}},
		{"AAAA", "192.0.2.1\n2001:db8::1\n", []string{"2001:db8::1"}},
		{"", "alias.\n192.0.2.1\n2001:db8::1\n", []string{"192.0.2.1", "2001:db8::1"}},
		{"MX", "10 mail.example.com.\n", []string{"10 mail.example.com."}},
		{"TXT", "\"v=spf1 -all\" \"more\"\n", []string{"v=spf1 -all", "more"}},
		{"CAA", "0 issue \"example.org\"\n", []string{"0 issue example.org"}},
		{"NS", ";; no servers could be reached\n", []string{}},
	} {
		if got := parseRecords(test.text, test.record); !cmp.Equal(got, test.want) {
			t.Errorf("%s of %q: %q, want %q", test.record, test.text, got, test.want)
		}
	}
}

func TestParseUsage(t *testing.T) {
	for text, want := range map[string]int{"100 40\n": 60, "3 1": 67, "200 199": 1, "10 10": 0, "10 0": 100} {
		if got, err := parseUsage(text); err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0 0", "1", "x 1", "1 x", "1 2", "1 -1", "NaN 1"} {
		if got, err := parseUsage(text); err == nil {
			t.Errorf("%q: %d, want an error", text, got)
		}
	}
}

func TestOwnOptions(t *testing.T) {
	e, super := ownOptions("25 1 8:1 / / rw - ext4 /dev/sda1 rw\n36 25 0:33 / /srv\\040x rw,nosuid shared:1 - ext4 /dev/sdb1 rw,errors=remount-ro\nx\n", "/srv x")
	want := mountEntry{device: "/dev/sdb1", path: "/srv x", typ: "ext4", options: []string{"rw", "nosuid"}}
	if !cmp.Equal(e, want, cmp.AllowUnexported(mountEntry{})) || !cmp.Equal(super, []string{"rw", "errors=remount-ro"}) {
		t.Errorf("%+v %q", e, super)
	}
}

func TestLabelledPackages(t *testing.T) {
	db := packageDatabase{system: "rpm", packages: map[string][]installed{
		"shop":     {{version: "2:1.4-3.el9", arch: "x86_64"}, {version: "2:1.5-1.el9", arch: "noarch"}},
		"shop-web": {{version: "7-1", arch: "noarch"}},
	}}
	for label, want := range map[string]int{
		"shop-1.4": 1, "shop-1.4-3.el9": 1, "shop-1.4-3.el9.x86_64": 1, "shop.x86_64": 1, "shop.noarch": 1, "shop-1.4.x86_64": 1, "shop-web-7": 1,
		"shop-1": 0, "shop-2:1.4": 0, "shop-1.4-3": 0, "shop-1.4-3.el9.noarch": 0, "shop-": 0, "shop.": 0, "sho": 0,
	} {
		if got := db.labelled(label); len(got) != want {
			t.Errorf("%s: %d packages, want %d", label, len(got), want)
		}
	}
}
