package check

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestConfigOfSSHD(t *testing.T) {
	const (
		file   = "/etc/ssh/sshd_config"
		noRoot = `config "/etc/ssh/sshd_config" { values = { PermitRootLogin = "no" } }`
		port   = `config "/etc/ssh/sshd_config" { values = { Port = 22 } }`
	)
	main := func(lines ...string) map[string]string {
		return map[string]string{file: strings.Join(lines, "\n") + "\n"}
	}
	with := func(files map[string]string, name, text string) map[string]string {
		files["/etc/ssh/sshd_config.d/"+name] = text
		return files
	}
	testDecisions(t, map[string]decision{
		"set":             {check: noRoot, files: main("# PermitRootLogin yes", "permitrootlogin no"), want: Passed, actual: "no"},
		"other value":     {check: noRoot, files: main("PermitRootLogin yes"), want: Failed, actual: "yes"},
		"commented":       {check: noRoot, files: main("#PermitRootLogin no"), want: Failed, actual: "not set"},
		"first wins":      {check: noRoot, files: main("PermitRootLogin yes", "PermitRootLogin no"), want: Failed},
		"equals sign":     {check: noRoot, files: main("PermitRootLogin=no"), want: Passed},
		"quoted":          {check: noRoot, files: main(`PermitRootLogin "no"`), want: Passed},
		"trailing":        {check: noRoot, files: main("PermitRootLogin no # really"), want: Passed},
		"match block":     {check: noRoot, files: main("Match User bob", "PermitRootLogin no"), want: Failed, actual: "not set"},
		"match all":       {check: noRoot, files: main("Match User bob", "X11Forwarding no", "Match all", "PermitRootLogin no"), want: Passed},
		"before match":    {check: noRoot, files: main("PermitRootLogin no", "Match User bob", "PermitRootLogin yes"), want: Passed},
		"included first":  {check: noRoot, files: with(main("Include /etc/ssh/sshd_config.d/*.conf", "PermitRootLogin yes"), "x.conf", "PermitRootLogin no\n"), want: Passed},
		"included wins":   {check: noRoot, files: with(main("Include sshd_config.d/*.conf", "PermitRootLogin no"), "50-cloud.conf", "PermitRootLogin yes\n"), want: Failed},
		"included last":   {check: noRoot, files: with(main("PermitRootLogin no", "Include sshd_config.d/*.conf"), "x.conf", "PermitRootLogin yes\n"), want: Passed},
		"match ends":      {check: noRoot, files: with(main("Include sshd_config.d/*.conf", "PermitRootLogin no"), "x.conf", "Match User bob\nPermitRootLogin yes\n"), want: Passed},
		"not included":    {check: noRoot, files: with(main("Port 22"), "x.conf", "PermitRootLogin no\n"), want: Failed, actual: "not set"},
		"no folder":       {check: noRoot, files: main("Include /etc/ssh/sshd_config.d/*.conf", "PermitRootLogin no"), want: Passed},
		"other include":   {check: noRoot, files: main("Include /opt/*.conf", "PermitRootLogin no"), want: Errored, actual: "/opt/*.conf"},
		"set before":      {check: noRoot, files: main("PermitRootLogin no", "Include /opt/*.conf"), want: Passed},
		"itself":          {check: noRoot, files: with(main("Include sshd_config.d/*.conf", "PermitRootLogin no"), "x.conf", "Include /etc/ssh/sshd_config.d/*.conf\n"), want: Errored},
		"unreadable part": {check: noRoot, files: with(main("Include sshd_config.d/*.conf", "PermitRootLogin no"), "x.conf", "?"), want: Errored, actual: "may not be read"},
		"unreadable":      {check: noRoot, files: map[string]string{file: "?"}, want: Errored},
		"missing":         {check: `config "/etc/ssh/sshd_config" { not_set = ["Port"] }`, want: Failed, actual: "no such file"},
		"repeated":        {check: port, files: main("Port 22", "Port 2222"), want: Failed, actual: "22 2222"},
		"repeated once":   {check: port, files: main("Port 22"), want: Passed},
		"repeated, maybe": {check: port, files: main("Port 22", "Include /opt/x"), want: Errored},
		"number":          {check: `config "/etc/ssh/sshd_config" { values = { MaxAuthTries = "<= 4" } }`, files: main("MaxAuthTries 3"), want: Passed},
		"not set":         {check: `config "/etc/ssh/sshd_config" { not_set = ["AcceptEnv"] }`, files: main("Port 22"), want: Passed},
		"not set, is":     {check: `config "/etc/ssh/sshd_config" { not_set = ["acceptenv"] }`, files: main("AcceptEnv LANG LC_*"), want: Failed, actual: "LANG LC_*"},
	})
}

