package sqlite

import (
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imagebakery/packer-plugin-bakery/registry"
	"github.com/imagebakery/packer-plugin-bakery/registry/registrytest"
)

func TestConformance(t *testing.T) {
	registrytest.Run(t, func(t *testing.T) registry.Store {
		return open(t, filepath.Join(t.TempDir(), "registry.db"))
	})
}

func open(t *testing.T, path string, opts ...Option) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func someImage() registry.Image {
	return registry.Image{
		ID: "01J", Application: "base", Version: "1", Layer: "base",
		Artifacts: []registry.Artifact{{Ref: registry.Ref{Cloud: "local", Region: "us-east-1", ID: "ami-1"}}},
	}
}

func TestFileIsTheOwnersOnly(t *testing.T) {
	// The name has every character that means something in a URI.
	path := filepath.Join(t.TempDir(), "new folder", "a?b#c%20&d=e.db")
	s := open(t, path)
	if err := s.Commit(t.Context(), registry.Change{Image: new(someImage())}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("mode of %s is %o, want 600", filepath.Base(name), got)
		}
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	if _, err := Open(t.Context(), path, ReadOnly()); !errors.Is(err, registry.ErrNoRegistry) {
		t.Fatalf("error is %v, want ErrNoRegistry", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the file exists: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path, ReadOnly()); !errors.Is(err, registry.ErrNoRegistry) {
		t.Fatalf("error of an empty file is %v, want ErrNoRegistry", err)
	}
	img := someImage()
	if err := open(t, path).Commit(t.Context(), registry.Change{Image: &img}); err != nil {
		t.Fatal(err)
	}
	reader := open(t, path, ReadOnly())
	if _, err := reader.Image(t.Context(), img.ID); err != nil {
		t.Error(err)
	}
	img.ID, img.Artifacts[0].ID = "01K", "ami-2"
	if err := reader.Commit(t.Context(), registry.Change{Image: &img}); err == nil {
		t.Error("a store that only reads has written")
	}
}

func TestForeignFilesAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		make func(t *testing.T, path string)
		want string
	}{
		"no database": {
			func(t *testing.T, path string) { overwrite(t, path, strings.Repeat("not a database\n", 500)) },
			"it is no SQLite database",
		},
		"another program's": {
			func(t *testing.T, path string) { execute(t, path, `CREATE TABLE theirs (x)`) },
			"it is the database of another program",
		},
		"another program's that says so": {
			func(t *testing.T, path string) {
				execute(t, path, `PRAGMA application_id = 42; PRAGMA user_version = 1`)
			},
			"it is the database of another program",
		},
		"of a later release": {
			func(t *testing.T, path string) {
				closedRegistry(t, path)
				execute(t, path, `PRAGMA user_version = 999`)
			},
			"it has format 999, written by a later release",
		},
		"a folder": {
			func(t *testing.T, path string) {
				if err := os.Mkdir(path, 0o700); err != nil {
					t.Fatal(err)
				}
			},
			"it is no file",
		},
		"damaged": {
			func(t *testing.T, path string) {
				data := closedRegistry(t, path)
				for i := 100; i < len(data); i++ {
					data[i] ^= 0x5a
				}
				overwrite(t, path, string(data))
			},
			"the file is damaged",
		},
		"cut off": {
			func(t *testing.T, path string) {
				data := closedRegistry(t, path)
				overwrite(t, path, string(data[:len(data)/2]))
			},
			"the file is damaged",
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "registry.db")
			test.make(t, path)
			for _, opts := range [][]Option{nil, {ReadOnly()}} {
				s, err := Open(t.Context(), path, opts...)
				if err == nil {
					err = s.Check(t.Context())
					_ = s.Close()
				}
				if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
					t.Errorf("error is %v, want one with %q and the path", err, test.want)
				}
			}
		})
	}
}

// closedRegistry makes a registry and returns what its file holds.
func closedRegistry(t *testing.T, path string) []byte {
	t.Helper()
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func overwrite(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func execute(t *testing.T, path, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statements); err != nil {
		t.Fatal(err)
	}
}

func TestFullDisk(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "registry.db"))
	first := someImage()
	if err := s.Commit(t.Context(), registry.Change{Image: &first}); err != nil {
		t.Fatal(err)
	}
	// SQLite reports the limit as it reports a disk that is full.
	s.db.SetMaxOpenConns(1)
	if _, err := s.db.ExecContext(t.Context(), `PRAGMA max_page_count = 1`); err != nil {
		t.Fatal(err)
	}
	second := someImage()
	second.ID, second.Artifacts[0].ID, second.Owner = "01K", "ami-2", strings.Repeat("o", 1<<16)
	err := s.Commit(t.Context(), registry.Change{Image: &second})
	if err == nil || !strings.Contains(err.Error(), "the disk is full, nothing was recorded") {
		t.Errorf("error is %v", err)
	}
	if _, err := s.Image(t.Context(), second.ID); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("the image that did not fit: %v, want ErrNotFound", err)
	}
	if _, err := s.Image(t.Context(), first.ID); err != nil {
		t.Errorf("the image before: %v", err)
	}
}
