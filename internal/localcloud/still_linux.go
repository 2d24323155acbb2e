package localcloud

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/internal/loop"
)

// stillTries is how often copyStill starts again when the volume is written to
// while it copies, and stillPause how long it then lets the writer go on.
const (
	stillTries = 20
	stillPause = 100 * time.Millisecond
)

// copyStill copies the file of a volume as it is at one point in time, with
// everything in it that was written to its devices before.
func copyStill(ctx context.Context, from, to string, size int64) error {
	for range stillTries {
		still, err := tryCopyStill(ctx, from, to, size)
		if err != nil || still {
			return err
		}
		if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := wait(ctx, stillPause); err != nil {
			return err
		}
	}
	return errorf("IncorrectState", "The volume is being written to without a pause. Unmount it, or keep the local cloud on a file system with reflinks (XFS, Btrfs), where a snapshot takes no time.")
}

// tryCopyStill copies once and says whether the file was the same all the
// while.
func tryCopyStill(ctx context.Context, from, to string, size int64) (still bool, err error) {
	devices, err := loop.Find(from)
	if err != nil {
		return false, err
	}
	if err := syncNodes(devices); err != nil {
		return false, err
	}
	count, idle, err := writes(devices)
	if err != nil {
		return false, err
	}
	shared, err := copyFile(ctx, from, to, size)
	if err != nil || shared {
		return shared, err
	}
	after, idleAfter, err := writes(devices)
	return idle && idleAfter && after == count, err
}
