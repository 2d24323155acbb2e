package check

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// someDay is the day on which the tests' waivers are looked at.
var someDay = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// compileText compiles the text of a suite file called test.spec.hcl.
func compileText(t *testing.T, mode Mode, text string) (*Plan, []string) {
	t.Helper()
	suite, errs := ParseSuite("test.spec.hcl", []byte(text))
	var plan *Plan
	if len(errs) == 0 {
		plan, errs = Compile([]Suite{suite}, mode, someDay)
	}
	var texts []string
	for _, err := range errs {
		texts = append(texts, err.Error())
	}
	return plan, texts
}

// mustCompile is compileText for a suite without problems.
// quoteHCL writes a text as a literal of a suite file.
func quoteHCL(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(fmt.Sprintf("%q", text), "${", "$${"), "%{", "%%{")
}

func mustCompile(t *testing.T, mode Mode, text string) *Plan {
	t.Helper()
	plan, problems := compileText(t, mode, text)
	if len(problems) > 0 {
		t.Fatalf("problems:\n%s", strings.Join(problems, "\n"))
	}
	return plan
}

func ids(p *Plan) []string {
	var list []string
	for _, s := range p.Suites {
		for _, a := range s.Assertions {
			list = append(list, a.ID()+" = "+a.Expected)
		}
	}
	return list
}

func TestAssertions(t *testing.T) {
	plan := mustCompile(t, Auto, `
file "/etc/timezone" {}
file {
  paths  = ["/a", "/b"]
  exists = false
}
file "/etc/passwd" {
  type         = "file"
  mode         = 0644
  owner        = "root"
  group        = 0
  size         = "> 0,<=  4096"
  md5          = "D41D8CD98F00B204E9800998ECF8427E"
  contains     = ["root:", "daemon:"]
  not_contains = ["toor:"]
  matches      = ["^root:"]
  not_matches  = ["^.*::0:"]
}
file "/etc/localtime" { target = "/usr/share/zoneinfo/Etc/UTC" }
package { names = ["ntp", "nslcd"] }
package "openssl" { version = ">= 3.0, < 4" }
package "telnetd" { installed = false }
package "linux-image-amd64" { held = true }
service "nslcd" { enabled = true }
user "jeremy" {
  uid          = ">= 1000"
  groups       = ["sudo"]
  password_set = false
}
group "sudo" {}
command "getent passwd jeremy" {
  exit_status = 0
  stdout      = ""
  requires    = "boot"
}
`)
	want := []string{
		`file:/etc/timezone:exists = true`,
		`file:/a:exists = false`,
		`file:/b:exists = false`,
		`file:/etc/passwd:type = file`,
		`file:/etc/passwd:mode = 0644`,
		`file:/etc/passwd:owner = root`,
		`file:/etc/passwd:group = 0`,
		`file:/etc/passwd:size = > 0, <= 4096`,
		`file:/etc/passwd:md5 = d41d8cd98f00b204e9800998ecf8427e`,
		`file:/etc/passwd:contains = "root:", "daemon:"`,
		`file:/etc/passwd:not_contains = "toor:"`,
		`file:/etc/passwd:matches = "^root:"`,
		`file:/etc/passwd:not_matches = "^.*::0:"`,
		`file:/etc/localtime:target = /usr/share/zoneinfo/Etc/UTC`,
		`package:ntp:installed = true`,
		`package:nslcd:installed = true`,
		`package:openssl:version = >= 3.0, < 4`,
		`package:telnetd:installed = false`,
		`package:linux-image-amd64:held = true`,
		`service:nslcd:enabled = true`,
		`user:jeremy:uid = >= 1000`,
		`user:jeremy:groups = sudo`,
		`user:jeremy:password_set = false`,
		`group:sudo:exists = true`,
		`command:getent passwd jeremy:exit_status = 0`,
		`command:getent passwd jeremy:stdout = ""`,
	}
	if diff := cmp.Diff(want, ids(plan)); diff != "" {
		t.Errorf("assertions (-want +got):\n%s", diff)
	}
}

