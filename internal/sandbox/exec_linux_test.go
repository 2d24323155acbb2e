package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestExitStatus(t *testing.T) {
	s := open(t, Config{Root: newRoot(t)})
	for _, test := range []struct {
		script string
		want   int
	}{
		{"true", 0},
		{"exit 7", 7},
		{"exit 255", 255},
		{"kill -TERM $$", 128 + 15},
		{"kill -KILL $$", 128 + 9},
		{"/nowhere", 127},
	} {
		if got, err := s.Exec(t.Context(), Command{Argv: Shell(test.script)}); err != nil || got != test.want {
			t.Errorf("%s: status %d, error %v; want %d", test.script, got, err, test.want)
		}
	}
	for _, argv := range [][]string{{"/nowhere"}, {"nowhere"}, {"/etc"}, {"sh", "nul\x00"}, {}} {
		if got, err := s.Exec(t.Context(), Command{Argv: argv}); err == nil {
			t.Errorf("%q ended with %d and no error", argv, got)
		}
	}
}

func TestProgramIsFoundInTheGuestsPath(t *testing.T) {
	root := newRoot(t)
	must(t, os.MkdirAll(root+"/opt/tools", 0o755))
	must(t, os.WriteFile(root+"/opt/tools/greet", []byte("#!/bin/sh\necho \"$1\"\n"), 0o755))
	s := open(t, Config{Root: root, Env: map[string]string{"PATH": "/opt/tools:/bin"}})
	var out strings.Builder
	status, err := s.Exec(t.Context(), Command{Argv: []string{"greet", "a b"}, Stdout: &out})
	if err != nil || status != 0 || out.String() != "a b\n" {
		t.Errorf("status %d, error %v, output %q", status, err, out.String())
	}
}

// texts are what shells, hosts and encoders tend to spoil.
var texts = []string{
	`$HOME`, `'$HOME'`, `"quoted"`, "`id`", `$(id)`, `back\slash \\ \n \x41`, `* ? [a] ~ {a,b}`,
	"tab\tnew\nline\r\n", `Grüße, 世界, 🍞`, "not UTF-8: \xff\xfe\x80\x01", `%s %d %%`, `! # ; & | < > ( )`, `-n -e --`,
}

func TestTextReachesTheGuestUntouched(t *testing.T) {
	s := open(t, Config{Root: newRoot(t)})
	for _, text := range texts {
		quoted := "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
		if got := sh(t, s, "printf %s "+quoted); got != text {
			t.Errorf("as script: %q arrived as %q", text, got)
		}
		var out strings.Builder
		if _, err := s.Exec(t.Context(), Command{Argv: []string{"printf", "%s", text}, Stdout: &out}); err != nil || out.String() != text {
			t.Errorf("as argument: %q arrived as %q, error %v", text, out.String(), err)
		}
		out.Reset()
		if _, err := s.Exec(t.Context(), Command{Argv: []string{"cat"}, Stdin: strings.NewReader(text), Stdout: &out}); err != nil || out.String() != text {
			t.Errorf("as stdin: %q arrived as %q, error %v", text, out.String(), err)
		}
	}
	if got := sh(t, s, `f=inner; echo "f=$f"; echo '$HOME is literal'; echo "$HOME"`); got != "f=inner\n$HOME is literal\n/root\n" {
		t.Errorf("got %q", got)
	}
}

func TestLongScripts(t *testing.T) {
	s := open(t, Config{Root: newRoot(t)})
	for _, size := range []int{95 << 10, 97 << 10, 200 << 10, 1500 << 10} {
		// Letters of two and three bytes, so that pieces would cut them.
		body := strings.Repeat("aä€", size/6)
		script := "read line; v='" + body + "'; printf '%s|%s|%s|' \"$0\" \"$#\" \"$line\"; printf %s \"$v\" | md5sum; exit 5"
		var out, sum strings.Builder
		status, err := s.Exec(t.Context(), Command{Argv: Shell(script), Stdin: strings.NewReader("from stdin\n"), Stdout: &out})
		if err != nil || status != 5 {
			t.Fatalf("%d bytes: status %d, error %v", size, status, err)
		}
		if _, err := s.Exec(t.Context(), Command{Argv: []string{"md5sum"}, Stdin: strings.NewReader(body), Stdout: &sum}); err != nil {
			t.Fatal(err)
		}
		if want := "/bin/sh|0|from stdin|" + sum.String(); out.String() != want {
			t.Errorf("%d bytes: got %q, want %q", size, out.String(), want)
		}
	}
}

