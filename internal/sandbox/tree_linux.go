package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// tree is a directory in which paths are resolved as by a process that is
// chrooted to it: absolute links and ".." lead to places inside.
type tree struct{ root *os.File }

// openTree opens the root of a tree by its path on the host.
func openTree(dir string) (tree, error) {
	root, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return tree{root}, err
}

func (t tree) Close() error { return t.root.Close() }

// open opens a path inside. The flags are those of open(2); mode counts when
// the file is created, and is not masked by the caller.
func (t tree) open(name string, flags int, mode uint32) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	if flags&unix.O_CREAT != 0 {
		how.Mode = uint64(mode)
	}
	for {
		fd, err := unix.Openat2(int(t.root.Fd()), name, &how)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), name), nil
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			// EAGAIN: something was renamed while the kernel followed "..".
			continue
		case errors.Is(err, unix.ENOSYS):
			return nil, &os.PathError{Op: "open", Path: name, Err: errors.New("this kernel has no openat2, which Linux 5.6 brought")}
		}
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
}

// dir opens a directory inside for the *at calls.
func (t tree) dir(name string) (*os.File, error) {
	return t.open(name, unix.O_PATH|unix.O_DIRECTORY, 0)
}

// split cuts the last element off a path. It does not tidy the rest: "a/.."
// is the parent of what the link a points to.
func split(name string) (dir, base string, err error) {
	trimmed := strings.TrimRight(name, "/")
	dir, base = path.Split("/" + strings.TrimLeft(trimmed, "/"))
	if base == "" || base == "." || base == ".." {
		return "", "", fmt.Errorf("%q names no file", name)
	}
	return dir, base, nil
}

// fileID tells files apart.
type fileID struct{ Dev, Ino uint64 }

func idOf(st *unix.Stat_t) fileID { return fileID{st.Dev, st.Ino} }

// made is a file or directory that the sandbox made in the image.
type made struct {
	Path string
	ID   fileID
	Dir  bool
}

// mkdirAll makes a directory and its missing parents, and returns what it had
// to make, outermost first. The directories around keep their times.
func (t tree) mkdirAll(name string) ([]made, error) {
	var all []made
	built := "/"
	for elem := range strings.SplitSeq(name, "/") {
		if elem == "" || elem == "." {
			continue
		}
		// Not path.Join: it would take "link/.." for the link's own folder.
		next := strings.TrimRight(built, "/") + "/" + elem
		one, err := t.makeMissing(next, true)
		if err != nil {
			return all, err
		}
		if one != nil {
			all = append(all, *one)
		}
		built = next
	}
	return all, nil
}

// makeMissing makes an empty directory or file when nothing is there, and
// returns it, or nil when something was.
func (t tree) makeMissing(name string, dir bool) (*made, error) {
	if f, err := t.open(name, unix.O_PATH, 0); err == nil {
		return nil, f.Close()
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	parentPath, base, err := split(name)
	if err != nil {
		return nil, err
	}
	parent, err := t.dir(parentPath)
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	one := &made{Path: name, Dir: dir}
	err = quietly(parent, func() error {
		if dir {
			if err := unix.Mkdirat(int(parent.Fd()), base, 0o755); err != nil {
				return &os.PathError{Op: "mkdir", Path: name, Err: err}
			}
			if err := unix.Fchmodat(int(parent.Fd()), base, 0o755, 0); err != nil {
				return &os.PathError{Op: "chmod", Path: name, Err: err}
			}
		} else if err := unix.Mknodat(int(parent.Fd()), base, unix.S_IFREG|0o644, 0); err != nil {
			return &os.PathError{Op: "create", Path: name, Err: err}
		}
		var st unix.Stat_t
		if err := unix.Fstatat(int(parent.Fd()), base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &os.PathError{Op: "stat", Path: name, Err: err}
		}
		one.ID = idOf(&st)
		return nil
	})
	return one, err
}

// unmake removes what makeMissing made, unless it was replaced or filled
// meanwhile: then it is somebody else's.
func (t tree) unmake(one made) error {
	parentPath, base, err := split(one.Path)
	if err != nil {
		return err
	}
	parent, err := t.dir(parentPath)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer parent.Close()
	var st unix.Stat_t
	err = unix.Fstatat(int(parent.Fd()), base, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) || err == nil && (idOf(&st) != one.ID || !one.Dir && st.Size > 0) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "stat", Path: one.Path, Err: err}
	}
	flags := 0
	if one.Dir {
		flags = unix.AT_REMOVEDIR
	}
	return quietly(parent, func() error {
		err := unix.Unlinkat(int(parent.Fd()), base, flags)
		if err == nil || errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
			return nil
		}
		return &os.PathError{Op: "remove", Path: one.Path, Err: err}
	})
}

// quietly runs change, which changes entries of a directory, and gives the
// directory the modification time back that it had.
func quietly(dir *os.File, change func() error) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: dir.Name(), Err: err}
	}
	err := change()
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, st.Mtim}
	if back := unix.UtimesNanoAt(int(dir.Fd()), ".", times, 0); back != nil {
		err = errors.Join(err, &os.PathError{Op: "set time of", Path: dir.Name(), Err: back})
	}
	return err
}

// stat describes what a path inside leads to.
func (t tree) stat(name string) (os.FileInfo, error) {
	f, err := t.open(name, unix.O_PATH, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}
