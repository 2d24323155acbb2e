package diskimage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// build makes the disk beside dst under another name, so that dst is complete
// from the moment it exists.
func build(ctx context.Context, src, dst string, o Options) (facts Facts, err error) {
	out, err := os.CreateTemp(filepath.Dir(dst), "."+filepath.Base(dst)+".*")
	if err != nil {
		return Facts{}, err
	}
	defer func() {
		if err != nil {
			_ = out.Close()
			err = errors.Join(err, os.Remove(out.Name()))
		}
	}()
	info, err := os.Stat(src)
	if err != nil {
		return Facts{}, err
	}
	if info.IsDir() {
		o, err = pack(ctx, src, out, o)
	} else {
		err = copyDisk(ctx, src, out, o)
	}
	if err != nil {
		return Facts{}, err
	}
	if facts, err = inspect(ctx, out.Name(), o); err != nil {
		return Facts{}, err
	}
	facts.Name = facts.imageName(src)
	if err := errors.Join(out.Sync(), out.Close()); err != nil {
		return Facts{}, err
	}
	if err := ctx.Err(); err != nil {
		return Facts{}, context.Cause(ctx)
	}
	err = unix.Renameat2(unix.AT_FDCWD, out.Name(), unix.AT_FDCWD, dst, unix.RENAME_NOREPLACE)
	if err != nil {
		return Facts{}, fmt.Errorf("name the finished disk %s: %w", dst, err)
	}
	return facts, nil
}
