package localcloud

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// scattered writes a file with data here and there and holes between.
func scattered(t *testing.T, path string) []byte {
	t.Helper()
	want := make([]byte, 8<<20)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{1})
	for _, at := range []int{0, 1<<20 + 17, 5 << 20} {
		piece := want[at : at+100_000]
		_, _ = random.Read(piece)
		if _, err := f.WriteAt(piece, int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(f.Truncate(int64(len(want))), f.Close()); err != nil {
		t.Fatal(err)
	}
	return want
}

func TestCopyFile(t *testing.T) {
	dir := t.TempDir()
	from := filepath.Join(dir, "from")
	want := scattered(t, from)
	for name, size := range map[string]int64{"same": int64(len(want)), "longer": 16 << 20, "shorter": 2 << 20} {
		to := filepath.Join(dir, name)
		if _, err := copyFile(t.Context(), from, to, size); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(to)
		if err != nil || int64(len(got)) != size {
			t.Fatalf("%s: %d bytes, %v", name, len(got), err)
		}
		if n := min(len(got), len(want)); !bytes.Equal(got[:n], want[:n]) || len(bytes.Trim(got[n:], "\x00")) > 0 {
			t.Errorf("%s: the copy differs", name)
		}
		if used, err := allocated(to); err != nil || used > 1<<20 {
			t.Errorf("%s: the copy takes %d bytes, %v", name, used, err)
		}
	}
	if _, err := copyFile(t.Context(), filepath.Join(dir, "none"), filepath.Join(dir, "x"), 1); !errors.Is(err, errNoFile) {
		t.Errorf("copy of nothing: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if shared, err := copyFile(ctx, from, filepath.Join(dir, "y"), 1<<20); !shared && !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled copy: %v", err)
	}
}

// TestCopyFileShares: on a file system with reflinks a copy takes no space.
func TestCopyFileShares(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: loop devices and mounts")
	}
	if _, err := exec.LookPath("mkfs.xfs"); err != nil {
		t.Skip("needs mkfs.xfs: ", err)
	}
	disk, mount := filepath.Join(t.TempDir(), "xfs"), t.TempDir()
	if err := makeEmpty(disk, 512<<20); err != nil {
		t.Fatal(err)
	}
	for _, argv := range [][]string{{"mkfs.xfs", "-q", disk}, {"mount", "-o", "loop", disk, mount}} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v %s", argv, err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", mount).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
	from := filepath.Join(mount, "from")
	if err := os.WriteFile(from, bytes.Repeat([]byte("full "), 20<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syncFile(from); err != nil {
		t.Fatal(err)
	}
	free := func() uint64 {
		var st unix.Statfs_t
		if err := unix.Statfs(mount, &st); err != nil {
			t.Fatal(err)
		}
		return st.Bfree * uint64(st.Bsize)
	}
	before := free()
	shared, err := copyFile(t.Context(), from, filepath.Join(mount, "to"), 200<<20)
	if err != nil || !shared {
		t.Fatalf("shared %v, %v", shared, err)
	}
	if after := free(); before-after > 10<<20 {
		t.Errorf("the copy takes %d bytes", before-after)
	}
	if info, err := os.Stat(filepath.Join(mount, "to")); err != nil || info.Size() != 200<<20 {
		t.Errorf("the copy is %v, %v", info, err)
	}
}
