package goss

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/imagebakery/packer-plugin-bakery/internal/check"
)

// folder makes a folder of files from text: -- name -- before each.
func folder(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	for _, part := range strings.Split(text, "\n-- ")[1:] {
		name, content, _ := strings.Cut(part, " --\n")
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// mistakes are what is wrong with a gossfile, without the folder that it is in.
func mistakes(t *testing.T, dir, file string, o Options, mode check.Mode) []string {
	t.Helper()
	suite, errs := Read(filepath.Join(dir, file), o)
	_, wrong := check.Compile([]check.Suite{suite}, mode, time.Now())
	var texts []string
	for _, err := range append(errs, wrong...) {
		texts = append(texts, strings.ReplaceAll(err.Error(), dir+"/", ""))
	}
	return texts
}

func TestMistakes(t *testing.T) {
	for name, test := range map[string]struct {
		files string
		file  string
		want  []string // each is the beginning of a mistake
	}{
		"misspelt section": {"\n-- goss.yaml --\npakage:\n  bash:\n    installed: true", "", []string{
			`goss.yaml:1: there is no kind of resource called "pakage", and goss would ignore all that is in it; there are addr, command, dns,`,
		}},
		"unknown attribute": {"\n-- goss.yaml --\nfile:\n  /etc/passwd:\n    exists: true\n    bogus: 1\n    title: t", "", []string{
			`goss.yaml:4: file "/etc/passwd": bogus is nothing that a file has; there are contains, contents, exists,`,
		}},
		"line of a template": {"\n-- goss.yaml --\n{{ $x := list \"a\"\n  \"b\" }}\n\nfile:\n{{- range $x }}\n  /etc/{{ . }}:\n    exists: true\n    bogus: 1\n{{- end }}", "", []string{
			`goss.yaml:8: file "/etc/a": bogus is`, `goss.yaml:8: file "/etc/b": bogus is`,
		}},
		"line of yaml": {"\n-- goss.yaml --\n{{/* one\ntwo */}}\nfile:\n  /etc/passwd: {exists: true\n", "", []string{`goss.yaml:`}},
		"template": {"\n-- goss.yaml --\nfile:\n  {{ .Vars.nope }}: {exists: true}", "", []string{
			`goss.yaml:2:10: executing "goss.yaml" at <.Vars.nope>: map has no entry for key "nope"`,
		}},
		"template syntax":   {"\n-- goss.yaml --\nfile:\n  {{ nope }}: {exists: true}", "", []string{`goss.yaml:2: function "nope" not defined`}},
		"host's file":       {"\n-- goss.yaml --\n{{ readFile \"/etc/os-release\" }}", "", []string{`goss.yaml:1:3: executing "goss.yaml" at <readFile "/etc/os-release">: error calling readFile: readFile "/etc/os-release" would read the build host's file`}},
		"duplicate key":     {"\n-- goss.yaml --\nfile:\n  /a: {exists: true}\n  /a: {exists: false}", "", []string{`goss.yaml:3: mapping key "/a" already defined at line 2`}},
		"duplicate in JSON": {"\n-- goss.json --\n{\"file\": {\n\"/a\": {\"exists\": true},\n\"/a\": {\"exists\": false}}}", "goss.json", []string{`goss.json:3: is not JSON: key "/a" is there twice`}},
		"second document":   {"\n-- goss.yaml --\nfile:\n  /a: {exists: true}\n---\nfile:\n  /b: {exists: true}", "", []string{`goss.yaml:3: here begins a second document, which goss would ignore`}},
		"not a map":         {"\n-- goss.yaml --\n- file", "", []string{`goss.yaml:1: a gossfile is a map`}},
		"section no map":    {"\n-- goss.yaml --\nfile: [a]\nuser: {root: {exists: true}}", "", []string{`goss.yaml:1: file is not a map of ids and attributes`}},
		"nothing at all":    {"\n-- goss.yaml --\n", "", []string{`goss.yaml: the conditions of all its checks do not hold: such a suite would always pass`}},
		"all is skipped":    {"\n-- goss.yaml --\nuser: {root: {exists: true, skip: true}}", "", []string{`goss.yaml: the conditions of all its checks do not hold`}},
		"no extension":      {"\n-- goss --\nx", "goss", []string{`goss: its name does not tell how it is written`}},
		"no file":           {"\n-- x --\n", "", []string{`read gossfile: open goss.yaml: no such file`}},
		"required":          {"\n-- goss.yaml --\nfile:\n  /a: {mode: \"0644\"}", "", []string{`goss.yaml:2: file "/a": exists is missing, without which goss fails it; write for example exists: true`}},
		"null resource":     {"\n-- goss.yaml --\nfile:\n  /a:\n  /b: {exists: true}", "", []string{`goss.yaml:2: file "/a" has no attributes, and asserts nothing`}},
		"null value":        {"\n-- goss.yaml --\nfile:\n  /a:\n    exists: true\n    mode:", "", []string{`goss.yaml:4: file "/a": mode: has no value, and asserts nothing`}},
		"empty resource":    {"\n-- goss.yaml --\nservice:\n  ssh: {}", "", []string{`goss.yaml:2: service "ssh": asserts nothing, so it always passes`}},
		"empty lists": {"\n-- goss.yaml --\ncommand:\n  ls:\n    exit-status: 0\n    stdout: []\nuser:\n  root:\n    exists: true\n    groups: []", "", []string{
			`goss.yaml:4: command "ls": stdout: [] asserts nothing: it holds whatever is there; write "" to assert that there is nothing, or remove stdout`,
			`goss.yaml:8: user "root": groups: [] asserts nothing: it holds whatever is there; write {consist-of: []}`,
		}},
		"vacuous matchers": {"\n-- goss.yaml --\nfile:\n  /a:\n    exists: {or: [true, false]}\n  /b:\n    exists: true\n    owner: {match-regexp: \"\"}\n    mode: {and: []}\n    contents: [\"\"]\n    group: {not: {or: []}}", "", []string{
			`goss.yaml:3: file "/a": exists: {"or":[true,false]} asserts nothing: it holds of true and of false`,
			`goss.yaml:7: file "/b": mode: {"and":[]} asserts nothing: it holds of every value`,
			`goss.yaml:6: file "/b": owner: {"match-regexp":""} asserts nothing`,
			`goss.yaml:9: file "/b": group: {"not":{"or":[]}} asserts nothing`,
			`goss.yaml:8: file "/b": contents: [""] asserts nothing`,
		}},
		"after absence": {"\n-- goss.yaml --\nfile:\n  /a:\n    exists: false\n    mode: \"0644\"", "", []string{
			`goss.yaml:4: file "/a": mode: asserts nothing: with exists: false there is nothing left to look at; remove it, or exists`,
		}},
		"matchers": {"\n-- goss.yaml --\nfile:\n  /a:\n    exists: true\n    mode: {nope: 1}\n    owner: {have-prefix: 1}\n    size: {gt: x}\n    group: {equal: a, not: b}\n    contents: [{match-regexp: a}]\n    md5: {match-regexp: (}", "", []string{
			`goss.yaml:4: file "/a": mode: nope: there is no such matcher; there are and, consist-of,`,
			`goss.yaml:5: file "/a": owner: have-prefix: 1 is not a text`,
			`goss.yaml:7: file "/a": group: names 2 matchers (equal, not); write one`,
			`goss.yaml:8: file "/a": contents: element 1: {"match-regexp":"a"} is not a text`,
			`goss.yaml:6: file "/a": size: gt: "x" is not a number`,
			`goss.yaml:9: file "/a": md5: match-regexp: "(" is not a regular expression (RE2 syntax)`,
		}},
		"types": {"\n-- goss.yaml --\ncommand:\n  ls:\n    exit-status: none\n    timeout: soon\nuser:\n  root: {exists: true, skip: maybe}", "", []string{
			`goss.yaml:3: command "ls": exit-status "none" is not a number`,
			"goss.yaml:4: command \"ls\": timeout line 4: cannot unmarshal !!str `soon` into int",
			`goss.yaml:2: command "ls": exit-status is missing`,
			"goss.yaml:6: user \"root\": skip line 6: cannot unmarshal !!str `maybe` into bool",
		}},
		"subjects": {"\n-- goss.yaml --\nfile:\n  ~/x: {exists: true}\n  x: {exists: true, path: y}\npackage:\n  lib*: {installed: true}\nport:\n  sctp:1: {listening: true}\naddr:\n  udp://a:1: {reachable: true}\n  a: {reachable: true}\ndns:\n  MX:a: {resolvable: true}\n  XX:b: {resolvable: true}\nhttp:\n  http://a:b@c/: {status: 200}", "", []string{
			`goss.yaml:2: file "~/x": "~/x" is not an absolute path`,
			`goss.yaml:3: file "x: y": "y" is not an absolute path`,
			`goss.yaml:5: package "lib*": "lib*" looks like a pattern`,
			`goss.yaml:7: port "sctp:1": "sctp:1" is not a port`,
			`goss.yaml:9: addr "udp://a:1": "udp://a:1" is of UDP, where every address can be sent to, so the check cannot fail`,
			`goss.yaml:10: addr "a": "a" is no host and port`,
			`goss.yaml:12: dns "MX:a": server: without a server the addresses of the name are looked up, whatever the type MX says`,
			`goss.yaml:13: dns "XX:b": "XX:b" asks for records of no known type`,
			`goss.yaml:15: http "http://a:b@c/": "http://a:b@c/" has a password in it`,
		}},
		"commands": {"\n-- goss.yaml --\ncommand:\n  \"if\": {exit-status: 0}\n  ls /x || true: {exit-status: 0}", "", []string{
			`goss.yaml:2: command "if": "if" is not a shell command`,
			`goss.yaml:3: command "ls /x || true": exit-status: the command exits with 0 whatever it finds`,
		}},
		"includes": {"\n-- goss.yaml --\ngossfile:\n  none*.yaml: {}\n  goss.yaml: {}\n  a.yaml: {file: b.yaml, bogus: 1}\n  c.yaml: {skip: true}\n  d.yaml:\nuser: {root: {exists: true}}", "", []string{
			`goss.yaml:4: gossfile "a.yaml": bogus is nothing that a gossfile has`,
			`goss.yaml:6: gossfile "d.yaml" has no attributes`,
			`goss.yaml:3: gossfile "goss.yaml" includes itself: goss.yaml, goss.yaml`,
			`goss.yaml:2: gossfile "none*.yaml": there is no such file`,
		}},
		"dropped by a later file": {"\n-- goss.yaml --\ngossfile:\n  a.yaml: {}\nuser:\n  root: {exists: true}\n  same: {exists: true}\n-- a.yaml --\nuser:\n  root:\n    exists: false\n  same: {exists: true}", "", []string{
			`a.yaml:2: user "root" is at goss.yaml:4 too, and goss would check only the later one; remove one, or give it another id and set username: "root"`,
		}},
		"aliases": {"\n-- goss.yaml --\nuser: &a\n  root: {exists: true}\n  b: *a", "", []string{`goss.yaml: anchor 'a' value contains itself`}},
	} {
		t.Run(name, func(t *testing.T) {
			file := test.file
			if file == "" {
				file = "goss.yaml"
			}
			got := mistakes(t, folder(t, test.files), file, Options{}, check.Auto)
			for i, text := range got {
				if i >= len(test.want) || !strings.HasPrefix(text, test.want[i]) {
					t.Errorf("mistake %d: %s", i, text)
				}
			}
			if len(got) != len(test.want) {
				t.Errorf("%d mistakes, want %d", len(got), len(test.want))
			}
		})
	}
}

// What a mounted image cannot answer is refused with a remedy, or left to the
// booted run, which reads it from a file.
func TestBootIsRefusedOrDeferred(t *testing.T) {
	dir := folder(t, `
-- goss.yaml --
service:
  nslcd: {enabled: true, running: true}
process:
  nslcd: {running: true}
command:
  ntpq -pn:
    exit-status: 0
    stdout: [/^\*/]
    meta: {requires: boot, severity: high}
matching:
  number: {content: 1.0, matches: {equal: 1.0}}
`)
	want := []string{
		`goss.yaml:2: service "nslcd": running = true cannot be decided offline (the image is mounted in a chroot; nothing is running in it). Write enabled: true to check that it starts at boot, or requires: boot below meta of the resource (or defer_boot for the whole gossfile) to hand this check to the booted run.`,
		`goss.yaml:4: process "nslcd": running = true cannot be decided offline`,
	}
	got := mistakes(t, dir, "goss.yaml", Options{}, check.Offline)
	if len(got) != 2 {
		t.Fatalf("mistakes: %q", got)
	}
	for i, text := range got {
		if !strings.HasPrefix(text, want[i]) {
			t.Errorf("%s, want %s", text, want[i])
		}
	}
	if got := mistakes(t, dir, "goss.yaml", Options{DeferBoot: true}, check.Offline); len(got) > 0 {
		t.Errorf("with defer_boot: %q", got)
	}
}

// Lists that are empty assert nothing in many suites that exist: they may be let
// pass, with a warning each, and the other assertions count.
func TestVacuousIsWarnedOf(t *testing.T) {
	dir := folder(t, "\n-- goss.yaml --\ncommand:\n  ls:\n    exit-status: 0\n    stdout: []\nservice:\n  ssh: {}\nuser:\n")
	suite, errs := Read(filepath.Join(dir, "goss.yaml"), Options{WarnVacuous: true})
	plan, wrong := check.Compile([]check.Suite{suite}, check.Auto, time.Now())
	if len(errs)+len(wrong) > 0 || plan.Len() != 1 {
		t.Errorf("%d checks, mistakes %v %v", plan.Len(), errs, wrong)
	}
}

func TestLinesOfTemplates(t *testing.T) {
	r := &reader{vars: map[string]any{"list": []any{"a", "b"}}}
	text, lines, err := r.render("goss.yaml", []byte("one\n{{- range .Vars.list }}\n  {{ . }}: x{{ end }}\n{{/* a\nb */ -}}\n\nlast\n{{ \"two\\nlines\" }}\nend"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "one\n  a: x\n  b: x\nlast\ntwo\nlines\nend"; string(text) != want {
		t.Errorf("text %q, want %q", text, want)
	}
	if want := []int{1, 3, 3, 7, 8, 8, 9}; !cmp.Equal(lines, want) {
		t.Errorf("lines %v, want %v", lines, want)
	}
}

func TestVariables(t *testing.T) {
	dir := folder(t, "\n-- vars.yaml --\na: file\nb: file\nc: file\nd: [1, two]\n-- vars.json --\n{\"a\": 1.5}\n-- list.yaml --\n- a\n-- bad.yaml --\na: [")
	got, err := Options{VarsFile: dir + "/vars.yaml", VarsInline: `{"b": "inline", "c": "inline"}`, Vars: map[string]string{"c": "option"}}.variables()
	want := map[string]any{"a": "file", "b": "inline", "c": "option", "d": []any{1, "two"}}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("variables %v, %v, want %v", got, err, want)
	}
	if got, err := (Options{VarsFile: dir + "/vars.json"}).variables(); err != nil || !cmp.Equal(got, map[string]any{"a": 1.5}) {
		t.Errorf("variables %v, %v", got, err)
	}
	for _, o := range []Options{{VarsFile: dir + "/none"}, {VarsFile: dir + "/bad.yaml"}, {VarsFile: dir + "/list.yaml"}, {VarsInline: "[1]"}} {
		if got, err := o.variables(); err == nil {
			t.Errorf("%+v: variables %v, want an error", o, got)
		}
	}
}

// Suites are recorded by name, so two of one name are a mistake.
func TestNamesOfSuites(t *testing.T) {
	dir := folder(t, "\n-- a/goss.yaml --\nuser: {root: {exists: true}}\n-- b/goss.yaml --\nuser: {root: {exists: true}}")
	files := []File{{Path: dir + "/a/goss.yaml"}, {Path: dir + "/b/goss.yaml"}, {Path: ""}}
	if suites, errs := ReadAll(files, map[string]string{}); len(suites) != 1 || len(errs) != 2 {
		t.Errorf("%d suites, %v", len(suites), errs)
	}
	files[1].Name = "other"
	owners := map[string]string{}
	if suites, errs := ReadAll(files[:2], owners); len(suites) != 2 || len(errs) > 0 || owners["other"] == "" {
		t.Errorf("%d suites, %v, names %v", len(suites), errs, owners)
	}
}
