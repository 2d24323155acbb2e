package loop

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	controlPath = "/dev/loop-control"

	// attachPatience is how long Attach goes on when others take each free
	// device before it does, or when a new device's node is slow to appear.
	attachPatience = 10 * time.Second

	// detachPatience is how long Detach waits for users that are about to go:
	// udev and blkid open each device for a moment.
	detachPatience = 2 * time.Second
)

// errUnbound says that a device does not back the file that it is meant to.
var errUnbound = errors.New("device is not bound to the file any more")

// Attach binds file, a regular file or a block device, to a free loop device.
// Other processes may do the same at the same time.
func Attach(file string, o Options) (Device, error) {
	backing, err := filepath.Abs(file)
	if err == nil {
		// The kernel reports the file behind symbolic links.
		backing, err = filepath.EvalSymlinks(backing)
	}
	if err != nil {
		return Device{}, fmt.Errorf("attach %s to a loop device: %w", file, err)
	}
	d, err := attach(backing, o)
	if err != nil {
		return Device{}, fmt.Errorf("attach %s to a loop device: %w", file, err)
	}
	return d, nil
}

func attach(backing string, o Options) (Device, error) {
	if o.Offset < 0 || o.Size < 0 {
		return Device{}, fmt.Errorf("offset %d and size %d must not be negative", o.Offset, o.Size)
	}
	mode := os.O_RDWR
	if o.ReadOnly {
		mode = os.O_RDONLY
	}
	f, err := os.OpenFile(backing, mode|unix.O_CLOEXEC, 0)
	if err != nil {
		return Device{}, err
	}
	defer f.Close()

	control, err := os.OpenFile(controlPath, os.O_RDWR|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return Device{}, fmt.Errorf("%w: this kernel or container has no loop devices (modprobe loop)", err)
	}
	if err != nil {
		return Device{}, err
	}
	defer control.Close()

	config := unix.LoopConfig{Fd: uint32(f.Fd())}
	config.Info.Offset, config.Info.Sizelimit = uint64(o.Offset), uint64(o.Size)
	copy(config.Info.File_name[:len(config.Info.File_name)-1], backing)
	for flag, wanted := range map[uint32]bool{
		unix.LO_FLAGS_READ_ONLY: o.ReadOnly,
		unix.LO_FLAGS_DIRECT_IO: o.DirectIO,
		unix.LO_FLAGS_PARTSCAN:  o.Partitions,
	} {
		if wanted {
			config.Info.Flags |= flag
		}
	}
	for deadline := time.Now().Add(attachPatience); ; {
		number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return Device{}, fmt.Errorf("find a free loop device: %w", err)
		}
		path := fmt.Sprintf("/dev/loop%d", number)
		err = configure(path, mode, &config)
		if err == nil {
			return describe(path)
		}
		if !retryable(err) || time.Now().After(deadline) {
			return Device{}, err
		}
		// Of those who race for a device one gets it each time, so that all get on.
		time.Sleep(time.Millisecond)
	}
}

// configure binds the loop device at path in one step, so that nobody ever sees
// it bound with the wrong offset (LOOP_CONFIGURE, Linux 5.8).
func configure(path string, mode int, config *unix.LoopConfig) error {
	dev, err := os.OpenFile(path, mode|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer dev.Close()
	err = unix.IoctlLoopConfigure(int(dev.Fd()), config)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOTTY), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("configure %s: %w (needs Linux 5.8 or newer)", path, err)
	default:
		return fmt.Errorf("configure %s: %w", path, err)
	}
}

// retryable tells whether another try may find another device: EBUSY is another
// process that was faster, the rest a node that devtmpfs or udev has yet to make.
func retryable(err error) bool {
	if _, opening := errors.AsType[*fs.PathError](err); opening {
		return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.EBUSY)
	}
	return errors.Is(err, unix.EBUSY)
}

// Release asks the kernel to release the device as soon as nobody uses it, which
// may be now. Whoever mounts a device and releases it then leaves nothing behind
// but the mount, even if it is killed. A device that is free, or that backs
// another file by now, counts as done.
func (d Device) Release() error {
	_, err := d.release()
	return wrap("release", d, err)
}

