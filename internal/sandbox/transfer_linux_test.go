package sandbox

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// listing describes a tree as `mode path: content` or `mode path -> target`.
func listing(t *testing.T, root string) []string {
	t.Helper()
	var all []string
	must(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		line := info.Mode().String() + " " + rel
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			target, _ := os.Readlink(path)
			line = "link " + rel + " -> " + target
		case info.Mode().IsRegular():
			line += ": " + read(t, path)
		}
		all = append(all, line)
		return err
	}))
	return all
}

func TestUpload(t *testing.T) {
	root := newRoot(t)
	umask := unix.Umask(0o077)
	t.Cleanup(func() { unix.Umask(umask) })
	local := t.TempDir()
	write(t, local, "script", "content")
	must(t, os.Chmod(local+"/script", 0o4751))
	info, err := os.Stat(local + "/script")
	must(t, err)
	write(t, root, "mnt/old", "a longer old content")
	must(t, os.Chmod(root+"/mnt/old", 0o604))
	must(t, os.Symlink("/mnt/target", root+"/mnt/absolute"))
	must(t, os.Symlink("../../../../../../../../mnt/other target", root+"/mnt/relative"))
	must(t, os.Symlink("/var/run", root+"/mnt/folder"))
	comm := open(t, Config{Root: root})
	for _, test := range []struct {
		to   string
		info *os.FileInfo
	}{
		{"/mnt/with info", &info}, {"mnt/relative to the root", nil}, {"/mnt/old", nil},
		{"/mnt/absolute", nil}, {"/mnt/relative", &info}, {"/tmp/../mnt/dots", nil},
		{"/mnt/folder/../below", nil}, // the folder is a link: this is /below
	} {
		if err := comm.Upload(test.to, strings.NewReader("content"), test.info); err != nil {
			t.Error(err)
		}
	}
	want := []string{
		"link absolute -> /mnt/target",
		"-rw-r--r-- dots: content",
		"link folder -> /var/run",
		"-rw----r-- old: content",
		"-rwxr-x--x other target: content",
		"link relative -> ../../../../../../../../mnt/other target",
		"-rw-r--r-- relative to the root: content",
		"-rw-r--r-- target: content",
		"-rwxr-x--x with info: content",
	}
	if diff := cmp.Diff(want, listing(t, root+"/mnt")); diff != "" {
		t.Errorf("uploaded (-want +got):\n%s", diff)
	}
	if got := read(t, root, "below"); got != "content" {
		t.Errorf("got %q", got)
	}
}

func TestUploadGoesWhereGuestsSeeIt(t *testing.T) {
	root := newRoot(t)
	s := open(t, Config{Root: root})
	comm := s
	must(t, comm.Upload("/run/lock/file", strings.NewReader("in the private run"), nil))
	if got := sh(t, s, "cat /var/run/lock/file"); got != "in the private run" {
		t.Errorf("a guest reads %q", got)
	}
	var out strings.Builder
	must(t, comm.Download("/var/run/lock/file", &out))
	if out.String() != "in the private run" {
		t.Errorf("downloaded %q", out.String())
	}
	if left, _ := os.ReadDir(root + "/run/lock"); len(left) > 0 {
		t.Errorf("the image has %v", left)
	}
}

func TestTransfersThatAreRefused(t *testing.T) {
	root := newRoot(t)
	must(t, unix.Mkfifo(root+"/mnt/fifo", 0o644))
	must(t, os.Symlink("loop", root+"/mnt/loop"))
	must(t, os.Symlink("/proc/1/fd/0", root+"/mnt/magic"))
	must(t, os.Symlink("/proc/1/root/etc/hostname", root+"/mnt/out"))
	s := open(t, Config{Root: root})
	comm := s
	for path, says := range map[string]string{
		"/nowhere/file":   "no such file",
		"/mnt/":           "/",
		"/tmp":            "directory",
		"/mnt/fifo":       "/mnt/fifo",
		"/dev/null":       "device",
		"/mnt/loop":       "too many levels",
		"/mnt/magic":      "too many levels",
		"/mnt/out":        "too many levels",
		"/proc/1/exe":     "too many levels",
		"/etc/passwd/sub": "not a directory",
		"nul\x00":         "invalid",
		"":                "",
	} {
		err := comm.Upload(path, strings.NewReader("x"), nil)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("upload to %q: %v", path, err)
		}
	}
	for path, says := range map[string]string{
		"/nowhere":    "no such file",
		"/tmp":        "folder",
		"/mnt/fifo":   "named pipe",
		"/dev/zero":   "device",
		"/mnt/loop":   "too many levels",
		"/mnt/magic":  "too many levels",
		"/proc/1/exe": "too many levels",
	} {
		if err := comm.Download(path, io.Discard); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("download of %q: %v", path, err)
		}
	}
	closeNow(t, s)
	for name, err := range map[string]error{
		"Upload":      comm.Upload("/tmp/x", strings.NewReader("x"), nil),
		"Download":    comm.Download("/etc/passwd", io.Discard),
		"UploadDir":   comm.UploadDir("/tmp", t.TempDir(), nil),
		"DownloadDir": comm.DownloadDir("/etc", t.TempDir(), nil),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
}

