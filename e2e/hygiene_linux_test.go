package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hygieneTemplate bakes a file with settings into the image, after which nothing
// but hygiene is checked.
const hygieneTemplate = `
variable "source" {}
variable "waived" {
  type    = list(string)
  default = []
}

source "bakery-chroot" "shop" {
  source_ami = var.source
  ami_name   = "shop-{{uuid}}"
}

build {
  sources = ["source.bakery-chroot.shop"]

  provisioner "shell" {
    inline = [
      "rm -f /var/log/*.log /var/log/apt/*",
      "test ! -e /etc/machine-id || : > /etc/machine-id",
      "rm -f /var/lib/dbus/machine-id /etc/ssh/ssh_host_* /var/lib/systemd/random-seed",
    ]
  }
  provisioner "file" {
    sources     = ["${path.root}/shop.env", "${path.root}/shop.key"]
    destination = "/srv/"
  }
  provisioner "bakery-spec" {
    hygiene {
      preset = "ami"
    }
    dynamic "waiver" {
      for_each = var.waived
      content {
        check  = waiver.value
        until  = "2999-01-01"
        reason = "the test's"
      }
    }
  }
}
`

// TestHygiene bakes an image with secrets in it: no image is left, unless they are
// waived.
func TestHygiene(t *testing.T) {
	w := newWorld(t)
	w.importDebian(t)
	images := w.local(t)
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Put together here, so that this file has no secrets.
	key := "AKIA" + "QYLPMN5HHHFPZAM2"
	write("shop.pkr.hcl", hygieneTemplate)
	bake := func(settings, private string, more ...string) result {
		t.Helper()
		write("shop.env", settings)
		write("shop.key", private)
		return w.run(t, t.TempDir(), w.packer, append(append([]string{"build", "-color=false", "-var", "source=" + images[0].ID}, more...), dir)...)
	}
	const (
		plainSettings = "COLOUR=green\n"
		plainKey      = "none\n"
	)
	secret := "AWS_KEY=" + key + "\n"
	private := "-----BEGIN EC PRIVATE " + "KEY-----\n" + strings.Repeat("MHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04fSeQ6tF1aY\n", 3) + "-----END EC PRIVATE " + "KEY-----\n"

	for name, c := range map[string]struct{ settings, key, want string }{
		"a key of AWS":  {secret, plainKey, "/srv/shop.env:1 aws-access-token (AKIA… of 20 characters)"},
		"a private key": {plainSettings, private, "hygiene:private-keys:clean"},
	} {
		r := bake(c.settings, c.key)
		if r.code == 0 || !strings.Contains(r.out, c.want) || !strings.Contains(r.out, "1 failed") {
			t.Errorf("%s: exit status %d, want a bake that stops with %q", name, r.code, c.want)
		}
		if strings.Contains(r.out, key[4:]) {
			t.Errorf("%s: the secret is shown", name)
		}
	}
	if left := w.local(t); len(left) != len(images) {
		t.Errorf("%d images after bakes that failed, want %d", len(left), len(images))
	}

	waived := `waived=["hygiene:secrets:/srv/*:aws-access-token", "hygiene:private-keys:/srv/shop.key"]`
	if r := bake(secret, private, "-var", waived); r.code != 0 || !strings.Contains(r.out, "2 waived") {
		t.Errorf("exit status %d of a bake whose secrets are waived", r.code)
	}
}
