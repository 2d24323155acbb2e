package localcloud

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

var (
	errNoFile = errors.New("the file is not there")
	errLocked = errors.New("somebody else has it locked")
)

// lockPoll is how often a waiting process looks whether a lock is free.
const lockPoll = 5 * time.Millisecond

// files is the folder with the data of volumes and snapshots.
type files struct{ dir string }

func (f files) volume(id string) string   { return filepath.Join(f.dir, "volumes", id) }
func (f files) snapshot(id string) string { return filepath.Join(f.dir, "snapshots", id) }
func (f files) work() string              { return filepath.Join(f.dir, "work") }

func (f files) create() error {
	for _, dir := range []string{f.dir, f.volume(""), f.snapshot(""), f.work()} {
		// What is in images is nobody else's business.
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	return nil
}

// bury takes a data file from among the data, where nothing may stay that no
// row knows, and returns where it is now, "" when it was not there.
func (f files) bury(path string) (string, error) {
	grave := filepath.Join(f.work(), filepath.Base(path))
	if err := os.Rename(path, grave); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		return "", err
	}
	return grave, nil
}

// workspace is a folder for files that are being made. It is locked for as
// long as its process lives, which tells it from a killed one's.
type workspace struct {
	dir  string
	lock *flock.Flock
}

func (f files) workspace(ctx context.Context) (*workspace, error) {
	for {
		dir, err := os.MkdirTemp(f.work(), "")
		if err != nil {
			return nil, err
		}
		ws := &workspace{dir: dir, lock: flock.New(dir, flock.SetFlag(os.O_RDONLY))}
		// Reclaim in another process may have taken the folder for a dead
		// one's before it was locked. Then it is gone, and another is made.
		ok, err := ws.lock.TryLock()
		if err == nil && ok {
			if _, err := os.Stat(dir); err == nil {
				return ws, nil
			}
		}
		ws.remove()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("lock %s: %w", dir, err)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

func (ws *workspace) path(name string) string { return filepath.Join(ws.dir, name) }

// release gives a finished file its place among the data.
func (ws *workspace) release(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

func (ws *workspace) remove() {
	// What cannot be removed now Reclaim removes later.
	_ = os.RemoveAll(ws.dir)
	_ = ws.lock.Close()
}

// syncDir makes the names in a folder survive power loss.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}

// syncFile makes the bytes of a file survive power loss.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return f.Sync()
}

// lockFile waits for the lock on an existing file and returns what gives it
// back. The lock goes with the process that holds it.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	for {
		unlock, err := tryLockFile(path)
		if !errors.Is(err, errLocked) {
			return unlock, err
		}
		if err := wait(ctx, lockPoll); err != nil {
			return nil, err
		}
	}
}

func tryLockFile(path string) (unlock func(), err error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, errNoFile
	}
	lock := flock.New(path, flock.SetFlag(os.O_RDONLY))
	ok, err := lock.TryLock()
	if err != nil {
		_ = lock.Close()
		if errors.Is(err, fs.ErrNotExist) {
			return nil, errNoFile
		}
		return nil, err
	}
	if !ok {
		_ = lock.Close()
		return nil, errLocked
	}
	return func() { _ = lock.Close() }, nil
}

// makeEmpty makes a sparse file of that many bytes.
func makeEmpty(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}
