package check

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// rootfsEnv names the root file system of a Debian for the tests.
const rootfsEnv = "BAKERY_TEST_ROOTFS"

// debianRoot is a Debian root, as debootstrap makes one.
func debianRoot(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: chroot and mounts")
	}
	root := os.Getenv(rootfsEnv)
	if root == "" {
		t.Skipf("needs a Debian root file system: set %s to one that `debootstrap --variant=minbase bookworm DIR` has made", rootfsEnv)
	}
	return root
}

// inRoot runs scripts as a chroot builder does: in a chroot whose root is a
// mount point. The mount is of the shell's own namespace and goes with it.
func inRoot(root string) local {
	return local{argv: []string{"unshare", "-m", "sh", "-c", `mount --bind "$1" "$1" && mount --bind /dev "$1/dev" && exec chroot "$1" /bin/sh -s`, "sh", root}}
}

// treeDigest is of everything in a tree that a check could change.
func treeDigest(t *testing.T, root string) string {
	t.Helper()
	hash := sha256.New()
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil {
			return err
		}
		fmt.Fprintf(hash, "%q %o %d %d %d %d %v %v\n", path, st.Mode, st.Uid, st.Gid, st.Size, st.Nlink, st.Mtim, st.Ctim)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", hash.Sum(nil))
}

func TestDebianRoot(t *testing.T) {
	root := debianRoot(t)
	before := treeDigest(t, root)
	results, report := runText(t, Target{Shell: inRoot(root), Mode: Auto, Mounted: true}, `
file "/etc/passwd" {
  mode    = 0644
  owner   = "root"
  group   = "root"
  matches = ["^root:x:0:0:"]
}
file "/etc/shadow" { group = "shadow" }
file "/bin" {
  type   = "link"
  target = "usr/bin"
}
file "/usr/bin/passwd" { mode = "4755" }
file "/etc/no/such/file" { exists = false }
package "bash" {
  version = ">= 5, < 6"
  held    = false
}
package "libc6:amd64" {}
package "telnetd" { installed = false }
package "nosuchpackage" {}
user "root" {
  uid    = 0
  home   = "/root"
  shell  = "/bin/bash"
  groups = ["root"]
}
user "www-data" {
  uid    = "< 1000"
  locked = true
}
user "jeremy" { exists = false }
user "nslcd" {}
group "sudo" { gid = 27 }
group "shadow" { members = ["root"] }
command "dpkg --print-foreign-architectures; apt-config dump APT::Architecture" {
  exit_status    = 0
  stdout_matches = ["^APT::Architecture "]
}
command "ls -d /proc/[0-9]* | wc -l" { stdout_matches = ["^[1-9]$"] }
command "touch /root/x" {
  exit_status = 0
  requires    = "boot"
}
`)
	expect(t, results, map[string]Outcome{
		"file:/etc/passwd:mode": Passed, "file:/etc/passwd:owner": Passed, "file:/etc/passwd:group": Passed, "file:/etc/passwd:matches": Passed,
		"file:/etc/shadow:group": Passed, "file:/bin:type": Passed, "file:/bin:target": Passed, "file:/usr/bin/passwd:mode": Passed,
		"file:/etc/no/such/file:exists": Passed,
		"package:bash:version":          Passed, "package:bash:held": Passed, "package:libc6:amd64:installed": Passed,
		"package:telnetd:installed": Passed, "package:nosuchpackage:installed": Failed,
		"user:root:uid": Passed, "user:root:home": Passed, "user:root:shell": Passed, "user:root:groups": Passed,
		"user:www-data:uid": Passed, "user:www-data:locked": Passed, "user:jeremy:exists": Passed, "user:nslcd:exists": Failed,
		"group:sudo:gid": Passed, "group:shadow:members": Failed,
		"command:dpkg --print-foreign-architectures; apt-config dump APT::Architecture:exit_status":    Passed,
		"command:dpkg --print-foreign-architectures; apt-config dump APT::Architecture:stdout_matches": Passed,
		"command:ls -d /proc/[0-9]* | wc -l:stdout_matches":                                            Passed,
		"command:touch /root/x:exit_status":                                                            Deferred,
	})
	if !strings.HasPrefix(report.OS, "debian ") || len(report.Warnings) > 0 {
		t.Errorf("os %q, warnings %q", report.OS, report.Warnings)
	}
	if after := treeDigest(t, root); after != before {
		t.Error("the checks have changed the image's files")
	}
}

