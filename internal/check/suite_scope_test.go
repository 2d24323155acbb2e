package check

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// writeSuites writes suite files by name and returns their folder.
func writeSuites(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		writeTestFile(t, filepath.Join(dir, name), text, 0o600)
	}
	return dir
}

func TestVariables(t *testing.T) {
	dir := writeSuites(t, map[string]string{"a.spec.hcl": `
variable "owner" {}
variable "port" { default = 80 }
variable "paths" {
  default     = ["/a"]
  description = "what must be there"
}
file {
  paths    = concat(var.paths, ["/z"])
  owner    = lower(var.owner)
  contains = ["port ${var.port}"]
}
`})
	suites, errs := ReadSuites([]string{dir + "/a.spec.hcl"}, map[string]string{"owner": "SHOP", "paths": `["/x", "/y"]`}, nil)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	want := &File{Paths: []string{"/x", "/y", "/z"}, Owner: new("shop"), Contains: []string{"port 80"}}
	if diff := cmp.Diff(want, suites[0].Entries[0].Block); diff != "" {
		t.Errorf("block (-want +got):\n%s", diff)
	}
	// A value that Packer does not know yet is validated as far as possible.
	suites, errs = ReadSuites([]string{dir + "/a.spec.hcl"}, map[string]string{"owner": Unknown}, nil)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if plan, errs := Compile(suites, Auto, someDay); len(errs) > 0 || !plan.Partial {
		t.Errorf("partial %v, problems %v", plan.Partial, errs)
	}
}

func TestInclude(t *testing.T) {
	dir := writeSuites(t, map[string]string{
		"shop.spec.hcl": `
variable "role" { default = "web" }
include "common/base.spec.hcl" {
  vars = { user = "${var.role}-user" }
}
file "/shop" {}
`,
		"common/base.spec.hcl": "variable \"user\" {}\ninclude \"more.spec.hcl\" {}\nuser {\n  name = var.user\n}\n",
		"common/more.spec.hcl": "file \"/more\" {}\nwaiver \"file:/more\" {\n until = \"2027-01-01\"\n reason = \"r\"\n}\n",
	})
	suite, errs := ReadSuite(dir + "/shop.spec.hcl")
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	plan, errs := Compile([]Suite{suite}, Auto, someDay)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var at []string
	for _, a := range plan.Suites[0].Assertions {
		at = append(at, strings.TrimPrefix(a.Source.String(), dir+"/")+" "+a.ID())
	}
	if diff := cmp.Diff([]string{
		"common/more.spec.hcl:1 file:/more:exists", "common/base.spec.hcl:3 user:web-user:exists", "shop.spec.hcl:6 file:/shop:exists",
	}, at); diff != "" {
		t.Errorf("assertions (-want +got):\n%s", diff)
	}
}

func TestForEach(t *testing.T) {
	suite, errs := ParseSuite("x.spec.hcl", []byte(`
file {
  for_each = { "/a" = 640, "/b" = 600 }
  path     = each.key
  mode     = each.value
}
user {
  for_each = ["x", "y"]
  when     = each.value != "x"
  name     = "${each.value}${each.key}"
}
`))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	plan, errs := Compile([]Suite{suite}, Auto, someDay)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if diff := cmp.Diff([]string{"file:/a:mode = 0640", "file:/b:mode = 0600", "user:y1:exists = true"}, ids(plan)); diff != "" {
		t.Errorf("assertions (-want +got):\n%s", diff)
	}
}

// What is wrong with a suite's expressions is said with file and line, before
// anything runs.
func TestSuiteMistakes(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"no value":            {"variable \"a\" {}\n", `:1: variable "a" has no value and no default`},
		"twice":               {"variable \"a\" { default = 1 }\nvariable \"a\" { default = 1 }\n", `:2: variable "a" is declared twice`},
		"no name":             {"variable {}\n", `:1: variable: write one label`},
		"attribute":           {"variable \"a\" {\n type = string\n default = 1\n}\n", `:2: variable "a": type is nothing that a variable has`},
		"undeclared":          {"file \"/a\" {\n owner = var.who\n}\n", `:2: Unsupported attribute`},
		"unknown fact":        {"file \"/a\" {\n when = facts.color == \"red\"\n}\n", `:2: Unsupported attribute`},
		"no condition":        {"file \"/a\" {\n when = \"maybe\"\n}\n", `:2: file: when is not true or false`},
		"function":            {"file \"/a\" {\n owner = file(\"/etc/shadow\")\n}\n", `:2: Call to unknown function`},
		"constraint":          {"file \"/a\" {\n when = version(\"1\", \"about 2\")\n}\n", `:2: Invalid function argument`},
		"empty for_each":      {"file {\n for_each = []\n path = each.value\n}\n", `:2: file: for_each: an empty list checks nothing`},
		"for_each of a text":  {"file {\n for_each = \"x\"\n path = each.value\n}\n", `:2: file: for_each is not a list or a map`},
		"label and for_each":  {"file \"/a\" {\n for_each = [1, 2]\n size = each.value\n}\n", `:1: file "/a": the label is the same for every element`},
		"each without":        {"file {\n path = each.value\n}\n", `:2: Unknown variable`},
		"missing include":     {"include \"none.spec.hcl\" {}\n", `:1: include: open`},
		"include of itself":   {"include \"x.spec.hcl\" {}\n", `it includes itself`},
		"include of nothing":  {"include \"empty.spec.hcl\" {}\n", `:1: include "empty.spec.hcl": there are no checks in it`},
		"include, attribute":  {"include \"empty.spec.hcl\" {\n only = 1\n}\n", `:2: include: only is nothing that an include has`},
		"include, variables":  {"include \"empty.spec.hcl\" {\n vars = { a = 1 }\n}\n", `has no variable "a", to which`},
		"include, no map":     {"include \"empty.spec.hcl\" {\n vars = 1\n}\n", `:2: include: vars is not a map`},
		"mistake in included": {"include \"bad.spec.hcl\" {}\n", `bad.spec.hcl:2: Unsupported argument`},
		"nothing applies":     {"file \"/a\" {\n when = false\n}\n", `the conditions of all its checks do not hold`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := writeSuites(t, map[string]string{"x.spec.hcl": tc.text, "empty.spec.hcl": "# nothing\n", "bad.spec.hcl": "file \"/a\" {\n size_of = 1\n}\n"})
			suites, errs := ReadSuites([]string{dir + "/x.spec.hcl"}, nil, nil)
			if len(errs) == 0 {
				_, errs = Compile(suites, Auto, someDay)
			}
			var all strings.Builder
			for _, err := range errs {
				all.WriteString(err.Error() + "\n")
			}
			if !strings.Contains(all.String(), tc.want) {
				t.Errorf("problems:\n%swant one with %s", all.String(), tc.want)
			}
		})
	}
}