// Each of these cannot fail, cannot be decided or makes no sense; none may get
// as far as a build.
func TestRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		mode Mode
		text string
		want []string // one for each problem, in order
	}{
		"no subject":        {text: `file {}`, want: []string{`test.spec.hcl:1: file: names nothing to check; set path or paths`}},
		"no command":        {text: `command { exit_status = 0 }`, want: []string{`command: names nothing to check; set run`}},
		"both subjects":     {text: "file {\n path = \"/a\"\n paths = [\"/b\"]\n}", want: []string{`test.spec.hcl:3: file: paths: both path and paths are set`}},
		"no subjects":       {text: `package { names = [] }`, want: []string{`names: an empty list checks nothing`}},
		"empty name":        {text: `package { names = [""] }`, want: []string{`names: "" is empty`}},
		"label and path":    {text: `file "/a" { path = "/b" }`, want: []string{`file "/a": the label is the path; remove one`}},
		"two labels":        {text: `file "/a" "/b" {}`, want: []string{`file has 2 labels`}},
		"unknown kind":      {text: `flie "/a" {}`, want: []string{`test.spec.hcl:1: there is no kind of check called flie; there are addr, command, config, cron, `}},
		"unknown attribute": {text: "file \"/a\" {\n  contain = [\"x\"]\n}", want: []string{`test.spec.hcl:2: Unsupported argument: An argument named "contain" is not expected here. Did you mean "contains"?`}},
		"unlike any":        {text: "package \"a\" {\n  hash = \"x\"\n}", want: []string{`test.spec.hcl:2: Unsupported argument: An argument named "hash" is not expected here. package takes held, installed, name, names, `}},
		"variable":          {text: `file "/a" { owner = var.owner }`, want: []string{`test.spec.hcl:1: Unsupported attribute`}},
		"attribute on top":  {text: `mode = "offline"`, want: []string{`test.spec.hcl:1: mode = … is an attribute`}},
		"nothing":           {text: "# nothing\n", want: []string{`test.spec.hcl: no checks in it`}},
		"relative path":     {text: `file "etc/timezone" {}`, want: []string{`file: path: "etc/timezone" is not an absolute path`}},
		"unclean path":      {text: `file "/etc/../root/" {}`, want: []string{`write "/root"`}},
		"empty list":        {text: `file "/a" { contains = [] }`, want: []string{`file "/a": contains: an empty list asserts nothing`}},
		"empty text":        {text: `file "/a" { contains = [""] }`, want: []string{`contains: "" asserts nothing`}},
		"null text":         {text: `file "/a" { contains = [null] }`, want: []string{`contains: "" asserts nothing`}},
		"empty owner":       {text: `file "/a" { owner = "" }`, want: []string{`owner: "" asserts nothing`}},
		"bad mode":          {text: `file "/a" { mode = "rw" }`, want: []string{`file "/a": mode: "rw" is not a file mode; write it in octal, for example "0644"`}},
		"decimal mode":      {text: `file "/a" { mode = 0689 }`, want: []string{`mode: "689" is not a file mode`}},
		"bad type":          {text: `file "/a" { type = "symlink" }`, want: []string{`type: "symlink" is not a type of file; write one of file, directory, link`}},
		"bad size":          {text: `file "/a" { size = "> 4k" }`, want: []string{`size: "> 4k" is not a constraint: "4k" is not a whole number`}},
		"any size":          {text: `file "/a" { size = ">= 0" }`, want: []string{`size: ">= 0" holds for every number`}},
		"no size":           {text: `file "/a" { size = "> 5, < 6" }`, want: []string{`size: "> 5, < 6" holds for no number`}},
		"any status":        {text: `command "ls" { exit_status = "!= -1" }`, want: []string{`exit_status: "!= -1" holds for every number`}},
		"always succeeds":   {text: `command "grep -q x /etc/y || true" { exit_status = 0 }`, want: []string{`exit_status: the command exits with 0 whatever it finds`}},
		"bad digest":        {text: `file "/a" { sha256 = "abc" }`, want: []string{`sha256: "abc" is not a digest; write its 64 hexadecimal digits`}},
		"bad regexp":        {text: `file "/a" { matches = ["(", "a(?=b)"] }`, want: []string{`matches: "(" is not a regular expression`, `matches: "a(?=b)" is not a regular expression`}},
		"vacuous regexp":    {text: `file "/a" { matches = ["^.*$"] }`, want: []string{`matches: "^.*$" matches every line`}},
		"contradiction":     {text: "file \"/a\" {\n contains = [\"x\"]\n not_contains = [\"x\"]\n}", want: []string{`contains: "x" is in not_contains too`}},
		"absent with mode":  {text: "file \"/a\" {\n exists = false\n mode = 644\n}", want: []string{`exists: exists = false leaves nothing else to assert`}},
		"bad constraint":    {text: `package "a" { version = ">= " }`, want: []string{`version: ">= " is not a constraint`}},
		"two operators":     {text: `package "a" { version = ">= 1 < 2" }`, want: []string{`"1 < 2" is not a version`}},
		"absent, version":   {text: "package \"a\" {\n installed = false\n version = \"1\"\n}", want: []string{`installed: installed = false leaves nothing`}},
		"pattern":           {text: `package "php*" {}`, want: []string{`"php*" looks like a pattern`}},
		"service":           {text: `service "a" {}`, want: []string{`service "a": asserts nothing; write for example enabled = true`}},
		"masked, enabled":   {text: "service \"a\" {\n masked = true\n enabled = true\n}", want: []string{`masked: a masked service cannot be enabled`}},
		"command":           {text: `command "true" {}`, want: []string{`command "true": asserts nothing; write for example exit_status = 0`}},
		"syntax":            {text: "command \"if true; then\" { exit_status = 0 }", want: []string{`run: "if true; then" is not a shell command`}},
		"timeout":           {text: "command \"true\" {\n exit_status = 0\n timeout = \"1500ms\"\n}", want: []string{`timeout: "1500ms" is not between 1s and 1h0m0s, in whole seconds`}},
		"uid":               {text: `user "a" { uid = "many" }`, want: []string{`uid: "many" is not a constraint`}},
		"home":              {text: `user "a" { home = "root" }`, want: []string{`home: "root" is not an absolute path`}},
		"members":           {text: `group "a" { members = [] }`, want: []string{`members: an empty list asserts nothing`}},
		"severity":          {text: `file "/a" { severity = "huge" }`, want: []string{`severity: "huge" is not a severity; write low, medium, high or critical`}},
		"requires":          {text: `file "/a" { requires = "network" }`, want: []string{`requires: "network" is nothing that a check can require`}},
		"label of none":     {text: "selinux \"x\" { live = \"enforcing\" }", want: []string{`test.spec.hcl:1: selinux takes no label`}},
		"selinux":           {text: "selinux {}", want: []string{`selinux "selinux": asserts nothing`}},
		"hygiene":           {text: "hygiene {}", want: []string{`hygiene "hygiene": asserts nothing`}},
		"hygiene preset":    {text: `hygiene { preset = "x" }`, want: []string{`preset: "x" is no preset; write "ami"`}},
		"hygiene rule":      {text: `hygiene { rules = ["x"] }`, want: []string{`rules: "x" is no rule; write some of ssh-host-keys`}},
		"selinux mode":      {text: `selinux { configured = "on" }`, want: []string{`configured: "on" is no mode of SELinux`}},
		"timer":             {text: `timer "a" {}`, want: []string{`timer "a": asserts nothing; write for example enabled = true`}},
		"schedule":          {text: `cron "a" { schedule = "at noon" }`, want: []string{`schedule: "at noon" is not a schedule`}},
		"two jobs":          {text: `cron "a\nb" {}`, want: []string{`is not the command of a job`}},
		"absent process":    {text: "process \"a\" {\n running = false\n count = 1\n}", want: []string{`running: running = false leaves nothing else`}},
		"address":           {text: `addr "example.com" {}`, want: []string{`address: "example.com" is no host and port`}},
		"url":               {text: `http "ftp://x/" {}`, want: []string{`url: "ftp://x/" is no address of the web`}},
		"url with password": {text: `http "http://u:p@x/" {}`, want: []string{`has a password in it`}},
		"dns server":        {text: "dns \"a\" { server = \"b\" }", want: []string{`server: "b" is not an address`}},
		"interface address": {text: "interface \"a\" { addresses = [\"b\"] }", want: []string{`addresses: "b" is not an address`}},
		"xattr":             {text: "file \"/a\" { xattrs = { origin = \"x\" } }", want: []string{`xattrs: "origin" is not an extended attribute`}},
		"no xattrs":         {text: "file \"/a\" { xattrs = {} }", want: []string{`xattrs: an empty map asserts nothing`}},
		"two lines":         {text: "file \"/a\" { lines = [\"a\\nb\"] }", want: []string{`lines: "a\nb" is not one line`}},
		"retry":             {text: "file \"/a\" { retry = \"often\" }", want: []string{`retry: "often" is not a period`}},
		"network, offline": {
			mode: Offline, text: `dns "a" {}`,
			want: []string{`dns "a": resolvable = true cannot be decided offline (the network is the build host's, and nothing of the image runs in it). Write requires = "boot"`},
		},
		"two expectations": {
			text: "file \"/a\" { mode = 644 }\nfile \"/a\" { mode = 600 }",
			want: []string{`test.spec.hcl:2: file "/a": mode: two expectations that contradict each other: 0600 here and 0644 at test.spec.hcl:1`},
		},
		"two lists": {
			text: "file \"/a\" { contains = [\"x\"] }\nfile \"/a\" { contains = [\"y\"] }",
			want: []string{`contains: is asserted twice, "y" here and "x" at test.spec.hcl:1; write both in one block`},
		},
		"all at once": {
			text: "file \"/a\" {\n mode = \"x\"\n owner = \"\"\n matches = [\"(\"]\n}\nservice \"b\" {}",
			want: []string{`test.spec.hcl:2: file "/a": mode:`, `test.spec.hcl:3: file "/a": owner:`, `test.spec.hcl:4: file "/a": matches:`, `test.spec.hcl:6: service "b":`},
		},
		"running, offline": {
			mode: Offline, text: `service "nslcd" { running = true }`,
			want: []string{`service "nslcd": running = true cannot be decided offline (the image is mounted in a chroot; nothing is running in it). Write enabled = true to check that it starts at boot, or requires = "boot" to hand this check to the booted run.`},
		},
		"the host's files": {
			mode: Offline, text: `file { paths = ["/proc/cpuinfo", "/var/run/x.pid", "/etc/resolv.conf"] }`,
			want: []string{`/proc belongs to the build host`, `/run belongs to the build host`, `/etc/resolv.conf belongs to the build host`},
		},
		"waiver of nothing": {
			text: "file \"/a\" { mode = 644 }\nwaiver \"file:/b:mode\" {\n until = \"2027-01-31\"\n reason = \"r\"\n}",
			want: []string{`test.spec.hcl:2: waiver "file:/b:mode": there is no such check; the ids of this run's checks are file:/a:mode`},
		},
		"waiver that ended": {
			text: "file \"/a\" { mode = 644 }\nwaiver \"file:/a:mode\" {\n until = \"2026-11-19\"\n reason = \"OPS-1\"\n}",
			want: []string{`waiver "file:/a:mode": ended on 2026-11-19 (OPS-1); repair what it waives, or renew it`},
		},
		"waiver without reason": {
			text: "file \"/a\" { mode = 644 }\nwaiver \"file:/a\" { until = \"soon\" }",
			want: []string{`gives no reason`, `until = "soon" is not a day`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := compileText(t, tc.mode, tc.text)
			if len(problems) != len(tc.want) {
				t.Fatalf("%d problems, want %d:\n%s", len(problems), len(tc.want), strings.Join(problems, "\n"))
			}
			for i, want := range tc.want {
				if !strings.Contains(problems[i], want) {
					t.Errorf("problem %d is\n  %s\nand has no\n  %s", i, problems[i], want)
				}
			}
		})
	}
}

