// Package treediff compares two folders, file by file.
package treediff

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Change is a path that two folders do not have alike.
type Change struct {
	Path string `json:"path"` // absolute, as seen from within the folders
	Kind Kind   `json:"kind"`
	What string `json:"what,omitempty"` // of a change: content, mode, owner, type, target, joined by commas
	Size int64  `json:"size,omitempty"` // of a file, in bytes; where it was removed, what it had
}

// Kind is what became of a path.
type Kind string

// The kinds of change.
const (
	Added   Kind = "added"
	Removed Kind = "removed"
	Changed Kind = "changed"
)

// Compare returns what is different in the folder after from what is in the
// folder before, by path. Times do not count; contents are read. Links are
// compared and not followed. Nothing may change the folders meanwhile.
func Compare(ctx context.Context, before, after string) ([]Change, error) {
	old, err := walk(ctx, before)
	if err != nil {
		return nil, err
	}
	now, err := walk(ctx, after)
	if err != nil {
		return nil, err
	}
	changes := []Change{}
	for path, info := range old {
		if _, ok := now[path]; !ok {
			changes = append(changes, Change{Path: path, Kind: Removed, Size: sizeOf(info)})
		}
	}
	for path, info := range now {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		was, ok := old[path]
		if !ok {
			changes = append(changes, Change{Path: path, Kind: Added, Size: sizeOf(info)})
			continue
		}
		what, err := differ(filepath.Join(before, path), filepath.Join(after, path), was, info)
		if err != nil {
			return nil, err
		}
		if what != "" {
			changes = append(changes, Change{Path: path, Kind: Changed, What: what, Size: sizeOf(info)})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return changes, nil
}

func sizeOf(info fs.FileInfo) int64 {
	if info.Mode().IsRegular() {
		return info.Size()
	}
	return 0
}

// walk returns all that is in a folder by its path, which begins with a slash.
func walk(ctx context.Context, folder string) (map[string]fs.FileInfo, error) {
	found := map[string]fs.FileInfo{}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		inside := strings.TrimPrefix(filepath.ToSlash(path), filepath.ToSlash(folder))
		found["/"+strings.TrimPrefix(inside, "/")] = info
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", folder, err)
	}
	return found, nil
}

// differ says in which ways a path is another, "" for none.
func differ(before, after string, was, is fs.FileInfo) (string, error) {
	if was.Mode().Type() != is.Mode().Type() {
		return "type", nil
	}
	var ways []string
	switch {
	case is.Mode().IsRegular():
		same, err := sameContent(before, after, was, is)
		if err != nil {
			return "", err
		}
		if !same {
			ways = append(ways, "content")
		}
	case is.Mode().Type() == fs.ModeSymlink:
		one, err := os.Readlink(before)
		if err != nil {
			return "", err
		}
		other, err := os.Readlink(after)
		if err != nil {
			return "", err
		}
		if one != other {
			ways = append(ways, "target")
		}
	}
	if was.Mode() != is.Mode() {
		ways = append(ways, "mode")
	}
	if owner(was) != owner(is) {
		ways = append(ways, "owner")
	}
	return strings.Join(ways, ","), nil
}

// chunk is how much of two files is compared at once.
const chunk = 256 << 10

func sameContent(before, after string, was, is fs.FileInfo) (bool, error) {
	if was.Size() != is.Size() {
		return false, nil
	}
	one, err := os.Open(before)
	if err != nil {
		return false, err
	}
	defer one.Close()
	other, err := os.Open(after)
	if err != nil {
		return false, err
	}
	defer other.Close()
	a, b := make([]byte, chunk), make([]byte, chunk)
	for {
		n, err := io.ReadFull(one, a)
		m, errOther := io.ReadFull(other, b)
		if n != m || !bytes.Equal(a[:n], b[:m]) {
			return false, nil
		}
		ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if ended && errors.Is(errOther, err) {
			return true, nil
		}
		if err := errors.Join(err, errOther); err != nil {
			return false, fmt.Errorf("compare %s: %w", after, err)
		}
	}
}
