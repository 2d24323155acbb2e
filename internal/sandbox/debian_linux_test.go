package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// debianRoot returns a Debian root to work in: a layer over the one that
// BAKERY_TEST_ROOTFS names, which stays as it is.
func debianRoot(t *testing.T) string {
	t.Helper()
	base := os.Getenv("BAKERY_TEST_ROOTFS")
	if base == "" {
		t.Skip("needs a Debian root: set BAKERY_TEST_ROOTFS to the folder of one (debootstrap --include=systemd bookworm FOLDER)")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root: namespaces and mounts")
	}
	dir := t.TempDir()
	for _, name := range []string{"upper", "work", "root"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	root := filepath.Join(dir, "root")
	options := "lowerdir=" + base + ",upperdir=" + dir + "/upper,workdir=" + dir + "/work"
	must(t, unix.Mount("overlay", root, "overlay", 0, options))
	t.Cleanup(func() { must(t, unix.Unmount(root, 0)) })
	return root
}

func TestDebianStaysAsItIs(t *testing.T) {
	root := debianRoot(t)
	before := digest(t, root)
	s := open(t, Config{Root: root, Guard: true, ResolvConf: resolvConf, CopyFiles: []string{"/etc/hosts"}})
	sh(t, s, "dpkg-query -l > /dev/null; getent passwd root > /dev/null")
	closeNow(t, s)
	unchanged(t, root, before)
}

func TestDebianKnowsThatItIsNotBooted(t *testing.T) {
	root := debianRoot(t)
	if _, err := os.Stat(root + "/usr/bin/systemctl"); err != nil {
		if _, err := os.Stat(root + "/bin/systemctl"); err != nil {
			t.Skip("the Debian root has no systemd")
		}
	}
	s := open(t, Config{Root: root, Guard: true})
	for script, want := range map[string]string{
		"systemctl start nosuch; echo $?":          "0\n",
		"systemctl restart nosuch; echo $?":        "0\n",
		"systemctl daemon-reload; echo $?":         "0\n",
		"systemctl reboot; echo $?":                "0\n",
		"systemctl is-system-running":              "offline\n",
		"env -i systemctl is-system-running":       "offline\n",
		"env -i systemctl start nosuch; echo $?":   "0\n",
		"systemctl is-enabled getty@tty1; :":       "enabled\n",
		"! command -v ischroot >&- || ischroot":    "",
		"ls -d /run/systemd/system 2>&- || echo -": "-\n",
	} {
		got := sh(t, s, "exec 2>&-; { "+script+"; } || :")
		if got != want {
			t.Errorf("%s: got %q, want %q", script, got, want)
		}
	}
}

// shop makes and installs a package whose service starts when it is installed,
// as dh_installinit and dh_installsystemd have it.
const shop = `set -e
mkdir -p /tmp/shop/DEBIAN /tmp/shop/etc/init.d
cat > /tmp/shop/DEBIAN/control <<'END'
Package: shop
Version: 1.0
Architecture: all
Maintainer: Shop <shop@example.org>
Description: a shop
END
cat > /tmp/shop/DEBIAN/postinst <<'END'
#!/bin/sh
set -e
if command -v update-rc.d > /dev/null; then update-rc.d shop defaults; fi
invoke-rc.d shop start
END
cat > /tmp/shop/etc/init.d/shop <<'END'
#!/bin/sh
### BEGIN INIT INFO
# Provides: shop
# Required-Start:
# Required-Stop:
# Default-Start: 2 3 4 5
# Default-Stop:
### END INIT INFO
echo "$1" >> /var/shop.was
END
chmod 755 /tmp/shop/DEBIAN/postinst /tmp/shop/etc/init.d/shop
dpkg-deb --build /tmp/shop /tmp/shop.deb > /dev/null
dpkg --install /tmp/shop.deb
rm -r /tmp/shop /tmp/shop.deb
`

func TestDebianServicesDoNotStart(t *testing.T) {
	s := open(t, Config{Root: debianRoot(t), Guard: true})
	if got := sh(t, s, "exec 2>&1\n"+shop); !strings.Contains(got, "policy-rc.d denied execution of start") {
		t.Errorf("the installation said %q", got)
	}
	if started := sh(t, s, "cat /var/shop.was 2>&-; :"); started != "" {
		t.Errorf("the service was told %q", started)
	}
}
