package bakekey

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func example() Facts {
	return Facts{
		Build: "shop", Versions: map[string]string{"bakery": "0.1.0", "packer": "1.16.0"}, Place: "local/1/us-east-1",
		Source: []string{"ami-1", "snap-1"}, Options: json.RawMessage(`{"ami_name":"shop-{{timestamp}}"}`),
		Arguments: []string{"version=1"}, Variables: []string{"PKR_VAR_a=b"}, Values: map[string]string{"kernel": "6"},
		VarFiles: []string{"aa"}, Files: []File{{Name: "a", Size: 1, Digest: "01"}, {Name: "b", Size: 1, Digest: "02"}},
	}
}

func key(t *testing.T, f Facts) string {
	t.Helper()
	k, err := f.Key()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestEveryFactCounts(t *testing.T) {
	before := key(t, example())
	for name, change := range map[string]func(*Facts){
		"build":           func(f *Facts) { f.Build = "other" },
		"version":         func(f *Facts) { f.Versions["bakery"] = "0.1.1" },
		"place":           func(f *Facts) { f.Place = "local/1/eu-west-1" },
		"source":          func(f *Facts) { f.Source[0] = "ami-2" },
		"options":         func(f *Facts) { f.Options = json.RawMessage(`{}`) },
		"argument":        func(f *Facts) { f.Arguments[0] = "version=2" },
		"variable":        func(f *Facts) { f.Variables = nil },
		"value":           func(f *Facts) { f.Values["kernel"] = "7" },
		"file of vars":    func(f *Facts) { f.VarFiles[0] = "ab" },
		"file's content":  func(f *Facts) { f.Files[0].Digest = "03" },
		"file's mode":     func(f *Facts) { f.Files[0].Mode = 0o755 },
		"one file less":   func(f *Facts) { f.Files = f.Files[:1] },
		"part to another": func(f *Facts) { f.Arguments, f.Variables = nil, []string{"PKR_VAR_a=b", "version=1"} },
	} {
		t.Run(name, func(t *testing.T) {
			f := example()
			change(&f)
			if key(t, f) == before {
				t.Error("the key is the same")
			}
		})
	}
}

func TestKeyIsTheSameForTheSame(t *testing.T) {
	f := example()
	f.Files[0], f.Files[1] = f.Files[1], f.Files[0]
	if key(t, f) != key(t, example()) {
		t.Error("the order of files counts")
	}
	if f.Files[0].Name != "b" {
		t.Error("Key has sorted the caller's files")
	}
}

// TestKeyStays holds the key to what earlier releases have recorded: images in
// registries would be baked again by one that computes another.
func TestKeyStays(t *testing.T) {
	const want = "692a2c834f8e6c00198b546a195490fe56db1af0e560ca1d9644193242d51fd1"
	if got := key(t, example()); got != want {
		t.Errorf("the key is %s, it was %s; if that must be, change the salt's number", got, want)
	}
}

// tree makes files in a folder of their own, which becomes the working
// directory: a name with a slash at the end is a folder, "a -> b" a link.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for name, content := range files {
		link, target, isLink := strings.Cut(name, " -> ")
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			t.Fatal(err)
		}
		if isLink {
			err = os.Symlink(target, link)
		} else {
			err = os.WriteFile(name, []byte(content), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func names(files []File) []string {
	list := []string{}
	for _, file := range files {
		list = append(list, file.Name)
	}
	return list
}

func TestSelection(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs symbolic links")
	}
	dir := tree(t, map[string]string{
		"shop.pkr.hcl": "t", "files/a": "a", "files/deep/b": "b", "files/[c]": "c", "reports/shop.xml": "r", ".git/config": "g",
		"packer_cache/x": "x", "link -> files/deep": "", "gone -> nowhere": "", "files/alias -> a": "",
	})
	for name, test := range map[string]struct {
		files, ignore, want []string
	}{
		"the folder": {
			[]string{"."}, nil,
			[]string{"files/[c]", "files/a", "files/alias", "files/deep/b", "gone", "link/b", "reports/shop.xml", "shop.pkr.hcl"},
		},
		"without outputs":       {[]string{dir}, []string{"reports", "gone", "l*", "no/such"}, []string{"files/[c]", "files/a", "files/alias", "files/deep/b", "shop.pkr.hcl"}},
		"two stars":             {[]string{"files/**"}, []string{"files/deep/**"}, []string{"files/[c]", "files/a", "files/alias"}},
		"a pattern":             {[]string{"*.hcl", "files/deep/*"}, nil, []string{"files/deep/b", "shop.pkr.hcl"}},
		"a name like a pattern": {[]string{"files/[c]"}, nil, []string{"files/[c]"}},
		"twice":                 {[]string{"files/a", "files/a"}, nil, []string{"files/a"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Selection{Root: dir, Files: test.files, Ignore: test.ignore}.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, names(got)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSelectionRefuses(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs symbolic links")
	}
	dir := tree(t, map[string]string{"a/b": "b", "a/round -> ../a": ""})
	for pattern, want := range map[string]string{
		"typo":  "typo: there is no such file or folder",
		"*.deb": "*.deb: there is no such file or folder",
		"a":     "a/round is a link to a folder that it is in",
		"a/[b-": "syntax error in pattern",
	} {
		if _, err := (Selection{Root: dir, Files: []string{pattern}}).Read(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, want %q", pattern, err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Selection{Root: dir, Files: []string{"a"}}).Read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want that it was cancelled", err)
	}
	if Check("") == nil || Check("a[") == nil || Check("files/**") != nil {
		t.Error("Check does not tell patterns")
	}
}

func TestChanged(t *testing.T) {
	before := []File{{Name: "a", Digest: "1"}, {Name: "b", Digest: "1"}, {Name: "c", Digest: "1"}}
	after := []File{{Name: "b", Digest: "2"}, {Name: "c", Digest: "1"}, {Name: "d", Digest: "1"}}
	if diff := cmp.Diff([]string{"a", "b", "d"}, Changed(before, after)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := Changed(before, before); len(got) > 0 {
		t.Errorf("changed are %v", got)
	}
}

func TestParseCall(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("paths of Linux")
	}
	for line, want := range map[string]Call{
		"packer build .": {Template: "/work"},
		"/usr/bin/packer build -color=false -var a=b -only x.y -var=c=d=e --var-file more.hcl -var-file=/x/y.hcl shop.pkr.hcl": {
			Template: "/work/shop.pkr.hcl", Arguments: []string{"a=b", "c=d=e"}, VarFiles: []string{"/work/more.hcl", "/x/y.hcl"},
		},
		"packer -machine-readable build /t": {Template: "/t"},
	} {
		got, err := ParseCall(strings.Fields(line), "/work")
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
	for _, line := range []string{"", "packer build", "packer build -", "packer validate .", "build .", "packer build -var ."} {
		if _, err := ParseCall(strings.Fields(line), "/work"); !errors.Is(err, ErrNoCall) {
			t.Errorf("%s: error is %v, want that it cannot be found out", line, err)
		}
	}
}

func TestTemplateFiles(t *testing.T) {
	dir := tree(t, map[string]string{"a.pkr.hcl": "", "b.pkr.json": "", "c.auto.pkrvars.hcl": "", "d.pkrvars.hcl": "", "old.json": "", "sub/x.pkr.hcl": ""})
	for template, want := range map[string][]string{
		dir:                            {"a.pkr.hcl", "b.pkr.json", "c.auto.pkrvars.hcl"},
		filepath.Join(dir, "old.json"): {"old.json", "a.pkr.hcl", "b.pkr.json", "c.auto.pkrvars.hcl"},
	} {
		paths, err := Call{Template: template}.TemplateFiles()
		if err != nil {
			t.Fatal(err)
		}
		for i := range paths {
			paths[i] = filepath.Base(paths[i])
		}
		if diff := cmp.Diff(want, paths); diff != "" {
			t.Errorf("%s (-want +got):\n%s", template, diff)
		}
	}
}

func TestDescribe(t *testing.T) {
	tree(t, map[string]string{"v.hcl": "a = 1"})
	var f Facts
	c := Call{Arguments: []string{"z=1", "a=2"}, VarFiles: []string{"v.hcl"}}
	if err := c.Describe(&f, []string{"PKR_VAR_b=2", "HOME=/", "PKR_VAR_a=1"}); err != nil {
		t.Fatal(err)
	}
	want := Facts{
		Arguments: []string{"z=1", "a=2"}, Variables: []string{"PKR_VAR_a=1", "PKR_VAR_b=2"},
		VarFiles: []string{"b5bc1ffd90912fb18bef6e7d80909192c7a6492896320156d67fbaf104c6544a"},
	}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := (Call{VarFiles: []string{"none.hcl"}}).Describe(&f, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error is %v, want that the file is not there", err)
	}
}

// TestCaller starts this test again through a shell that looks like Packer.
func TestCaller(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc of Linux")
	}
	if os.Getenv("BAKEKEY_TEST_CHILD") == "1" {
		call, err := Caller()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("template %s, arguments %q", call.Template, call.Arguments)
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := tree(t, nil)
	// What follows keeps the shell from making way for its last command.
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", self+" -test.run '^TestCaller$' -test.v; exit $?", "build", "-var", "a=b c", "shop")
	cmd.Env = append(os.Environ(), "BAKEKEY_TEST_CHILD=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if want := "template " + dir + `/shop, arguments ["a=b c"]`; !strings.Contains(string(out), want) {
		t.Errorf("the output is %s, want %q", out, want)
	}
}
