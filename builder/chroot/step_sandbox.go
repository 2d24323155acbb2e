package chroot

import (
	"context"

	"github.com/imagebakery/packer-plugin-bakery/internal/handoff"
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
		Log:       b.ui.Say,
	})
	if err != nil {
		return err
	}
	b.guests = guests
	b.state.Put("communicator", communicator{guests})
	return b.putCovered()
}

// putCovered tells provisioners which files are the sandbox's and not the
// image's.
func (b *bake) putCovered() error {
	var files []handoff.Covered
	for _, c := range b.guests.Covered() {
		files = append(files, handoff.Covered(c))
	}
	text, err := handoff.EncodeCovered(files)
	if err != nil {
		return err
	}
	b.put(map[string]string{handoff.CoveredKey: text})
	return nil
}

// guestMounts returns what the template wants mounted, or nil for the default.
func (c *Config) guestMounts() []sandbox.Mount {
	if c.ChrootMounts == nil {
		return nil
	}
	mounts := make([]sandbox.Mount, len(c.ChrootMounts))
	for i, m := range c.ChrootMounts {
		// amazon-chroot mounts binfmt_misc too, which not every kernel has.
		mounts[i] = sandbox.Mount{Type: m[0], Source: m[1], Target: m[2], Optional: m[0] == "binfmt_misc"}
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
	if err := b.takeInventory(ctx); err != nil {
		return err
	}
	if err := b.stopSandbox(ctx); err != nil {
		return err
	}
	return b.unmountRoot(ctx)
}
