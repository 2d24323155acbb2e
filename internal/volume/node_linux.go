package volume

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/imagebakery/packer-plugin-bakery/internal/disk"
	"github.com/imagebakery/packer-plugin-bakery/internal/loop"
)

// nodePatience is how long the kernel gets to make the node of a partition. It
// reads the table when the device appears, so there is hardly ever a wait.
const nodePatience = 2 * time.Second

const sectorSize = 512 // unit of sysfs

// partitionNode returns the block device of partition p of the disk whose node
// is device. When there is none, a loop device over that part of the disk is
// made and returned too; the caller owns it.
func partitionNode(ctx context.Context, device string, p disk.Partition) (string, *loop.Device, error) {
	if p.Number == 0 {
		return device, nil, nil
	}
	_, isLoop := strings.CutPrefix(filepath.Base(device), "loop")
	for wait, deadline := time.Millisecond, time.Now().Add(nodePatience); ; wait = min(2*wait, firstLook) {
		node, err := existingNode(device, p)
		if node != "" || err != nil {
			return node, nil, err
		}
		// Loop devices are not read for partitions unless asked when bound.
		if isLoop || time.Now().After(deadline) {
			break
		}
		rereadTable(device)
		select {
		case <-ctx.Done():
			return "", nil, context.Cause(ctx)
		case <-time.After(wait):
		}
	}
	own, err := loop.Attach(device, loop.Options{Offset: p.Start, Size: p.Size})
	if err != nil {
		return "", nil, err
	}
	return own.Path, &own, nil
}

// existingNode returns a block device that is partition p of the disk, "" if
// there is none: the kernel's, or if the disk is a loop device another one over
// that part of the same file, as the local cloud has them. Whatever it is
// called, it must be the very part of the disk that the table says.
func existingNode(device string, p disk.Partition) (string, error) {
	whole := filepath.Base(device)
	part := whole + separator(whole) + strconv.Itoa(p.Number)
	if isPartition(filepath.Join("/sys/block", whole, part), p) {
		node := filepath.Join("/dev", part)
		if _, err := os.Stat(node); err == nil {
			return node, nil
		}
	}
	devices, err := loop.List()
	if err != nil {
		return "", err
	}
	at := slices.IndexFunc(devices, func(d loop.Device) bool { return d.Path == device })
	if at < 0 {
		return "", nil
	}
	want := devices[at]
	want.Offset, want.Size = want.Offset+p.Start, p.Size
	for _, d := range devices {
		want.Path = d.Path
		if d == want {
			return d.Path, nil
		}
	}
	return "", nil
}

// isPartition tells whether the folder of sysfs is that of partition p.
func isPartition(dir string, p disk.Partition) bool {
	for name, want := range map[string]int64{"partition": int64(p.Number), "start": p.Start / sectorSize, "size": p.Size / sectorSize} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return false
		}
		if got, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err != nil || got != want {
			return false
		}
	}
	return true
}

// separator is what comes between a disk's name and a partition's number.
func separator(name string) string {
	if last := name[len(name)-1]; last >= '0' && last <= '9' {
		return "p"
	}
	return ""
}

// rereadTable has the kernel read the partition table, in case it was written
// after the device had appeared. It refuses when the disk is in use, and that
// is as well.
func rereadTable(device string) {
	f, err := os.OpenFile(device, os.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer f.Close()
	_ = unix.IoctlSetInt(int(f.Fd()), unix.BLKRRPART, 0)
}

// claimed tells whether a block device is mounted in any mount namespace, or
// used exclusively in another way.
func claimed(node string) (bool, error) {
	fd, err := unix.Open(node, unix.O_RDONLY|unix.O_EXCL|unix.O_CLOEXEC, 0)
	switch {
	case err == nil:
		return false, unix.Close(fd)
	case errors.Is(err, unix.EBUSY):
		return true, nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENXIO):
		return false, nil
	}
	return false, &os.PathError{Op: "open", Path: node, Err: err}
}

// dropCache makes reads of a disk see what was written to its partitions: the
// kernel caches a disk and each of its partitions apart.
func dropCache(device string) error {
	f, err := os.OpenFile(device, os.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Mode()&os.ModeType != os.ModeDevice {
		return errors.New("is not a block device")
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return os.NewSyscallError("flush the cache of "+device, unix.IoctlSetInt(int(f.Fd()), unix.BLKFLSBUF, 0))
}

// syncDevice writes out what the kernel holds of a block device.
func syncDevice(node string) error {
	f, err := os.OpenFile(node, os.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENXIO) {
			return nil
		}
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
