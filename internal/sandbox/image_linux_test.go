package sandbox

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestNothingStaysInTheImage(t *testing.T) {
	root := newRoot(t)
	must(t, os.RemoveAll(filepath.Join(root, "sys"))) // to be made, and removed
	must(t, os.Mkdir(filepath.Join(root, "etc/apt"), 0o750))
	write(t, root, "etc/apt/apt.conf", "the image's\n")
	age(t, root)
	copied := filepath.Join(t.TempDir(), "some where", "proxy.conf")
	must(t, os.MkdirAll(filepath.Dir(copied), 0o755))
	must(t, os.WriteFile(copied, []byte("of the host\n"), 0o640))
	before := digest(t, root)
	s := open(t, Config{Root: root, Guard: true, ResolvConf: resolvConf, CopyFiles: []string{copied, resolvConf}})
	if got := sh(t, s, "cat '"+copied+"'; stat -c %a '"+copied+"'; test -d /sys/kernel && cat /etc/resolv.conf"); got != "of the host\n640\n"+read(t, resolvConf) {
		t.Errorf("a guest sees %q", got)
	}
	closeNow(t, s)
	unchanged(t, root, before)
}

func TestResolvConf(t *testing.T) {
	const hosts = "nameserver 192.0.2.1\n"
	for _, test := range []struct {
		name    string
		prepare func(t *testing.T, root string)
	}{
		{"file", func(t *testing.T, root string) {
			write(t, root, "etc/resolv.conf", "of the image\n")
			must(t, os.Chmod(root+"/etc/resolv.conf", 0o600))
		}},
		{"absent", func(*testing.T, string) {}},
		{"relative link into run", link("../run/systemd/resolve/stub-resolv.conf")},
		{"absolute link into run", link("/run/NetworkManager/resolv.conf")},
		{"link into run by way of var", link("/var/run/resolvconf/resolv.conf")},
		{"relative link to a file", func(t *testing.T, root string) {
			link("resolv.conf.real")(t, root)
			write(t, root, "etc/resolv.conf.real", "of the image\n")
		}},
		{"absolute link to a file", func(t *testing.T, root string) {
			link("/var/lib/resolv.conf")(t, root)
			write(t, root, "var/lib/resolv.conf", "of the image\n")
		}},
		{"links to links", func(t *testing.T, root string) {
			link("../mnt/one")(t, root)
			must(t, os.Symlink("two", root+"/mnt/one"))
			must(t, os.Symlink("/tmp/../var/three", root+"/mnt/two"))
		}},
		{"dangling link", link("/var/lib/nowhere/deep/resolv.conf")},
		{"dangling relative link", link("resolvconf/run/resolv.conf")},
		{"link out of the root", link("../../../../../../etc/resolv.conf.elsewhere")},
		{"link to itself", link("resolv.conf")},
		{"no etc", func(t *testing.T, root string) { must(t, os.RemoveAll(root+"/etc")) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := newRoot(t)
			test.prepare(t, root)
			age(t, root)
			before := digest(t, root)
			source := filepath.Join(t.TempDir(), "resolv.conf")
			must(t, os.WriteFile(source, []byte(hosts), 0o644))

			s := open(t, Config{Root: root, ResolvConf: source})
			if got := sh(t, s, "cat /etc/resolv.conf"); got != hosts {
				t.Errorf("a guest reads %q", got)
			}
			sh(t, s, "echo nameserver 127.0.0.1 > /etc/resolv.conf")
			if got := sh(t, s, "cat /etc/resolv.conf"); got != "nameserver 127.0.0.1\n" {
				t.Errorf("after a guest wrote to it, it reads %q", got)
			}
			closeNow(t, s)
			unchanged(t, root, before)
			if got := read(t, source); got != hosts {
				t.Errorf("a guest changed the host's file to %q", got)
			}
		})
	}
}