func TestShellPiecesMakeTheScript(t *testing.T) {
	for _, script := range []string{strings.Repeat("x", 300<<10), strings.Repeat("世", 100<<10), strings.Repeat("\x80", 250<<10)} {
		argv := Shell(script)
		if got := strings.Join(argv[4:], ""); got != script {
			t.Error("the pieces are not the script")
		}
		for _, piece := range argv {
			if len(piece) >= 128<<10 {
				t.Errorf("a piece has %d bytes", len(piece))
			}
		}
	}
}

func TestEnvironmentIsTheGuestsOwn(t *testing.T) {
	t.Setenv("BAKERY_TEST_LEAK", "from the host")
	t.Setenv("HOME", "/home/builder")
	s := open(t, Config{Root: newRoot(t), Env: map[string]string{"PROXY": "http://proxy", "LANG": "de_DE.UTF-8"}})
	var out strings.Builder
	_, err := s.Exec(t.Context(), Command{Argv: []string{"env"}, Env: map[string]string{"EXTRA": "a\nb"}, Stdout: &out})
	must(t, err)
	want := []string{
		"EXTRA=a\nb", "HOME=/root", "LANG=de_DE.UTF-8", "LOGNAME=root",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"PROXY=http://proxy", "SHELL=/bin/sh", "SYSTEMD_OFFLINE=1", "TERM=dumb", "USER=root",
	}
	if diff := cmp.Diff(strings.Join(want, "\n")+"\n", out.String()); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	if got := sh(t, s, "pwd; umask; id -u; id -G; ulimit -n"); !strings.HasPrefix(got, "/\n0022\n0\n0\n") {
		t.Errorf("working directory, umask, user and groups are %q", got)
	}
	if got := sh(t, s, "ls -l /proc/self/fd | wc -l"); got != "5\n" { // a heading, 0, 1, 2 and the folder
		t.Errorf("a guest has %s open files and a line", strings.TrimSpace(got))
	}
}

func TestNamespaces(t *testing.T) {
	root := newRoot(t)
	s := open(t, Config{Root: root})
	if got := sh(t, s, "hostname"); got != "kitchen\n" {
		t.Errorf("the host name is %q, not the image's", got)
	}
	hostname, err := os.Hostname()
	must(t, err)
	sh(t, s, "hostname changed")
	if now, _ := os.Hostname(); now != hostname {
		t.Errorf("a guest changed the host's name to %q", now)
	}
	if got := strings.Fields(sh(t, s, "ls /proc | grep -E '^[0-9]+$'; :")); len(got) > 4 {
		t.Errorf("a guest sees the processes %v", got)
	}
	for _, kind := range []string{"pid", "mnt", "ipc", "uts"} {
		own, err := os.Readlink("/proc/self/ns/" + kind)
		must(t, err)
		if got := strings.TrimSpace(sh(t, s, "readlink /proc/self/ns/"+kind)); got == own {
			t.Errorf("the %s namespace is the host's", kind)
		}
	}
	for mount := range strings.SplitSeq(strings.TrimSpace(sh(t, s, "cut -d' ' -f2 /proc/mounts")), "\n") {
		if !slices.Contains([]string{"/", "/proc", "/sys", "/dev", "/dev/pts", "/dev/shm", "/run", "/proc/sys/fs/binfmt_misc"}, mount) {
			t.Errorf("a guest sees a mount on %s", mount)
		}
	}
	for _, mount := range hostMounts(t) {
		if strings.Contains(mount, root) {
			t.Errorf("the host sees the mount %s", mount)
		}
	}
	// A chroot as systemd and ischroot tell one, and nothing of the host beyond.
	if got := sh(t, s, "[ / -ef /proc/1/root ] || echo chroot; ls /proc/1/root/; ls /proc/1/root/image/bin/busybox"); got != "chroot\nimage\nproc\n/proc/1/root/image/bin/busybox\n" {
		t.Errorf("behind the chroot there is %q", got)
	}
	if got := sh(t, s, "test -e /run/systemd || echo none; stat -c %a /run/lock"); got != "none\n755\n" {
		t.Errorf("/run is %q", got)
	}
}

func TestGuestsCannotEndTheSandbox(t *testing.T) {
	s := open(t, Config{Root: newRoot(t)})
	sh(t, s, "kill -9 1; reboot -f; kill -TERM 1; :")
	if got := sh(t, s, "echo alive"); got != "alive\n" {
		t.Errorf("got %q", got)
	}
	if status, err := s.Exec(t.Context(), Command{Argv: Shell("kill -9 -1")}); err != nil {
		t.Errorf("status %d, error %v", status, err)
	}
	sh(t, s, "true")
}

func TestLargeOutputIsComplete(t *testing.T) {
	s := open(t, Config{Root: newRoot(t)})
	const size = 48 << 20
	var out, complaints counter
	status, err := s.Exec(t.Context(), Command{
		Argv:   Shell("head -c 50331648 /dev/zero; head -c 1000000 /dev/zero >&2"),
		Stdout: &out, Stderr: &complaints,
	})
	if err != nil || status != 0 || out.n != size || complaints.n != 1000000 {
		t.Errorf("status %d, error %v, %d and %d bytes", status, err, out.n, complaints.n)
	}
}

