package sandbox

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// mountFlags are the mount options that belong to the mount and not to the
// file system.
var mountFlags = map[string]uint64{
	"ro":          unix.MOUNT_ATTR_RDONLY,
	"nosuid":      unix.MOUNT_ATTR_NOSUID,
	"nodev":       unix.MOUNT_ATTR_NODEV,
	"noexec":      unix.MOUNT_ATTR_NOEXEC,
	"noatime":     unix.MOUNT_ATTR_NOATIME,
	"strictatime": unix.MOUNT_ATTR_STRICTATIME,
	"nodiratime":  unix.MOUNT_ATTR_NODIRATIME,
}

// noOptions ask for what is so anyhow, or for propagation, which the sandbox
// decides.
var noOptions = []string{"defaults", "rw", "suid", "dev", "exec", "relatime", "private", "rprivate", "slave", "rslave"}

// sortOptions tells the options of the mount from those of the file system.
func sortOptions(options []string) (attrs uint64, rest []string) {
	for _, list := range options {
		for option := range strings.SplitSeq(list, ",") {
			flag, known := mountFlags[option]
			switch {
			case known:
				attrs |= flag
			case option != "" && !slices.Contains(noOptions, option):
				rest = append(rest, option)
			}
		}
	}
	return attrs, rest
}

// newMount mounts a file system of the kernel, attached to no place yet. The
// error is unix.ENODEV when the kernel does not know the type.
func newMount(fstype, source string, options []string) (*os.File, error) {
	context, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(context) }()
	attrs, rest := sortOptions(options)
	if source != "" {
		if err := unix.FsconfigSetString(context, "source", source); err != nil {
			return nil, explain(context, err)
		}
	}
	for _, option := range rest {
		key, value, hasValue := strings.Cut(option, "=")
		if hasValue {
			err = unix.FsconfigSetString(context, key, value)
		} else {
			err = unix.FsconfigSetFlag(context, key)
		}
		if err != nil {
			return nil, fmt.Errorf("option %s: %w", option, explain(context, err))
		}
	}
	if attrs&unix.MOUNT_ATTR_RDONLY != 0 {
		if err := unix.FsconfigSetFlag(context, "ro"); err != nil {
			return nil, explain(context, err)
		}
	}
	if err := unix.FsconfigCreate(context); err != nil {
		return nil, explain(context, err)
	}
	fd, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, int(attrs))
	if err != nil {
		return nil, explain(context, err)
	}
	return os.NewFile(uintptr(fd), fstype), nil
}

// explain adds what the kernel says about a mount that it refused.
func explain(context int, err error) error {
	var said []string
	buf := make([]byte, 1024)
	for {
		n, readErr := unix.Read(context, buf)
		if readErr != nil || n <= 0 {
			break
		}
		// "e proc: message": the letter is the severity.
		_, message, _ := strings.Cut(strings.TrimSpace(string(buf[:n])), " ")
		said = append(said, message)
	}
	if len(said) == 0 {
		return err
	}
	return fmt.Errorf("%w (%s)", err, strings.Join(said, "; "))
}

// setBindOptions gives the bind m, opened as source, its options.
func setBindOptions(source *os.File, m Mount) error {
	attrs, rest := sortOptions(m.Options)
	if len(rest) > 0 {
		return fmt.Errorf("a bind has no option %s", rest[0])
	}
	if attrs == 0 {
		return nil
	}
	flags := uint(unix.AT_EMPTY_PATH)
	if m.Type == "rbind" {
		flags |= unix.AT_RECURSIVE
	}
	return unix.MountSetattr(int(source.Fd()), "", flags, &unix.MountAttr{Attr_set: attrs})
}

// makeFolder makes a folder with exactly this mode and owner.
func makeFolder(in *os.File, name string, mode uint32, uid, gid int) error {
	err := unix.Mkdirat(int(in.Fd()), name, mode)
	if err == nil {
		err = unix.Fchownat(int(in.Fd()), name, uid, gid, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err == nil {
		// After chown, which clears the special bits, and past the umask.
		err = unix.Fchmodat(int(in.Fd()), name, mode, 0)
	}
	if err != nil {
		return &os.PathError{Op: "make folder", Path: name, Err: err}
	}
	return nil
}
