package goss

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/internal/check"
)

// FuzzRead gives the bytes of a gossfile to the reader, whatever they are: it
// says what is wrong with them, or makes checks that compile, and never panics.
func FuzzRead(f *testing.F) {
	seeds, err := filepath.Glob("testdata/verdicts/*.*")
	if err != nil || len(seeds) == 0 {
		f.Fatal(err)
	}
	for _, seed := range seeds {
		text, err := os.ReadFile(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, strings.HasSuffix(seed, ".json"))
	}
	for _, text := range []string{
		"file: &a {/a: {exists: true}}\nx: {<<: *a}", "a: &a [*a]", "matching: {m: {content: x, matches: {semver-constraint: '>1 ||'}}}",
		"matching: {m: {content: '{}', matches: {gjson: {'a.#(b==c)': 1}}}}", "? [a]\n: b", "gossfile: {'[': {}, '*': {}}", "{{ define \"a\" }}x{{ end }}{{ template \"a\" }}",
	} {
		f.Add([]byte(text), false)
	}
	f.Fuzz(func(t *testing.T, text []byte, isJSON bool) {
		// Functions that take their time, or make much of little, are the author's.
		for _, name := range []string{"gen", "repeat", "until", "seq", "rand", "htpasswd", "bcrypt", "derive", "encrypt", "getHostByName", "range", "template", "indent", "wrap", "print"} {
			if strings.Contains(string(text), name) {
				t.Skip("a template that could take long")
			}
		}
		file := filepath.Join(t.TempDir(), "goss.yaml")
		if isJSON {
			file = strings.TrimSuffix(file, "yaml") + "json"
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		suite, errs := Read(file, Options{WarnVacuous: true})
		plan, wrong := check.Compile([]check.Suite{suite}, check.Offline, time.Now())
		for _, err := range append(errs, wrong...) {
			if err.Error() == "" {
				t.Error("a mistake without words")
			}
		}
		if len(errs)+len(wrong) == 0 && plan.Len() == 0 && !plan.Partial {
			t.Error("no mistake, and no check")
		}
	})
}
