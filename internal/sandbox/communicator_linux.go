package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"unicode/utf8"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"golang.org/x/sys/unix"
)

// communicator is how Packer's provisioners talk to guests.
type communicator struct{ sandbox *Sandbox }

// Communicator returns the sandbox as Packer's provisioners see it. Commands
// are run by the guest's own /bin/sh, with their text untouched. All paths of
// the machine are paths inside the image, as guests see them.
func (s *Sandbox) Communicator() packersdk.Communicator { return &communicator{s} }

// Start implements [packersdk.Communicator]. The command's status is that of
// the shell, 128 and the signal's number when a signal ended it, and
// [packersdk.CmdDisconnect] when the sandbox ended before the command did.
func (c *communicator) Start(ctx context.Context, cmd *packersdk.RemoteCmd) error {
	run, err := c.sandbox.begin(ctx, Command{
		Argv:   Shell(cmd.Command),
		Stdin:  cmd.Stdin,
		Stdout: cmd.Stdout,
		Stderr: cmd.Stderr,
	})
	if err != nil {
		return err
	}
	go func() {
		status, err := run.wait(ctx)
		if err != nil {
			log.Printf("[ERROR] sandbox: a command ended with %d: %v", status, err)
		}
		if status < 0 {
			status = packersdk.CmdDisconnect
		}
		cmd.SetExited(status)
	}()
	return nil
}

// Shell returns the arguments that make a POSIX shell run a script, in the way
// of `sh -c`. The kernel takes no single argument of 128 KiB (MAX_ARG_STRLEN),
// so a longer script goes in pieces, which the shell puts together again;
// neither its stdin nor a file in the image is needed for that. All arguments
// together may be about 2 MiB long.
func Shell(script string) []string {
	const longest = 96 << 10
	const shell = "/bin/sh"
	if len(script) <= longest {
		return []string{shell, "-c", script}
	}
	var words strings.Builder
	argv := []string{shell, "-c", "", shell}
	for n := 1; script != ""; n++ {
		piece := min(longest, len(script))
		for cut := piece; piece < len(script) && cut > piece-utf8.UTFMax; cut-- {
			if utf8.RuneStart(script[cut]) {
				piece = cut
				break
			}
		}
		argv = append(argv, script[:piece])
		script = script[piece:]
		fmt.Fprintf(&words, "${%d}", n)
	}
	// The script must not see the pieces as its own arguments.
	argv[2] = "eval \"set --\n" + words.String() + "\""
	return argv
}

// Upload implements [packersdk.Communicator]. With info the file gets its
// permissions; without, a new file gets 0644 and an existing one keeps its own.
// The folder must exist.
func (c *communicator) Upload(dst string, content io.Reader, info *os.FileInfo) error {
	var mode *uint32
	if info != nil && (*info).Mode().IsRegular() {
		perm := uint32((*info).Mode().Perm())
		mode = &perm
	}
	if err := c.sandbox.writeFile(dst, content, mode); err != nil {
		return fmt.Errorf("upload to %s: %w", dst, err)
	}
	return nil
}

// Download implements [packersdk.Communicator].
func (c *communicator) Download(src string, to io.Writer) error {
	f, _, err := c.sandbox.openFile(src)
	if err == nil {
		_, err = io.Copy(to, f)
		err = errors.Join(err, c.sandbox.open.close(f))
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