// A chroot is never taken for a booted system, whatever runs on the host.
func TestDebianRootIsOffline(t *testing.T) {
	root := debianRoot(t)
	report, err := Run(t.Context(), mustCompile(t, Auto, `file "/etc/passwd" {}`), Target{Shell: inRoot(root)})
	if err != nil {
		t.Fatal(err)
	}
	if report.Mode != Offline {
		t.Errorf("mode %s: %s", report.Mode, report.ModeReason)
	}
}

func TestDebianServices(t *testing.T) {
	root := debianRoot(t)
	if _, err := os.Stat(filepath.Join(root, "usr/bin/systemctl")); err != nil {
		t.Skipf("needs systemd in %s: %v", root, err)
	}
	results, _ := runText(t, Target{Shell: inRoot(root), Mounted: true}, `
service "getty@tty1" { enabled = true }
service "systemd-journald" { static = true }
service "remote-fs.target" { enabled = true }
service "nosuchservice" { exists = false }
service "nosuchservice2" { enabled = true }
`)
	expect(t, results, map[string]Outcome{
		"service:getty@tty1:enabled":      Passed,
		"service:systemd-journald:static": Passed, "service:remote-fs.target:enabled": Passed,
		"service:nosuchservice:exists": Passed, "service:nosuchservice2:enabled": Failed,
	})
}

// busyboxRoot makes a root of busybox alone, as Alpine has it, with OpenRC's and
// apk's files. tools are its applets beside sh.
func busyboxRoot(t *testing.T, tools ...string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: chroot and mounts")
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skipf("needs a static busybox: %v", err)
	}
	root := t.TempDir()
	for _, dir := range []string{"bin", "etc/init.d", "etc/runlevels/default", "lib/apk/db", "dev", "proc", "root", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	binary, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	writeTestFile(t, root+"/bin/busybox", string(binary), 0o755)
	for _, tool := range append(tools, "sh") {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", tool)); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("chroot", root, "/bin/sh", "-c", ":").CombinedOutput(); err != nil {
		t.Skipf("needs a static busybox: %s does not run in a chroot: %v: %s", busybox, err, out)
	}
	for name, content := range map[string]string{
		"etc/os-release": "ID=alpine\nVERSION_ID=3.20.1\n", "etc/passwd": "root:x:0:0:root:/root:/bin/ash\nsshd:x:22:22::/dev/null:/sbin/nologin\n",
		"etc/group": "root:x:0:root\nwheel:x:10:root\nsshd:x:22:\n", "etc/shadow": "root:$6$secret$hash:1:0:::::\nsshd:!:1::::::\nempty::1\n",
		"lib/apk/db/installed": "C:Q1x=\nP:musl\nV:1.2.5-r0\nA:x86_64\nF:lib\n\nP:openssl\nV:3.3.1_rc1-r0\nA:x86_64\n",
	} {
		writeTestFile(t, filepath.Join(root, name), content, 0o644)
	}
	for _, script := range []string{"sshd", "crond"} {
		writeTestFile(t, filepath.Join(root, "etc/init.d", script), "#!/bin/sh\n", 0o755)
	}
	if err := os.Symlink("/etc/init.d/sshd", filepath.Join(root, "etc/runlevels/default/sshd")); err != nil {
		t.Fatal(err)
	}
	return root
}

var busyboxTools = []string{
	"cat", "grep", "stat", "readlink", "head", "sha256sum", "id", "sleep", "unshare", "mount", "setsid", "seq", "echo", "ls", "wc",
}

const busyboxSuite = `
file "/etc/passwd" {
  mode     = 644
  owner    = "root"
  contains = ["sshd:x:22"]
  sha256   = "0000000000000000000000000000000000000000000000000000000000000000"
}
file "/etc/runlevels/default/sshd" { target = "/etc/init.d/sshd" }
file "/nope" { exists = false }
package "musl" { version = ">= 1.2, < 1.3" }
package "openssl" { version = "< 3.3.1" }
package "nginx" { installed = false }
service "sshd" { enabled = true }
service "crond" { enabled = false }
service "ntpd" { exists = false }
user "root" { password_set = true }
user "sshd" { locked = true }
group "wheel" { members = ["root"] }
command "seq 3" { stdout = "1\n2\n3" }
command "ls -d /proc/[0-9]* | wc -l" { stdout_matches = ["^[1-9]$"] }
command "sleep 305" {
  exit_status = 0
  timeout     = "1s"
}
`

