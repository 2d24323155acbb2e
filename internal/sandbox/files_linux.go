package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Upload writes a file inside. All paths of the machine are paths inside the
// image, as guests see them, here and below. With info the file gets its permissions; without, a new file gets 0644 and an existing one keeps its own.
// The folder must exist.
func (s *Sandbox) Upload(dst string, content io.Reader, info *os.FileInfo) error {
	var mode *uint32
	if info != nil && (*info).Mode().IsRegular() {
		perm := uint32((*info).Mode().Perm())
		mode = &perm
	}
	if err := s.writeFile(dst, content, mode); err != nil {
		return fmt.Errorf("upload to %s: %w", dst, err)
	}
	return nil
}

// Download reads a file inside.
func (s *Sandbox) Download(src string, to io.Writer) error {
	f, _, err := s.openFile(src)
	if err == nil {
		_, err = io.Copy(to, f)
		err = errors.Join(err, s.open.close(f))
	}
	if err != nil {
		return fmt.Errorf("download %s: %w", src, err)
	}
	return nil
}

// openFile opens a regular file inside for reading; it counts as open until
// s.open.close.
func (s *Sandbox) openFile(name string) (*os.File, os.FileInfo, error) {
	if s.isClosed() {
		return nil, nil, ErrClosed
	}
	// O_NONBLOCK: a named pipe in the image must not hold up the build.
	f, err := s.guest.open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("it is a %s, not a file", kindOf(info.Mode()))
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, s.open.add(f)
}

// newFileMode is the mode of an uploaded file of which none is known.
const newFileMode = 0o644

// writeFile writes a regular file inside, through links if there are any, and
// sets its permissions when mode is not nil.
func (s *Sandbox) writeFile(name string, content io.Reader, mode *uint32) error {
	if s.isClosed() {
		return ErrClosed
	}
	if strings.HasSuffix(name, "/") {
		return errors.New("the path ends with / but a file is uploaded; add the file's name")
	}
	const flags = unix.O_WRONLY | unix.O_NONBLOCK | unix.O_NOCTTY
	f, err := s.guest.open(name, flags, 0)
	if errors.Is(err, unix.ENOENT) {
		if f, err = s.guest.open(name, flags|unix.O_CREAT, newFileMode); err == nil && mode == nil {
			// Not what the umask of the build left of it.
			mode = new(uint32)
			*mode = newFileMode
		}
	}
	if errors.Is(err, unix.EISDIR) {
		return fmt.Errorf("%w; end the destination with / to upload into it", err)
	}
	if err != nil {
		return err
	}
	if err := s.open.add(f); err != nil {
		return err
	}
	return errors.Join(fill(f, content, mode), s.open.close(f))
}

func fill(f *os.File, content io.Reader, mode *uint32) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("it is a %s, not a file", kindOf(info.Mode()))
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	if mode != nil {
		// Before the content, which may be a secret.
		if err := f.Chmod(os.FileMode(*mode)); err != nil {
			return err
		}
	}
	_, err = io.Copy(f, content)
	return err
}

// kindOf names what is not a regular file.
func kindOf(mode os.FileMode) string {
	switch {
	case mode.IsDir():
		return "folder"
	case mode&os.ModeSymlink != 0:
		return "symbolic link"
	case mode&os.ModeNamedPipe != 0:
		return "named pipe"
	case mode&os.ModeSocket != 0:
		return "socket"
	case mode&os.ModeDevice != 0:
		return "device"
	}
	return "special file"
}
