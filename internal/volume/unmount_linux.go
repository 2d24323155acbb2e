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
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/imagebakery/packer-plugin-bakery/internal/loop"
)

// firstRetry is the first of the growing waits for users of a mount to go.
const firstRetry = 20 * time.Millisecond

// Unmount unmounts the file system and everything that is mounted below it,
// writes it out to the device, and takes back what Mount made. It tries at once,
// then waits for those who still use it until ctx ends; the error then wraps
// [ErrBusy] and names them. It may be called again, also after it has succeeded.
func (m *Mounted) Unmount(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.done {
		return nil
	}
	if err := m.unmount(ctx); err != nil {
		return fmt.Errorf("unmount %s: %w", m.Target, err)
	}
	m.done = true
	return nil
}

func (m *Mounted) unmount(ctx context.Context) error {
	w := &waiter{target: m.Target, devices: m.devices, log: m.log}
	if err := w.untilUnmounted(ctx); err != nil {
		return err
	}
	// Other mount namespaces may have it mounted still.
	if err := w.untilFree(ctx, m.Source); err != nil {
		return err
	}
	if m.group != nil {
		if err := syncDevice(m.Source); err != nil {
			return err
		}
		if err := m.group.close(ctx); err != nil {
			return err
		}
		m.Source, m.group = m.group.device, nil
	}
	if m.own != nil {
		if err := m.own.Detach(); err != nil {
			return err
		}
		m.own = nil
	} else if err := syncDevice(m.Source); err != nil {
		return err
	}
	// The loop device wrote into the cache of the disk below it.
	if err := syncDevice(m.device); err != nil {
		return err
	}
	return m.removeTarget()
}

// Unmount unmounts all that is mounted on target and below it, and releases the
// loop devices that [Mount] had made for it. It is for cleaning up when the
// [Mounted] is lost; waiting and errors are the same. A target that does not
// exist, or with nothing mounted, is fine. The folder stays.
func Unmount(ctx context.Context, target string) error {
	if err := unmount(ctx, target); err != nil {
		return fmt.Errorf("unmount %s: %w", target, err)
	}
	return nil
}

func unmount(ctx context.Context, target string) error {
	if !filepath.IsAbs(target) {
		return errors.New("the target is not an absolute path")
	}
	target, err := filepath.EvalSymlinks(target)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if target == "/" {
		return errors.New("that is the root of the host")
	}
	mounts, err := mountsAt(target)
	if err != nil {
		return err
	}
	w := &waiter{target: target, log: func(string) {}}
	if w.devices, err = deviceNumbers(target); err != nil {
		return err
	}
	var sources []string
	var lvm *group
	for _, info := range mounts {
		if info.Mountpoint == target {
			if lvm, err = groupBelow(ctx, info.Source); err != nil {
				return fmt.Errorf("%s: %w", info.Source, err)
			}
			if lvm != nil {
				sources = append(sources, lvm.device)
			}
		}
		if strings.HasPrefix(info.Source, "/dev/loop") && !slices.Contains(sources, info.Source) {
			sources = append(sources, info.Source)
		}
	}
	devices, err := loop.List()
	if err != nil {
		return err
	}
	if err := w.untilUnmounted(ctx); err != nil {
		return err
	}
	if lvm != nil {
		if err := lvm.close(ctx); err != nil {
			return err
		}
	}
	for _, d := range devices {
		if !slices.Contains(sources, d.Path) {
			continue
		}
		// Mount makes loop devices over block devices only; one over a file is
		// somebody's disk.
		if !isBlockDevice(d.Backing) {
			if err := syncDevice(d.Path); err != nil {
				return err
			}
			continue
		}
		if err := w.untilFree(ctx, d.Path); err != nil {
			return err
		}
		if err := errors.Join(d.Detach(), syncDevice(d.Backing)); err != nil {
			return err
		}
	}
	return nil
}

// DetachLoops releases the loop devices that [Mount] had made over the disk at
// device, for the case that it was killed before it had mounted them. One that
// is mounted is an error that wraps [loop.ErrBusy].
func DetachLoops(device string) error {
	node, err := filepath.EvalSymlinks(device)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("detach loop devices of %s: %w", device, err)
	}
	if !isBlockDevice(node) {
		return fmt.Errorf("detach loop devices of %s: is not a block device", device)
	}
	devices, err := loop.Find(node)
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range devices {
		errs = append(errs, d.Detach())
	}
	return errors.Join(errs...)
}

// waiter waits for the users of a mount to go.
type waiter struct {
	target  string
	devices []uint64 // see state
	log     func(string)
	logged  string
}

// untilUnmounted unmounts all at and below the target, trying again while
// something is busy.
func (w *waiter) untilUnmounted(ctx context.Context) error {
	return w.until(ctx, func() (bool, error) {
		mounts, err := mountsAt(w.target)
		if err != nil {
			return false, err
		}
		// Deepest first; of those on one point the top first, which is last in
		// the table.
		slices.Reverse(mounts)
		slices.SortStableFunc(mounts, func(a, b *mountinfo.Info) int { return len(b.Mountpoint) - len(a.Mountpoint) })
		for _, info := range mounts {
			err := unix.Unmount(info.Mountpoint, unix.UMOUNT_NOFOLLOW)
			switch {
			case err == nil, errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
			case errors.Is(err, unix.EBUSY):
				return false, nil
			default:
				return false, fmt.Errorf("umount %s: %w", info.Mountpoint, err)
			}
		}
		left, err := mountsAt(w.target)
		return len(left) == 0, err
	})
}

// untilFree waits until nobody has the device mounted any more.
func (w *waiter) untilFree(ctx context.Context, node string) error {
	return w.until(ctx, func() (bool, error) {
		busy, err := claimed(node)
		return !busy, err
	})
}

// until calls try until it is done or ctx ends, at once the first time even if
// ctx has ended: to clean up must not fail for having been cancelled.
func (w *waiter) until(ctx context.Context, try func() (done bool, err error)) error {
	for wait := firstRetry; ; wait = min(2*wait, longestGap) {
		done, err := try()
		if done || err != nil {
			return err
		}
		users := "" // looking through all processes takes a while
		if ctx.Err() != nil || wait == longestGap {
			users = strings.Join(findUsers(w.target, w.devices), ", ")
			if users == "" {
				users = "no process that can be seen; perhaps the kernel has yet to let go"
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %s (%w)", ErrBusy, users, context.Cause(ctx))
		}
		if users != "" && users != w.logged {
			w.log(fmt.Sprintf("waiting for %s to be free, which is used by %s", w.target, users))
			w.logged = users
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// mountsAt returns the mounts at target and below it, in the order of the
// kernel's table.
func mountsAt(target string) ([]*mountinfo.Info, error) {
	return mountinfo.GetMounts(func(info *mountinfo.Info) (skip, stop bool) {
		return info.Mountpoint != target && !strings.HasPrefix(info.Mountpoint, target+"/"), false
	})
}

func isBlockDevice(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&os.ModeType == os.ModeDevice
}
