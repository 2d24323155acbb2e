package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

const (
	// imageDir is where the image is mounted in the supervisor's root, and what
	// guests are chrooted to.
	imageDir = "/image"
	// roomProc is where the supervisor has /proc of the namespace for itself;
	// guests may have none.
	roomProc = "/proc"
)

// room is the supervisor's root while it is being furnished. All of its
// methods must run on the one thread that has left the host's mount namespace.
type room struct {
	image   tree
	proc    *os.File         // the namespace's /proc
	sources map[int]*os.File // what is bound from the host, by the mount's index
	devices []device
	made    []made
}

// enterRoom takes the calling thread, which must stay locked, into a mount
// namespace of its own that has nothing of the host's mounts but a copy of
// s.Root and of the sources of s.Mounts.
func enterRoom(s *setup) (*room, error) {
	r := &room{sources: map[int]*os.File{}}
	if slices.ContainsFunc(s.Mounts, func(m Mount) bool { return m.Type == PrivateDev }) {
		var err error
		if r.devices, err = findDevices(s.Root, s.Devices); err != nil {
			return nil, err
		}
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return nil, fmt.Errorf("make a mount namespace: %w", err)
	}
	// From here on the namespace holds on to every mount of the host, so that
	// volumes of others stay busy: no slow work before they are dropped.
	if err := makePrivate(s.Root); err != nil {
		return nil, fmt.Errorf("make mounts private: %w", err)
	}
	if err := r.take(s); err != nil {
		return nil, err
	}
	if err := r.moveIn(s.Root); err != nil {
		return nil, err
	}
	unix.Umask(0o022)
	return r, nil
}

// makePrivate keeps mounts from spreading between this namespace and the
// host's.
func makePrivate(root string) error {
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if !errors.Is(err, unix.EINVAL) {
		return err
	}
	// This process runs in a chroot, whose root is no mount: do it one by one.
	mounts, err := mountinfo.GetMounts(nil)
	if err != nil {
		return err
	}
	for _, m := range mounts {
		// Fails for mounts that others cover, which do not matter.
		_ = unix.Mount("", m.Mountpoint, "", unix.MS_PRIVATE, "")
	}
	mounts, err = mountinfo.GetMounts(mountinfo.ParentsFilter(root))
	if err != nil {
		return err
	}
	if len(mounts) == 0 || strings.Contains(mounts[len(mounts)-1].Optional, "shared:") {
		return fmt.Errorf("%s is not on a mount of its own, as it must be in a chroot", root)
	}
	return nil
}

// take picks up what is bound from the host.
func (r *room) take(s *setup) error {
	for i, m := range s.Mounts {
		if m.Type != "bind" && m.Type != "rbind" {
			continue
		}
		flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
		if m.Type == "rbind" {
			flags |= unix.AT_RECURSIVE
		}
		fd, err := unix.OpenTree(unix.AT_FDCWD, m.Source, flags)
		if err != nil {
			return fmt.Errorf("%s %s: %w", m.Type, m.Source, err)
		}
		r.sources[i] = os.NewFile(uintptr(fd), m.Source)
	}
	return nil
}

// moveIn makes an empty tmpfs with root in its folder imageDir the root of the
// namespace, and drops everything else.
func (r *room) moveIn(root string) error {
	image, err := unix.OpenTree(unix.AT_FDCWD, root, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return fmt.Errorf("open %s: %w", root, err)
	}
	defer func() { _ = unix.Close(image) }()
	// The tmpfs covers root in this namespace only.
	if err := unix.Mount("tmpfs", root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0755,size=1m"); err != nil {
		return fmt.Errorf("mount a tmpfs: %w", err)
	}
	if err := unix.Chdir(root); err != nil {
		return fmt.Errorf("enter the sandbox's root: %w", err)
	}
	if err := swapRoot(root); err != nil {
		return err
	}
	for _, dir := range []string{imageDir, roomProc} {
		if err := unix.Mkdir(dir, 0o755); err != nil {
			return fmt.Errorf("make %s: %w", dir, err)
		}
	}
	if err := unix.MoveMount(image, "", unix.AT_FDCWD, imageDir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("move %s into the sandbox: %w", root, err)
	}
	if r.image, err = openTree(imageDir); err != nil {
		return err
	}
	if err := unix.Mount("proc", roomProc, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount proc: %w", err)
	}
	r.proc, err = os.OpenFile(roomProc, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return err
}

// swapRoot makes the working directory, on which a mount lies, the root.
func swapRoot(root string) error {
	err := unix.PivotRoot(".", ".")
	switch {
	case err == nil:
		// Both roots now lie on each other; the old one is on top.
		if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
			return fmt.Errorf("leave the host's root: %w", err)
		}
	case errors.Is(err, unix.EINVAL):
		// This process runs in a chroot or from an initramfs, whose root is no
		// mount that could be swapped. Drop the mounts one by one.
		if err := dropMounts(root); err != nil {
			return err
		}
		if err := unix.Chroot("."); err != nil {
			return fmt.Errorf("change the root: %w", err)
		}
	default:
		return fmt.Errorf("pivot into the sandbox's root: %w", err)
	}
	return unix.Chdir("/")
}