func TestValueOfNoVariable(t *testing.T) {
	dir := writeSuites(t, map[string]string{"a.spec.hcl": "variable \"n\" { default = [1] }\nfile \"/a\" {}\n"})
	_, errs := ReadSuites([]string{dir + "/a.spec.hcl"}, map[string]string{"m": "1"}, nil)
	if len(errs) != 1 || !strings.Contains(errs[0].Error(), `no suite declares the variable "m"`) {
		t.Errorf("errors %v", errs)
	}
	_, errs = ReadSuites([]string{dir + "/a.spec.hcl"}, map[string]string{"n": "[oops"}, nil)
	if len(errs) != 1 || !strings.Contains(errs[0].Error(), `a.spec.hcl:1: variable "n": "[oops" is no value such as its default`) {
		t.Errorf("errors %v", errs)
	}
}

const factsSuite = `
package {
  name = facts.family == "alpine" ? "busybox" : "coreutils"
  when = facts.os != "windows"
}
file "/etc/never" {
  when = facts.os == "plan9"
}
file {
  for_each = facts.family == "alpine" ? ["/etc/a"] : ["/etc/b", "/etc/c"]
  path     = each.value
  exists   = facts.arch == "s390x"
}
file "/etc/by-version" {
  when   = version(facts.version, ">= 3, < 13")
  exists = false
}
`

// Until the image is known, a suite with conditions is validated as far as it
// goes; then exactly what applies is run.
func TestFacts(t *testing.T) {
	plan := mustCompile(t, Auto, factsSuite)
	if plan.Partial || !plan.NeedsFacts() {
		t.Errorf("partial %v, needs facts %v", plan.Partial, plan.NeedsFacts())
	}
	_, problems := compileText(t, Auto, "file \"/etc/x\" {\n when = facts.os == \"debian\"\n mode = \"rw\"\n owner = facts.os\n}\n")
	if len(problems) != 1 || !strings.Contains(problems[0], `:3: file "/etc/x": mode: "rw" is not a file mode`) {
		t.Errorf("problems %q", problems)
	}
	for _, tc := range []struct {
		facts Facts
		want  []string
	}{
		{Facts{OS: "debian", Version: "12", Family: "debian", Arch: "amd64"}, []string{
			"package:coreutils:installed = true", "file:/etc/b:exists = false", "file:/etc/c:exists = false", "file:/etc/by-version:exists = false",
		}},
		{Facts{OS: "alpine", Version: "3.20.1", Family: "alpine", Arch: "s390x"}, []string{
			"package:busybox:installed = true", "file:/etc/a:exists = true", "file:/etc/by-version:exists = false",
		}},
		{Facts{OS: "debian", Version: "13", Family: "debian"}, []string{
			"package:coreutils:installed = true", "file:/etc/b:exists = false", "file:/etc/c:exists = false",
		}},
	} {
		resolved, err := plan.resolve(tc.facts)
		if err != nil {
			t.Errorf("%+v: %v", tc.facts, err)
			continue
		}
		if diff := cmp.Diff(tc.want, ids(resolved)); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tc.facts, diff)
		}
	}
	none := mustCompile(t, Auto, "file \"/a\" {\n when = facts.os == \"plan9\"\n}\n")
	if _, err := none.resolve(Facts{OS: "debian"}); err == nil || !strings.Contains(err.Error(), "would always pass") {
		t.Errorf("error %v, want that nothing applies", err)
	}
}

func TestArchOf(t *testing.T) {
	head := func(class, order byte, machine ...byte) []byte {
		return append(append([]byte("\x7fELF"), class, order, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0), machine...)
	}
	for want, data := range map[string][]byte{
		"amd64": head(2, 1, 0x3e, 0), "arm64": head(2, 1, 0xb7, 0), "s390x": head(2, 2, 0, 0x16), "386": head(1, 1, 3, 0), "": []byte("#!/bin/bash"),
	} {
		if got := archOf(data); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
