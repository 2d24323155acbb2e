package chroot

import (
	"context"

	"github.com/imagebakery/packer-plugin-bakery/internal/sandbox"
)

// resolvConf is the file of the host that guests find their name servers in.
const resolvConf = "/etc/resolv.conf"

func (b *bake) startSandbox(ctx context.Context) error {
	copies := b.config.CopyFiles
	if copies == nil && !b.config.FromScratch {
		copies = []string{resolvConf}
	}
	guests, err := sandbox.Start(ctx, sandbox.Config{
		Root:      b.mount.id,
		Mounts:    b.config.guestMounts(),
		Devices:   []string{b.device},
		CopyFiles: copies,
		Guard:     true,
		Log:       b.ui.Message,
	})
	if err != nil {
		return err
	}
	b.guests = guests
	b.state.Put("communicator", guests.Communicator())
	return nil
}

// guestMounts returns what the template wants mounted, or nil for the default.
func (c *Config) guestMounts() []sandbox.Mount {
	if c.ChrootMounts == nil {
		return nil
	}
	mounts := make([]sandbox.Mount, len(c.ChrootMounts))
	for i, m := range c.ChrootMounts {
		mounts[i] = sandbox.Mount{Type: m[0], Source: m[1], Target: m[2]}
	}
	return mounts
}

func (b *bake) stopSandbox(ctx context.Context) error {
	if b.guests == nil {
		return nil
	}
	if err := b.guests.Close(ctx); err != nil {
		return err
	}
	b.guests = nil
	return nil
}

// seal ends the guests and unmounts the root: from here on the volume holds
// what the image will.
func (b *bake) seal(ctx context.Context) error {
	if err := b.stopSandbox(ctx); err != nil {
		return err
	}
	return b.unmountRoot(ctx)
}
