package spec

import (
	"context"
	"fmt"
	"io"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/imagebakery/packer-plugin-bakery/internal/check"
)

// shell starts shells of the image through Packer's communicator. The script
// goes over standard input, never into the command: Packer's own chroot
// communicator has the build host's shell expand what is in there.
type shell struct {
	comm    packersdk.Communicator
	command string
}

var _ check.Shell = shell{}

// RunScript runs a script in a shell of its own.
func (s shell) RunScript(ctx context.Context, script io.Reader, stdout, stderr io.Writer) (int, error) {
	cmd := &packersdk.RemoteCmd{Command: s.command, Stdin: script, Stdout: stdout, Stderr: stderr}
	if err := s.comm.Start(ctx, cmd); err != nil {
		return 0, fmt.Errorf("start %q: %w", s.command, err)
	}
	ended := make(chan int, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case status := <-ended:
		if status == packersdk.CmdDisconnect {
			return 0, fmt.Errorf("run %q: the connection to the image was lost", s.command)
		}
		return status, nil
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}