// hostile makes a root whose links lead to a folder of the host, and returns
// both.
func hostile(t *testing.T) (root, outside string) {
	root, outside = newRoot(t), t.TempDir()
	write(t, outside, "secret", "of the host")
	must(t, os.Mkdir(root+"/mnt/tree", 0o755))
	for name, target := range map[string]string{
		"absolute":  outside,
		"relative":  strings.Repeat("../", 30) + outside[1:],
		"procroot":  "/proc/1/root" + outside,
		"proccwd":   "/proc/1/cwd" + outside,
		"file":      outside + "/secret",
		"tree/link": outside,
	} {
		must(t, os.Symlink(target, root+"/mnt/"+name))
	}
	return root, outside
}

func TestHostileLinks(t *testing.T) {
	root, outside := hostile(t)
	before := digest(t, outside)
	s := open(t, Config{Root: root, Guard: true, ResolvConf: resolvConf})
	comm := s
	local := t.TempDir()
	write(t, local, "secret", "evil")
	for _, path := range []string{"absolute", "relative", "procroot", "proccwd", "tree/link"} {
		if err := comm.Upload("/mnt/"+path+"/secret", strings.NewReader("evil"), nil); err == nil {
			t.Errorf("upload through %s is no error", path)
		}
		var got strings.Builder
		if err := comm.Download("/mnt/"+path+"/secret", &got); err == nil || got.Len() > 0 {
			t.Errorf("download through %s: %v, %q", path, err, got.String())
		}
		if err := comm.UploadDir("/mnt/"+path+"/", local, nil); err == nil {
			t.Errorf("folder uploaded through %s", path)
		}
		to := t.TempDir()
		if err := comm.DownloadDir("/mnt/"+path+"/", to, nil); err == nil {
			t.Errorf("folder downloaded through %s", path)
		}
	}
	if err := comm.Download("/mnt/file", io.Discard); err == nil {
		t.Error("download through a link to a file is no error")
	}
	to := t.TempDir()
	if err := comm.DownloadDir("/mnt/tree/", to, nil); err != nil || len(listing(t, to)) != 1 {
		t.Errorf("download of a tree with a link: %v, %v", err, listing(t, to))
	}
	closeNow(t, s)
	unchanged(t, outside, before)
}

// What an image made of the destination must not be followed on the host.
func TestDownloadDirStaysInItsDestination(t *testing.T) {
	root := newRoot(t)
	must(t, os.MkdirAll(root+"/mnt/logs/sub", 0o755))
	write(t, root, "mnt/logs/file", "evil")
	write(t, root, "mnt/logs/sub/file", "evil")
	outside := t.TempDir()
	write(t, outside, "file", "of the host")
	before := digest(t, outside)
	comm := open(t, Config{Root: root})
	for _, planted := range []string{"logs", "logs/sub", "logs/file"} {
		to := t.TempDir()
		must(t, os.MkdirAll(filepath.Dir(to+"/"+planted), 0o755))
		target := outside
		if planted == "logs/file" {
			target += "/file"
		}
		must(t, os.Symlink(target, to+"/"+planted))
		_ = comm.DownloadDir("/mnt/logs/", to, nil) // may fail; must not write outside
		unchanged(t, outside, before)
	}
}

