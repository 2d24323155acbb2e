package chroot

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/imagebakery/packer-plugin-bakery/internal/sandbox"
)

// busyboxRoot makes a root that has a shell.
func busyboxRoot(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: namespaces and mounts")
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("needs busybox-static (apt-get install busybox-static)")
	}
	program, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for _, dir := range []string{"bin", "dev", "proc", "sys", "run", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, applet := range []string{"sh", "cat", "sleep"} {
		if err := os.WriteFile(filepath.Join(root, "bin", applet), program, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("chroot", root, "/bin/sh", "-c", ":").CombinedOutput(); err != nil {
		t.Skipf("needs a busybox that is linked statically (busybox-static): %v: %s", err, out)
	}
	return root
}

func TestCommunicatorStart(t *testing.T) {
	box, err := sandbox.Start(t.Context(), sandbox.Config{Root: busyboxRoot(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = box.Close(context.Background()) })
	comm := communicator{box}

	var out, complaints bytes.Buffer
	cmd := &packersdk.RemoteCmd{Command: `cat; echo "$((6*7))" >&2; exit 9`, Stdin: strings.NewReader("in"), Stdout: &out, Stderr: &complaints}
	if err := comm.Start(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	if status := cmd.Wait(); status != 9 || out.String() != "in" || complaints.String() != "42\n" {
		t.Errorf("status %d, output %q, stderr %q", status, out.String(), complaints.String())
	}

	cmd = &packersdk.RemoteCmd{Command: "echo line one; echo line two"}
	if err := cmd.RunWithUi(t.Context(), comm, packersdk.TestUi(t)); err != nil || cmd.ExitStatus() != 0 {
		t.Errorf("status %d, error %v", cmd.ExitStatus(), err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cmd = &packersdk.RemoteCmd{Command: "sleep 1000"}
	if err := comm.Start(ctx, cmd); err != nil {
		t.Fatal(err)
	}
	cancel()
	if status := cmd.Wait(); status != 128+9 {
		t.Errorf("a cancelled command ended with %d", status)
	}

	cmd = &packersdk.RemoteCmd{Command: "sleep 1000"}
	if err := comm.Start(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	if err := box.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status := cmd.Wait(); status != packersdk.CmdDisconnect {
		t.Errorf("a command ended with its sandbox, and with %d", status)
	}
	if err := comm.Start(t.Context(), &packersdk.RemoteCmd{Command: "true"}); !errors.Is(err, sandbox.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
