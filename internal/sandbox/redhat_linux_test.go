package sandbox

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// redHatRoot makes a root of the Red Hat family: its own /etc and /var, with a
// database of rpm, and the programs of this machine. It returns the mount of
// these too.
func redHatRoot(t *testing.T) (root string, programs Mount) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: namespaces and mounts")
	}
	for _, tool := range []string{"rpm", "rpmbuild", "systemctl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s: %v", tool, err)
		}
	}
	root = t.TempDir()
	for _, dir := range []string{"dev", "proc", "sys", "run", "tmp", "root", "usr", "var/lib/rpm", "etc/systemd/system", "run/systemd/system"} {
		must(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		target, err := os.Readlink("/" + name)
		if err != nil {
			t.Skipf("needs a machine whose /%s is a link into /usr: %v", name, err)
		}
		must(t, os.Symlink(target, filepath.Join(root, name)))
	}
	write(t, root, "etc/os-release", "ID=almalinux\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=9.4\n")
	write(t, root, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
	write(t, root, "etc/group", "root:x:0:\n")
	return root, Mount{Type: "bind", Source: "/usr", Target: "/usr", Options: []string{"ro"}}
}

// rpmPackage builds a package with a service, and with the scriptlets that
// packages of the family have: what the macros %systemd_post, %systemd_preun and
// %systemd_postun_with_restart make, and what vendors write by hand.
func rpmPackage(t *testing.T, version string) string {
	t.Helper()
	top := t.TempDir()
	write(t, top, "shop.service", "[Unit]\nDescription=A shop\n[Service]\nExecStart=/bin/sh -c 'echo started >> /var/shop.was'\n[Install]\nWantedBy=multi-user.target\n")
	write(t, top, "shop.spec", `Name: shop
Version: `+version+`
Release: 1
Summary: A shop
License: MIT
BuildArch: noarch
%description
A shop.
%install
install -D -m 644 `+top+`/shop.service %{buildroot}/etc/systemd/system/shop.service
%files
/etc/systemd/system/shop.service
%post
systemctl daemon-reload
systemctl --no-reload preset shop.service
systemctl enable shop.service
systemctl start shop.service
%preun
[ $1 -gt 0 ] || systemctl --no-reload disable --now shop.service > /dev/null 2>&1 || :
[ $1 -gt 0 ] || systemctl --no-reload disable shop.service
%postun
systemctl daemon-reload
[ $1 -eq 0 ] || systemctl try-restart shop.service
[ $1 -eq 0 ] || systemctl restart shop.service
`)
	out, err := exec.Command("rpmbuild", "-bb", "--quiet", "--define", "_topdir "+top, "--define", "_dbpath "+top+"/db", top+"/shop.spec").CombinedOutput()
	if err != nil {
		t.Fatalf("build a package: %v: %s", err, out)
	}
	return read(t, top, "RPMS/noarch/shop-"+version+"-1.noarch.rpm")
}

// A package of Red Hat's family is installed, replaced by a newer one and
// removed. Its scriptlets succeed, its service is enabled, and is never started.
func TestRedHatServicesDoNotStart(t *testing.T) {
	root, programs := redHatRoot(t)
	write(t, root, "tmp/one.rpm", rpmPackage(t, "1.0"))
	write(t, root, "tmp/two.rpm", rpmPackage(t, "1.1"))
	s := open(t, Config{Root: root, Guard: true, Mounts: append(DefaultMounts(), programs)})
	const rpm = "rpm --dbpath /var/lib/rpm --nodeps "
	sh(t, s, "rpm --dbpath /var/lib/rpm --initdb")
	for _, step := range []struct{ script, says string }{
		{rpm + "-i /tmp/one.rpm", ""},
		{"systemctl is-enabled shop", "enabled\n"},
		{rpm + "-U /tmp/two.rpm", ""},
		{"systemctl restart shop; echo $?; systemctl is-system-running", "0\noffline\n"},
		{"cat /var/shop.was", "cat: /var/shop.was: No such file or directory\n"},
		{"ps -e -o args= | grep -c '[s]hop.was'", "0\n"},
		{rpm + "-e shop; ls /etc/systemd/system", ""},
	} {
		// What systemctl says of what it does not do, and Debian's rpm of being
		// used, is of no matter.
		got := sh(t, s, "{ "+step.script+"; } 2>&1 | grep -v -e 'Running in chroot' -e 'Created symlink' -e '^Removed ' -e '^rpm: ' || :")
		if got != step.says {
			t.Errorf("%s: got %q, want %q", step.script, got, step.says)
		}
	}
	closeNow(t, s)
	if _, err := os.Lstat(root + policyPath); !os.IsNotExist(err) || strings.Contains(read(t, root, "etc/os-release"), "debian") {
		t.Errorf("a policy of Debian's is in an image of Red Hat's family: %v", err)
	}
}
