package e2e

import (
	"bufio"
	"context"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestPeer lets Packer's own amazon-chroot, which was written for AWS and knows
// nothing of the local cloud, bake an image on `bakery local serve`.
func TestPeer(t *testing.T) {
	w := newWorld(t)
	plugin := need(t, "BAKERY_TEST_AMAZON_PLUGIN")
	w.importDebian(t)
	endpoint := w.serve(t)

	w.env = append(w.env, "PACKER_PLUGIN_PATH="+t.TempDir())
	w.must(t, ".", w.packer, "plugins", "install", "--path", plugin, "github.com/hashicorp/amazon")
	out := w.must(t, t.TempDir(), w.packer, "build", "-color=false", "-var", "endpoint="+endpoint,
		"-var", "mount_path="+t.TempDir(), peerTemplate(t))
	if !strings.Contains(out, "hello from shop-peer") {
		t.Error("the provisioner's output is missing")
	}

	var images []struct {
		ID, Name string
		Tags     map[string]string
	}
	w.json(t, &images, "local", "ls", "--output", "json")
	baked := images[len(images)-1]
	if len(images) != 2 || baked.Name != "shop-peer" || baked.Tags["application"] != "shop" {
		t.Fatalf("images are %+v", images)
	}
	disk := t.TempDir() + "/shop.raw"
	w.must(t, ".", w.bakery, "local", "export", baked.ID, disk)
	text, err := exec.CommandContext(t.Context(), "debugfs", "-R", "cat /etc/motd", disk+"?offset=1048576").Output()
	if err != nil || string(text) != "baked by amazon-chroot\n" {
		t.Errorf("/etc/motd in the image is %q: %v", text, err)
	}
}

func peerTemplate(t *testing.T) string {
	t.Helper()
	return exampleDir(t, "../e2e/testdata/peer.pkr.hcl")
}

var endpointPattern = regexp.MustCompile(`AWS_ENDPOINT_URL_EC2=(\S+)`)

// serve starts `bakery local serve` and returns where it is.
func (w *world) serve(t *testing.T) string {
	t.Helper()
	cmd := w.command(context.WithoutCancel(t.Context()), ".", w.bakery, "local", "serve", "--listen", "127.0.0.1:0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("bakery local serve: %v", err)
		}
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := endpointPattern.FindStringSubmatch(lines.Text()); m != nil {
			return m[1]
		}
	}
	t.Fatal("bakery local serve does not say where it is")
	return ""
}
