package chroot

import (
	"context"
	"log"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/imagebakery/packer-plugin-bakery/internal/sandbox"
)

// communicator is how Packer's provisioners talk to guests: files are transferred
// as the sandbox does it.
type communicator struct{ *sandbox.Sandbox }

var _ packersdk.Communicator = communicator{}

// Start implements [packersdk.Communicator]. Commands are run by the guest's own
// /bin/sh, with their text untouched. The command's status is that of the shell, 128
// and the signal's number when a signal ended it, and [packersdk.CmdDisconnect] when
// the sandbox ended before the command did.
func (c communicator) Start(ctx context.Context, cmd *packersdk.RemoteCmd) error {
	process, err := c.Begin(ctx, sandbox.Command{
		Argv: sandbox.Shell(cmd.Command), Stdin: cmd.Stdin, Stdout: cmd.Stdout, Stderr: cmd.Stderr,
	})
	if err != nil {
		return err
	}
	go func() {
		status, err := process.Wait(ctx)
		if err != nil {
			log.Printf("[ERROR] sandbox: a command ended with %d: %v", status, err)
		}
		if status < 0 {
			status = packersdk.CmdDisconnect
		}
		cmd.SetExited(status)
	}()
	return nil
}
