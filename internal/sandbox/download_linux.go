package sandbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// DownloadDir copies a folder out of the image. As over ssh, the folder src
// arrives as a folder of its name in dst, whether or not src ends with a slash,
// and src may hold the wildcards of path.Match. Links are followed, inside the
// image, and what they lead to is downloaded. Permissions are kept. What has no
// content to download (sockets, devices, links that lead nowhere or up) is left
// out, and Config.Log is told.
func (s *Sandbox) DownloadDir(src, dst string, exclude []string) error {
	if err := s.downloadDir(src, dst, exclude); err != nil {
		return fmt.Errorf("download folder %s to %s: %w", src, dst, err)
	}
	return nil
}

// download is one DownloadDir.
type download struct {
	sandbox *Sandbox
	// to keeps what is written in the destination, whatever links an earlier
	// download has left there.
	to      *os.Root
	exclude []string
	from    string   // the folder being downloaded
	above   []fileID // the folders that the current one is in
}

func (s *Sandbox) downloadDir(src, dst string, exclude []string) error {
	if s.isClosed() {
		return ErrClosed
	}
	if err := checkPatterns(exclude); err != nil {
		return err
	}
	sources := []string{src}
	if strings.ContainsAny(src, "*?[") {
		var err error
		if sources, err = s.guest.glob(src); err != nil {
			return err
		}
		if len(sources) == 0 {
			return fmt.Errorf("nothing matches %s", src)
		}
	}
	if err := os.MkdirAll(dst, 0o755); err != nil {
		return err
	}
	to, err := os.OpenRoot(dst)
	if err != nil {
		return err
	}
	defer func() { _ = to.Close() }() // all in it was closed before
	d := &download{sandbox: s, to: to, exclude: exclude}
	for _, source := range sources {
		d.from = "/" + strings.Trim(source, "/")
		name := path.Base(d.from)
		if name == "/" || name == "." || name == ".." {
			name = "." // it has no name that could be kept
		}
		if err := d.fetch(d.from, name, "."); err != nil {
			return err
		}
	}
	return nil
}

// skip tells that something is left out.
func (d *download) skip(inside, why string) error {
	d.sandbox.config.Log(fmt.Sprintf("Left %s out of the download: it is %s", inside, why))
	return nil
}

// fetch downloads the file or folder inside to the path outside in the
// destination; rel is its path below d.from.
func (d *download) fetch(inside, outside, rel string) error {
	if excluded(d.exclude, d.from, rel) {
		return nil
	}
	f, err := d.sandbox.guest.open(inside, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	switch {
	case err == nil:
	case rel != "." && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP)):
		return d.skip(inside, "a link that leads nowhere")
	case rel != "." && errors.Is(err, unix.ENXIO):
		return d.skip(inside, "a socket")
	default:
		return err
	}
	if err := d.sandbox.open.add(f); err != nil {
		return err
	}
	defer func() { _ = d.sandbox.open.close(f) }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return d.fetchDir(f, info, inside, outside, rel)
	case info.Mode().IsRegular():
		return d.fetchFile(f, info, outside)
	}
	return d.skip(inside, "a "+kindOf(info.Mode()))
}

func (d *download) fetchDir(f *os.File, info fs.FileInfo, inside, outside, rel string) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	if slices.Contains(d.above, idOf(&st)) {
		return d.skip(inside, "a link to a folder that it is in")
	}
	names, err := f.Readdirnames(-1)
	if err != nil {
		return err
	}
	slices.Sort(names)
	if outside != "." {
		if err := d.makeDir(outside); err != nil {
			return err
		}
	}
	d.above = append(d.above, idOf(&st))
	for _, name := range names {
		if err := d.fetch(strings.TrimRight(inside, "/")+"/"+name, path.Join(outside, name), path.Join(rel, name)); err != nil {
			return err
		}
	}
	d.above = d.above[:len(d.above)-1]
	if outside == "." {
		return nil
	}
	// Last, because it may forbid writing.
	return d.to.Chmod(outside, info.Mode().Perm())
}

func (d *download) makeDir(outside string) error {
	if info, err := d.to.Lstat(outside); err == nil && info.IsDir() {
		return nil
	}
	return d.to.Mkdir(outside, 0o700)
}

func (d *download) fetchFile(f *os.File, info fs.FileInfo, outside string) error {
	// What is there may be a link of somebody else's making.
	if old, err := d.to.Lstat(outside); err == nil && !old.Mode().IsRegular() {
		if err := d.to.Remove(outside); err != nil {
			return err
		}
	}
	out, err := d.to.OpenFile(outside, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, f)
	err = errors.Join(err, out.Chmod(info.Mode().Perm()))
	return errors.Join(err, out.Close())
}

// glob returns the paths inside that match a pattern, sorted, as a shell in the
// image would: hidden files only where the pattern says so.
func (t tree) glob(pattern string) ([]string, error) {
	paths := []string{""}
	for elem := range strings.SplitSeq(strings.Trim(pattern, "/"), "/") {
		var next []string
		for _, dir := range paths {
			found, err := t.globIn(dir, elem)
			if err != nil {
				return nil, err
			}
			next = append(next, found...)
		}
		paths = next
	}
	return paths, nil
}

func (t tree) globIn(dir, pattern string) ([]string, error) {
	if !strings.ContainsAny(pattern, "*?[") {
		if _, err := t.stat(dir + "/" + pattern); err != nil {
			return nil, noMatch(err)
		}
		return []string{dir + "/" + pattern}, nil
	}
	f, err := t.open(dir+"/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, noMatch(err)
	}
	names, err := f.Readdirnames(-1)
	f.Close()
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var found []string
	for _, name := range names {
		matched, err := path.Match(pattern, name)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", pattern, err)
		}
		if matched && (name[0] != '.' || pattern[0] == '.') {
			found = append(found, dir+"/"+name)
		}
	}
	return found, nil
}

// noMatch passes an error on unless it says that nothing is there, which to a
// pattern is no error.
func noMatch(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	return err
}