// Detach releases the device. A device that is free, or that backs another file
// by now, counts as done: Detach may be called again.
//
// A device in use cannot be taken away from its users. The kernel then marks it
// to be released when the last one is gone; Detach waits for that briefly and
// otherwise returns an error that wraps [ErrBusy]. After that nothing more needs
// to be done but ending the use; Detach again tells whether it has ended.
func (d Device) Detach() error {
	now, err := d.release()
	if err != nil {
		return wrap("detach", d, err)
	}
	wait := time.Millisecond
	for deadline := time.Now().Add(detachPatience); ; wait = min(2*wait, 50*time.Millisecond) {
		bound, err := now.bound()
		if err != nil || !bound {
			return wrap("detach", d, err)
		}
		if time.Now().After(deadline) {
			return wrap("detach", d, ErrBusy)
		}
		time.Sleep(wait)
	}
}

// release returns the device as the kernel knew it when it was asked to release
// it, and the zero value if there was nothing to ask for.
func (d Device) release() (Device, error) {
	dev, now, err := d.open()
	if dev == nil || err != nil {
		return Device{}, err
	}
	defer dev.Close()
	err = unix.IoctlSetInt(int(dev.Fd()), unix.LOOP_CLR_FD, 0)
	if err != nil && !errors.Is(err, unix.ENXIO) {
		return Device{}, err
	}
	return now, nil
}

// Sync writes everything that was written to the device through to its file,
// and drops what the kernel caches of the device.
func (d Device) Sync() error {
	dev, _, err := d.open()
	if err == nil && dev == nil {
		err = errUnbound
	}
	if err != nil {
		return wrap("sync", d, err)
	}
	defer dev.Close()
	if err := dev.Sync(); err != nil {
		return wrap("sync", d, err)
	}
	return wrap("sync", d, unix.IoctlSetInt(int(dev.Fd()), unix.BLKFLSBUF, 0))
}

// Resize takes over the present size of the file, and returns the device with
// its new size.
func (d Device) Resize() (Device, error) {
	dev, _, err := d.open()
	if err == nil && dev == nil {
		err = errUnbound
	}
	if err != nil {
		return Device{}, wrap("resize", d, err)
	}
	defer dev.Close()
	if err := unix.IoctlSetInt(int(dev.Fd()), unix.LOOP_SET_CAPACITY, 0); err != nil {
		return Device{}, wrap("resize", d, err)
	}
	now, err := describe(d.Path)
	return now, wrap("resize", d, err)
}

// open opens the node if the device is bound to the file of d, and returns nil
// if it is not. While it is open the binding cannot change: the kernel defers a
// release by others until the last user has closed the device. The second value
// is d as the kernel knows it now; its file may have moved.
func (d Device) open() (*os.File, Device, error) {
	// Read-only: udev looks again at each device that was open for writing.
	dev, err := os.OpenFile(d.Path, os.O_RDONLY|unix.O_CLOEXEC, 0)
	if gone(err) {
		return nil, Device{}, nil
	}
	if err != nil {
		return nil, Device{}, err
	}
	now, err := d.identify(dev)
	if err != nil {
		dev.Close()
		if gone(err) {
			err = nil
		}
		return nil, Device{}, err
	}
	return dev, now, nil
}

// identify returns how the kernel knows the device that is open as dev, or
// errUnbound if that is bound to another file than d is. The same file is one
// whose name when it was bound, or whose name now, is that of d: the first
// survives that the file is moved, the second that the name is too long for the
// kernel's field.
func (d Device) identify(dev *os.File) (Device, error) {
	status, err := unix.IoctlLoopGetStatus64(int(dev.Fd()))
	if err != nil {
		return Device{}, err
	}
	now, err := describe(d.Path)
	if err != nil {
		return Device{}, err
	}
	name := unix.ByteSliceToString(status.File_name[:])
	moved := name == d.Backing && len(name) < len(status.File_name)-1
	if now.Offset != d.Offset || !moved && now.Backing != d.Backing {
		return Device{}, errUnbound
	}
	return now, nil
}

func wrap(verb string, d Device, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s from %s: %w", verb, d.Path, d.Backing, err)
}