func TestConfigFormats(t *testing.T) {
	one := func(file, format, key, value string) string {
		if format != "" {
			format = "format = " + quoteHCL(format) + "\n"
		}
		return "config " + quoteHCL(file) + " {\n" + format + "values = { " + quoteHCL(key) + " = " + quoteHCL(value) + " }\n}"
	}
	const ini = "Storage=none\n[Journal]\n# Storage=auto\n Storage = persistent \nSystemMaxUse=1G\n[Other]\nStorage=volatile\n"
	const nested = `{"a": {"b.c": [{"d": 7}, true]}, "a.x": "y", "n": null, "big": 12345678901234567890}`
	testDecisions(t, map[string]decision{
		"ini":             {check: one("/x", "ini", "Journal.Storage", "persistent"), files: map[string]string{"/x": ini}, want: Passed},
		"ini, no section": {check: one("/x", "ini", "Storage", "none"), files: map[string]string{"/x": ini}, want: Passed},
		"ini, last":       {check: one("/x", "ini", "a.b", "2"), files: map[string]string{"/x": "[a]\nb=1\n[a]\nb=2"}, want: Passed},
		"ini, broken":     {check: one("/x", "ini", "a.b", "2"), files: map[string]string{"/x": "[a\nb=2"}, want: Failed, actual: "line 1"},
		"shell":           {check: one("/x", "shell", "A", "b c"), files: map[string]string{"/x": "#A=no\nA=no\nexport A=\"b c\" # yes\n"}, want: Passed},
		"shell, plain":    {check: one("/x", "shell", "A", "b"), files: map[string]string{"/x": "A=b # c"}, want: Passed},
		"shell, single":   {check: one("/x", "shell", "A", "$b"), files: map[string]string{"/x": "A='$b'"}, want: Passed},
		"spaced":          {check: one("/etc/login.defs", "spaced", "PASS_MAX_DAYS", "<= 90"), files: map[string]string{"/etc/login.defs": "# PASS_MAX_DAYS 99999\nPASS_MAX_DAYS\t60\n"}, want: Passed},
		"spaced, more":    {check: one("/etc/login.defs", "spaced", "UMASK", "022"), files: map[string]string{"/etc/login.defs": "UMASK 077"}, want: Failed, actual: "077"},
		"json":            {check: one("/x.json", "", "a.b.c.0.d", "7"), files: map[string]string{"/x.json": nested}, want: Passed},
		"json, dots":      {check: one("/x.json", "", "a.x", "y"), files: map[string]string{"/x.json": nested}, want: Passed},
		"json, bool":      {check: one("/x.json", "", "a.b.c.1", "true"), files: map[string]string{"/x.json": nested}, want: Passed},
		"json, null":      {check: one("/x.json", "", "n", "null"), files: map[string]string{"/x.json": nested}, want: Passed},
		"json, big":       {check: one("/x.json", "", "big", "12345678901234567890"), files: map[string]string{"/x.json": nested}, want: Passed},
		"json, nothing":   {check: one("/x.json", "", "a.b.c.2", "true"), files: map[string]string{"/x.json": nested}, want: Failed, actual: "not set"},
		"json, broken":    {check: `config "/x.json" { not_set = ["a"] }`, files: map[string]string{"/x.json": "{"}, want: Failed, actual: "no valid json"},
		"json, more":      {check: `config "/x.json" { not_set = ["a"] }`, files: map[string]string{"/x.json": "{} {}"}, want: Failed, actual: "more after"},
		"yaml":            {check: one("/x.yaml", "", "users.0.name", "bob"), files: map[string]string{"/x.yaml": "users:\n- name: bob\n  uid: 7\n"}, want: Passed},
		"yaml, number":    {check: one("/x.yml", "", "a", "> 6"), files: map[string]string{"/x.yml": "a: 7"}, want: Passed},
		"yaml, keys":      {check: one("/x.yml", "", "ports.80", "http"), files: map[string]string{"/x.yml": "ports:\n  80: http\n  true: x\n"}, want: Passed},
		"yaml, nested":    {check: one("/x.yml", "", "a", `{"1":[2]}`), files: map[string]string{"/x.yml": "a: {1: [2]}"}, want: Passed},
		"yaml, empty":     {check: `config "/x.yaml" { not_set = ["a"] }`, files: map[string]string{"/x.yaml": ""}, want: Passed},
		"yaml, two":       {check: `config "/x.yaml" { not_set = ["a"] }`, files: map[string]string{"/x.yaml": "b: 1\n---\na: 1\n"}, want: Failed, actual: "several documents"},
		"toml":            {check: one("/x.toml", "", "servers.1.name", "b"), files: map[string]string{"/x.toml": "[[servers]]\nname = 'a'\n[[servers]]\nname = 'b'\n"}, want: Passed},
		"toml, time":      {check: one("/x.toml", "", "at", "2026-01-02T03:04:05Z"), files: map[string]string{"/x.toml": "at = 2026-01-02T03:04:05Z"}, want: Passed},
		"toml, broken":    {check: one("/x.toml", "", "a", "1"), files: map[string]string{"/x.toml": "a = "}, want: Failed, actual: "no valid toml"},
	})
}

