package loop

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// sectorSize is the unit of sizes in sysfs, whatever the device's own is.
const sectorSize = 512

// deletedSuffix is what the kernel appends to the name of an unlinked file.
const deletedSuffix = " (deleted)"

// List returns the devices that are bound to a file, ordered by their number.
// Of a file that was deleted since, Backing is the name that it had.
func List() ([]Device, error) {
	dirs, err := filepath.Glob("/sys/block/loop*/loop")
	if err != nil {
		return nil, fmt.Errorf("list loop devices: %w", err)
	}
	var devices []Device
	for _, dir := range dirs {
		d, err := describe("/dev/" + filepath.Base(filepath.Dir(dir)))
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list loop devices: %w", err)
		}
		devices = append(devices, d)
	}
	slices.SortFunc(devices, func(a, b Device) int { return number(a) - number(b) })
	return devices, nil
}

// Find returns the devices that are bound to file, which may be deleted or known
// to the kernel by another name.
func Find(file string) ([]Device, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, fmt.Errorf("find loop devices of %s: %w", file, err)
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	devices, err := List()
	if err != nil {
		return nil, err
	}
	info, statErr := os.Stat(path)
	return slices.DeleteFunc(devices, func(d Device) bool {
		if d.Backing == path {
			return false
		}
		other, err := os.Stat(d.Backing)
		return statErr != nil || err != nil || !os.SameFile(info, other)
	}), nil
}

// describe reads from sysfs what the device at path is bound to. It does not
// open the device: that would delay a release by somebody else. It fails with an
// error for which gone is true when the device is bound to nothing.
func describe(path string) (Device, error) {
	dir := filepath.Join("/sys/block", filepath.Base(path))
	backing, err := attribute(dir, "loop/backing_file")
	if err != nil {
		return Device{}, err
	}
	if backing == "" { // being released at this moment
		return Device{}, errUnbound
	}
	d := Device{Path: path, Backing: existing(backing)}
	var sectors, readOnly int64
	for name, value := range map[string]*int64{"loop/offset": &d.Offset, "size": &sectors, "ro": &readOnly} {
		text, err := attribute(dir, name)
		if err != nil {
			return Device{}, err
		}
		if *value, err = strconv.ParseInt(text, 10, 64); err != nil {
			return Device{}, fmt.Errorf("read %s/%s: %w", dir, name, err)
		}
	}
	d.Size, d.ReadOnly = sectors*sectorSize, readOnly != 0
	return d, nil
}

// bound tells whether the device backs the file of d now.
func (d Device) bound() (bool, error) {
	if d.Path == "" {
		return false, nil
	}
	now, err := describe(d.Path)
	if gone(err) {
		return false, nil
	}
	return err == nil && now.Backing == d.Backing && now.Offset == d.Offset, err
}

// existing strips what the kernel appends to the name of a deleted file, unless
// that is how the file is called.
func existing(backing string) string {
	name, deleted := strings.CutSuffix(backing, deletedSuffix)
	if !deleted {
		return backing
	}
	if _, err := os.Lstat(backing); err == nil {
		return backing
	}
	return name
}

func attribute(dir, name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, name))
	return strings.TrimSuffix(string(text), "\n"), err
}

// gone tells whether err is what comes of a device that is free, or that is
// released at the same time.
func gone(err error) bool {
	return errors.Is(err, errUnbound) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV)
}

func number(d Device) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(d.Path, "/dev/loop"))
	return n
}
