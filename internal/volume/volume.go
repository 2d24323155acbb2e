// Package volume gets from the id of an EBS volume to its mounted root file
// system, and back so that nothing of it is in use any more (Linux).
//
// [FindDevice] finds the block device of an attached volume by the volume's id,
// [Mount] finds the root on it and mounts it, [Mounted.Unmount] waits until the
// last user has gone and says who it is. [Unmount] and [DetachLoops] are for
// those who clean up after a crash and have nothing but names.
package volume

import (
	"errors"

	"github.com/imagebakery/packer-plugin-bakery/internal/disk"
)

// ErrBusy says that something still uses a mount when the time to wait for it
// was over. The error that wraps it names the processes.
var ErrBusy = errors.New("still in use")

// ErrOccupied says that something is mounted on the folder already.
var ErrOccupied = errors.New("something is mounted there already")

// MountOptions say what to mount where.
type MountOptions struct {
	// Device is the block device of the whole disk. A symbolic link will do.
	Device string

	// Partition selects what to mount, as [disk.Disk.FindPartition] has it: a
	// number ("0" is the whole disk), a label or a UUID. Empty finds the root as
	// [disk.Disk.Root] does.
	Partition string

	// Target is the folder to mount on, an absolute path. It is made if it is
	// missing, and then removed by Unmount.
	Target string

	// Options are mount(8) options in addition to what the file system needs.
	Options []string

	// Log is told in a few words what takes a while. It may be nil.
	Log func(string)
}

// Mounted is a file system that Mount has mounted.
type Mounted struct {
	Target     string         // the folder, free of symbolic links
	Source     string         // the block device that is mounted
	Partition  disk.Partition // what it is on the disk
	Filesystem string         // its type, such as "ext4"

	state
}
