package check

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A family root is a root file system of one of the three families of
// distributions, small and made in milliseconds: its own /etc and /var, and the
// programs of this machine by a read-only mount of /usr, or busybox alone.
type familyRoot struct {
	family string // debian, redhat or alpine
	dir    string
}

var families = []string{"debian", "redhat", "alpine"}

// usrMerged are the links of a root whose programs all lie below /usr.
var usrMerged = []string{"bin", "sbin", "lib", "lib64"}

// newFamilyRoot makes a root with a package shop, a service shop and what else
// the checks of the matrix ask for. It skips the test where the machine lacks
// what the family needs.
func newFamilyRoot(t *testing.T, family string) familyRoot {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: chroot, mounts and namespaces")
	}
	r := familyRoot{family, t.TempDir()}
	tools := map[string][]string{
		"debian": {"busybox", "systemctl", "getfattr", "curl"}, "redhat": {"busybox", "systemctl", "getfattr", "curl", "rpm", "rpmbuild"}, "alpine": {"busybox"},
	}[family]
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s on this machine for a root of the family %s: %v", tool, family, err)
		}
	}
	for _, dir := range []string{"dev", "proc", "sys", "run", "tmp", "root", "srv/bin", "var/lib", "usr", "etc/init.d", "opt"} {
		r.mkdir(t, dir)
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	if family == "alpine" {
		r.mkdir(t, "bin")
		r.write(t, "bin/busybox", string(data), 0o755)
		for _, applet := range append(busyboxTools, "sh", "wget", "ip", "httpd", "cp", "touch", "tr") {
			r.link(t, "busybox", "bin/"+applet)
		}
		// Alpine has musl's getent, which this script stands for.
		r.write(t, "bin/getent", "#!/bin/sh\n[ \"$1\" = ahosts ] && [ \"$2\" = localhost ] && echo '127.0.0.1 STREAM localhost'\n", 0o755)
	} else {
		for _, name := range usrMerged {
			if target, err := os.Readlink("/" + name); err == nil {
				r.link(t, target, name)
			} else if _, err := os.Stat("/" + name); err == nil {
				t.Skipf("needs a machine whose /%s is a link into /usr", name)
			}
		}
	}
	r.write(t, "srv/bin/busybox", string(data), 0o755)
	r.link(t, "busybox", "srv/bin/httpd")
	r.accounts(t)
	r.configuration(t)
	switch family {
	case "debian":
		r.debian(t)
	case "redhat":
		r.redhat(t)
	case "alpine":
		r.alpine(t)
	}
	return r
}

func (r familyRoot) in(name string) string { return filepath.Join(r.dir, name) }

func (r familyRoot) mkdir(t *testing.T, name string) {
	t.Helper()
	if err := os.MkdirAll(r.in(name), 0o755); err != nil {
		t.Fatal(err)
	}
}

func (r familyRoot) write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	r.mkdir(t, filepath.Dir(name))
	writeTestFile(t, r.in(name), text, mode)
}

func (r familyRoot) link(t *testing.T, target, name string) {
	t.Helper()
	r.mkdir(t, filepath.Dir(name))
	if err := os.Symlink(target, r.in(name)); err != nil {
		t.Fatal(err)
	}
}

func (r familyRoot) accounts(t *testing.T) {
	t.Helper()
	for name, text := range map[string]string{
		"etc/passwd":        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\nshop:x:1042:1042::/srv:/bin/sh\n",
		"etc/group":         "root:x:0:\nnogroup:x:65534:\nshop:x:1042:shop\n",
		"etc/shadow":        "root:*:1::::::\nshop:!:1::::::\n",
		"etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
		"etc/hosts":         "127.0.0.1 localhost\n",
		"etc/machine-id":    "0123456789abcdef0123456789abcdef\n",
	} {
		r.write(t, name, text, 0o644)
	}
}