func TestBusyboxRoot(t *testing.T) {
	root := busyboxRoot(t, busyboxTools...)
	before := treeDigest(t, root)
	results, report := runText(t, Target{Shell: inRoot(root), Mounted: true}, busyboxSuite)
	expect(t, results, map[string]Outcome{
		"file:/etc/passwd:mode": Passed, "file:/etc/passwd:owner": Passed, "file:/etc/passwd:contains": Passed, "file:/etc/passwd:sha256": Failed,
		"file:/etc/runlevels/default/sshd:target": Passed, "file:/nope:exists": Passed,
		"package:musl:version": Passed, "package:openssl:version": Passed, "package:nginx:installed": Passed,
		"service:sshd:enabled": Passed, "service:crond:enabled": Passed, "service:ntpd:exists": Passed,
		"user:root:password_set": Passed, "user:sshd:locked": Passed, "group:wheel:members": Passed,
		"command:seq 3:stdout": Passed, "command:ls -d /proc/[0-9]* | wc -l:stdout_matches": Passed, "command:sleep 305:exit_status": Errored,
	})
	if report.OS != "alpine 3.20.1" || len(report.Warnings) > 0 {
		t.Errorf("os = %q, warnings %q", report.OS, report.Warnings)
	}
	for id, r := range results {
		if strings.Contains(r.Message(), "secret") {
			t.Errorf("%s shows a password hash: %s", id, r.Message())
		}
	}
	if after := treeDigest(t, root); after != before {
		t.Error("the checks have changed the image's files")
	}
}

// What an image is configured to do at boot, in a root without systemd.
func TestBusyboxConfiguration(t *testing.T) {
	root := busyboxRoot(t, busyboxTools...)
	for name, text := range map[string]string{
		"etc/sysctl.d/10-swap.conf": "vm.swappiness = 60\n", "etc/sysctl.conf": "vm.swappiness = 1\n",
		"lib/sysctl.d/50-net.conf": "net.ipv4.conf.*.rp_filter = 2\n", "lib/modprobe.d/usb.conf": "install usb-storage /bin/false\n",
		"etc/modules": "loop\n", "etc/fstab": "LABEL=data /srv/data ext4 nofail 0 2\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		writeTestFile(t, filepath.Join(root, name), text, 0o644)
	}
	before := treeDigest(t, root)
	results, _ := runText(t, Target{Shell: inRoot(root), Mounted: true}, `
kernel_param "vm.swappiness" { configured = 1 }
kernel_param "net.ipv4.conf.eth0.rp_filter" { configured = 1 }
kernel_param "kernel.panic" {
  live     = 10
  requires = "boot"
}
kernel_module "usb_storage" { disabled = true }
kernel_module "loop" { at_boot = true }
mount "/srv/data" { options = ["nofail"] }
mount "/srv" {}
`)
	expect(t, results, map[string]Outcome{
		"kernel_param:vm.swappiness:configured": Passed, "kernel_param:net.ipv4.conf.eth0.rp_filter:configured": Failed,
		"kernel_param:kernel.panic:live": Deferred, "kernel_module:usb_storage:disabled": Passed, "kernel_module:loop:at_boot": Passed,
		"mount:/srv/data:options": Passed, "mount:/srv:fstab": Failed,
	})
	if treeDigest(t, root) != before {
		t.Error("the checks have changed the image's files")
	}
}