// tree makes a local folder with all kinds of things.
func makeTree(t *testing.T) string {
	src := filepath.Join(t.TempDir(), "src")
	for dir, mode := range map[string]os.FileMode{"": 0o750, "sub": 0o701, "sub/deep": 0o755, "empty": 0o700, "skip": 0o755} {
		must(t, os.MkdirAll(filepath.Join(src, dir), 0o755))
		must(t, os.Chmod(filepath.Join(src, dir), mode))
	}
	for file, mode := range map[string]os.FileMode{"a.txt": 0o640, ".hidden": 0o600, "sub/run.sh": 0o755, "sub/deep/b.log": 0o444, "skip/c.txt": 0o644, "sub/d.log": 0o644} {
		write(t, src, file, file)
		must(t, os.Chmod(filepath.Join(src, file), mode))
	}
	must(t, os.Symlink("../a.txt", src+"/sub/link"))
	must(t, os.Symlink("/etc/passwd", src+"/absolute"))
	return src
}

func whole(prefix string) []string {
	lines := []string{
		"-rw------- %.hidden: .hidden",
		"-rw-r----- %a.txt: a.txt",
		"link %absolute -> /etc/passwd",
		"drwx------ %empty",
		"drwxr-xr-x %skip",
		"-rw-r--r-- %skip/c.txt: skip/c.txt",
		"drwx-----x %sub",
		"-rw-r--r-- %sub/d.log: sub/d.log",
		"drwxr-xr-x %sub/deep",
		"-r--r--r-- %sub/deep/b.log: sub/deep/b.log",
		"link %sub/link -> ../a.txt",
		"-rwxr-xr-x %sub/run.sh: sub/run.sh",
	}
	for i, line := range lines {
		lines[i] = strings.Replace(line, "%", prefix, 1)
	}
	return lines
}

func TestUploadDir(t *testing.T) {
	src := makeTree(t)
	umask := unix.Umask(0o077)
	t.Cleanup(func() { unix.Umask(umask) })
	for _, test := range []struct {
		name, dst, src string
		exclude        []string
		want           []string
	}{
		{"the folder itself", "/mnt", src, nil, append([]string{"drwxr-x--- src"}, whole("src/")...)},
		{"the folder itself, trailing slash at the destination", "/mnt/", src, nil, append([]string{"drwxr-x--- src"}, whole("src/")...)},
		{"its contents", "/mnt", src + "/", nil, whole("")},
		{"into a new folder", "/mnt/new", src, nil, append([]string{"drwxr-x--- new"}, whole("new/")...)},
		{"its contents into a new folder", "/mnt/new/", src + "/", nil, append([]string{"drwxr-x--- new"}, whole("new/")...)},
		{"without what is excluded", "/mnt", src + "/", []string{"*.log", "skip/", "./sub/link", src + "/absolute", "empty"}, []string{
			"-rw------- .hidden: .hidden", "-rw-r----- a.txt: a.txt", "drwx-----x sub", "drwxr-xr-x sub/deep", "-rwxr-xr-x sub/run.sh: sub/run.sh",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := newRoot(t)
			must(t, os.Chmod(root+"/mnt", 0o755))
			comm := open(t, Config{Root: root})
			for range 2 { // also over what is there already
				if test.dst == "/mnt/new" {
					must(t, os.RemoveAll(root+"/mnt/new"))
				}
				must(t, comm.UploadDir(test.dst, test.src, test.exclude))
				if diff := cmp.Diff(test.want, listing(t, root+"/mnt")); diff != "" {
					t.Errorf("uploaded (-want +got):\n%s", diff)
				}
			}
			info, err := os.Stat(root + "/mnt")
			must(t, err)
			if info.Mode().Perm() != 0o755 {
				t.Errorf("the destination's mode became %v", info.Mode())
			}
		})
	}
}

func TestUploadDirRefuses(t *testing.T) {
	root := newRoot(t)
	write(t, root, "mnt/file", "")
	comm := open(t, Config{Root: root})
	odd := t.TempDir()
	must(t, unix.Mkfifo(odd+"/fifo", 0o644))
	for _, test := range []struct {
		dst, src string
		exclude  []string
		says     string
	}{
		{"/nowhere/sub", odd, nil, "no such file"},
		{"/mnt/file", odd, nil, "not a folder"},
		{"/mnt", odd, nil, "named pipe"},
		{"/mnt", odd + "/nowhere", nil, "no such file"},
		{"/mnt", odd, []string{"["}, "syntax error"},
	} {
		if err := comm.UploadDir(test.dst, test.src, test.exclude); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s to %s: %v", test.src, test.dst, err)
		}
	}
}