// dropMounts detaches every mount that root does not lie in, except root's own
// and those that the kernel will not let go.
func dropMounts(root string) error {
	mounts, err := mountinfo.GetMounts(nil)
	if err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	for _, m := range slices.Backward(mounts) {
		if !within(root, m.Mountpoint) && !within(m.Mountpoint, root) {
			// Gone along with a mount around it, or locked: either is fine.
			_ = unix.Unmount(m.Mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		}
	}
	return nil
}

// within reports whether path is dir or lies in it.
func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// furnish mounts everything inside the image.
func (r *room) furnish(s *setup) error {
	for i, m := range s.Mounts {
		if err := r.mount(m, r.sources[i]); err != nil {
			return fmt.Errorf("mount %s of type %s on %s: %w", m.Source, m.Type, m.Target, err)
		}
	}
	if err := r.nameHost(); err != nil {
		return err
	}
	// Guests' reboot(2) would end the supervisor.
	if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_SYS_BOOT, 0, 0, 0); err != nil {
		return fmt.Errorf("drop the right to reboot: %w", err)
	}
	return nil
}

// mount mounts m, with source for what it binds.
func (r *room) mount(m Mount, source *os.File) error {
	what, err := r.open(m, source)
	if m.Optional && errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return err
	}
	defer what.Close()
	target, err := r.target(m.Target, what)
	if m.Optional && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)) {
		return nil
	}
	if err != nil {
		return err
	}
	defer target.Close()
	return unix.MoveMount(int(what.Fd()), "", int(target.Fd()), "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// open makes what m says, attached to no place yet.
func (r *room) open(m Mount, source *os.File) (*os.File, error) {
	switch m.Type {
	case "bind", "rbind":
		return source, setBindOptions(source, m)
	case PrivateDev:
		return r.privateDev(m.Options)
	case PrivateRun:
		return r.privateRun(m.Options)
	}
	return newMount(m.Type, m.Source, m.Options)
}

// target opens the place to mount on, and makes it when nothing is there.
func (r *room) target(name string, what *os.File) (*os.File, error) {
	target, err := r.image.open(name, unix.O_PATH, 0)
	if !errors.Is(err, os.ErrNotExist) {
		return target, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(what.Fd()), &st); err != nil {
		return nil, err
	}
	if err := r.make(name, st.Mode&unix.S_IFMT == unix.S_IFDIR); err != nil {
		return nil, err
	}
	return r.image.open(name, unix.O_PATH, 0)
}

// make makes a directory or an empty file, and the directories around it.
func (r *room) make(name string, dir bool) error {
	around, _, err := split(name)
	if err != nil {
		return err
	}
	dirs, err := r.image.mkdirAll(around)
	r.made = append(r.made, dirs...)
	if err != nil {
		return err
	}
	one, err := r.image.makeMissing(name, dir)
	if one != nil {
		r.made = append(r.made, *one)
	}
	return err
}

// nameHost gives guests the image's own host name: a package that writes the
// name into its configuration must not write the build host's.
func (r *room) nameHost() error {
	name := "localhost"
	if f, err := r.image.open("/etc/hostname", unix.O_RDONLY|unix.O_NONBLOCK, 0); err == nil {
		text, err := io.ReadAll(io.LimitReader(f, 256))
		f.Close()
		if own := strings.TrimSpace(string(text)); err == nil && validHostName(own) {
			name = own
		}
	}
	if err := unix.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("set the host name of guests: %w", err)
	}
	return nil
}

func validHostName(name string) bool {
	if name == "" || len(name) > 64 { // the kernel's limit
		return false
	}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-."
	return strings.Trim(name, letters) == ""
}
