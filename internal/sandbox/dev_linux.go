package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// device is a device node or, with a link, a name for one.
type device struct {
	name string // relative to /dev
	mode uint32 // type and permissions
	rdev uint64
	link string
}

// standardDevices are what programs rely on without asking. The numbers are
// fixed by the kernel (Documentation/admin-guide/devices.txt).
var standardDevices = []device{
	{name: "null", mode: unix.S_IFCHR | 0o666, rdev: unix.Mkdev(1, 3)},
	{name: "zero", mode: unix.S_IFCHR | 0o666, rdev: unix.Mkdev(1, 5)},
	{name: "full", mode: unix.S_IFCHR | 0o666, rdev: unix.Mkdev(1, 7)},
	{name: "random", mode: unix.S_IFCHR | 0o666, rdev: unix.Mkdev(1, 8)},
	{name: "urandom", mode: unix.S_IFCHR | 0o666, rdev: unix.Mkdev(1, 9)},
	{name: "tty", mode: unix.S_IFCHR | 0o666, rdev: unix.Mkdev(5, 0)},
	{name: "console", mode: unix.S_IFCHR | 0o600, rdev: unix.Mkdev(5, 1)},
	{name: "fuse", mode: unix.S_IFCHR | 0o666, rdev: unix.Mkdev(10, 229)},
	{name: "ptmx", link: "pts/ptmx"},
	{name: "fd", link: "/proc/self/fd"},
	{name: "stdin", link: "/proc/self/fd/0"},
	{name: "stdout", link: "/proc/self/fd/1"},
	{name: "stderr", link: "/proc/self/fd/2"},
	{name: "core", link: "/proc/kcore"},
}

// privateDev makes a /dev with the standard devices and r.devices.
func (r *room) privateDev(options []string) (*os.File, error) {
	dev, err := newMount("tmpfs", "dev", append([]string{"nosuid", "mode=0755"}, options...))
	if err != nil {
		return nil, err
	}
	for _, d := range slices.Concat(standardDevices, r.devices) {
		if err := d.make(dev); err != nil {
			dev.Close()
			return nil, fmt.Errorf("make /dev/%s: %w", d.name, err)
		}
	}
	for _, dir := range []string{"pts", "shm"} {
		if err := makeFolder(dev, dir, 0o755, 0, 0); err != nil {
			dev.Close()
			return nil, err
		}
	}
	return dev, nil
}

func (d device) make(dev *os.File) error {
	at := int(dev.Fd())
	for i, c := range d.name {
		if c != '/' {
			continue
		}
		if err := unix.Mkdirat(at, d.name[:i], 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
	if d.link != "" {
		return unix.Symlinkat(d.link, at, d.name)
	}
	if err := unix.Mknodat(at, d.name, d.mode, int(d.rdev)); err != nil {
		return err
	}
	return unix.Fchmodat(at, d.name, d.mode&0o7777, 0)
}

// findDevices describes the block devices that belong to root: the one that it
// is mounted from, its disk, the disk's partitions, those in more; and the
// links below /dev that name them.
func findDevices(root string, more []string) ([]device, error) {
	paths := slices.Clone(more)
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return !within(m.Mountpoint, root) || !strings.HasPrefix(m.Source, "/dev/"), false
	})
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	for _, m := range mounts {
		if _, err := os.Stat(m.Source); err == nil {
			paths = append(paths, m.Source)
		}
	}
	found := map[uint64]bool{}
	var all []device
	add := func(path string) error {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			return &os.PathError{Op: "stat", Path: path, Err: err}
		}
		if st.Mode&unix.S_IFMT != unix.S_IFBLK {
			return fmt.Errorf("%s is not a block device", path)
		}
		if found[st.Rdev] {
			return nil
		}
		found[st.Rdev] = true
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel("/dev", real)
		if err != nil || !filepath.IsLocal(name) {
			return fmt.Errorf("%s is not in /dev", real)
		}
		all = append(all, device{name: name, mode: st.Mode, rdev: st.Rdev})
		return nil
	}
	for _, path := range paths {
		if err := add(path); err != nil {
			return nil, err
		}
		for _, relative := range diskOf(path) {
			// The node of a partition may be missing; then nobody can use it.
			if _, err := os.Stat(relative); err != nil {
				continue
			}
			if err := add(relative); err != nil {
				return nil, err
			}
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	return append(all, linksTo(found)...), nil
}

// diskOf returns the nodes of the disk that a block device is, or is a part of,
// and of all its partitions, as sysfs knows them.
func diskOf(path string) []string {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return nil
	}
	number := strconv.FormatUint(uint64(unix.Major(st.Rdev)), 10) + ":" + strconv.FormatUint(uint64(unix.Minor(st.Rdev)), 10)
	sys, err := filepath.EvalSymlinks("/sys/dev/block/" + number)
	if err != nil {
		return nil
	}
	if _, err := os.Stat(sys + "/partition"); err == nil {
		sys = filepath.Dir(sys)
	}
	nodes := []string{"/dev/" + deviceName(sys)}
	parts, _ := filepath.Glob(sys + "/*/partition")
	for _, part := range parts {
		nodes = append(nodes, "/dev/"+deviceName(filepath.Dir(part)))
	}
	return nodes
}

// deviceName is the node's name for a device in sysfs, where ! stands for /.
func deviceName(sys string) string {
	return strings.ReplaceAll(filepath.Base(sys), "!", "/")
}

// linksTo finds the links to devices that udev and the builder keep, such as
// /dev/disk/by-uuid and the names that EC2 gives.
func linksTo(devices map[uint64]bool) []device {
	var all []device
	_ = filepath.WalkDir("/dev", func(path string, entry fs.DirEntry, broken error) error {
		// What vanishes meanwhile or cannot be read has no name to offer.
		var st unix.Stat_t
		if broken == nil && entry.Type() == fs.ModeSymlink &&
			unix.Stat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFBLK && devices[st.Rdev] {
			if link, unreadable := os.Readlink(path); unreadable == nil {
				all = append(all, device{name: strings.TrimPrefix(path, "/dev/"), link: link})
			}
		}
		return nil
	})
	return all
}
