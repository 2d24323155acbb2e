package diskimage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/lima-vm/go-qcow2reader/convert"
	"golang.org/x/sys/unix"
)

const (
	// copyBuffer is how much is read at once.
	copyBuffer = 1 << 20

	// holeUnit is the smallest run of zeros that becomes a hole.
	holeUnit = 64 << 10
)

// copyDisk copies a disk image or block device into the empty file out.
func copyDisk(ctx context.Context, src string, out *os.File, o Options) error {
	// A FIFO must not make us wait.
	in, err := os.OpenFile(src, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if mode := info.Mode(); !mode.IsRegular() && mode&os.ModeDevice == 0 || mode&os.ModeCharDevice != 0 {
		return errors.New("is neither a file, a block device nor a folder")
	}
	size, err := in.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	kind, err := sniff(in, size)
	if err != nil {
		return err
	}
	if kind == formatQcow2 {
		return copyQcow2(ctx, in, size, out, o)
	}
	volume, err := o.volumeSize(size)
	if err != nil {
		return err
	}
	// Where the file system shares blocks between files, that is all there is to do.
	if err := unix.IoctlFileClone(int(out.Fd()), int(in.Fd())); err != nil {
		if err := copySparse(ctx, out, in, size); err != nil {
			return err
		}
	}
	return out.Truncate(volume)
}

// copySparse copies size bytes to the same offsets of an empty file, leaving out
// holes and zeros.
func copySparse(ctx context.Context, out io.WriterAt, in *os.File, size int64) error {
	buffer, zeros := make([]byte, copyBuffer), make([]byte, holeUnit)
	for at := int64(0); at < size; {
		begin, end, err := nextData(in, at, size)
		if err != nil {
			return err
		}
		for at = begin; at < end; {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			n, err := in.ReadAt(buffer[:min(copyBuffer, end-at)], at)
			if n == 0 && err != nil {
				return err
			}
			for unit := 0; unit < n; unit += holeUnit {
				part := buffer[unit:min(unit+holeUnit, n)]
				if bytes.Equal(part, zeros[:len(part)]) {
					continue
				}
				if _, err := out.WriteAt(part, at+int64(unit)); err != nil {
					return err
				}
			}
			at += int64(n)
		}
	}
	return nil
}

// nextData returns the next run of data from at on. Where holes are not known,
// as on block devices, all is data.
func nextData(in *os.File, at, size int64) (begin, end int64, err error) {
	begin, err = in.Seek(at, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO): // no more data
		return size, size, nil
	case errors.Is(err, unix.EINVAL):
		return at, size, nil
	case err != nil:
		return 0, 0, err
	}
	end, err = in.Seek(begin, unix.SEEK_HOLE)
	return min(begin, size), min(end, size), err
}

// copyQcow2 unpacks a qcow2 file into the empty file out.
func copyQcow2(ctx context.Context, in *os.File, fileSize int64, out *os.File, o Options) error {
	img, err := openQcow2(in, fileSize)
	if err != nil {
		return err
	}
	volume, err := o.volumeSize(img.Size())
	if err != nil {
		return err
	}
	err = convert.Convert(cancellable{ctx, out}, img, convert.Options{BufferSize: holeUnit})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("unpack qcow2: %w", err)
	}
	return out.Truncate(volume)
}

// cancellable refuses writes once its context has ended.
type cancellable struct {
	ctx context.Context
	out io.WriterAt
}

// WriteAt implements [io.WriterAt].
func (c cancellable) WriteAt(p []byte, off int64) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.out.WriteAt(p, off)
}
