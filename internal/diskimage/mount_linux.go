package diskimage

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/imagebakery/packer-plugin-bakery/internal/disk"
	"github.com/imagebakery/packer-plugin-bakery/internal/loop"
)

// errNotReadable says that this kernel cannot look into a file system, which is
// no fault of the disk.
var errNotReadable = errors.New("this kernel has no driver for the file system")

// replayNothing are the options that keep a driver from writing a file system's
// log back, which a read-only device would refuse.
var replayNothing = map[string][][2]string{
	"ext3":  {{"noload"}},
	"ext4":  {{"noload"}},
	"xfs":   {{"norecovery"}, {"nouuid"}},
	"btrfs": {{"rescue", "nologreplay"}},
}

// mountPrivately mounts partition p of the disk at path read-only and returns
// its root. The mount is attached nowhere: it ends when the file is closed, or
// with the process, and takes its loop device with it.
func mountPrivately(path string, p disk.Partition) (*os.File, error) {
	device, err := loop.Attach(path, loop.Options{Offset: p.Start, Size: p.Size, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	root, err := mountDetached(device.Path, p.Filesystem.Type)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("mount %s read-only: %w", p, err), device.Detach())
	}
	if err := device.Release(); err != nil {
		return nil, errors.Join(err, root.Close(), device.Detach())
	}
	return root, nil
}

func mountDetached(device, kind string) (*os.File, error) {
	fd, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if errors.Is(err, unix.ENODEV) {
		return nil, fmt.Errorf("%w %s", errNotReadable, kind)
	}
	if err != nil {
		return nil, fmt.Errorf("fsopen: %w", err)
	}
	context := os.NewFile(uintptr(fd), "fsopen")
	defer context.Close()
	configure := func() error {
		if err := unix.FsconfigSetString(fd, "source", device); err != nil {
			return err
		}
		if err := unix.FsconfigSetFlag(fd, "ro"); err != nil {
			return err
		}
		for _, option := range replayNothing[kind] {
			if option[1] == "" {
				err = unix.FsconfigSetFlag(fd, option[0])
			} else {
				err = unix.FsconfigSetString(fd, option[0], option[1])
			}
			if err != nil {
				return err
			}
		}
		return unix.FsconfigCreate(fd)
	}
	if err := configure(); err != nil {
		return nil, fmt.Errorf("%w%s", err, messages(fd))
	}
	mount, err := unix.Fsmount(fd, unix.FSMOUNT_CLOEXEC,
		unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fsmount: %w%s", err, messages(fd))
	}
	return os.NewFile(uintptr(mount), device), nil
}

// messages returns what the kernel has to say about a mount that it refused: one
// message a read, each with its severity in front.
func messages(fd int) string {
	var all bytes.Buffer
	for buffer := make([]byte, 1024); ; {
		n, err := unix.Read(fd, buffer)
		if err != nil || n <= 0 {
			return all.String()
		}
		all.WriteString(": " + string(bytes.TrimSpace(buffer[:n])))
	}
}
