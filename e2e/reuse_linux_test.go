package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// reuseTemplate bakes a file of its folder into the image. A provisioner waits
// until a file of the host says that it may go on, so that a test can have two
// bakes at once.
const reuseTemplate = `
variable "source" {}
variable "gate" {
  default = "/dev/null"
}
variable "motd" {
  default = "hello"
}

source "bakery-chroot" "shop" {
  source_ami   = var.source
  ami_name     = "shop-{{uuid}}"
  reuse        = true
  reuse_lease  = "6s"
  reuse_ignore = ["${path.root}/reports"]
}

build {
  sources = ["source.bakery-chroot.shop"]

  provisioner "file" {
    source      = "${path.root}/shop.conf"
    destination = "/etc/shop.conf"
  }
  provisioner "shell" {
    inline = ["echo '${var.motd}' > /etc/motd", "echo provisioners run"]
  }
  provisioner "shell-local" {
    inline = ["until test -e '${var.gate}'; do sleep 0.1; done"]
  }
  provisioner "bakery-spec" {
    junit = "${path.root}/reports/shop.xml"
    file {
      path   = "/etc/shop.conf"
      exists = true
    }
  }
  post-processor "bakery-lineage" {
    application = "shop"
    version     = "1"
    layer       = "application"
  }
}
`

// TestReuse bakes the same again and again.
func TestReuse(t *testing.T) {
	w := newWorld(t)
	w.importDebian(t)
	var imported []struct {
		ID string `json:"id"`
	}
	w.json(t, &imported, "local", "ls", "--output", "json")
	dir, gates := t.TempDir(), t.TempDir()
	write := func(path, content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dir, "shop.pkr.hcl"), reuseTemplate)
	write(filepath.Join(dir, "shop.conf"), "colour = green\n")
	args := func(more ...string) []string {
		return append(append([]string{"build", "-color=false", "-var", "source=" + imported[0].ID}, more...), dir)
	}
	build := func(baked bool, more ...string) {
		t.Helper()
		begin := time.Now()
		out := w.must(t, t.TempDir(), w.packer, args(more...)...)
		t.Logf("took %s", time.Since(begin).Round(time.Millisecond))
		if got := strings.Contains(out, "provisioners run"); got != baked {
			t.Errorf("provisioners ran: %v, want %v", got, baked)
		}
	}
	wantImages := func(n int) {
		t.Helper()
		if got := w.images(t); len(got) != n {
			t.Errorf("%d images are registered, want %d", len(got), n)
		}
	}

	build(true)
	build(false)
	wantImages(1)
	write(filepath.Join(dir, "shop.conf"), "colour = blue\n")
	build(true)
	wantImages(2)
	build(false)
	build(true, "-var", "motd=a variable that only a provisioner uses")
	build(false, "-var", "motd=a variable that only a provisioner uses")
	build(true, "-force")
	build(false)
	wantImages(4)

	t.Run("two at once bake once", func(t *testing.T) {
		write(filepath.Join(dir, "shop.conf"), "colour = red\n")
		gate := filepath.Join(gates, "two")
		first := w.start(t, t.TempDir(), args("-var", "gate="+gate)...)
		first.waitFor(t, "provisioners run")
		second := w.start(t, t.TempDir(), args("-var", "gate="+gate)...)
		second.waitFor(t, "Waiting for host ")
		write(gate, "")
		for _, s := range []*started{first, second} {
			if err := s.wait(t); err != nil {
				t.Errorf("%v\n%s", err, s.out)
			}
		}
		if strings.Contains(second.out.String(), "provisioners run") {
			t.Error("the second has baked")
		}
		wantImages(5)
	})

	t.Run("a holder that is killed is replaced", func(t *testing.T) {
		write(filepath.Join(dir, "shop.conf"), "colour = grey\n")
		gate := filepath.Join(gates, "killed")
		first := w.start(t, t.TempDir(), args("-var", "gate="+gate)...)
		first.waitFor(t, "provisioners run")
		second := w.start(t, t.TempDir(), args("-var", "gate="+gate)...)
		second.waitFor(t, "Waiting for host ")
		write(gate, "")
		if err := syscall.Kill(-first.cmd.Process.Pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = first.wait(t)
		if err := second.wait(t); err != nil {
			t.Errorf("%v\n%s", err, second.out)
		}
		if !strings.Contains(second.out.String(), "provisioners run") {
			t.Error("the second has not baked")
		}
		wantImages(6)
	})

	t.Run("many at once", func(t *testing.T) {
		write(filepath.Join(dir, "shop.conf"), "colour = white\n")
		var group sync.WaitGroup
		for range 3 {
			group.Go(func() { w.run(t, t.TempDir(), w.packer, args()...) })
		}
		group.Wait()
		wantImages(7)
	})
}