// rpm writes beside its database when it is only asked. That must not reach the
// image; a script stands for it here, which writes and answers as rpm does.
func TestRpmRoot(t *testing.T) {
	root := busyboxRoot(t, append(busyboxTools, "touch", "cp", "printf")...)
	if err := os.Remove(filepath.Join(root, "lib/apk/db/installed")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "var/lib/rpm"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeTestFile(t, filepath.Join(root, "var/lib/rpm/rpmdb.sqlite"), "x", 0o644)
	for name, script := range map[string]string{
		"read-only":       "touch /var/lib/rpm/shm || true\n",
		"copy in memory":  "case \"$*\" in *--dbpath*) touch /tmp/db/shm || exit 1 ;; *) touch /var/lib/rpm/shm || exit 1 ;; esac\n",
		"garbage, broken": "exit 1\n",
	} {
		t.Run(name, func(t *testing.T) {
			writeTestFile(t, filepath.Join(root, "bin/rpm"), "#!/bin/sh\nprintf 'shop\\tnoarch\\t3:1.4-2.el9\\tshop-suite-1.4-2.el9.src.rpm\\n'\n"+script, 0o755)
			before := treeDigest(t, root)
			results, _ := runText(t, Target{Shell: inRoot(root), Mounted: true}, `
package "shop" { version = ">= 3:1.4, < 3:1.5" }
package "nginx" { installed = false }
`)
			want := Passed
			if name == "garbage, broken" {
				want = Errored
			}
			expect(t, results, map[string]Outcome{"package:shop:version": want, "package:nginx:installed": want})
			if treeDigest(t, root) != before {
				t.Error("the checks have changed the image's files")
			}
		})
	}
}

// bareRoot makes a root that has dash, and nothing else: a busybox would run its
// own applets.
func bareRoot(t *testing.T) string {
	t.Helper()
	root := busyboxRoot(t)
	dash, err := exec.LookPath("dash")
	if err != nil {
		t.Skipf("needs dash: %v", err)
	}
	libraries, err := exec.Command("ldd", dash).Output()
	if err != nil {
		t.Skipf("needs ldd and a dash with libraries: %v", err)
	}
	if err := os.Remove(filepath.Join(root, "bin/sh")); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"/bin/sh": dash}
	for word := range strings.FieldsSeq(string(libraries)) {
		if strings.HasPrefix(word, "/") {
			files[word] = word
		}
	}
	for in, from := range files {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, in)), 0o755); err != nil {
			t.Fatal(err)
		}
		writeTestFile(t, filepath.Join(root, in), string(data), 0o755)
	}
	if err := os.Remove(filepath.Join(root, "bin/busybox")); err != nil {
		t.Fatal(err)
	}
	return root
}

// Without the tools that a check needs it is an error: never a pass, and never a
// failure of the image either. What the shell itself can tell is decided.
func TestRootWithoutTools(t *testing.T) {
	root := bareRoot(t)
	results, report := runText(t, Target{Shell: inRoot(root), Mounted: true}, busyboxSuite)
	decided := map[string]Outcome{
		"file:/nope:exists": Passed, "service:sshd:enabled": Passed, "service:crond:enabled": Passed, "service:ntpd:exists": Passed,
		"command:seq 3:stdout": Failed, "command:sleep 305:exit_status": Failed, "command:ls -d /proc/[0-9]* | wc -l:stdout_matches": Failed,
	}
	for id, r := range results {
		want, ok := decided[id]
		if !ok {
			want = Errored
		}
		if r.Outcome != want {
			t.Errorf("%s: %s (%s), want %s", id, r.Outcome, r.Message(), want)
		}
	}
	if len(report.Warnings) == 0 {
		t.Error("no warning that the commands were not isolated")
	}
}

// A system whose process 1 is an init with the root of the shell is booted; then
// the live questions are asked, and commands see what runs.
func TestBootedIsDetected(t *testing.T) {
	root := bareRoot(t)
	for from, to := range map[string]string{"/bin/sh": "bin/init", "/bin/busybox": "bin/busybox"} {
		if from == "/bin/sh" {
			from = filepath.Join(root, from)
		}
		data, err := os.ReadFile(from)
		if err != nil {
			t.Skipf("needs /bin/busybox: %v", err)
		}
		writeTestFile(t, filepath.Join(root, to), string(data), 0o755)
	}
	for _, tool := range busyboxTools {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", tool)); err != nil {
			t.Fatal(err)
		}
	}
	writeTestFile(t, filepath.Join(root, "etc/init.d/crond"), "#!/bin/sh\nexit 3\n", 0o755)
	boot := `mount --bind "$1" "$1" && mount --bind /dev "$1/dev" && mount -t proc proc "$1/proc" && exec chroot "$1" /bin/init -c '/bin/sh -s; exit $?'`
	shell := local{argv: []string{"unshare", "-m", "-p", "-f", "sh", "-c", boot, "sh", root}}
	plan := mustCompile(t, Auto, `
service "sshd" { running = true }
service "crond" { running = true }
service "ntpd" { running = true }
command "cat /proc/1/comm" {
  stdout   = "init"
  requires = "boot"
}
file "/proc/1/comm" { contains = ["init"] }
`)
	report, err := Run(t.Context(), plan, Target{Shell: shell})
	if err != nil {
		t.Fatal(err)
	}
	if report.Mode != Booted {
		t.Fatalf("mode %s: %s", report.Mode, report.ModeReason)
	}
	results := map[string]Result{}
	for _, r := range report.Suites[0].Results {
		results[r.ID()] = r
	}
	expect(t, results, map[string]Outcome{
		"service:sshd:running": Passed, "service:crond:running": Failed, "service:ntpd:running": Failed,
		"command:cat /proc/1/comm:stdout": Passed, "file:/proc/1/comm:contains": Passed,
	})
}

