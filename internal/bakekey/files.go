package bakekey

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// File is a file that goes into a key.
type File struct {
	Name   string      `json:"name"` // relative to the selection's root, with slashes
	Mode   fs.FileMode `json:"mode"` // type and permissions
	Size   int64       `json:"size"` // in bytes
	Digest string      `json:"digest,omitempty"`
}

// Selection says which files go into a key. Patterns are files, folders, which
// stand for all that is in them, or patterns of [filepath.Match]; "/**" behind a
// folder says the same as the folder. Relative ones begin at the working
// directory, as the sources of Packer's provisioners do.
type Selection struct {
	Root   string   // absolute; names are relative to it, so that a checkout can be anywhere
	Files  []string // patterns
	Ignore []string // patterns of what is left out
}

// untouched are folders that are always left out: what Git and Packer keep.
var untouched = []string{".git", "packer_cache"}

// Check returns what is wrong with a pattern, whatever files there are.
func Check(pattern string) error {
	if pattern == "" {
		return errors.New("it is empty")
	}
	_, err := filepath.Match(plain(pattern), "")
	return err
}

func plain(pattern string) string {
	return filepath.Clean(strings.TrimSuffix(pattern, "/**"))
}

// Read reads the files of s, sorted by name. Symbolic links are followed, as
// Packer's file provisioner does. A pattern that nothing matches is an error: it
// is mistyped, or the file that it was meant for is missing.
func (s Selection) Read(ctx context.Context) ([]File, error) {
	ignored := map[string]bool{}
	for _, pattern := range s.Ignore {
		paths, err := matches(pattern)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			ignored[path] = true
		}
	}
	r := reader{root: s.Root, ignored: ignored, files: map[string]File{}}
	for _, pattern := range s.Files {
		paths, err := matches(pattern)
		if err != nil {
			return nil, err
		}
		if len(paths) == 0 {
			return nil, fmt.Errorf("%s: there is no such file or folder", pattern)
		}
		for _, path := range paths {
			if err := r.add(ctx, path, nil); err != nil {
				return nil, err
			}
		}
	}
	files := make([]File, 0, len(r.files))
	for _, file := range r.files {
		files = append(files, file)
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return files, nil
}

// matches returns the absolute paths that a pattern stands for.
func matches(pattern string) ([]string, error) {
	path := plain(pattern)
	if _, err := os.Lstat(path); err == nil {
		// A name with the characters of patterns in it.
		abs, err := filepath.Abs(path)
		return []string{abs}, err
	}
	paths, err := filepath.Glob(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", pattern, err)
	}
	for i := range paths {
		if paths[i], err = filepath.Abs(paths[i]); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

type reader struct {
	root    string
	ignored map[string]bool
	files   map[string]File // by name
}

// add reads what is at path. Above are the real paths of the folders that it is
// in, through which no link may lead back.
func (r *reader) add(ctx context.Context, path string, above []string) error {
	if r.ignored[path] {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		// A link to nothing, such as an editor's lock: no provisioner reads it.
		info, err = os.Lstat(path)
	}
	if err != nil {
		return fmt.Errorf("read the inputs of the bake: %w", err)
	}
	if info.IsDir() {
		return r.addFolder(ctx, path, above)
	}
	name, err := filepath.Rel(r.root, path)
	if err != nil {
		return fmt.Errorf("read the inputs of the bake: %w", err)
	}
	file := File{Name: filepath.ToSlash(name), Mode: info.Mode()}
	// Reading a pipe or a device might never end.
	if info.Mode().IsRegular() {
		if file.Size, file.Digest, err = digest(path); err != nil {
			return fmt.Errorf("read the inputs of the bake: %w", err)
		}
	}
	r.files[file.Name] = file
	return nil
}

func (r *reader) addFolder(ctx context.Context, path string, above []string) error {
	if slices.Contains(untouched, filepath.Base(path)) {
		return nil
	}
	actual, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("read the inputs of the bake: %w", err)
	}
	if slices.Contains(above, actual) {
		return fmt.Errorf("read the inputs of the bake: %s is a link to a folder that it is in", path)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("read the inputs of the bake: %w", err)
	}
	above = append(slices.Clip(above), actual)
	for _, entry := range entries {
		if err := r.add(ctx, filepath.Join(path, entry.Name()), above); err != nil {
			return err
		}
	}
	return nil
}

// digest returns the size and the sha256 of a file.
func digest(path string) (int64, string, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer file.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, file)
	return n, hex.EncodeToString(sum.Sum(nil)), err
}
