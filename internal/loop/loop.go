// Package loop binds files to loop devices (Linux).
//
// A [Device] says which device was bound to what. It is plain data: it may be
// written down and used by another process, which is why [Device.Detach] looks
// whether the device still backs the same file before it touches it.
package loop

import "errors"

// ErrBusy says that a device was asked to let go of its file but still has
// users: a mount, an open file, another loop device. The kernel releases it by
// itself when the last of them is gone, and gives no new user the old file.
var ErrBusy = errors.New("device is busy")

// Device is a loop device that is bound to a file.
type Device struct {
	Path     string // node, such as /dev/loop3
	Backing  string // absolute path of the file, as the kernel knows it
	Offset   int64  // where in the file the device begins, in bytes
	Size     int64  // of the device, in bytes
	ReadOnly bool
}

// Options say how a file is bound.
type Options struct {
	Offset   int64 // where in the file the device begins, in bytes
	Size     int64 // length of the device in bytes; 0 means to the end of the file
	ReadOnly bool

	// DirectIO asks that the page cache of the file is bypassed, so that data is
	// not cached twice. The kernel ignores it where the file system of the file
	// cannot do that.
	DirectIO bool

	// Partitions asks the kernel to read the partition table and to make nodes
	// such as /dev/loop3p1. Kernels without a parser for the table make none.
	Partitions bool
}
