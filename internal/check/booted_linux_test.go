package check

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// boot boots a root with systemd as its process 1, in namespaces of its own, and
// returns a shell in it, as a connection to an instance is.
func (r familyRoot) boot(t *testing.T) local {
	t.Helper()
	if _, err := exec.LookPath("systemd-nspawn"); err != nil {
		t.Skipf("needs systemd-nspawn, of systemd-container: %v", err)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "console"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	cmd := exec.Command("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network", "--console=pipe",
		"--machine=bakery-"+strconv.Itoa(os.Getpid()), "--bind-ro=/usr", "--directory="+r.dir, "--boot", "systemd.unit=multi-user.target")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	var leader int
	t.Cleanup(func() {
		// The end of its process 1 ends the machine; nspawn then removes what it
		// has made for it.
		if leader > 0 {
			_ = syscall.Kill(leader, syscall.SIGKILL)
		}
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	said := func() string {
		data, _ := os.ReadFile(log.Name())
		return string(data)
	}
	deadline := time.Now().Add(90 * time.Second)
	for {
		if leader = initBelow(cmd.Process.Pid); leader > 0 {
			shell := r.enter(leader)
			out, _ := exec.Command(shell.argv[0], append(shell.argv[1:len(shell.argv)-1:len(shell.argv)-1], "-c", "systemctl is-system-running")...).Output()
			if state := strings.TrimSpace(string(out)); state == "running" || state == "degraded" {
				return shell
			}
		}
		select {
		case <-ended:
			if strings.Contains(said(), "Operation not permitted") || strings.Contains(said(), "No such device") {
				t.Skipf("this machine cannot boot a root: %s", said())
			}
			t.Fatalf("the root did not boot: %s", said())
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("the root did not come up: %s", said())
		}
	}
}

// enter runs scripts beside the process 1 of a machine.
func (r familyRoot) enter(leader int) local {
	return local{argv: []string{
		"nsenter", "-t", strconv.Itoa(leader), "-m", "-u", "-i", "-n", "-p", "-r", "-w",
		"env", "PATH=/srv/bin:/usr/sbin:/usr/bin", "/bin/sh", "-s",
	}}
}

// initBelow finds a process below another that is process 1 of its namespace and
// runs systemd.
func initBelow(pid int) int {
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for word := range strings.FieldsSeq(string(children)) {
		child, err := strconv.Atoi(word)
		if err != nil {
			continue
		}
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", child))
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", child))
		for line := range strings.Lines(string(status)) {
			ids := strings.Fields(line)
			if len(ids) > 2 && ids[0] == "NSpid:" && ids[len(ids)-1] == "1" && strings.TrimSpace(string(comm)) == "systemd" {
				return child
			}
		}
		if found := initBelow(child); found > 0 {
			return found
		}
	}
	return 0
}

// The examples with which Pinterest showed how they test their images, as a
// suite, and what else one asks of such an image.
const slide = `
file {
  paths  = ["/usr/local/none/policy-rc.d", "/root/.ssh/id_rsa", "/root/.ssh/id_rsa.pub"]
  exists = false
}
file "/etc/timezone" {
  type     = "file"
  contains = ["Etc/UTC"]
}
package "nslcd" {}
service "nslcd" { enabled = true }
service "nslcd" {
  running  = true
  requires = "boot"
}
process "nslcd" {
  requires = "boot"
}
command "getent passwd jeremy" {
  exit_status = 0
  requires    = "boot"
}
user "jeremy" {
  requires = "boot"
}
command "ntpq -pn" {
  stdout_matches = ["^\\*"]
  requires       = "boot"
}
`

// slideFiles and its like are the ids of the examples, by what decides them.
var (
	slideFiles = []string{
		"file:/usr/local/none/policy-rc.d:exists", "file:/root/.ssh/id_rsa:exists", "file:/root/.ssh/id_rsa.pub:exists",
		"file:/etc/timezone:type", "file:/etc/timezone:contains",
	}
	slideInstalled = []string{"package:nslcd:installed", "service:nslcd:enabled"}
	slideLive      = []string{
		"service:nslcd:running", "process:nslcd:running", "command:getent passwd jeremy:exit_status", "user:jeremy:exists", "command:ntpq -pn:stdout_matches",
	}
)

// slideRoot is a root with the examples' files and, when that is wanted, with the
// two daemons. Scripts stand for them, and for the programs that ask them; they
// answer as long as the daemon's file in /run is there.
func slideRoot(t *testing.T, daemons bool) familyRoot {
	t.Helper()
	r := newFamilyRoot(t, "debian")
	r.write(t, "etc/timezone", "Etc/UTC\n", 0o644)
	r.write(t, "etc/nsswitch.conf", "passwd: files ldap\ngroup: files ldap\nhosts: files\n", 0o644)
	r.write(t, "srv/bin/getent", "#!/bin/sh\nif [ \"$2\" = jeremy ] && [ -e /run/nslcd ]; then echo jeremy:x:5000:5000::/home/jeremy:/bin/sh; else exit 2; fi\n", 0o755)
	r.write(t, "srv/bin/ntpq", "#!/bin/sh\n[ -e /run/ntpd ] || exit 1\necho '*192.0.2.1'\n", 0o755)
	if !daemons {
		return r
	}
	status, err := os.ReadFile(r.in("var/lib/dpkg/status"))
	if err != nil {
		t.Fatal(err)
	}
	r.write(t, "var/lib/dpkg/status", string(status)+"\nPackage: nslcd\nStatus: install ok installed\nArchitecture: all\nVersion: 0.9.12-4\n", 0o644)
	for _, name := range []string{"nslcd", "ntpd"} {
		r.write(t, "opt/"+name, "#!/bin/sh\ntouch /run/"+name+"\nwhile :; do sleep 1000; done\n", 0o755)
		r.write(t, "etc/systemd/system/"+name+".service", "[Service]\nExecStart=/opt/"+name+"\n[Install]\nWantedBy=multi-user.target\n", 0o644)
		r.link(t, "/etc/systemd/system/"+name+".service", "etc/systemd/system/multi-user.target.wants/"+name+".service")
	}
	return r
}

// onHostOnly runs a process nslcd on this machine.
func onHostOnly(t *testing.T) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "nslcd")
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	writeTestFile(t, program, string(data), 0o755)
	cmd := exec.Command(program, "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

func TestSlideOffline(t *testing.T) {
	for name, tc := range map[string]struct {
		daemons, host bool
		installed     Outcome
	}{
		"installed":             {true, false, Passed},
		"not installed":         {false, false, Failed},
		"on the host only":      {false, true, Failed},
		"installed, host's too": {true, true, Passed},
	} {
		t.Run(name, func(t *testing.T) {
			root := slideRoot(t, tc.daemons)
			if tc.host {
				onHostOnly(t)
			}
			results, report := runText(t, Target{Shell: root.offline(0), Mounted: true}, slide)
			want := map[string]Outcome{}
			for _, id := range slideFiles {
				want[id] = Passed
			}
			for _, id := range slideInstalled {
				want[id] = tc.installed
			}
			for _, id := range slideLive {
				want[id] = Deferred
			}
			expect(t, results, want)
			if report.Mode != Offline {
				t.Errorf("mode %s", report.Mode)
			}
			// As the slide has them, without requires: each is refused with a remedy.
			refused, err := Run(t.Context(), mustCompile(t, Auto, strings.ReplaceAll(strings.ReplaceAll(slide,
				"command \"ntpq -pn\" {\n  stdout_matches = [\"^\\\\*\"]\n  requires       = \"boot\"\n}\n", ""), "requires = \"boot\"", "")),
				Target{Shell: root.offline(0), Mounted: true})
			if err == nil || !strings.Contains(err.Error(), `service "nslcd": running = true cannot be decided offline`) || refused.Counts()[Passed] > 0 {
				t.Errorf("error %v", err)
			}
		})
	}
}

// Booted, the examples mean what they say, and what an offline run has deferred is
// decided.
func TestSlideBooted(t *testing.T) {
	for name, tc := range map[string]struct {
		daemons bool
		want    Outcome
	}{
		"installed":        {true, Passed},
		"on the host only": {false, Failed},
	} {
		t.Run(name, func(t *testing.T) {
			root := slideRoot(t, tc.daemons)
			onHostOnly(t)
			_, offline := runText(t, Target{Shell: root.offline(0), Mounted: true}, slide)
			deferred := filepath.Join(t.TempDir(), "deferred.json")
			if err := offline.SaveDeferred(deferred); err != nil {
				t.Fatal(err)
			}
			shell := root.boot(t)
			suites, errs := ReadSuites([]string{deferred}, nil, nil)
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			plan, errs := Compile(suites, Auto, time.Now())
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			report, err := Run(t.Context(), plan, Target{Shell: shell})
			if err != nil {
				t.Fatal(err)
			}
			if report.Mode != Booted {
				t.Fatalf("mode %s: %s", report.Mode, report.ModeReason)
			}
			results, want := map[string]Result{}, map[string]Outcome{}
			for _, r := range report.Suites[0].Results {
				results[r.ID()] = r
			}
			for _, id := range slideLive {
				want[id] = tc.want
			}
			expect(t, results, want)
		})
	}
}