func TestDownloadDir(t *testing.T) {
	root := newRoot(t)
	src := makeTree(t)
	command(t, "cp", "-a", src, root+"/mnt/src")
	must(t, os.Symlink("/mnt/src/sub", root+"/mnt/linked"))
	// Links arrive as what they lead to, inside the image.
	followed := whole("src/")
	followed[2] = "-rw-r--r-- src/absolute: " + read(t, root, "etc/passwd")
	followed[10] = "-rw-r----- src/sub/link: a.txt"
	sub := []string{
		"-rw-r--r-- %/d.log: sub/d.log", "drwxr-xr-x %/deep", "-r--r--r-- %/deep/b.log: sub/deep/b.log",
		"-rw-r----- %/link: a.txt", "-rwxr-xr-x %/run.sh: sub/run.sh",
	}
	in := func(dir string, lines ...string) []string {
		all := []string{"drwx-----x " + dir}
		for _, line := range lines {
			all = append(all, strings.Replace(line, "%", dir, 1))
		}
		return all
	}
	for _, test := range []struct {
		src     string
		exclude []string
		want    []string
	}{
		{"/mnt/src", nil, append([]string{"drwxr-x--- src"}, followed...)},
		{"/mnt/src/", nil, append([]string{"drwxr-x--- src"}, followed...)},
		{"/mnt/linked/", nil, in("linked", sub...)},
		{"/mnt/src/*.txt", nil, []string{"-rw-r----- a.txt: a.txt"}},
		{"/mnt/s*/s?[a-z]", []string{"*.log", "deep"}, in("sub", sub[3], sub[4])},
		{"/mnt/src", []string{"sub", "skip/c.txt", "absolute"}, []string{"drwxr-x--- src", followed[0], followed[1], followed[3], followed[4]}},
	} {
		t.Run(test.src, func(t *testing.T) {
			comm := open(t, Config{Root: root})
			to := filepath.Join(t.TempDir(), "new")
			for range 2 {
				must(t, comm.DownloadDir(test.src, to, test.exclude))
				if diff := cmp.Diff(test.want, listing(t, to)); diff != "" {
					t.Errorf("downloaded (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestDownloadDirNamesWhatItLeavesOut(t *testing.T) {
	root := newRoot(t)
	must(t, os.Mkdir(root+"/mnt/odd", 0o755))
	must(t, unix.Mkfifo(root+"/mnt/odd/fifo", 0o644))
	must(t, os.Symlink("nowhere", root+"/mnt/odd/dangling"))
	must(t, os.Symlink("..", root+"/mnt/odd/up"))
	write(t, root, "mnt/odd/zzz", "the rest")
	socket, err := net.Listen("unix", root+"/mnt/odd/socket")
	must(t, err)
	defer socket.Close()
	var said []string
	comm := open(t, Config{Root: root, Log: func(line string) { said = append(said, line) }})
	to := t.TempDir()
	must(t, comm.DownloadDir("/mnt/odd", to, nil))
	for i, name := range []string{"odd/dangling", "odd/fifo", "odd/socket", "odd/up/odd"} {
		if i >= len(said) || !strings.Contains(said[i], name+" ") {
			t.Errorf("%s is not named in %q", name, said)
		}
	}
	if got := read(t, to, "odd/zzz"); got != "the rest" {
		t.Errorf("got %q", got)
	}
	if err := comm.DownloadDir("/mnt/*.none", to, nil); err == nil {
		t.Error("a pattern that matches nothing is no error")
	}
}

// A reader that never ends must not keep the image's file system busy.
func TestCloseDuringAnUpload(t *testing.T) {
	root := newRoot(t)
	s := open(t, Config{Root: root})
	never, feed := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- s.Upload("/mnt/file", never, nil) }()
	_, err := feed.Write([]byte("some"))
	must(t, err)
	begin := time.Now()
	closeNow(t, s)
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("Close took %v", took)
	}
	go feed.Write([]byte("more"))
	if err := <-done; err == nil {
		t.Error("the upload went on")
	}
	if got := read(t, root, "mnt/file"); got != "some" {
		t.Errorf("the file holds %q", got)
	}
}