func TestLargeInputIsComplete(t *testing.T) {
	s := open(t, Config{Root: newRoot(t)})
	const size = 16 << 20
	var out strings.Builder
	status, err := s.Exec(t.Context(), Command{Argv: []string{"wc", "-c"}, Stdin: io.LimitReader(zeroes{}, size), Stdout: &out})
	if err != nil || status != 0 || strings.TrimSpace(out.String()) != fmt.Sprint(size) {
		t.Errorf("status %d, error %v, output %q", status, err, out.String())
	}
	// A command that does not read must not wait for a reader that never ends.
	never, _ := io.Pipe()
	if status, err := s.Exec(t.Context(), Command{Argv: []string{"true"}, Stdin: never}); err != nil || status != 0 {
		t.Errorf("status %d, error %v", status, err)
	}
}

func TestDaemonDoesNotHoldUpItsCommand(t *testing.T) {
	s := open(t, Config{Root: newRoot(t)})
	begin := time.Now()
	// It keeps the output open, is in a session of its own, and talks on.
	got := sh(t, s, `echo before; cd /mnt; (setsid sh -c 'sleep 0.05; echo late; while sleep 1; do echo more; done' &) ; echo after`)
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("took %v", took)
	}
	if got != "before\nafter\nlate\n" {
		t.Errorf("output %q", got)
	}
	begin = time.Now()
	sh(t, s, `(setsid sh -c 'while :; do echo flood; done' &)`)
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("a talkative daemon held up its command for %v", took)
	}
	if got := sh(t, s, "ps | grep -c '[f]lood'"); got != "1\n" {
		t.Errorf("daemons alive after their command: %q", got)
	}
	begin = time.Now()
	closeNow(t, s)
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("Close took %v", took)
	}
}

// A slow reader gets all output, also when a daemon keeps the stream open.
func TestSlowReaderMissesNothing(t *testing.T) {
	s := open(t, Config{Root: newRoot(t)})
	var out slow
	status, err := s.Exec(t.Context(), Command{Argv: Shell("(setsid sleep 1000 &); head -c 60000 /dev/zero"), Stdout: &out})
	if err != nil || status != 0 || out.n != 60000 {
		t.Errorf("status %d, error %v, %d bytes", status, err, out.n)
	}
}

func TestCommandsAtTheSameTime(t *testing.T) {
	s := open(t, Config{Root: newRoot(t)})
	var all sync.WaitGroup
	for n := range 40 {
		all.Go(func() {
			var out strings.Builder
			status, err := s.Exec(t.Context(), Command{
				Argv:  Shell(fmt.Sprintf("read x; sleep 0.1; echo %d $x; exit %d", n, n)),
				Stdin: strings.NewReader(fmt.Sprint("in", n)), Stdout: &out,
			})
			if want := fmt.Sprintf("%d in%d\n", n, n); err != nil || status != n || out.String() != want {
				t.Errorf("command %d: status %d, error %v, output %q", n, status, err, out.String())
			}
		})
	}
	all.Wait()
}

func TestWriterThatFailsIsReported(t *testing.T) {
	s := open(t, Config{Root: newRoot(t)})
	broken := errors.New("disk full")
	status, err := s.Exec(t.Context(), Command{Argv: Shell("echo x; echo y"), Stdout: failing{broken}})
	if status != 0 || !errors.Is(err, broken) {
		t.Errorf("status %d, error %v", status, err)
	}
}

func TestBegin(t *testing.T) {
	s := open(t, Config{Root: newRoot(t)})
	var out, complaints bytes.Buffer
	process, err := s.Begin(t.Context(), Command{Argv: Shell(`cat; echo "$((6*7))" >&2; exit 9`), Stdin: strings.NewReader("in"), Stdout: &out, Stderr: &complaints})
	must(t, err)
	status, err := process.Wait(t.Context())
	must(t, err)
	if status != 9 || out.String() != "in" || complaints.String() != "42\n" {
		t.Errorf("status %d, output %q, stderr %q", status, out.String(), complaints.String())
	}
	closeNow(t, s)
	if _, err := s.Begin(context.Background(), Command{Argv: Shell("true")}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

type counter struct{ n int }

func (c *counter) Write(p []byte) (int, error) { c.n += len(p); return len(p), nil }

type slow struct{ n int }

func (s *slow) Write(p []byte) (int, error) {
	time.Sleep(400 * time.Millisecond) // longer than the output may be silent
	s.n += len(p)
	return len(p), nil
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { clear(p); return len(p), nil }