func TestResolvConfThatGuestsReplace(t *testing.T) {
	const kept = "link -> ../run/systemd/resolve/stub-resolv.conf"
	for _, test := range []struct {
		name, guest string
		prepare     func(*testing.T, string)
		after       string // empty for what was there
	}{
		{"removed", "rm /etc/resolv.conf", link("/run/x/resolv.conf"), ""},
		{"removed file", "rm /etc/resolv.conf", func(t *testing.T, root string) { write(t, root, "etc/resolv.conf", "own") }, ""},
		{"another file", "echo x > /mnt/x; mv /mnt/x /etc/resolv.conf", func(*testing.T, string) {}, ""},
		{"a link", "ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf; cat /etc/resolv.conf > /tmp/seen", func(t *testing.T, root string) { write(t, root, "etc/resolv.conf", "own") }, kept},
		{"a link for a link", "ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf; cat /etc/resolv.conf > /tmp/seen", link("/nowhere"), kept},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := newRoot(t)
			test.prepare(t, root)
			age(t, root)
			before := digest(t, root)
			s := open(t, Config{Root: root, ResolvConf: resolvConf})
			sh(t, s, test.guest)
			closeNow(t, s)
			after := digest(t, root)
			if test.after != "" {
				if got, _ := os.Readlink(root + "/etc/resolv.conf"); "link -> "+got != test.after {
					t.Errorf("the guest's link is %q", got)
				}
				if got := read(t, root, "tmp/seen"); got != read(t, resolvConf) {
					t.Errorf("through the link a guest read %q", got)
				}
				return
			}
			for _, name := range []string{"etc", "mnt"} { // changed by the guest
				delete(before, name)
				delete(after, name)
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("the image changed (-before +after):\n%s", diff)
			}
		})
	}
}

// Packages make folders in /run that later bakes need.
func TestFoldersOfRunStay(t *testing.T) {
	root := newRoot(t)
	before := digest(t, root)
	s := open(t, Config{Root: root, ResolvConf: resolvConf})
	sh(t, s, "mkdir -p /run/sshd /run/systemd/system /run/lock/apache2; chmod 2750 /run/sshd; touch /run/x.pid /run/sshd/y.pid")
	closeNow(t, s)
	for _, name := range []string{"run/sshd", "run/lock/apache2"} {
		if info, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Error(err)
		} else if name == "run/sshd" && info.Mode() != os.ModeDir|os.ModeSetgid|0o750 {
			t.Errorf("%s has the mode %v", name, info.Mode())
		}
	}
	s = open(t, Config{Root: root})
	if got := sh(t, s, "ls -R /run"); got != "/run:\nlock\nsshd\n\n/run/lock:\napache2\n\n/run/lock/apache2:\n\n/run/sshd:\n" {
		t.Errorf("the next sandbox has %q", got)
	}
	closeNow(t, s)
	must(t, os.Remove(root+"/run/sshd"))
	must(t, os.Remove(root+"/run/lock/apache2"))
	age(t, root)
	unchanged(t, root, before)
}

func link(target string) func(*testing.T, string) {
	return func(t *testing.T, root string) { must(t, os.Symlink(target, root+"/etc/resolv.conf")) }
}

