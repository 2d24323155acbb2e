package localcloud

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/imagebakery/packer-plugin-bakery/internal/disk"
	"github.com/imagebakery/packer-plugin-bakery/internal/loop"
)

var (
	errNodeExists = errors.New("the host has a device of that name")
	errNodesBusy  = errors.New("the device is in use")
)

// byIDPrefix is how udev names an EBS volume on an instance with NVMe: the
// vendor's string and the serial number, which is the volume's id without its
// dash.
const byIDPrefix = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_"

func byID(volumeID string) string {
	return byIDPrefix + strings.ReplaceAll(volumeID, "-", "")
}

// attachNodes makes the file of a volume a block device of the host: a loop
// device, one more for each partition (not every kernel reads partition tables
// of loop devices, and those that do need a udev to make nodes), and links to
// them under names, like /dev/xvdf and /dev/xvdf1, and by volume id. When it
// fails it leaves nothing; errNodeExists says that one of the names is taken.
func attachNodes(ctx context.Context, file, volumeID string, names []string) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, detachNodes(file, volumeID, names))
		}
	}()
	for _, name := range names {
		taken, err := takenNames(name)
		if err != nil {
			return err
		}
		if len(taken) > 0 {
			return fmt.Errorf("%w: %s", errNodeExists, taken[0])
		}
	}
	whole, err := loop.Attach(file, loop.Options{})
	if err != nil {
		return err
	}
	if err := linkNodes(whole.Path, append([]string{byID(volumeID)}, names...)); err != nil {
		return err
	}
	return attachPartitions(ctx, file, volumeID, names)
}

// attachPartitions makes devices and links for the partitions of an attached
// volume.
func attachPartitions(ctx context.Context, file, volumeID string, names []string) error {
	found, err := disk.Read(ctx, file)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		// EC2 attaches whatever there is; so does a kernel that cannot make
		// sense of a table.
		log.Printf("[WARN] local cloud: %s has no partitions that could be read: %v", volumeID, err)
		return nil
	}
	for _, part := range found.Partitions {
		if part.Size <= 0 {
			continue // a table that is damaged, and nothing to attach
		}
		dev, err := loop.Attach(file, loop.Options{Offset: part.Start, Size: part.Size})
		if err != nil {
			return err
		}
		number := strconv.Itoa(part.Number)
		links := []string{byID(volumeID) + "-part" + number}
		for _, name := range names {
			links = append(links, partitionName(name, number))
		}
		if err := linkNodes(dev.Path, links); err != nil {
			return err
		}
	}
	return nil
}

// partitionName is what a partition of a device is called: a p keeps apart two
// numbers that would run together.
func partitionName(device, number string) string {
	if last := device[len(device)-1]; last >= '0' && last <= '9' {
		return device + "p" + number
	}
	return device + number
}

// linkNodes makes links to a device. Their making is what decides between two
// stores on one host that want the same name.
func linkNodes(device string, links []string) error {
	for _, link := range links {
		// The folder goes when its last link goes, perhaps between the two calls.
		for range 10 {
			if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
				return err
			}
			target, err := filepath.Rel(filepath.Dir(link), device)
			if err != nil {
				return err
			}
			err = os.Symlink(target, link)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%w: %s", errNodeExists, link)
			}
			if err != nil {
				return err
			}
			break
		}
	}
	return nil
}

// takenNames returns what there is under a device name and the names of its
// partitions. Links to loop devices that are bound to nothing any more are
// what a local cloud left that is gone; they are removed.
func takenNames(name string) ([]string, error) {
	names, err := nodeNames(name)
	if err != nil {
		return nil, err
	}
	var taken []string
	for _, name := range names {
		device, ours := loopLink(name)
		if !ours {
			taken = append(taken, name)
			continue
		}
		if _, err := os.Stat(filepath.Join("/sys/block", filepath.Base(device), "loop")); err == nil {
			taken = append(taken, name)
		} else if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return taken, nil
}

// nodeNames returns which of a device name and the names of its partitions
// exist, without following links.
func nodeNames(name string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		rest, ok := strings.CutPrefix(entry.Name(), filepath.Base(name))
		rest = strings.TrimPrefix(strings.TrimPrefix(rest, "-part"), "p")
		if _, err := strconv.ParseUint(rest, 10, 16); ok && (rest == "" || err == nil) {
			names = append(names, filepath.Join(filepath.Dir(name), entry.Name()))
		}
	}
	return names, nil
}

// loopLink returns the loop device that a link points to, and whether it is
// such a link at all.
func loopLink(path string) (device string, ok bool) {
	target, err := os.Readlink(path)
	if err != nil {
		return "", false
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(path), target)
	}
	number, ok := strings.CutPrefix(target, "/dev/loop")
	if _, err := strconv.ParseUint(number, 10, 32); !ok || err != nil {
		return "", false
	}
	return target, true
}