func TestNoChecksAtAll(t *testing.T) {
	var none Blocks
	_, problems := Compile([]Suite{none.Suite("inline")}, Auto, someDay)
	if len(problems) != 1 || !strings.Contains(problems[0].Error(), "no checks") {
		t.Errorf("problems = %v, want that there are no checks", problems)
	}
}

// Packer writes <unknown> for what it learns later only.
func TestUnknownValuesAreNoProblem(t *testing.T) {
	blocks := Blocks{
		File: []File{
			{Path: Unknown + "/x", Mode: new("0644")},
			{Path: "/a", Owner: new(Unknown), Contains: []string{"a" + Unknown}, SHA256: new(Unknown)},
		},
		Package: []Package{{Name: "shop", Version: new(Unknown)}},
		Command: []Command{{Run: Unknown, ExitStatus: new("0")}, {Run: "true", Stdout: new(Unknown)}},
		Waiver:  []Waiver{{Check: Unknown, Until: Unknown, Reason: "r"}},
	}
	plan, problems := Compile([]Suite{blocks.Suite("inline")}, Auto, someDay)
	if len(problems) > 0 {
		t.Errorf("problems: %v", problems)
	}
	if !plan.Partial {
		t.Error("the plan is not partial")
	}
	if _, err := Run(t.Context(), plan, Target{}); err == nil {
		t.Error("a partial plan ran")
	}
	// What is known is validated all the same.
	blocks.File[0].Mode = new("rw")
	if _, problems := Compile([]Suite{blocks.Suite("inline")}, Auto, someDay); len(problems) != 1 {
		t.Errorf("problems = %v, want one about the mode", problems)
	}
}

