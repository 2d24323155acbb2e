package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// UploadDir copies a folder into the image. When src ends with a slash its
// contents go to dst, otherwise it goes there itself, under its name; in both
// cases, when dst does not exist, dst becomes the copy, as with `cp -R` and scp.
// Folders that exist keep their permissions, all else gets those of the source;
// symbolic links are uploaded as links. See excluded for the rules of exclude.
func (s *Sandbox) UploadDir(dst, src string, exclude []string) error {
	if err := s.uploadDir(dst, src, exclude); err != nil {
		return fmt.Errorf("upload folder %s to %s: %w", src, dst, err)
	}
	return nil
}

func (s *Sandbox) uploadDir(dst, src string, exclude []string) error {
	if s.isClosed() {
		return ErrClosed
	}
	if err := checkPatterns(exclude); err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(src)
	if err != nil {
		return err
	}
	to, err := s.destination(dst, src)
	if err != nil {
		return err
	}
	return filepath.WalkDir(real, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(real, name)
		if err != nil {
			return err
		}
		if excluded(exclude, src, rel) {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		inside := to
		if rel != "." {
			inside = strings.TrimRight(to, "/") + "/" + rel
		}
		return s.uploadEntry(inside, name, entry)
	})
}

// destination returns the path inside that the folder src becomes.
func (s *Sandbox) destination(dst, src string) (string, error) {
	if strings.HasSuffix(src, "/") {
		return dst, nil
	}
	info, err := s.guest.stat(dst)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return dst, nil
	case err != nil:
		return "", err
	case !info.IsDir():
		return "", fmt.Errorf("%s is a %s, not a folder", dst, kindOf(info.Mode()))
	}
	abs, err := filepath.Abs(src)
	if err != nil {
		return "", err
	}
	return strings.TrimRight(dst, "/") + "/" + filepath.Base(abs), nil
}

func (s *Sandbox) uploadEntry(inside, name string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	perm := uint32(info.Mode().Perm())
	switch {
	case info.IsDir():
		return s.makeDir(inside, perm)
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(name)
		if err != nil {
			return err
		}
		return s.makeLink(inside, target)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is a %s, which cannot be uploaded", name, kindOf(info.Mode()))
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return s.writeFile(inside, f, &perm)
}

// makeDir makes a folder inside unless one is there.
func (s *Sandbox) makeDir(name string, perm uint32) error {
	if info, err := s.guest.stat(name); err == nil {
		if !info.IsDir() {
			return fmt.Errorf("%s is in the way of a folder", name)
		}
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir, base, err := s.openParent(name)
	if err != nil {
		return err
	}
	defer func() { _ = s.open.close(dir) }()
	return makeFolder(dir, base, perm, 0, 0)
}

// makeLink makes a symbolic link inside, in place of a file or link.
func (s *Sandbox) makeLink(name, target string) error {
	dir, base, err := s.openParent(name)
	if err != nil {
		return err
	}
	defer func() { _ = s.open.close(dir) }()
	if err := unix.Unlinkat(int(dir.Fd()), base, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return &fs.PathError{Op: "replace", Path: name, Err: err}
	}
	if err := unix.Symlinkat(target, int(dir.Fd()), base); err != nil {
		return &fs.PathError{Op: "link", Path: name, Err: err}
	}
	return nil
}

// openParent opens the folder that name is in; it counts as open until
// s.open.close.
func (s *Sandbox) openParent(name string) (dir *os.File, base string, err error) {
	around, base, err := split(name)
	if err != nil {
		return nil, "", err
	}
	if dir, err = s.guest.dir(around); err != nil {
		return nil, "", err
	}
	return dir, base, s.open.add(dir)
}

// excluded reports whether the path rel below the folder src matches one of
// the patterns. A pattern with a slash is matched against the whole path,
// relative or absolute, and one without against the last name; * does not
// match slashes (path.Match). What is in an excluded folder is excluded too.
func excluded(patterns []string, src, rel string) bool {
	if rel == "." {
		return false
	}
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		pattern = strings.TrimRight(pattern, "/")
		subject := rel
		switch {
		case strings.HasPrefix(pattern, "/"):
			subject = path.Join(src, rel)
		case strings.Contains(pattern, "/"):
			pattern = strings.TrimPrefix(pattern, "./")
		default:
			subject = path.Base(rel)
		}
		matched, err := path.Match(pattern, subject)
		return err == nil && matched || pattern == rel
	})
}

// checkPatterns refuses patterns that would silently match nothing.
func checkPatterns(patterns []string) error {
	for _, pattern := range patterns {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("exclude %q: %w", pattern, err)
		}
	}
	return nil
}
