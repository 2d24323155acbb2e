package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/imagebakery/packer-plugin-bakery/internal/disk"
	"github.com/imagebakery/packer-plugin-bakery/internal/loop"
	"github.com/imagebakery/packer-plugin-bakery/internal/run"
)

// state is what Unmount must know beyond what Mount tells.
type state struct {
	mu      sync.Mutex
	done    bool
	device  string       // node of the whole disk
	own     *loop.Device // made for the partition
	group   *group       // of LVM, activated for the mount
	made    []string     // folders made for the target, outermost first
	log     func(string)
	devices []uint64 // device numbers that files of the file system report
}

// Mount finds a file system on a disk and mounts it. When it fails it leaves
// nothing.
//
// XFS is mounted with nouuid, as all clones of a disk have the same UUID. Where
// the root is in a volume group of LVM, that is activated until Unmount. What
// cannot be mounted is refused with the error of
// [disk.Partition.Mountable]: [disk.ErrLVM] where there is no device-mapper,
// [disk.ErrEncrypted] or [disk.ErrNotFilesystem].
//
// The mount is private: what is mounted below it, here or elsewhere, stays where
// it was mounted. It is itself still seen by, and taken from, the mount
// namespaces that follow the one of the host.
func Mount(ctx context.Context, o MountOptions) (*Mounted, error) {
	m, err := mount(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("mount %s on %s: %w", o.Device, o.Target, err)
	}
	return m, nil
}

func mount(ctx context.Context, o MountOptions) (_ *Mounted, err error) {
	if !filepath.IsAbs(o.Target) {
		return nil, errors.New("the target is not an absolute path")
	}
	device, err := filepath.EvalSymlinks(o.Device)
	if err != nil {
		return nil, err
	}
	if err := dropCache(device); err != nil {
		return nil, err
	}
	d, err := disk.Read(ctx, device)
	if err != nil {
		return nil, err
	}
	m := &Mounted{state: state{device: device, log: o.Log}}
	if m.log == nil {
		m.log = func(string) {}
	}
	if o.Partition == "" {
		m.Partition, err = d.Root()
	} else if m.Partition, err = d.FindPartition(o.Partition); err == nil {
		err = m.Partition.Mountable()
	}
	inGroup, selector := errors.Is(err, disk.ErrLVM), ""
	if pv, has := physicalVolumeOf(d); has && errors.Is(err, disk.ErrNoPartition) && lvmReady() == nil {
		// It may name a volume of the group.
		m.Partition, inGroup, selector = pv, true, o.Partition
	}
	if !inGroup && err != nil {
		return nil, err
	}
	if missing := lvmReady(); inGroup && missing != nil {
		return nil, fmt.Errorf("%w: %w", err, missing)
	}
	m.Filesystem = m.Partition.Filesystem.Type
	defer func() {
		if err != nil {
			err = errors.Join(err, m.undo(ctx))
		}
	}()
	if err := m.makeTarget(o.Target); err != nil {
		return nil, err
	}
	if m.Source, m.own, err = partitionNode(ctx, device, m.Partition); err != nil {
		return nil, err
	}
	if inGroup {
		if err := m.openGroup(ctx, selector); err != nil {
			return nil, err
		}
	}
	if err := m.mount(ctx, o.Options); err != nil {
		return nil, err
	}
	m.log(fmt.Sprintf("mounted %s from %s", m.Partition, m.Source))
	return m, nil
}

// openGroup activates the volume group on the partition and makes what selector
// names in it, or the root, what is to be mounted.
func (m *Mounted) openGroup(ctx context.Context, selector string) error {
	active, err := mappedNames()
	if err != nil {
		return err
	}
	g, err := openGroup(ctx, m.Source, active)
	if err != nil {
		return fmt.Errorf("activate the volume group on %s: %w", m.Source, err)
	}
	m.group = g
	d, nodes, err := g.volumes(ctx)
	if err == nil {
		m.Partition, err = chooseVolume(d, selector)
	}
	if err != nil {
		return fmt.Errorf("the volume group %s: %w", g.name, err)
	}
	m.Source, m.Filesystem = nodes[m.Partition.Number], m.Partition.Filesystem.Type
	return nil
}

