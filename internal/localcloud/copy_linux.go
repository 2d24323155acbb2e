package localcloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// copyStep is how much is copied between two looks at whether to go on.
const copyStep = 64 << 20

// copyFile makes to, which must not exist, a copy of from, of size bytes; what
// is beyond the end of from reads as zeros. The two share blocks where the
// file system can do that, which is also the copy of one moment; elsewhere holes
// stay holes. The copy is in the page cache when it is done, not on the disk.
func copyFile(ctx context.Context, from, to string, size int64) (shared bool, err error) {
	in, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("%w: %s", errNoFile, from)
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := unix.IoctlFileClone(int(out.Fd()), int(in.Fd())); err == nil {
		return true, out.Truncate(size)
	}
	// The file system cannot, or not between these two: copy what is data.
	if err := out.Truncate(size); err != nil {
		return false, err
	}
	if err := copyData(ctx, in, out, size); err != nil {
		return false, fmt.Errorf("copy %s to %s: %w", from, to, err)
	}
	return false, nil
}

// copyData copies the extents of in that hold data to the same places in out,
// up to size.
func copyData(ctx context.Context, in, out *os.File, size int64) error {
	for at := int64(0); at < size; {
		start, err := unix.Seek(int(in.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) || start >= size {
			return nil // nothing but a hole from here on
		}
		if err != nil {
			return fmt.Errorf("find data: %w", err)
		}
		end, err := unix.Seek(int(in.Fd()), start, unix.SEEK_HOLE)
		if err != nil {
			return fmt.Errorf("find hole: %w", err)
		}
		end = min(end, size)
		for at = start; at < end; {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			n, err := copyRange(in, out, at, min(copyStep, end-at))
			if err != nil {
				return err
			}
			at += n
		}
	}
	return nil
}

// copyRange copies up to n bytes at the same offset in the kernel, or through
// this process where the kernel cannot.
func copyRange(in, out *os.File, at, n int64) (int64, error) {
	from, to := at, at
	for {
		done, err := unix.CopyFileRange(int(in.Fd()), &from, int(out.Fd()), &to, int(n), 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err == nil && done > 0:
			return int64(done), nil
		case err == nil:
			return 0, io.ErrUnexpectedEOF // the file became shorter meanwhile
		case errors.Is(err, unix.EXDEV), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL):
			return io.Copy(io.NewOffsetWriter(out, at), io.NewSectionReader(in, at, n))
		default:
			return 0, err
		}
	}
}

// allocated is how many bytes of a file are really there.
func allocated(path string) (int64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return st.Blocks * 512, nil
}
