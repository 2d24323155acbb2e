package treediff

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// plant makes a folder of files: "NAME" = content, "NAME/" a folder, "NAME@" a
// link to the content.
func plant(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, content := range files {
		path := filepath.Join(folder, strings.TrimRight(name, "/@"))
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch {
		case err != nil:
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		case strings.HasSuffix(name, "@"):
			err = os.Symlink(content, path)
		default:
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestCompare(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs modes and links")
	}
	long := strings.Repeat("x", chunk) + "tail"
	before := plant(t, map[string]string{
		"same": "a", "etc/changed": "one", "gone/file": "12345", "link@": "one", "turned": "x", "mode": "m", "empty/": "",
		"long": long, "longer": long + "1", "dangling@": "/nowhere", "zero": "",
	})
	after := plant(t, map[string]string{
		"same": "a", "etc/changed": "two", "new/": "", "new/file": "1", "link@": "two", "turned@": "x", "mode": "m", "empty/": "",
		"long": long, "longer": long + "2", "dangling@": "/nowhere", "zero": "",
	})
	if err := os.Chmod(filepath.Join(after, "mode"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Compare(t.Context(), before, after)
	if err != nil {
		t.Fatal(err)
	}
	want := []Change{
		{Path: "/etc/changed", Kind: Changed, What: "content", Size: 3},
		{Path: "/gone", Kind: Removed},
		{Path: "/gone/file", Kind: Removed, Size: 5},
		{Path: "/link", Kind: Changed, What: "target"},
		{Path: "/longer", Kind: Changed, What: "content", Size: int64(len(long)) + 1},
		{Path: "/mode", Kind: Changed, What: "mode", Size: 1},
		{Path: "/new", Kind: Added},
		{Path: "/new/file", Kind: Added, Size: 1},
		{Path: "/turned", Kind: Changed, What: "type"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if same, err := Compare(t.Context(), after, after); err != nil || len(same) != 0 {
		t.Errorf("a folder differs from itself: %v, %v", same, err)
	}
}

func TestCompareSeesOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: a file is given away")
	}
	before, after := plant(t, map[string]string{"a": "1"}), plant(t, map[string]string{"a": "1"})
	if err := os.Chown(filepath.Join(after, "a"), 7, 8); err != nil {
		t.Fatal(err)
	}
	got, err := Compare(t.Context(), before, after)
	if err != nil || len(got) != 1 || got[0].What != "owner" {
		t.Errorf("Compare = %v, %v; want another owner", got, err)
	}
}

func TestCompareFails(t *testing.T) {
	there := plant(t, nil)
	if _, err := Compare(t.Context(), there, filepath.Join(there, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error of a missing folder is %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Compare(ctx, there, there); !errors.Is(err, context.Canceled) {
		t.Errorf("error of a cancelled comparison is %v", err)
	}
}
