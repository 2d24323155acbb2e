package sandbox

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// policyPath is the program that Debian's maintainer scripts ask, by way of
// invoke-rc.d and deb-systemd-invoke, whether they may start a service.
const policyPath = "/usr/sbin/policy-rc.d"

// policy forbids every action (invoke-rc.d(8): status 101).
const policy = "#!/bin/sh\n# Nothing is started while the image is baked.\nexit 101\n"

// placed is a file that lies in the image as long as the sandbox is open, in
// the place of the image's own. It is a real file and not a mount: a package
// that owns the path must be able to replace it.
type placed struct {
	path  string
	dir   fileID // its directory
	base  string
	aside string // the name in the directory of what was there; empty for nothing
	stamp stamp  // what the placed file looked like
	sum   string // SHA-256 of its content, in hex
	rule  rule
}

// rule says what becomes of a placed file that a guest changed.
type rule int

const (
	// theImages puts back what the image had, whatever guests did.
	theImages rule = iota
	// theImagesOrLink does so too, unless a guest left a symbolic link.
	theImagesOrLink
	// theGuests keeps what a guest made of the file, be it nothing.
	theGuests
)

// stamp changes when anything about a file does.
type stamp struct {
	id    fileID
	ctime unix.Timespec
}

func stampOf(st *unix.Stat_t) stamp { return stamp{idOf(st), st.Ctim} }

// place puts the guards and the copied files into the image.
func (s *Sandbox) place() error {
	if err := s.openRun(); err != nil {
		return err
	}
	if s.config.Guard {
		if err := s.guard(); err != nil {
			return fmt.Errorf("keep services from starting: %w", err)
		}
	}
	if s.config.ResolvConf != "" {
		if err := s.showResolver(); err != nil {
			return fmt.Errorf("show %s as %s: %w", s.config.ResolvConf, resolvConf, err)
		}
	}
	for _, name := range s.config.CopyFiles {
		if err := s.copyIn(name); err != nil {
			return fmt.Errorf("copy %s into the image: %w", name, err)
		}
	}
	return nil
}

// guard keeps package installations from starting services. Debian needs a
// policy for it. On the Red Hat family packages start services through
// systemctl, which ignores it in here, and on Alpine OpenRC refuses by itself
// on a system that it did not boot.
func (s *Sandbox) guard() error {
	if _, err := s.guest.stat("/var/lib/dpkg"); errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return s.put(policyPath, strings.NewReader(policy), &unix.Stat_t{Mode: unix.S_IFREG | 0o755}, theGuests)
}

// copyIn shows a file of the host under the same path inside.
func (s *Sandbox) copyIn(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return errors.New("it is not a regular file")
	}
	// It may hold secrets of the host, which must not stay.
	return s.put(name, f, &st, theImages)
}

// put places one file with the mode and owner of like.
func (s *Sandbox) put(name string, content io.Reader, like *unix.Stat_t, rule rule) error {
	around, base, err := split(name)
	if err != nil {
		return err
	}
	dirs, err := s.guest.mkdirAll(around)
	s.made = append(s.made, dirs...)
	if err != nil {
		return err
	}
	dir, err := s.guest.dir(around)
	if err != nil {
		return err
	}
	defer dir.Close()
	var dirStat unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &dirStat); err != nil {
		return err
	}
	p := placed{path: name, dir: idOf(&dirStat), base: base, rule: rule}
	at := int(dir.Fd())
	return quietly(dir, func() error {
		aside := "." + base + ".bakery-" + rand.Text()[:8]
		switch err := unix.Renameat2(at, base, at, aside, unix.RENAME_NOREPLACE); {
		case err == nil:
			p.aside = aside
		case !errors.Is(err, unix.ENOENT):
			return &os.PathError{Op: "move aside", Path: name, Err: err}
		}
		// From here on there is something to put back.
		sum := sha256.New()
		err := writeNew(dir, base, io.TeeReader(content, sum), like)
		if err == nil {
			p.sum = hex.EncodeToString(sum.Sum(nil))
			var st unix.Stat_t
			if err = unix.Fstatat(at, base, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil {
				p.stamp = stampOf(&st)
			}
		}
		if err != nil {
			// Whatever is there is not the image's.
			p.rule = theImages
		}
		s.placed = append(s.placed, p)
		return err
	})
}

// Covered returns the files that the sandbox has placed over those of the image,
// for who looks at the image while the sandbox is open.
func (s *Sandbox) Covered() []Covered {
	covered := make([]Covered, 0, len(s.placed))
	for _, p := range s.placed {
		c := Covered{Path: p.path}
		if p.rule == theGuests {
			c.SHA256 = p.sum
		}
		if p.aside != "" {
			c.Under = path.Join(path.Dir(p.path), p.aside)
		}
		covered = append(covered, c)
	}
	return covered
}

// writeNew creates a file in dir with the mode and owner of like.
func writeNew(dir *os.File, base string, content io.Reader, like *unix.Stat_t) error {
	fd, err := unix.Openat(int(dir.Fd()), base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &os.PathError{Op: "create", Path: base, Err: err}
	}
	f := os.NewFile(uintptr(fd), base)
	_, err = io.Copy(f, content)
	if err == nil {
		err = f.Chown(int(like.Uid), int(like.Gid))
	}
	if err == nil {
		err = unix.Fchmod(fd, like.Mode&0o7777)
	}
	return errors.Join(err, f.Close())
}

// putBack takes out of the image what the sandbox put there. No guest runs any
// more, and no mount of theirs is left.
func (s *Sandbox) putBack() error {
	var errs []error
	for _, p := range slices.Backward(s.placed) {
		if err := p.remove(s.host); err != nil {
			errs = append(errs, fmt.Errorf("put back %s: %w", p.path, err))
		}
	}
	for _, one := range slices.Backward(s.made) {
		if err := s.host.unmake(one); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// remove puts back what was in the place of p.
func (p placed) remove(t tree) error {
	around, _, err := split(p.path)
	if err != nil {
		return err
	}
	dir, err := t.dir(around)
	if errors.Is(err, os.ErrNotExist) {
		return nil // a guest removed it with all in it
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	at := int(dir.Fd())
	var st unix.Stat_t
	if err := unix.Fstat(at, &st); err != nil {
		return err
	}
	if idOf(&st) != p.dir {
		return nil // it was in a mount that is gone, or the folder was replaced
	}
	err = unix.Fstatat(at, p.base, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	keep := false
	switch p.rule {
	case theGuests:
		keep = err != nil || stampOf(&st) != p.stamp
	case theImagesOrLink:
		keep = err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK
	}
	return quietly(dir, func() error {
		if keep {
			if p.aside == "" {
				return nil
			}
			return removeAll(at, p.aside)
		}
		if err := removeAll(at, p.base); err != nil {
			return err
		}
		if p.aside == "" {
			return nil
		}
		return unix.Renameat(at, p.aside, at, p.base)
	})
}

// removeAll removes a file or a directory with all in it, following no links.
func removeAll(at int, base string) error {
	err := unix.Unlinkat(at, base, 0)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return err
	}
	fd, err := unix.Openat(at, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	dir := os.NewFile(uintptr(fd), base)
	names, err := dir.Readdirnames(-1)
	for _, name := range names {
		err = errors.Join(err, removeAll(fd, name))
	}
	if err = errors.Join(err, dir.Close()); err != nil {
		return err
	}
	return unix.Unlinkat(at, base, unix.AT_REMOVEDIR)
}