// makeTarget makes the folder to mount on and remembers what it made.
func (m *Mounted) makeTarget(target string) error {
	err := m.makeDirs(filepath.Clean(target))
	// Another bake may remove a folder above that it has made, and has just used
	// for the last time.
	for range 10 {
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		err = m.makeDirs(filepath.Clean(target))
	}
	if err != nil {
		return err
	}
	if m.Target, err = filepath.EvalSymlinks(target); err != nil {
		return err
	}
	return free(m.Target)
}

// CheckTarget returns an error that wraps [ErrOccupied] when something is mounted
// on the folder. A missing one is fine.
func CheckTarget(target string) error {
	real, err := filepath.EvalSymlinks(target)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = free(real)
	}
	if err != nil {
		return fmt.Errorf("mount on %s: %w", target, err)
	}
	return nil
}

func free(target string) error {
	mounted, err := mountinfo.Mounted(target)
	if err == nil && mounted {
		err = ErrOccupied
	}
	return err
}

func (m *Mounted) makeDirs(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := m.makeDirs(filepath.Dir(dir)); err != nil {
		return err
	}
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil // made by another bake at this moment
	}
	if err == nil {
		m.made = append(m.made, dir)
	}
	return err
}

// mount mounts the source. mount(8) does it, because the user's options are in
// its language.
func (m *Mounted) mount(ctx context.Context, options []string) error {
	words := strings.Split(strings.Join(options, ","), ",")
	argv := []string{"mount", "-t", m.Filesystem}
	if m.Filesystem == "xfs" && !slices.Contains(words, "nouuid") {
		argv = append(argv, "-o", "nouuid")
	}
	for _, option := range options {
		argv = append(argv, "-o", option)
	}
	if !slices.Contains(words, "ro") {
		// Else mount(8) makes do with a read-only mount if the device is
		// write-protected.
		argv = append(argv, "--rw")
	}
	if err := run.Run(ctx, argv[0], append(argv[1:], "--", m.Source, m.Target)...); err != nil {
		return err
	}
	// The parent is shared on hosts with systemd. That is to stay so for this
	// mount itself: namespaces that copied it then lose it when it is unmounted
	// here. What is mounted below shall not travel, though.
	if err := unix.Mount("", m.Target, "", unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make %s private: %w", m.Target, err)
	}
	var err error
	if m.devices, err = deviceNumbers(m.Target); err != nil {
		return err
	}
	if m.own != nil {
		// From here on the mount alone keeps the loop device.
		return m.own.Release()
	}
	return nil
}

// deviceNumbers returns the numbers by which files of the mount at target can be
// told: that of the mount, and that of its files, which on btrfs is another.
func deviceNumbers(target string) ([]uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(target, &st); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: target, Err: err}
	}
	numbers := []uint64{st.Dev}
	mounts, err := mountsAt(target)
	for _, info := range mounts {
		if info.Mountpoint == target {
			numbers = append(numbers, unix.Mkdev(uint32(info.Major), uint32(info.Minor)))
		}
	}
	return numbers, err
}

// undo takes back what was done before Mount failed, also when ctx has ended.
func (m *Mounted) undo(ctx context.Context) error {
	var errs []error
	if m.Source != "" {
		// A cancelled mount(8) may have mounted all the same.
		mounts, err := mountsAt(m.Target)
		errs = append(errs, err)
		for _, info := range mounts {
			if info.Source == m.Source && info.Mountpoint == m.Target {
				errs = append(errs, unix.Unmount(m.Target, unix.UMOUNT_NOFOLLOW))
			}
		}
	}
	if m.group != nil {
		errs = append(errs, m.group.close(ctx))
	}
	if m.own != nil {
		errs = append(errs, m.own.Detach())
	}
	return errors.Join(append(errs, m.removeTarget())...)
}

// removeTarget removes the folders that makeTarget made. One that others have
// put something into stays.
func (m *Mounted) removeTarget() error {
	for _, dir := range slices.Backward(m.made) {
		err := os.Remove(dir)
		if errors.Is(err, unix.ENOTEMPTY) {
			return nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