func TestNoShellInTheImage(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: chroot")
	}
	empty := t.TempDir()
	_, err := Run(t.Context(), mustCompile(t, Auto, `file "/nope" { exists = false }`),
		Target{Shell: local{argv: []string{"chroot", empty, "/bin/sh", "-s"}}, Mounted: true})
	if err == nil || !strings.Contains(err.Error(), "/bin/sh") {
		t.Errorf("error = %v, want one that names the shell", err)
	}
}

// A script that is cut off on the way must not run in part.
func TestScriptThatIsCutOff(t *testing.T) {
	proof := filepath.Join(t.TempDir(), "proof")
	plan := mustCompile(t, Auto, fmt.Sprintf(`command "touch %s" { exit_status = 0 }`, proof))
	text := newScript(testNonce, plan.needs(Offline), Offline).text()
	cmd := exec.Command("sh", "-s")
	cmd.Stdin = strings.NewReader(text[:len(text)-len("}\nbakery </dev/null\nexit\n")])
	_ = cmd.Run()
	if _, err := os.Stat(proof); err == nil {
		t.Error("a script without its end ran")
	}
}

// A thousand checks in a chroot; run with -v for the time.
func BenchmarkThousandChecks(b *testing.B) {
	root := os.Getenv(rootfsEnv)
	if root == "" || os.Geteuid() != 0 {
		b.Skipf("needs root and %s", rootfsEnv)
	}
	var suite strings.Builder
	for i := range 250 {
		fmt.Fprintf(&suite, "file \"/etc/%d\" { exists = false }\npackage \"p%d\" { installed = false }\nuser \"u%d\" { exists = false }\ncommand \"true %d\" { exit_status = 0 }\n", i, i, i, i)
	}
	parsed, errs := ParseSuite("bench.spec.hcl", []byte(suite.String()))
	if len(errs) > 0 {
		b.Fatal(errs)
	}
	plan, errs := Compile([]Suite{parsed}, Auto, time.Now())
	if len(errs) > 0 {
		b.Fatal(errs)
	}
	for b.Loop() {
		report, err := Run(b.Context(), plan, Target{Shell: inRoot(root), Mounted: true})
		if err != nil || report.Counts()[Passed] != 1000 {
			b.Fatalf("%v: %v", err, report.Counts())
		}
	}
}

// Capabilities are read with the image's own tool, here this machine's.
func TestCapabilities(t *testing.T) {
	for _, tool := range []string{"setcap", "getcap"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s: %v", tool, err)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root: setcap")
	}
	onEachShell(t, func(t *testing.T, shell local) {
		dir := t.TempDir()
		for _, name := range []string{"raw tool", "plain"} {
			writeTestFile(t, filepath.Join(dir, name), "x", 0o755)
		}
		if out, err := exec.Command("setcap", "cap_chown,cap_net_raw=ep", filepath.Join(dir, "raw tool")).CombinedOutput(); err != nil {
			t.Skipf("needs capabilities on the file system of %s: %v: %s", dir, err, out)
		}
		if err := os.Symlink("raw tool", filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
		results, _ := runText(t, Target{Shell: shell, Mounted: true}, strings.ReplaceAll(`
file "@/raw tool" { capabilities = "cap_net_raw,cap_chown+ep" }
file "@/link" { capabilities = "cap_net_raw=ep" }
file "@/plain" { capabilities = "none" }
file "@" { capabilities = "none" }
file "@/gone" { capabilities = "none" }
`, "@", dir))
		want := map[string]Outcome{}
		for name, outcome := range map[string]Outcome{"/raw tool": Passed, "/link": Failed, "/plain": Passed, "": Failed, "/gone": Failed} {
			want["file:"+dir+name+":capabilities"] = outcome
		}
		expect(t, results, want)
	})
}
