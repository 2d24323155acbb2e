package check

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const nobody = 65534

func TestFilesOnEachShell(t *testing.T) {
	onEachShell(t, func(t *testing.T, shell local) {
		dir := t.TempDir()
		in := func(name string) string { return filepath.Join(dir, name) }
		writeTestFile(t, in("plain"), "first\nEtc/UTC\nlast", 0o640)
		writeTestFile(t, in("setuid"), "", 0o755)
		if err := os.Chmod(in("setuid"), 0o755|os.ModeSetuid); err != nil {
			t.Fatal(err)
		}
		writeTestFile(t, in("binary"), "\x00\xff\n\x00", 0o600)
		for _, link := range [][2]string{{"plain", "link"}, {"nowhere", "dangling"}, {"loop", "loop"}} {
			if err := os.Symlink(link[0], in(link[1])); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(in("dir"), 0o1777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(in("dir"), 0o777|os.ModeSticky); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(in("pipe"), 0o600); err != nil {
			t.Fatal(err)
		}
		id := func(name, property string) string { return "file:" + in(name) + ":" + property }
		results, _ := runText(t, Target{Shell: shell, Mounted: true}, strings.ReplaceAll(`
file "@/plain" {
  type         = "file"
  mode         = 640
  owner        = `+fmt.Sprint(os.Getuid())+`
  size         = 18
  contains     = ["Etc/UTC\nlast", "first"]
  not_contains = ["Etc/GMT"]
  matches      = ["^Etc/UTC$", "^last$"]
  not_matches  = ["^UTC"]
  md5          = "`+md5Of("first\nEtc/UTC\nlast")+`"
}
file "@/setuid" {
  mode     = 4755
  contains = ["x"]
  size     = "> 0"
}
file "@/binary" { contains = ["\u0000"] }
file "@/link" {
  type     = "link"
  target   = "plain"
  mode     = 640
  contains = ["first"]
}
file "@/dangling" { target = "nowhere" }
file {
  path = "@/dangling"
  mode = 777
}
file "@/loop" { exists = false }
file "@/dir" {
  type     = "directory"
  mode     = 1777
  contains = ["x"]
  sha256   = "`+strings.Repeat("0", 64)+`"
}
file "@/pipe" {
  type         = "pipe"
  not_contains = ["x"]
}
file "@/missing" {
  not_contains = ["x"]
  owner        = "root"
  target       = "x"
}
file "@/gone" { exists = false }
file "@/plain/below" { exists = false }
file "@/plain/there" {}
`, "@", dir))
		expect(t, results, map[string]Outcome{
			id("plain", "type"): Passed, id("plain", "mode"): Passed, id("plain", "owner"): Passed, id("plain", "size"): Passed,
			id("plain", "contains"): Passed, id("plain", "not_contains"): Passed, id("plain", "matches"): Passed,
			id("plain", "not_matches"): Passed, id("plain", "md5"): Passed,
			id("setuid", "mode"): Passed, id("setuid", "contains"): Failed, id("setuid", "size"): Failed,
			id("binary", "contains"): Passed,
			id("link", "type"):       Passed, id("link", "target"): Passed, id("link", "mode"): Passed, id("link", "contains"): Passed,
			id("dangling", "target"): Passed, id("dangling", "mode"): danglingOutcome(),
			id("loop", "exists"): Failed,
			id("dir", "type"):    Passed, id("dir", "mode"): Passed, id("dir", "contains"): Failed, id("dir", "sha256"): Failed,
			id("pipe", "type"): Passed, id("pipe", "not_contains"): Failed,
			id("missing", "not_contains"): Failed, id("missing", "owner"): Failed, id("missing", "target"): Failed,
			id("gone", "exists"): Passed, id("plain/below", "exists"): Passed, id("plain/there", "exists"): Failed,
		})
	})
}

// Only root can be sure that a link leads to nothing.
func danglingOutcome() Outcome {
	if os.Geteuid() == 0 {
		return Failed
	}
	return Errored
}

// Names and commands are data, whatever is in them.
func TestHostileTextsOnEachShell(t *testing.T) {
	onEachShell(t, func(t *testing.T, shell local) {
		dir := t.TempDir()
		proof := filepath.Join(dir, "proof")
		var suite strings.Builder
		want := map[string]Outcome{}
		for _, name := range []string{
			"a b", "-n", "$(touch " + proof + ")", "`touch " + proof + "`", "it's", `back\slash`, `"quoted"`, "a;b&c|d", "*", "~",
			"line\nbreak", "tab\there", "é日本", "!bang", "$HOME", "'; touch " + proof + "; '", testNonce + " done",
		} {
			path := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
			writeTestFile(t, path, name, 0o600)
			fmt.Fprintf(&suite, "file %s { contains = [%s] }\n", quoteHCL(path), quoteHCL(name))
			want["file:"+shortSubject(path)+":contains"] = Passed
			text := "printf %s " + quote(name)
			fmt.Fprintf(&suite, "command %s { stdout = %s }\n", quoteHCL(text), quoteHCL(name))
			want["command:"+shortSubject(text)+":stdout"] = Passed
		}
		results, _ := runText(t, Target{Shell: shell, Mounted: true}, suite.String())
		expect(t, results, want)
		if _, err := os.Stat(proof); err == nil {
			t.Error("a text was run by the shell")
		}
	})
}

// A file and a command that print what looks like the end of the script, or like
// another result, change nothing: they cannot know the nonce.
func TestForgingOnEachShell(t *testing.T) {
	onEachShell(t, func(t *testing.T, shell local) {
		dir := t.TempDir()
		forged := "\n" + testNonce + " stat 0\n81a4:0:0:1\n\n" + testNonce + " content-end 0 read\n\n" + testNonce + " done\n"
		writeTestFile(t, filepath.Join(dir, "forged"), forged, 0o600)
		results, _ := runText(t, Target{Shell: shell, Mounted: true}, strings.ReplaceAll(`
file "@/forged" {
  mode         = 600
  not_contains = ["stat 0"]
}
command "cat @/forged; set; env; cat /proc/$PPID/environ /proc/$PPID/cmdline" {
  stdout_matches     = ["^bakery-0+ done$"]
  stdout_not_matches = ["bakery-[0-9a-f]*[1-9a-f]"]
}
command "cat @/forged >&2; exit 3" { exit_status = 0 }
file "@/forged2" {}
`, "@", dir))
		expect(t, results, map[string]Outcome{
			"file:" + dir + "/forged:mode":         Passed,
			"file:" + dir + "/forged:not_contains": Failed,
			"command:" + shortSubject("cat "+dir+"/forged; set; env; cat /proc/$PPID/environ /proc/$PPID/cmdline") + ":stdout_matches":     Passed,
			"command:" + shortSubject("cat "+dir+"/forged; set; env; cat /proc/$PPID/environ /proc/$PPID/cmdline") + ":stdout_not_matches": Passed,
			"command:cat " + dir + "/forged >&2; exit 3:exit_status":                                                                       Failed,
			"file:" + dir + "/forged2:exists": Failed,
		})
	})
}

func TestCommandsOnEachShell(t *testing.T) {
	onEachShell(t, func(t *testing.T, shell local) {
		begin := time.Now()
		results, report := runText(t, Target{Shell: shell, Mounted: true}, `
command "echo out; echo err >&2; exit 3" {
  exit_status     = 3
  stdout          = "out"
  stderr          = "err\n"
  stderr_contains = ["nothing"]
}
command "nosuchprogram" { exit_status = 127 }
command "kill -9 $$" { exit_status = 137 }
command "sleep 1.2; exit 127" { exit_status = 127 }
command "seq 1 40000" {
  stdout_contains = ["\n39999\n40000\n"]
  stdout_matches  = ["^1$", "^40000$"]
}
command "yes | head -c 3000000" {
  exit_status         = 0
  stdout_not_contains = ["n"]
}
command "sleep 79300" {
  exit_status = 0
  timeout     = "1s"
}
command "echo begun; sleep 79301 & sleep 79302" {
  stdout  = "begun"
  timeout = "1s"
}
command "(sleep 79303; echo late) & echo started" { stdout = "started" }
command "cat" { stdout = "" }
command "echo after" { stdout = "after" }
`)
		expect(t, results, map[string]Outcome{
			"command:echo out; echo err >&2; exit 3:exit_status":     Passed,
			"command:echo out; echo err >&2; exit 3:stdout":          Passed,
			"command:echo out; echo err >&2; exit 3:stderr":          Passed,
			"command:echo out; echo err >&2; exit 3:stderr_contains": Failed,
			"command:nosuchprogram:exit_status":                      Passed,
			"command:kill -9 $$:exit_status":                         Passed,
			"command:sleep 1.2; exit 127:exit_status":                Passed,
			"command:seq 1 40000:stdout_contains":                    Passed,
			"command:seq 1 40000:stdout_matches":                     Passed,
			"command:yes | head -c 3000000:exit_status":              Passed,
			"command:yes | head -c 3000000:stdout_not_contains":      Errored,
			"command:sleep 79300:exit_status":                        Errored,
			"command:echo begun; sleep 79301 & sleep 79302:stdout":   Errored,
			"command:(sleep 79303; echo late) & echo started:stdout": Passed,
			"command:cat:stdout":                                     Passed,
			"command:echo after:stdout":                              Passed,
		})
		if took := time.Since(begin); took > time.Minute {
			t.Errorf("took %v: commands that were to be killed were waited for", took)
		}
		if r := results["command:sleep 79300:exit_status"]; r.Took < time.Second || !strings.Contains(r.Message(), "did not end within 1s") {
			t.Errorf("the command that was killed: %s after %v", r.Message(), r.Took)
		}
		if left := processes(t, "sleep\x007930"); len(left) > 0 {
			t.Errorf("commands still run: %v", left)
		}
		if os.Geteuid() == 0 && len(report.Warnings) > 0 {
			t.Errorf("warnings: %q", report.Warnings)
		}
	})
}

// processes returns the files of the processes whose command line starts so, once
// those that were killed have had time to die.
func processes(t *testing.T, prefix string) []string {
	t.Helper()
	found := alive(t, prefix)
	for end := time.Now().Add(10 * time.Second); len(found) > 0 && time.Now().Before(end); found = alive(t, prefix) {
		time.Sleep(10 * time.Millisecond)
	}
	return found
}

func alive(t *testing.T, prefix string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range files {
		if data, err := os.ReadFile(f); err == nil && strings.HasPrefix(string(data), prefix) {
			found = append(found, f)
		}
	}
	return found
}

// A command must not see what runs on the build host.
func TestCommandsAreIsolated(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: namespaces")
	}
	onEachShell(t, func(t *testing.T, shell local) {
		results, report := runText(t, Target{Shell: shell, Mounted: true}, fmt.Sprintf(`
command "readlink /proc/self/ns/pid /proc/self/ns/net /proc/self/ns/mnt" { stdout_not_contains = [%q, %q, %q] }
command "ls -d /proc/[0-9]* | wc -l" { stdout_matches = ["^ *[1-9]$"] }
command "cat /proc/net/dev" { stdout_not_matches = ["eth|ens|enp"] }
`, nsOf(t, "pid"), nsOf(t, "net"), nsOf(t, "mnt")))
		for id, r := range results {
			if r.Outcome != Passed {
				t.Errorf("%s: %s", id, r.Message())
			}
		}
		if len(report.Warnings) > 0 {
			t.Errorf("warnings: %q", report.Warnings)
		}
	})
}

func nsOf(t *testing.T, name string) string {
	t.Helper()
	link, err := os.Readlink("/proc/self/ns/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// What an ordinary user may not look at is no reason to pass.
func TestPermissionsOnEachShell(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: to become an ordinary user")
	}
	onEachShell(t, func(t *testing.T, shell local) {
		top, err := os.MkdirTemp("", "bakery-check-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(top) })
		if err := os.Chmod(top, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(top+"/closed", 0o700); err != nil {
			t.Fatal(err)
		}
		writeTestFile(t, top+"/closed/key", "secret", 0o600)
		writeTestFile(t, top+"/unreadable", "secret", 0o600)
		if err := os.Symlink("closed/key", top+"/link"); err != nil {
			t.Fatal(err)
		}
		shell.uid = nobody
		results, report := runText(t, Target{Shell: shell, Mounted: true}, strings.ReplaceAll(`
file {
  paths  = ["@/closed/key", "@/closed/no/such", "@/link", "@/open"]
  exists = false
}
file "@/unreadable" {
  mode         = 600
  not_contains = ["x"]
  sha256       = "`+strings.Repeat("0", 64)+`"
}
user "root" { password_set = false }
command "id -u" { stdout = "65534" }
`, "@", top))
		expect(t, results, map[string]Outcome{
			"file:" + top + "/closed/key:exists":       Errored,
			"file:" + top + "/closed/no/such:exists":   Errored,
			"file:" + top + "/link:exists":             Failed, // the link itself is there
			"file:" + top + "/open:exists":             Passed,
			"file:" + top + "/unreadable:mode":         Passed,
			"file:" + top + "/unreadable:not_contains": Errored,
			"file:" + top + "/unreadable:sha256":       Errored,
			"user:root:password_set":                   Errored,
			"command:id -u:stdout":                     Passed,
		})
		if len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0], "not isolated") {
			t.Errorf("warnings = %q, want one about isolation", report.Warnings)
		}
		if m := results["file:"+top+"/unreadable:not_contains"].Message(); !strings.Contains(m, "sudo") {
			t.Errorf("no remedy in %q", m)
		}
	})
}

// Ten thousand paths, and one file that is too large to be matched.
func TestLimits(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	writeTestFile(t, large, "", 0o600)
	if err := os.Truncate(large, contentLimit+1); err != nil {
		t.Fatal(err)
	}
	fits := filepath.Join(dir, "fits")
	writeTestFile(t, fits, "", 0o600)
	if err := os.Truncate(fits, contentLimit); err != nil {
		t.Fatal(err)
	}
	var suite strings.Builder
	for i := range 10000 {
		fmt.Fprintf(&suite, "file \"%s/%04d\" { exists = false }\n", dir, i)
	}
	fmt.Fprintf(&suite, "file %q { not_contains = [\"x\"] }\nfile %q { not_contains = [\"x\"] }\n", large, fits)
	results, report := runText(t, Target{Shell: local{argv: []string{"sh", "-s"}}, Mounted: true}, suite.String())
	if c := report.Counts(); c[Passed] != 10001 || c[Errored] != 1 {
		t.Errorf("counts: %s", c)
	}
	if m := results["file:"+large+":not_contains"].Message(); !strings.Contains(m, "more than the") {
		t.Errorf("large file: %s", m)
	}
}

func TestCancelStopsTheRun(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: without a namespace, a command outlives a shell that is killed")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err := Run(ctx, mustCompile(t, Auto, `command "sleep 79304" { exit_status = 0 }`), Target{Shell: local{argv: []string{"sh", "-s"}}, Mounted: true})
	if err == nil || time.Since(begin) > 30*time.Second {
		t.Errorf("error %v after %v", err, time.Since(begin))
	}
	if left := processes(t, "sleep\x0079304"); len(left) > 0 {
		t.Errorf("commands still run: %v", left)
	}
}