func TestSameCheckInTwoSuites(t *testing.T) {
	parse := func(name, text string) Suite {
		s, errs := ParseSuite(name, []byte(text))
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		return s
	}
	base := parse("base.spec.hcl", `file "/etc/motd" {
  mode     = 644
  contains = ["base"]
}`)
	shop := parse("shop.spec.hcl", `file "/etc/motd" {
  mode     = "0644"
  contains = ["shop"]
}`)
	plan, problems := Compile([]Suite{base, shop}, Auto, someDay)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if got := []int{len(plan.Suites[0].Assertions), len(plan.Suites[1].Assertions)}; !slices.Equal(got, []int{2, 2}) {
		t.Errorf("assertions by suite = %v, want 2 and 2", got)
	}
	_, problems = Compile([]Suite{base, parse("shop.spec.hcl", `file "/etc/motd" { mode = 600 }`)}, Auto, someDay)
	if len(problems) != 1 || !strings.Contains(problems[0].Error(), "at base.spec.hcl:2") {
		t.Errorf("problems = %v, want a contradiction with base.spec.hcl:2", problems)
	}
}

func TestDigestIsOfTheDemands(t *testing.T) {
	of := func(text string) string { return mustCompile(t, Auto, text).Suites[0].Digest }
	one := of("file \"/a\" { mode = 644 }\nuser \"b\" {}")
	if same := of("# a comment\nuser \"b\" {}\n\nfile {\n  path = \"/a\"\n  mode = \"0644\"\n}"); same != one {
		t.Error("the digest depends on order or layout")
	}
	for _, other := range []string{
		"file \"/a\" { mode = 640 }\nuser \"b\" {}",
		"file \"/a\" { mode = 644 }",
		"file \"/a\" {\n mode = 644\n severity = \"low\"\n}\nuser \"b\" {}",
	} {
		if of(other) == one {
			t.Errorf("the digest of %q is the same", other)
		}
	}
}

func TestIDOfACommand(t *testing.T) {
	a := &Assertion{Kind: "command", Subject: "a  \n\tb", Property: "stdout"}
	if got, want := a.ID(), "command:a b:stdout"; got != want {
		t.Errorf("ID = %q, want %q", got, want)
	}
	long, other := strings.Repeat("é ", 100), strings.Repeat("é ", 101)
	if shortSubject(long) == shortSubject(other) || len(shortSubject(long)) > subjectLimit+20 {
		t.Errorf("ids of long commands: %q and %q", shortSubject(long), shortSubject(other))
	}
}