// What not everybody may read is not shown.
func TestConfigSecrets(t *testing.T) {
	plan := mustCompile(t, Offline, `config "/x.json" {
  values  = { password = "right", user = "bob", none = "x" }
  not_set = ["token"]
}`)
	f := imageFacts(t, Offline, plan, map[string]string{"/x.json": `{"password": "hunter2", "user": "hunter3", "token": "hunter4"}`})
	f.nodes["/x.json"].mode = 0o100600
	for _, a := range plan.Suites[0].Assertions {
		v := a.decide(f)
		if v.outcome != Failed || strings.Contains(v.actual, "hunter") {
			t.Errorf("%s: %+v", a.ID(), v)
		}
	}
}

func TestConfigBlocksThatAssertNothing(t *testing.T) {
	for text, want := range map[string]string{
		`config "/etc/ssh/sshd_config" {}`:                                   "asserts nothing",
		`config "/x.json" { values = {} }`:                                   "empty map",
		`config "/x.json" { values = { a = "" } }`:                           "asserts nothing",
		`config "/x.json" { not_set = [] }`:                                  "empty list",
		`config "/etc/foo" { values = { a = "1" } }`:                         "set format to one of ini, json, shell, spaced, sshd, toml, yaml",
		"config \"/etc/foo\" {\nformat = \"xml\"\nvalues = { a = \"1\" }\n}": `"xml" is not a format`,
		"config \"/x.json\" {\nvalues = { a = \"1\" }\nnot_set = [\"a\"]\n}": "in values too",
		`config "/run/x.json" { values = { a = "1" } }`:                      "belongs to the build host",
		`config "x.json" { values = { a = "1" } }`:                           "not an absolute path",
	} {
		_, problems := compileText(t, Offline, text)
		if len(problems) != 1 || !strings.Contains(problems[0], want) {
			t.Errorf("%s: %q, want %q", text, problems, want)
		}
	}
}

// A map survives the way to the booted run.
func TestConfigDeferred(t *testing.T) {
	plan := mustCompile(t, Offline, `config "/run/x.json" {
  values   = { a = "1" }
  requires = "boot"
}`)
	a := plan.Suites[0].Assertions[0]
	report := &Report{Suites: []SuiteReport{{Name: "s", Results: []Result{{Assertion: a, Outcome: Deferred}}}}}
	data, err := report.DeferredJSON()
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(data) {
		t.Fatalf("%s", data)
	}
	suite, err := parseDeferred("d.json", data)
	if err != nil {
		t.Fatal(err)
	}
	again, problems := Compile([]Suite{suite}, Booted, someDay)
	if len(problems) > 0 || len(again.Suites[0].Assertions) != 1 || again.Suites[0].Assertions[0].ID() != a.ID() {
		t.Errorf("%v %v", problems, ids(again))
	}
}

func FuzzConfigFormats(f *testing.F) {
	f.Add("Include sshd_config.d/*.conf\nMatch all\nPort = \"22\" # x", "port")
	f.Add("[a]\nb=1", "a.b")
	f.Add(`{"a": {"b.c": [1, {"d": null}]}}`, "a.b.c.1.d")
	f.Add("a: {1: [2], true: x}", "a.1.0")
	f.Add("[[a]]\nb = 2026-01-02", "a.0.b")
	f.Fuzz(func(_ *testing.T, text, key string) {
		facts := newFacts(Offline)
		for _, parse := range formats {
			if s, err := parse(facts, "/etc/x", text); err == nil {
				_, _, _ = s.value(key)
			}
		}
	})
}