// configuration is what the file kinds of the matrix look at.
func (r familyRoot) configuration(t *testing.T) {
	t.Helper()
	der, key := certificateAndKey(t, time.Now())
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"etc/shop/shop.conf":            "listen = 8080\n",
		"etc/shop/shop.json":            `{"server": {"port": 8080}}`,
		"etc/shop/cert.pem":             string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		"etc/shop/key.pem":              string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})),
		"etc/fstab":                     "LABEL=data /srv/data ext4 nofail,nosuid 0 2\n",
		"etc/sysctl.d/shop.conf":        "vm.swappiness = 1\n",
		"etc/modprobe.d/shop.conf":      "install usb-storage /bin/false\n",
		"etc/crontab":                   "0 3 * * * shop /opt/backup\n",
		"etc/selinux/config":            "SELINUX=enforcing\nSELINUXTYPE=targeted\n",
		"etc/selinux/targeted/policy":   "",
		"etc/systemd/system/shop.timer": "[Timer]\nOnCalendar=weekly\n[Install]\nWantedBy=timers.target\n",
		"srv/index.html":                "shop\n",
	} {
		r.write(t, name, text, 0o644)
	}
	r.write(t, "etc/init.d/shop", "#!/bin/sh\nexit 0\n", 0o755)
	r.write(t, "etc/init.d/idle", "#!/bin/sh\nexit 3\n", 0o755)
}

func (r familyRoot) systemd(t *testing.T) {
	t.Helper()
	for _, unit := range []string{"shop", "idle"} {
		r.write(t, "etc/systemd/system/"+unit+".service", "[Service]\nExecStart=/opt/"+unit+"\n[Install]\nWantedBy=multi-user.target\n", 0o644)
	}
	r.link(t, "/etc/systemd/system/shop.service", "etc/systemd/system/multi-user.target.wants/shop.service")
	r.link(t, "/etc/systemd/system/shop.timer", "etc/systemd/system/timers.target.wants/shop.timer")
}

func (r familyRoot) debian(t *testing.T) {
	t.Helper()
	r.systemd(t)
	r.write(t, "etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n", 0o644)
	r.write(t, "var/lib/dpkg/status", "Package: shop\nStatus: install ok installed\nArchitecture: all\nVersion: 1:1.4-1~deb12u2\n\nPackage: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n", 0o644)
	r.write(t, "etc/apt/sources.list.d/shop.sources", "Types: deb\nURIs: https://packages.example.org/shop\nSuites: stable\nComponents: main\nSigned-By: /etc/shop/key.gpg\n", 0o644)
}

func (r familyRoot) alpine(t *testing.T) {
	t.Helper()
	r.write(t, "etc/os-release", "ID=alpine\nVERSION_ID=3.20.1\n", 0o644)
	r.write(t, "lib/apk/db/installed", "P:shop\nV:1.4.2_p1-r3\nA:noarch\n\n", 0o644)
	r.write(t, "etc/apk/repositories", "https://packages.example.org/shop\n", 0o644)
	r.link(t, "/etc/init.d/shop", "etc/runlevels/default/shop")
}

