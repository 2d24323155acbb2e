package check

import (
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseCandidates(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want []candidate
	}{
		"none":             {"", nil},
		"one group":        {"/etc/a\x00/etc/b c\x0012 100\n7 -5\n", []candidate{{"/etc/a", 12, 100}, {"/etc/b c", 7, -5}}},
		"two groups":       {"/a\x001 2\n/b\x003 4\n", []candidate{{"/a", 1, 2}, {"/b", 3, 4}}},
		"names with lines": {"/a\n1 2\n/b\x00/c\x001 2\n3 4\n", []candidate{{"/a\n1 2\n/b", 1, 2}, {"/c", 3, 4}}},
		"a line too few":   {"/a\x00/b\x001 2\n/c\x003 4\n", []candidate{{"/a", 0, unknownTime}, {"/b", 0, unknownTime}, {"/c", 3, 4}}},
		"cut off":          {"/a\x00/b", []candidate{{"/a", 0, unknownTime}, {"/b", 0, unknownTime}}},
		"no numbers":       {"/a\x00x y\n", []candidate{{"/a", 0, unknownTime}}},
	} {
		if diff := cmp.Diff(c.want, parseCandidates([]byte(c.body)), cmp.AllowUnexported(candidate{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestPackagedFiles(t *testing.T) {
	const md5, sha1, sha256 = "d3d01e89bd1cfd78ae49a33c0b89da21", "6e63bb7d58c99b2a59ae69ab1dbc53afe2e9bf06", "b7f78f8c6e9d7e19bcc1e0a4e8cd6a3c87c1a12a4ea0d0d3e52b6b7dd0bca2a1"
	p := newPackagedFiles()
	p.read("dpkg", []byte("/var/lib/dpkg/info/shop.md5sums:"+md5+"  usr/share/shop/a\n/var/lib/dpkg/info/shop.md5sums:"+md5+"  bin/shop\nnonsense\n"))
	p.read("dpkg-times", []byte("77 /var/lib/dpkg/info/shop.md5sums\nx /var/lib/dpkg/info/other.md5sums\n"))
	p.read("dpkg-conffiles", []byte(" /etc/shop.conf "+md5+"\n /etc/old.conf "+md5+" obsolete\n /alone\n"))
	p.read("rpm", []byte("55 "+sha256+" /usr/lib/shop b\n55  /usr/lib/folder\nbroken\n"))
	p.read("apk", []byte("P:shop\nt:33\nF:etc/shop\nR:conf\nZ:Q1bmO7fVjJmypZrmmrHbxTr+Lpvwb=\nF:\nR:top\nZ:Q1bmO7fVjJmypZrmmrHbxTr+Lpvwb=\nR:odd\nZ:Q2xx\n"))
	p.read("pacman", []byte("x"))
	want := map[string]packaged{
		"/usr/share/shop/a": {md5, 77}, "/bin/shop": {md5, 77}, "/usr/bin/shop": {md5, 77},
		"/etc/shop.conf": {digest: md5}, "/etc/old.conf": {digest: md5}, "/usr/lib/shop b": {sha256, 55},
	}
	for name := range p.files {
		if strings.HasPrefix(name, "/etc/shop/") || name == "/top" {
			if p.files[name].until != 33 || len(p.files[name].digest) != len(sha1) {
				t.Errorf("%s: %+v", name, p.files[name])
			}
			delete(p.files, name)
		}
	}
	if diff := cmp.Diff(want, p.files, cmp.AllowUnexported(packaged{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A file counts as its package's only with the digest that the package has.
func TestUnmodified(t *testing.T) {
	p := newPackagedFiles()
	for file, digest := range map[string]string{
		"/md5": "9a0364b9e99bb480dd25e1f0284c8555", "/sha1": "040f06fd774092478d450774f5ba30c5da78acc8",
		"/sha256": "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73", "/none": "", "/odd": "040f",
	} {
		p.add(file, packaged{digest: digest})
		known := len(digest) > 4
		if got := p.unmodified(file, []byte("content")); got != known {
			t.Errorf("%s: %t, want %t", file, got, known)
		}
		if p.unmodified(file, []byte("other")) {
			t.Errorf("%s: other content counts too", file)
		}
	}
	if p.unmodified("/unknown", []byte("content")) {
		t.Error("a file of no package counts")
	}
}

func TestChosen(t *testing.T) {
	f := newFacts(Offline)
	for _, name := range []string{"/usr/bin/owned", "/usr/bin/changed", "/etc/owned", "/usr/local/owned"} {
		f.owned.add(name, packaged{digest: "x", until: 100})
	}
	var want []string
	for name, chosen := range map[string]bool{
		"/usr/bin/owned": false, "/usr/bin/changed": true, "/usr/bin/other": true, "/etc/owned": true, "/usr/local/owned": true,
		"/var/lib/dpkg/info/x": false, "/root/x.pyc": false, "/srv/vendor/deep/x": false, "/srv/vendored": true, "/home/a/cache/x": false, "/home/a/b/cache/x": true,
	} {
		changed := int64(100)
		if name == "/usr/bin/changed" {
			changed = 101
		}
		f.candidates = append(f.candidates, candidate{path: name, changed: changed})
		if chosen {
			want = append(want, name)
		}
	}
	got := map[string]bool{}
	for _, c := range f.chosen([]string{"/srv/vendor", "/home/*/cache"}) {
		got[c.path] = true
	}
	if len(got) != len(want) {
		t.Errorf("chosen %v, want %v", got, want)
	}
	for _, name := range want {
		if !got[name] {
			t.Errorf("%s is not chosen", name)
		}
	}
}

func TestTooMuchToSearch(t *testing.T) {
	files := []candidate{{path: "/srv/a/b/c/x", size: secretsLimit / 2}, {path: "/srv/a/d", size: secretsLimit / 2}}
	if text := tooMuch(files); text != "" {
		t.Errorf("%q for the limit", text)
	}
	text := tooMuch(append(files, candidate{path: "/x", size: 1}))
	if !strings.Contains(text, "most is in /srv/a (512 MiB)") || !strings.Contains(text, "except") {
		t.Errorf("%q", text)
	}
	f := newFacts(Offline)
	f.secrets = searchedSecrets{read: stateRead, tooMuch: text}
	if _, v := f.secretStrikes(func(secretIn) bool { return true }); v.outcome != Errored {
		t.Errorf("what was not searched is %s", v.outcome)
	}
}

func TestPortions(t *testing.T) {
	var files []candidate
	for i := range 5 {
		files = append(files, candidate{path: fmt.Sprint("/", i), size: portion/2 - 1})
	}
	files = append(files, candidate{path: "/large", size: 3 * portion}, candidate{path: "/last", size: 1})
	var got []string
	for p := range portions(files) {
		var names []string
		for _, c := range p {
			names = append(names, path.Base(c.path))
		}
		got = append(got, strings.Join(names, " "))
	}
	if diff := cmp.Diff([]string{"0 1", "2 3", "4", "large", "last"}, got); diff != "" {
		t.Error(diff)
	}
}

func piled(tag, body string, args ...string) frame {
	return frame{tag: tag, args: args, body: []byte(body)}
}

// A pile that is not what its sizes say tells nothing of its files.
func TestUnpile(t *testing.T) {
	two := [][]candidate{{{path: "/a"}, {path: "/b"}}}
	one := [][]candidate{{{path: "/a"}}}
	for name, c := range map[string]struct {
		piles  [][]candidate
		frames []frame
		want   map[string][]byte
	}{
		"good":          {two, []frame{piled("pile-sizes", "1\n2\n", "0"), piled("pile", "xyz", "0"), piled("pile-end", "", "0", "read")}, map[string][]byte{"/a": []byte("x"), "/b": []byte("yz")}},
		"grown":         {two, []frame{piled("pile-sizes", "1\n1\n", "0"), piled("pile", "xyz", "0"), piled("pile-end", "", "0", "read")}, map[string][]byte{}},
		"shrunk":        {two, []frame{piled("pile-sizes", "1\n9\n", "0"), piled("pile", "xyz", "0"), piled("pile-end", "", "0", "read")}, map[string][]byte{}},
		"gone":          {two, []frame{piled("pile-sizes", "3\n", "0"), piled("pile", "xyz", "0"), piled("pile-end", "", "0", "read")}, map[string][]byte{}},
		"broken":        {two, []frame{piled("pile-sizes", "1\n2\n", "0"), piled("pile", "xyz", "0"), piled("pile-end", "", "0", "broken")}, map[string][]byte{}},
		"without end":   {one, []frame{piled("pile", "xyz", "0")}, map[string][]byte{}},
		"alone":         {one, []frame{piled("pile", "xyz", "0"), piled("pile-end", "", "0", "read")}, map[string][]byte{"/a": []byte("xyz")}},
		"nobody's":      {one, []frame{piled("pile", "xyz", "7"), piled("pile-end", "", "-1", "read")}, map[string][]byte{}},
		"huge sizes":    {two, []frame{piled("pile-sizes", "9223372036854775807 9223372036854775807", "0"), piled("pile", "xyz", "0"), piled("pile-end", "", "0", "read")}, map[string][]byte{}},
		"sizes that do": {two, []frame{piled("pile-sizes", "0\n3\n", "0"), piled("pile", "xyz", "0"), piled("pile-end", "", "0", "read")}, map[string][]byte{"/a": {}, "/b": []byte("xyz")}},
	} {
		if diff := cmp.Diff(c.want, unpile(c.frames, c.piles)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func FuzzSecretFrames(f *testing.F) {
	f.Add([]byte("/etc/a\x0012 100\n/b\x00"), []byte("/var/lib/dpkg/info/x.md5sums:00  bin/x\n"), []byte("1 2"), []byte("abc"))
	f.Add([]byte("\x00\x00/\x00"), []byte("P:x\nF:\nR:\nZ:Q1\n"), []byte("-1 4"), []byte(""))
	f.Fuzz(func(t *testing.T, list, owned, sizes, bytes []byte) {
		facts := newFacts(Offline)
		facts.readSecrets(frame{tag: "candidates", body: list})
		for _, system := range []string{"dpkg", "dpkg-times", "dpkg-conffiles", "rpm", "apk"} {
			facts.readSecrets(frame{tag: "owned", args: []string{system}, body: owned})
		}
		files := facts.chosen([]string{"/etc/*"})
		for _, c := range files {
			if c.size < 0 || !strings.HasPrefix(c.path, "/") {
				t.Fatalf("%+v", c)
			}
			facts.owned.unmodified(c.path, bytes)
		}
		tooMuch(files)
		length := 0
		pile := []candidate{{path: "/a"}, {path: "/b"}}
		for _, content := range unpile([]frame{{tag: "pile-sizes", args: []string{"0"}, body: sizes}, {tag: "pile", args: []string{"0"}, body: bytes}, {tag: "pile-end", args: []string{"0", "read"}}}, [][]candidate{pile}) {
			length += len(content)
		}
		if length != 0 && length != len(bytes) {
			t.Fatalf("%d of %d bytes", length, len(bytes))
		}
	})
}