// detachNodes takes the devices of a volume from the host, after everything
// that was written to them is in the file. errNodesBusy says that one of them
// is mounted or open; then they stay, or go by themselves with the last user.
// No nodes are no error.
func detachNodes(file, volumeID string, names []string) error {
	devices, err := loop.Find(file)
	if err != nil {
		return err
	}
	for _, d := range devices {
		switch busy, err := inUse(d.Path); {
		case err != nil:
			return err
		case busy:
			return fmt.Errorf("%w: %s", errNodesBusy, d.Path)
		}
	}
	if err := syncNodes(devices); err != nil {
		return err
	}
	if err := unlinkNodes(devices, volumeID, names); err != nil {
		return err
	}
	// Partitions first, so that a whole device never lacks what it had.
	slices.SortFunc(devices, func(a, b loop.Device) int { return int(b.Offset>>9) - int(a.Offset>>9) })
	for _, d := range devices {
		err := d.Detach()
		if errors.Is(err, loop.ErrBusy) {
			err = fmt.Errorf("%w: %s", errNodesBusy, d.Path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// inUse reports whether a device is mounted anywhere on the host, or claimed
// in another way; the kernel gives it to one claimant at a time.
func inUse(device string) (bool, error) {
	fd, err := unix.Open(device, unix.O_RDONLY|unix.O_EXCL|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.EBUSY):
		return true, nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENXIO):
		return false, nil
	case err != nil:
		return false, &os.PathError{Op: "open", Path: device, Err: err}
	}
	return false, unix.Close(fd)
}

// unlinkNodes removes the links to the devices of a volume: by the volume's
// id any, by other names those that lead to one of its devices or to none.
func unlinkNodes(devices []loop.Device, volumeID string, names []string) error {
	byID := byID(volumeID)
	for _, name := range append([]string{byID}, names...) {
		links, err := nodeNames(name)
		if err != nil {
			return err
		}
		for _, link := range links {
			device, ok := loopLink(link)
			ours := ok && (name == byID || slices.ContainsFunc(devices, func(d loop.Device) bool { return d.Path == device }))
			if !ours {
				continue
			}
			if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	// Where udev does not run the folders are of our making; a folder with
	// something in it refuses.
	for dir := filepath.Dir(byID); dir != "/dev"; dir = filepath.Dir(dir) {
		_ = os.Remove(dir)
	}
	return nil
}

// syncNodes brings what was written to devices into their file.
func syncNodes(devices []loop.Device) error {
	for _, d := range devices {
		if err := d.Sync(); err != nil {
			return err
		}
	}
	return nil
}

// hasNodes reports whether a volume's file is bound to a loop device.
func hasNodes(file string) bool {
	devices, err := loop.Find(file)
	return err != nil || len(devices) > 0 // without knowing, leave things as they are
}

// growNodes lets the whole device of a file that has grown grow as well.
func growNodes(file string) error {
	devices, err := loop.Find(file)
	if err != nil {
		return err
	}
	for _, d := range devices {
		if d.Offset > 0 {
			continue // a partition is as long as its table says
		}
		if _, err := d.Resize(); err != nil {
			return err
		}
	}
	return nil
}

// removeStrayNodes detaches loop devices of files in dir that known says no
// volume has any more.
func removeStrayNodes(dir string, known func(id string) bool) error {
	devices, err := loop.List()
	if err != nil {
		return err
	}
	for _, d := range devices {
		id := filepath.Base(d.Backing)
		if filepath.Dir(d.Backing) != dir || known(id) {
			continue
		}
		if err := detachNodes(d.Backing, id, nil); err != nil && !errors.Is(err, errNodesBusy) {
			return err
		}
	}
	return nil
}

// writes counts what has been written to the devices of a file since they were
// bound; idle says that nothing is being written right now. Two equal counts,
// idle both times, mean that the file was the same all the while.
func writes(devices []loop.Device) (count string, idle bool, err error) {
	idle = true
	var all []string
	for _, d := range devices {
		dir := filepath.Join("/sys/block", filepath.Base(d.Path))
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			return "", false, err
		}
		inflight, err := os.ReadFile(filepath.Join(dir, "inflight"))
		if err != nil {
			return "", false, err
		}
		// Documentation/block/stat.rst: fields 5 and 7 are write requests and
		// sectors, 12 and 14 the same of discards.
		f := strings.Fields(string(stat))
		if len(f) < 14 {
			return "", false, fmt.Errorf("read %s/stat: %d fields, want at least 14", dir, len(f))
		}
		all = append(all, d.Path, f[4], f[6], f[11], f[13])
		if flying := strings.Fields(string(inflight)); len(flying) == 2 && flying[1] != "0" {
			idle = false
		}
	}
	return strings.Join(all, " "), idle, nil
}