func TestPolicyKeepsServicesFromStarting(t *testing.T) {
	const (
		ask = "/usr/sbin/policy-rc.d nginx start; echo $?; "
		own = "#!/bin/sh\nexit 0\n"
	)
	file := func(mode os.FileMode, owner int) func(*testing.T, string) {
		return func(t *testing.T, root string) {
			write(t, root, policyPath, own)
			must(t, os.Chown(root+policyPath, owner, owner))
			must(t, os.Chmod(root+policyPath, mode))
		}
	}
	none := func(*testing.T, string) {}
	for _, test := range []struct {
		name    string
		prepare func(t *testing.T, root string)
		guest   string
		says    string
		// after is what the path holds in the end; nil is what it held before.
		after *string
	}{
		{name: "absent", prepare: none, guest: ask, says: "101\n"},
		{name: "present", prepare: file(0o755, 0), guest: ask, says: "101\n"},
		{name: "present with odd mode and owner", prepare: file(0o4511, 1234), guest: ask, says: "101\n"},
		{name: "hard link", guest: ask, says: "101\n", prepare: func(t *testing.T, root string) {
			file(0o755, 0)(t, root)
			must(t, os.Link(root+policyPath, root+"/usr/sbin/other-name"))
		}},
		{name: "link", guest: ask, says: "101\n", prepare: func(t *testing.T, root string) {
			must(t, os.Symlink("/etc/alternatives/policy-rc.d", root+policyPath))
		}},
		{name: "link out of the root", guest: ask, says: "101\n", prepare: func(t *testing.T, root string) {
			must(t, os.Symlink("../../../../../../../../../../tmp/policy", root+policyPath))
		}},
		{name: "guest replaces it", prepare: none, guest: "echo new > /tmp/n; mv /tmp/n " + policyPath, after: new("new\n")},
		{name: "guest writes it", prepare: file(0o755, 0), guest: "echo new > " + policyPath, after: new("new\n")},
		{name: "guest installs the same", prepare: none, guest: "cp -p " + policyPath + " /tmp/p; mv /tmp/p " + policyPath, after: new(policy)},
		{name: "guest removes it", prepare: none, guest: "rm " + policyPath},
		{name: "guest removes it where one was", prepare: file(0o755, 0), guest: "rm " + policyPath, after: new("")},
		{name: "guest removes the folder", prepare: none, guest: "rm -r /usr/sbin", after: new("")},
		{name: "no dpkg", guest: "ls /usr/sbin", prepare: func(t *testing.T, root string) {
			must(t, os.RemoveAll(root+"/var/lib/dpkg"))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := newRoot(t)
			test.prepare(t, root)
			age(t, root)
			before := digest(t, root)
			s := open(t, Config{Root: root, Guard: true})
			if covered := s.Covered(); test.name != "no dpkg" {
				_, had := before[strings.TrimPrefix(policyPath, "/")]
				if len(covered) != 1 || covered[0].Path != policyPath || len(covered[0].SHA256) != 64 || (covered[0].Under != "") != had {
					t.Errorf("covered = %+v, want the policy, over a file: %v", covered, had)
				}
			}
			if got := sh(t, s, test.guest); got != test.says {
				t.Errorf("a guest sees %q, want %q", got, test.says)
			}
			closeNow(t, s)
			switch {
			case test.after != nil && *test.after == "":
				if _, err := os.Lstat(root + policyPath); !os.IsNotExist(err) {
					t.Errorf("the policy that a guest removed is back (%v)", err)
				}
			case test.after != nil:
				if got := read(t, root, policyPath); got != *test.after {
					t.Errorf("the policy is %q, want the guest's %q", got, *test.after)
				}
			case test.name == "guest removes it":
				// The guest changed the folder, so its time is the guest's.
				after := digest(t, root)
				delete(before, "usr/sbin")
				delete(after, "usr/sbin")
				if diff := cmp.Diff(before, after); diff != "" {
					t.Errorf("the image changed (-before +after):\n%s", diff)
				}
			default:
				unchanged(t, root, before)
			}
			if left, _ := filepath.Glob(root + "/usr/sbin/.*bakery*"); len(left) > 0 {
				t.Errorf("%v is left", left)
			}
		})
	}
}

func TestCopiedFilesLeaveTheImage(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "netrc")
	must(t, os.WriteFile(secret, []byte("password\n"), 0o600))
	for _, test := range []struct{ name, guest string }{
		{"untouched", ":"},
		{"rewritten", "echo more >> " + secret},
		{"replaced", "cp " + secret + " /mnt/x; mv /mnt/x " + secret},
		{"removed", "rm " + secret},
		{"made a folder", "rm " + secret + "; mkdir -p " + secret + "/a/b; echo x > " + secret + "/a/b/c; ln -s / " + secret + "/root"},
	} {
		for _, present := range []bool{false, true} {
			t.Run(test.name, func(t *testing.T) {
				root := newRoot(t)
				if present {
					must(t, os.MkdirAll(filepath.Dir(root+secret), 0o755))
					write(t, root, secret, "the image's\n")
				}
				age(t, root)
				before := digest(t, root)
				s := open(t, Config{Root: root, CopyFiles: []string{secret}})
				sh(t, s, test.guest)
				closeNow(t, s)
				after := digest(t, root)
				// Folders that a guest changed have the guest's time.
				for _, name := range []string{"mnt", strings.TrimPrefix(filepath.Dir(secret), "/")} {
					delete(before, name)
					delete(after, name)
				}
				if diff := cmp.Diff(before, after); diff != "" {
					t.Errorf("the image changed (-before +after):\n%s", diff)
				}
			})
		}
	}
}

