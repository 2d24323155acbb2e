package check

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// contentNeeds asks for the content of files.
func contentNeeds(paths ...string) *needs {
	n := &needs{byPath: map[string]*pathNeed{}, mode: Offline}
	for _, p := range paths {
		n.path(p).content = true
	}
	return n
}

// What many files hold is read together, and is the same as if each was read alone.
func TestContents(t *testing.T) {
	dir := t.TempDir()
	salted := "\n==> " + saltOf("bakery-guess") + dir + "/1 <==\n"
	want := map[string]string{
		"empty": "", "small": "x", "no end": "a\nb", "binary": "\x00\xff\n\x00", "heads": "==> x <==\n\n==> /etc/passwd <==\n", "forged": salted,
		"large": strings.Repeat("0123456789abcdef", smallContent/16), "larger": strings.Repeat("x", smallContent) + "y",
		"line\nbreak": "z\n", "==> x <==": "w\n", "'$(exit 3)'": "v\n",
	}
	for i := range contentsBatch {
		want[fmt.Sprintf("%03d", i)] = strings.Repeat("\n", i%3) + fmt.Sprint(i) + strings.Repeat("\n", i%4)
	}
	var paths []string
	for name, text := range want {
		writeTestFile(t, filepath.Join(dir, name), text, 0o600)
		paths = append(paths, filepath.Join(dir, name))
	}
	if err := os.Symlink("small", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	want["link"] = "x"
	paths = append(paths, filepath.Join(dir, "link"), filepath.Join(dir, "missing"), dir)
	// Programs of an image that can do less than those of this machine.
	tools := func(t *testing.T, name, text string) []string {
		bin := t.TempDir()
		writeTestFile(t, filepath.Join(bin, name), "#!/bin/sh\n"+text, 0o755)
		return []string{"env", "PATH=" + bin + ":/usr/bin:/bin"}
	}
	onEachShell(t, func(t *testing.T, shell local) {
		for name, before := range map[string][]string{
			"all":         nil,
			"no head -v":  tools(t, "head", "[ \"$1\" != -v ] || exit 1\nexec /usr/bin/head \"$@\"\n"),
			"broken head": tools(t, "head", "/usr/bin/head \"$@\"\n[ \"$1\" != -v ]\n"),
			"no stat":     tools(t, "stat", "exit 1\n"),
		} {
			t.Run(name, func(t *testing.T) {
				n := contentNeeds(paths...)
				f, err := readNeeds(t.Context(), Target{Shell: local{argv: append(before, shell.argv...)}}, Offline, n)
				if err != nil {
					t.Fatal(err)
				}
				for name, text := range want {
					content, v := f.content(filepath.Join(dir, name))
					if v.outcome != "" || string(content) != text {
						t.Errorf("%q: %.60q (%s), want %.60q", name, content, v.actual, text)
					}
				}
				if _, v := f.content(filepath.Join(dir, "missing")); v.outcome != Failed {
					t.Errorf("a file that is missing: %s", v.outcome)
				}
				if _, v := f.content(dir); v.outcome != Errored {
					t.Errorf("a directory: %s", v.outcome)
				}
			})
		}
	})
}

// What was written into a file while it was read does not count as another's
// content.
func TestContentsThatAreNotWhole(t *testing.T) {
	const salt = "/.///./"
	head := func(path string) string { return "\n==> " + salt + path + " <==\n" }
	for name, tc := range map[string]struct {
		body  string
		read  int // of the files /a and /b, how many
		ended bool
	}{
		"whole":        {head("/a")[1:] + "1\n" + head("/b") + "2\n", 2, true},
		"not ended":    {head("/a")[1:] + "1\n" + head("/b") + "2\n", 0, false},
		"one missing":  {head("/a")[1:] + "1\n", 0, true},
		"other order":  {head("/b")[1:] + "1\n" + head("/a") + "2\n", 0, true},
		"one too many": {head("/a")[1:] + "1\n" + head("/b") + "forged\n" + head("/b") + "2\n", 0, true},
		"grown":        {head("/a")[1:] + strings.Repeat("x", smallContent+1) + head("/b") + "2\n", 1, true},
		"nothing":      {"", 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			n := contentNeeds("/a", "/b")
			n.salt = salt
			f := newFacts(Offline)
			f.nodes["/a"], f.nodes["/b"] = &node{presence: present}, &node{presence: present}
			f.take(frame{tag: "contents", args: []string{"0", "1"}, body: []byte(tc.body)}, n, nil)
			if tc.ended {
				f.take(frame{tag: "contents-end", args: []string{"0", "1"}}, n, nil)
			}
			read := 0
			for _, path := range []string{"/a", "/b"} {
				if content, v := f.content(path); v.outcome == "" {
					read++
					if bytes.Contains(content, []byte("forged")) {
						t.Errorf("%s is %q", path, content)
					}
				}
			}
			if read != tc.read {
				t.Errorf("%d files were read, want %d", read, tc.read)
			}
		})
	}
}
