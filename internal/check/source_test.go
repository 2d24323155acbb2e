package check

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseDpkg(t *testing.T) {
	got := parseDpkg(`Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2.15-2+b7

Package: libc6
Status: hold ok installed
Architecture: amd64
Version: 2.36-9

Package: libc6
Status: install ok unpacked
Architecture: i386
Version: 2.36-9
Description: something
 Package: not a field

Package: removed
Status: deinstall ok config-files
Architecture: all
Version: 1:1.0

Package: sick
Status: install reinstreq half-installed
`)
	want := map[string][]installed{
		"bash": {{version: "5.2.15-2+b7", arch: "amd64", status: "installed"}},
		"libc6": {
			{version: "2.36-9", arch: "amd64", status: "installed", held: true},
			{version: "2.36-9", arch: "i386", status: "unpacked"},
		},
		"removed": {{version: "1:1.0", arch: "all", status: "config-files"}},
		"sick":    {{status: "half-installed, reinstreq"}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(installed{})); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
}

func TestParseApkAndRpm(t *testing.T) {
	want := map[string][]installed{
		"musl":  {{version: "1.2.5-r0", arch: "x86_64", status: "installed"}},
		"nginx": {{version: "1.26.1-r0", arch: "x86_64", status: "installed"}},
	}
	got := parseApk("P:musl\nV:1.2.5-r0\nA:x86_64\nP:nginx\nV:1.26.1-r0\nA:x86_64\n")
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(installed{})); diff != "" {
		t.Errorf("apk (-want +got):\n%s", diff)
	}
	got = parseRpm("kernel\tx86_64\t6.1.1-1\tkernel-6.1.1-1.src.rpm\nkernel\tx86_64\t6.1.2-1\tkernel-6.1.2-1.src.rpm\ngpg-pubkey\t(none)\t1-2\t(none)\nbind\tx86_64\t32:9.16-1\t\nwarning: x\n")
	want = map[string][]installed{
		"kernel": {
			{version: "6.1.1-1", arch: "x86_64", source: "kernel", status: "installed"},
			{version: "6.1.2-1", arch: "x86_64", source: "kernel", status: "installed"},
		},
		"bind": {{version: "32:9.16-1", arch: "x86_64", status: "installed"}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(installed{})); diff != "" {
		t.Errorf("rpm (-want +got):\n%s", diff)
	}
}

// The order is that of the package system; the examples are of its manuals.
func TestVersionConstraints(t *testing.T) {
	for _, tc := range []struct {
		system, version, constraint string
		want                        Outcome
	}{
		{"dpkg", "3.0.17-1~deb12u2", ">= 3.0, < 4", Passed},
		{"dpkg", "3.0.17-1~deb12u2", "3.0.17-1~deb12u2", Passed},
		{"dpkg", "3.0.17-1~deb12u2", ">= 3.0.17-1", Failed}, // ~ sorts before the end
		{"dpkg", "1.10", "> 1.9", Passed},
		{"dpkg", "1.4.2-1", "1.4.2", Failed},
		{"dpkg", "1.4.2-1", "!= 1.4.2-1", Failed},
		{"dpkg", "1:9.2p1-2+deb12u7", ">= 1:9.2", Passed},
		{"dpkg", "1:9.2p1-2+deb12u7", ">= 9.2", Errored}, // would always hold
		{"dpkg", "9.2", "< 1:1", Passed},
		{"dpkg", "1.0", ">= not-a-version1", Errored},
		{"rpm", "1.0-10.el9", "> 1.0-9.el9", Passed},
		{"rpm", "1.0-10.el9", "1.0", Passed}, // any release
		{"rpm", "1.0~rc1-1", "< 1.0", Passed},
		{"rpm", "32:9.16-1", ">= 9", Errored},
		{"rpm", "32:9.16-1", ">= 32:9", Passed},
		{"apk", "1.26.1-r0", ">= 1.26, < 1.27", Passed},
		{"apk", "1.1_alpha1-r0", "< 1.1", Passed},
		{"apk", "1.1_p1", "> 1.1", Passed},
		{"apk", "1.1", "> 1.1_rc1-r1", Passed},
		{"apk", "1.0-r1", "> 1.0-r0", Passed},
	} {
		c, err := parseConstraint(tc.constraint, validVersion)
		if err != nil {
			t.Errorf("%q: %v", tc.constraint, err)
			continue
		}
		if v := versionMeets(tc.system, tc.version, c); v.outcome != tc.want {
			t.Errorf("%s %s against %q is %s (%s), want %s", tc.system, tc.version, tc.constraint, v.outcome, v.actual, tc.want)
		}
	}
}

func TestWhichDatabase(t *testing.T) {
	f := newFacts(Offline)
	some := map[string][]installed{"a": {{version: "1"}}}
	f.packages.databases = []packageDatabase{{system: "dpkg", state: stateRead, packages: some}, {system: "rpm", state: stateRead, packages: some}}
	for id, want := range map[string]string{"debian": "dpkg", "fedora": "rpm", "": "dpkg"} {
		f.os["ID"] = id
		if db, v := f.database(); db.system != want {
			t.Errorf("on %q the database is %s (%v), want %s", id, db.system, v, want)
		}
	}
	f.os["ID"] = "debian"
	f.packages.databases[0].packages = nil
	if _, v := f.database(); v.outcome != Errored {
		t.Errorf("an empty database gives %v", v)
	}
	f.packages.databases[0].packages = some
	f.packages.interrupted = true
	if _, v := f.database(); v.outcome != Errored {
		t.Errorf("an interrupted dpkg gives %v", v)
	}
	if _, v := newFacts(Offline).database(); v.outcome != Errored {
		t.Errorf("no database gives %v", v)
	}
}

func TestParseAccounts(t *testing.T) {
	users := parsePasswd("# comment\nroot:x:0:0:root:/root:/bin/bash\n+::::::\nbad:x:no:0::/:/\nroot:x:7:7::/x:/y\nshort:x:1\nlast:x:1000:27::/home/last:")
	want := map[string]user{
		"root": {name: "root", home: "/root", shell: "/bin/bash"},
		"last": {name: "last", uid: 1000, gid: 27, home: "/home/last"},
	}
	if diff := cmp.Diff(want, users, cmp.AllowUnexported(user{})); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
	groups := parseGroup("sudo:x:27:jeremy, anna,\nempty:x:28:\nbroken:x\n")
	if diff := cmp.Diff(map[string]group{
		"sudo":  {name: "sudo", gid: 27, members: []string{"jeremy", "anna"}},
		"empty": {name: "empty", gid: 28},
	}, groups, cmp.AllowUnexported(group{})); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
}

func TestOtherNameServices(t *testing.T) {
	got := otherSources("# passwd: nis\npasswd:  files systemd sss # ldap\ngroup: files [SUCCESS=merge] sss winbind\nshadow: files ldap\nhosts: files dns\n")
	if diff := cmp.Diff([]string{"sss", "winbind"}, got); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
}

// A user that no file knows may come from a directory service, which does not
// answer while the image is mounted.
func TestUserBeyondFiles(t *testing.T) {
	f := newFacts(Offline)
	f.accounts = accounts{passwd: stateRead, users: map[string]user{}, elsewhere: []string{"nslcd"}}
	if _, v := f.user("jeremy"); v.outcome != Errored {
		t.Errorf("verdict = %+v, want an error", v)
	}
	f.accounts.asked = true
	if _, v := f.user("jeremy"); v.outcome != Failed {
		t.Errorf("asked, verdict = %+v, want a failure", v)
	}
}

func TestParseOSRelease(t *testing.T) {
	got := parseOSRelease("ID=debian\nVERSION_ID=\"12\"\nNAME='Debian GNU/Linux'\n# c\nPRETTY_NAME=\"a \\\"b\\\" \\$c\"\nbroken\n")
	want := map[string]string{"ID": "debian", "VERSION_ID": "12", "NAME": "Debian GNU/Linux", "PRETTY_NAME": `a "b" $c`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("os-release (-want +got):\n%s", diff)
	}
}

// serviceFacts are those of a Debian 12 root, as systemctl 252 printed them
// there: cron enabled, ssh disabled, nginx masked.
func serviceFacts(t *testing.T, listing string) *facts {
	t.Helper()
	data, err := os.ReadFile(listing)
	if err != nil {
		t.Fatal(err)
	}
	f := newFacts(Offline)
	f.services.systemd = stateRead
	f.services.units = parseUnits(string(data))
	f.services.machineID, f.services.machineText = stateRead, "0123456789abcdef0123456789abcdef"
	f.services.initScripts = []string{"hwclock.sh", "cron"}
	f.services.files["nginx.service"] = unitFile{link: true, target: "/dev/null"}
	f.services.files["sshd.service"] = unitFile{link: true, target: "/lib/systemd/system/ssh.service"}
	f.services.instances["getty@tty1.service"] = "enabled"
	f.services.instances["serial-getty@ttyS0.service"] = "disabled"
	return f
}

func TestServices(t *testing.T) {
	base := func(t *testing.T) *facts { return serviceFacts(t, "testdata/units-systemd-252.txt") }
	old := func(t *testing.T) *facts { return serviceFacts(t, "testdata/units-systemd-219.txt") }
	firstBoot := func(of func(*testing.T) *facts) func(*testing.T) *facts {
		return func(t *testing.T) *facts {
			f := of(t)
			f.services.machineID, f.services.machineText = stateAbsent, ""
			return f
		}
	}
	socket := func(t *testing.T) *facts {
		f := base(t)
		f.services.units["ssh.socket"] = unitState{state: "enabled", preset: "enabled"}
		return f
	}
	for name, tc := range map[string]struct {
		facts   func(*testing.T) *facts
		block   string
		want    Outcome
		message string
	}{
		"enabled":                    {base, `service "cron" { enabled = true }`, Passed, ""},
		"with suffix":                {base, `service "cron.service" { enabled = true }`, Passed, ""},
		"disabled":                   {base, `service "ssh" { enabled = true }`, Failed, "got false (disabled)"},
		"stays down":                 {base, `service "ssh" { enabled = false }`, Passed, ""},
		"does not stay down":         {base, `service "cron" { enabled = false }`, Failed, "got true (enabled)"},
		"no such service":            {base, `service "nslcd" { enabled = true }`, Failed, "no such service"},
		"absent is not down":         {base, `service "nslcd" { enabled = false }`, Failed, "no such service"},
		"absence":                    {base, `service "nslcd" { exists = false }`, Passed, ""},
		"presence":                   {base, `service "cron" { exists = false }`, Failed, "it exists"},
		"static is not enabled":      {base, `service "systemd-journald" { enabled = true }`, Failed, "write static = true"},
		"static":                     {base, `service "systemd-journald" { static = true }`, Passed, ""},
		"masked":                     {base, `service "nginx" { masked = true }`, Passed, ""},
		"masked stays down":          {base, `service "nginx" { enabled = false }`, Passed, ""},
		"alias":                      {base, `service "sshd" { enabled = true }`, Failed, "disabled"},
		"instance":                   {base, `service "getty@tty1" { enabled = true }`, Passed, ""},
		"other instance":             {base, `service "serial-getty@ttyS0" { enabled = true }`, Failed, "disabled"},
		"script":                     {base, `service "hwclock.sh" { exists = true }`, Passed, ""},
		"socket starts it":           {socket, `service "ssh" { enabled = false }`, Failed, "ssh.socket is enabled and starts it"},
		"check the socket":           {socket, `service "ssh" { enabled = true }`, Failed, "ssh.socket is enabled and starts it, check that one"},
		"first boot enables":         {firstBoot(base), `service "ssh" { enabled = false }`, Failed, "the first boot enables it: /etc/machine-id is missing"},
		"first boot and masks":       {firstBoot(base), `service "nginx" { enabled = false }`, Passed, ""},
		"first boot, disabled":       {firstBoot(base), `service "console-getty" { enabled = false }`, Passed, ""},
		"first boot, instance":       {firstBoot(base), `service "serial-getty@ttyS0" { enabled = false }`, Errored, "presets"},
		"after first boot, on":       {firstBoot(base), `service "ssh" { enabled_after_first_boot = true }`, Passed, ""},
		"after first boot, kept":     {firstBoot(base), `service "cron" { enabled_after_first_boot = true }`, Passed, ""},
		"after first boot, off":      {firstBoot(base), `service "console-getty" { enabled_after_first_boot = true }`, Failed, "disabled"},
		"after first boot, unwanted": {firstBoot(base), `service "ssh" { enabled_after_first_boot = false }`, Failed, "the first boot enables it"},
		"after first boot, unknown":  {firstBoot(old), `service "ssh" { enabled_after_first_boot = true }`, Errored, "does not say what that of ssh.service is"},
		"no first boot":              {base, `service "ssh" { enabled_after_first_boot = true }`, Failed, "disabled"},
		"no presets listed":          {firstBoot(old), `service "ssh" { enabled = false }`, Errored, "does not say what that of ssh.service is"},
	} {
		t.Run(name, func(t *testing.T) {
			plan := mustCompile(t, Auto, tc.block)
			a := plan.Suites[0].Assertions[0]
			r := Result{Assertion: a}
			v := a.decide(tc.facts(t))
			r.Outcome, r.Actual = v.outcome, v.actual
			if r.Outcome != tc.want || !strings.Contains(r.Message(), tc.message) {
				t.Errorf("%s: %s, want %s with %q", r.Outcome, r.Message(), tc.want, tc.message)
			}
		})
	}
}

func TestServicesWithoutSystemd(t *testing.T) {
	openrc := newFacts(Offline)
	openrc.take(frame{tag: "initscripts", body: []byte("sshd\x00crond\x00")}, nil, nil)
	openrc.take(frame{tag: "runlevels", body: []byte("/etc/runlevels/default/sshd\x00")}, nil, nil)
	sysv := newFacts(Offline)
	sysv.take(frame{tag: "initscripts", body: []byte("sshd\x00crond\x00")}, nil, nil)
	sysv.take(frame{tag: "rc", body: []byte("/etc/rc2.d/S01sshd\x00/etc/rc2.d/S\nx\x00")}, nil, nil)
	for name, f := range map[string]*facts{"openrc": openrc, "sysv": sysv} {
		for service, want := range map[string]string{"sshd": "enabled", "crond": "disabled", "ntpd": ""} {
			if st, _, v := f.service(service); st.state != want || v.outcome != "" {
				t.Errorf("%s: %s is %q (%v), want %q", name, service, st.state, v, want)
			}
		}
	}
	if _, _, v := newFacts(Offline).service("sshd"); v.outcome != Errored {
		t.Errorf("without any service manager: %+v, want an error", v)
	}
}

func TestDetect(t *testing.T) {
	mark := func(name, body string) frame { return frame{tag: "mark", args: []string{name}, body: []byte(body)} }
	for name, tc := range map[string]struct {
		frames []frame
		want   Mode
	}{
		"booted":            {[]frame{mark("root", "fe01:2\nfe01:2\n"), mark("init", "systemd\n"), mark("systemd", "running\n")}, Booted},
		"degraded":          {[]frame{mark("root", "fe01:2\nfe01:2\n"), mark("init", "systemd\n"), mark("systemd", "degraded\n")}, Booted},
		"openrc":            {[]frame{mark("root", "fe01:2\nfe01:2\n"), mark("init", "init\n")}, Booted},
		"systemctl says no": {[]frame{mark("root", "fe01:2\nfe01:2\n"), mark("init", "systemd\n"), mark("systemd", "offline\n")}, Offline},
		"chroot":            {[]frame{mark("root", "fe01:2\n700:9\n"), mark("init", "systemd\n")}, Offline},
		"no /proc":          {[]frame{mark("root", "fe01:2\n"), mark("init", "")}, Offline},
		"container":         {[]frame{mark("root", "fe01:2\nfe01:2\n"), mark("init", "systemd\n"), mark("container", "")}, Offline},
		"no init":           {[]frame{mark("root", "fe01:2\nfe01:2\n"), mark("init", "sleep\n")}, Offline},
		"nothing":           {nil, Offline},
	} {
		if got, why := detect(tc.frames); got != tc.want {
			t.Errorf("%s: %s (%s), want %s", name, got, why, tc.want)
		}
	}
}

func FuzzParsers(f *testing.F) {
	f.Add("Package: a\nStatus: install ok installed\nVersion: 1\n\nPackage: b\n")
	f.Add("P:musl\nV:1\nA:x\n")
	f.Add("kernel\tx86_64\t6.1\n")
	f.Add("root:x:0:0::/root:/bin/sh\nsudo:x:27:a,b\n")
	f.Add("passwd: files sss\ngroup: [a b\n")
	f.Add("cron.service enabled enabled\ngetty@.service disabled -\n")
	f.Add("ID=\"x\n'=")
	f.Add("81a4:0:0:12")
	f.Fuzz(func(t *testing.T, data string) {
		for name, list := range parseDpkg(data) {
			if name == "" || len(list) == 0 {
				t.Errorf("dpkg: %q has %d entries", name, len(list))
			}
		}
		parseApk(data)
		parseRpm(data)
		for name, u := range parsePasswd(data) {
			if name == "" || u.name != name {
				t.Errorf("passwd: %q is %+v", name, u)
			}
		}
		for name, g := range parseGroup(data) {
			if name == "" || g.name != name {
				t.Errorf("group: %q is %+v", name, g)
			}
		}
		for name, u := range parseUnits(data) {
			if strings.ContainsAny(name, " \n") || u.state == "" {
				t.Errorf("unit %q is %+v", name, u)
			}
		}
		otherSources(data)
		parseOSRelease(data)
		_, _ = parseStat(data)
		for _, system := range []string{"dpkg", "rpm", "apk"} {
			_, _ = compareVersions(system, data, "1.0-1")
		}
	})
}
