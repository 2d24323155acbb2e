package chroot

import (
	"context"
	"fmt"
	"io"

	"github.com/imagebakery/packer-plugin-bakery/internal/check"
	"github.com/imagebakery/packer-plugin-bakery/internal/handoff"
	"github.com/imagebakery/packer-plugin-bakery/internal/sandbox"
)

// takeInventory reads what the image has installed, after the last provisioner
// and for bakery-lineage. An image whose package system cannot be asked is no
// worse an image; it is said, and nothing is recorded.
func (b *bake) takeInventory(ctx context.Context) error {
	inventory, err := check.ReadInventory(ctx, check.Target{Shell: guestShell{b.guests}, Mode: check.Offline, Mounted: true})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		b.ui.Say(fmt.Sprintf("What is installed is not recorded: %v", err))
		return nil
	}
	handed := handoff.Packages{BakeID: b.id, Distro: inventory.Distro, Release: inventory.Release}
	for _, p := range inventory.Packages {
		handed.Packages = append(handed.Packages, handoff.Package(p))
	}
	b.packages, err = handed.Encode()
	return err
}

// guestShell starts shells in the sandbox.
type guestShell struct{ guests *sandbox.Sandbox }

var _ check.Shell = guestShell{}

// RunScript implements [check.Shell].
func (s guestShell) RunScript(ctx context.Context, script io.Reader, stdout, stderr io.Writer) (int, error) {
	return s.guests.Exec(ctx, sandbox.Command{
		Argv: []string{"/bin/sh", "-s"}, Stdin: script, Stdout: stdout, Stderr: stderr,
	})
}