// redhat fills a real database of rpm with a package that rpmbuild makes.
func (r familyRoot) redhat(t *testing.T) {
	t.Helper()
	r.systemd(t)
	r.write(t, "etc/os-release", "ID=\"almalinux\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"\n", 0o644)
	r.write(t, "etc/yum.repos.d/shop.repo", "[shop]\nbaseurl=https://packages.example.org/shop\ngpgcheck=1\ngpgkey=file:///etc/shop/key.gpg\n", 0o644)
	database := r.in("var/lib/rpm")
	if out, err := exec.Command("rpm", "--dbpath", database, "--initdb").CombinedOutput(); err != nil {
		t.Fatalf("rpm --initdb: %v: %s", err, out)
	}
	r.installRPM(t, "shop", "%files\n")
}

// installRPM makes a package and puts it into the database, without its files.
func (r familyRoot) installRPM(t *testing.T, name, sections string) {
	t.Helper()
	top := t.TempDir()
	spec := filepath.Join(top, name+".spec")
	writeTestFile(t, spec, "Name: "+name+"\nVersion: 1.4\nRelease: 2.el9\nEpoch: 1\nSummary: x\nLicense: x\nBuildArch: noarch\n%description\nx\n"+sections, 0o644)
	for _, argv := range [][]string{
		{"rpmbuild", "-bb", "--quiet", "--define", "_topdir " + top, "--define", "_dbpath " + filepath.Join(top, "db"), spec},
		{"rpm", "--dbpath", r.in("var/lib/rpm"), "-i", "--justdb", "--nodeps", "--noscripts", filepath.Join(top, "RPMS/noarch/"+name+"-1.4-2.el9.noarch.rpm")},
	} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", argv, err, out)
		}
	}
}

// lock takes the state of the root away from everybody but root.
func (r familyRoot) lock(t *testing.T) {
	t.Helper()
	for _, name := range []string{
		"etc/shop", "etc/passwd", "etc/group", "etc/shadow", "etc/fstab", "etc/sysctl.d", "etc/modprobe.d", "etc/crontab", "etc/selinux",
		"etc/systemd/system", "etc/apt/sources.list.d", "etc/yum.repos.d", "etc/apk/repositories", "etc/runlevels", "etc/init.d",
		"var/lib/dpkg/status", "var/lib/rpm", "lib/apk/db/installed",
	} {
		st, err := os.Stat(r.in(name))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o600)
		if st.IsDir() {
			mode = 0o700
		}
		if err := os.Chmod(r.in(name), mode); err != nil {
			t.Fatal(err)
		}
	}
}

// mounts are the commands of a shell that make the root, $1, one that programs
// can run in.
func (r familyRoot) mounts() string {
	text := `set -e; mount --bind "$1" "$1"; mount --rbind /dev "$1/dev"; `
	if r.family != "alpine" {
		text += `mount --bind /usr "$1/usr"; mount -o remount,bind,ro "$1/usr"; `
	}
	return text
}

// offline runs scripts as a chroot builder does, as root or as another user.
func (r familyRoot) offline(uid int) local {
	return local{argv: []string{
		"unshare", "-m", "sh", "-c", r.mounts() + fmt.Sprintf(`exec chroot --userspec=%d "$1" /bin/sh -s`, uid), "sh", r.dir,
	}}
}

// live runs scripts in namespaces of their own, with a /proc, a /sys, a network
// and a web server on port 8080.
func (r familyRoot) live() local {
	return local{argv: []string{
		"unshare", "-m", "-p", "-f", "-n", "sh", "-c", r.mounts() + `mount -t proc proc "$1/proc"; mount -t sysfs sysfs "$1/sys"; ip link set lo up
chroot "$1" /srv/bin/httpd -p 127.0.0.1:8080 -h /srv
exec chroot "$1" /bin/sh -s`, "sh", r.dir,
	}}
}

// digest is of everything in the root that a check could change: names, modes,
// owners, times of change, and content.
func (r familyRoot) digest(t *testing.T) string {
	t.Helper()
	hash := sha256.New()
	err := filepath.WalkDir(r.dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil {
			return err
		}
		fmt.Fprintf(hash, "%q %o %d %d %d %d %v %v\n", strings.TrimPrefix(path, r.dir), st.Mode, st.Uid, st.Gid, st.Size, st.Nlink, st.Mtim, st.Ctim)
		switch st.Mode & syscall.S_IFMT {
		case syscall.S_IFREG:
			file, err := os.Open(path)
			if err != nil {
				return err
			}
			defer file.Close()
			_, err = io.Copy(hash, file)
			return err
		case syscall.S_IFLNK:
			target, err := os.Readlink(path)
			fmt.Fprintln(hash, target)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", hash.Sum(nil))
}