func TestStartThatFailsLeavesNothing(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Config)
		says   string
	}{
		"unknown file system": {func(c *Config) {
			c.Mounts = append(DefaultMounts(), Mount{Type: "nosuchfs", Source: "x", Target: "/new/place"})
		}, "nosuchfs"},
		"unknown mount option": {func(c *Config) {
			c.Mounts = []Mount{{Type: "tmpfs", Target: "/new/place", Options: []string{"colour=red"}}}
		}, "colour"},
		"missing source":      {func(c *Config) { c.Mounts = []Mount{{Type: "bind", Source: "/nowhere", Target: "/mnt"}} }, "/nowhere"},
		"file over a folder":  {func(c *Config) { c.Mounts = []Mount{{Type: "bind", Source: "/etc/passwd", Target: "/mnt"}} }, "/mnt"},
		"missing resolv.conf": {func(c *Config) { c.ResolvConf = "/nowhere/resolv.conf" }, "/nowhere/resolv.conf"},
		"missing copied file": {func(c *Config) { c.CopyFiles = []string{"/nowhere/file"} }, "/nowhere/file"},
		"copied folder":       {func(c *Config) { c.CopyFiles = []string{"/etc/passwd", "/etc"} }, "regular"},
		"no block device":     {func(c *Config) { c.Devices = []string{"/dev/null"} }, "/dev/null"},
		"missing root":        {func(c *Config) { c.Root += "/nowhere" }, "/nowhere"},
		"root of the host":    {func(c *Config) { c.Root = "/" }, "host"},
		"root is a file":      {func(c *Config) { c.Root += "/etc/passwd" }, "/etc/passwd"},
	} {
		t.Run(name, func(t *testing.T) {
			root := newRoot(t)
			before := digest(t, root)
			c := Config{Root: root, Guard: true, ResolvConf: resolvConf}
			test.change(&c)
			s, err := Start(t.Context(), c)
			if err == nil {
				closeNow(t, s)
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), test.says) {
				t.Errorf("the error does not name %s: %v", test.says, err)
			}
			unchanged(t, root, before)
		})
	}
}

func TestMounts(t *testing.T) {
	root := newRoot(t)
	must(t, os.Symlink("/../../../../mnt", root+"/var/elsewhere"))
	age(t, root)
	before := digest(t, root)
	shared := t.TempDir()
	write(t, shared, "file", "of the host\n")
	s := open(t, Config{Root: root, Mounts: []Mount{
		{Type: "proc", Source: "proc", Target: "/proc"},
		{Type: "bind", Source: shared, Target: "/new/shared"},
		{Type: "bind", Source: shared, Target: "/var/elsewhere", Options: []string{"ro,nosuid"}},
		{Type: "bind", Source: shared + "/file", Target: "/etc/new.file"},
		{Type: "tmpfs", Source: "tmpfs", Target: "/tmp", Options: []string{"size=64k", "mode=0700"}},
		{Type: "nosuchfs", Source: "x", Target: "/x", Optional: true},
	}})
	for script, want := range map[string]string{
		"cat /new/shared/file /mnt/file /etc/new.file": strings.Repeat("of the host\n", 3),
		"(echo x > /mnt/y) 2>&- || echo read-only":     "read-only\n",
		"stat -c %a /tmp":              "700\n",
		"ls /sys /dev /run /x 2>&-; :": "/dev:\n\n/run:\nlock\nsystemd\n\n/sys:\n",
	} {
		if got := sh(t, s, script); got != want {
			t.Errorf("%s: got %q, want %q", script, got, want)
		}
	}
	sh(t, s, "echo y > /new/shared/y; echo z > /tmp/z")
	if got := read(t, shared, "y"); got != "y\n" {
		t.Errorf("what a guest wrote into a bound folder is %q on the host", got)
	}
	closeNow(t, s)
	unchanged(t, root, before)
}

// The default of amazon-chroot, which templates also spell out.
func TestMountsOfAmazonChroot(t *testing.T) {
	root := newRoot(t)
	before := digest(t, root)
	s := open(t, Config{Root: root, Guard: true, ResolvConf: resolvConf, Mounts: []Mount{
		{Type: "proc", Source: "proc", Target: "/proc"},
		{Type: "sysfs", Source: "sysfs", Target: "/sys"},
		{Type: "bind", Source: "/dev", Target: "/dev"},
		{Type: "devpts", Source: "devpts", Target: "/dev/pts"},
		{Type: "binfmt_misc", Source: "binfmt_misc", Target: "/proc/sys/fs/binfmt_misc", Optional: true},
	}})
	if got := sh(t, s, "cat /etc/resolv.conf; ls /proc | grep -c '^[0-9]'; test -d /sys/kernel; : > /dev/null; ls /dev/pts"); got != read(t, resolvConf)+"4\nptmx\n" {
		t.Errorf("got %q", got)
	}
	closeNow(t, s)
	unchanged(t, root, before)
}

// A sandbox must not keep other volumes of the host mounted, and must let go of
// its own device when it closes.
func TestDevices(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: loop devices and mounts")
	}
	for _, tool := range []string{"losetup", "mkfs.ext4"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	source := newRoot(t)
	image, other := loopDevice(t), loopDevice(t)
	root, elsewhere := mountDevice(t, image), mountDevice(t, other)
	command(t, "cp", "-a", source+"/.", root)
	s := open(t, Config{Root: root})
	if got := sh(t, s, "find /dev -type b"); got != image+"\n" {
		t.Errorf("the block devices of a guest are %q, want %s alone", got, image)
	}
	if got := sh(t, s, "cut -d' ' -f1 /proc/mounts | head -n 1"); got != image+"\n" {
		t.Errorf("the root is mounted from %q", got)
	}
	sh(t, s, "rm /dev/null; echo gone > /dev/zero-new; head -c 4 /dev/urandom > /mnt/random; [ -s /mnt/random ]")
	for name, want := range map[string]bool{"/dev/null": true, "/dev/zero-new": false} {
		if _, err := os.Stat(name); (err == nil) != want {
			t.Errorf("after a guest changed its /dev, the host's %s: %v", name, err)
		}
	}
	sh(t, s, "(cd /mnt; setsid sleep 1000 &) ; (setsid nohup tail -f /etc/passwd > /mnt/out 2>&1 &)")

	command(t, "umount", elsewhere)
	exclusive(t, other)
	closeNow(t, s)
	command(t, "umount", root)
	exclusive(t, image)
}

func TestMoreDevices(t *testing.T) {
	if _, err := exec.LookPath("losetup"); err != nil {
		t.Skip("needs losetup")
	}
	root := newRoot(t)
	more := loopDevice(t)
	named := filepath.Join("/dev", "bakery-test-"+filepath.Base(t.TempDir()))
	must(t, os.Symlink(filepath.Base(more), named))
	t.Cleanup(func() { os.Remove(named) })
	s := open(t, Config{Root: root, Devices: []string{named}})
	if got := sh(t, s, "find /dev -type b; readlink -f "+named); got != more+"\n"+more+"\n" {
		t.Errorf("got %q, want %s and the link to it", got, more)
	}
}

// exclusive fails the test unless the device can be opened for exclusive use
// soon: nothing has it mounted, in whatever namespace.
func exclusive(t *testing.T, device string) {
	t.Helper()
	eventually(t, device+" unused", func() bool {
		fd, err := unix.Open(device, unix.O_RDONLY|unix.O_EXCL|unix.O_CLOEXEC, 0)
		if err == nil {
			unix.Close(fd)
		}
		return err == nil
	})
}

func loopDevice(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk")
	must(t, os.WriteFile(file, nil, 0o600))
	must(t, os.Truncate(file, 64<<20))
	command(t, "mkfs.ext4", "-q", file)
	device := strings.TrimSpace(command(t, "losetup", "--find", "--show", file))
	t.Cleanup(func() { command(t, "losetup", "--detach", device) })
	return device
}

func mountDevice(t *testing.T, device string) string {
	t.Helper()
	dir := t.TempDir()
	command(t, "mount", device, dir)
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(context.WithoutCancel(t.Context()), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return string(out)
}
