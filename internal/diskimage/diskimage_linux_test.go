package diskimage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/imagebakery/packer-plugin-bakery/internal/disk"
	"github.com/imagebakery/packer-plugin-bakery/internal/disk/disktest"
	"github.com/imagebakery/packer-plugin-bakery/internal/loop"
)

const osReleaseText = `PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
ID=debian
VERSION_ID="12"
VERSION_CODENAME=bookworm
`

// capability is a security.capability attribute: cap_net_raw+ep, revision 2.
var capability = []byte{1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: loop devices and mounts")
	}
	disktest.NeedTools(t, "mke2fs", "blkid")
}

// folder makes a small root file system with what a copy may lose.
func folder(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	write := func(name, content string, mode os.FileMode) {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	write("usr/lib/os-release", osReleaseText, 0o644)
	write("usr/bin/dash", "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00 and so on", 0o755)
	write("usr/bin/ping", "ping", 0o755)
	write("usr/bin/su", "su", 0o755|os.ModeSetuid)
	write("tmp/note", "note", 0o640)
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		os.Mkdir(path("etc"), 0o755),
		os.Mkdir(path("dev"), 0o755),
		os.Symlink("/usr/lib/os-release", path("etc/os-release")),
		os.Symlink("usr/bin", path("bin")),
		os.Symlink("/bin/dash", path("usr/bin/sh")),
		os.Link(path("usr/bin/ping"), path("usr/bin/ping4")),
		os.Chown(path("tmp/note"), 1000, 70000),
		os.Chmod(path("tmp"), 0o777|os.ModeSticky),
		unix.Mknod(path("dev/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))),
		unix.Mkfifo(path("dev/initctl"), 0o600),
		unix.Setxattr(path("usr/bin/ping"), "security.capability", capability, 0),
		os.Truncate(path("tmp/note"), 50<<20),
		os.Chtimes(path("tmp/note"), time.Time{}, time.Unix(1600000000, 0)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mustBuild(t *testing.T, src string, o Options) (string, Facts) {
	t.Helper()
	dst := filepath.Join(t.TempDir(), "disk.raw")
	facts, err := Build(t.Context(), src, dst, o)
	if err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, dst)
	return dst, facts
}

// nothingLeft checks that the folder of dst holds nothing else and that no loop
// device is bound to a file in it.
func nothingLeft(t *testing.T, dst string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(dst))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Name() != filepath.Base(dst) {
			t.Errorf("%s was left behind", entry.Name())
		}
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		devices, err := loop.List()
		if err != nil {
			t.Fatal(err)
		}
		left := ""
		for _, d := range devices {
			if strings.HasPrefix(d.Backing, filepath.Dir(dst)+"/") {
				left = d.Path
			}
		}
		if left == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s was left behind", left)
		}
	}
}

// attributes of a file that must survive.
type attributes struct {
	Mode, UID, GID, Links uint32
	Rdev                  uint64
	Mtime                 int64
	Size, Blocks          int64
	Capability            string
}

func attributesOf(t *testing.T, root, name string) attributes {
	t.Helper()
	path := root + "/" + name // "." must stay, to follow a link that root may be
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	a := attributes{Mode: st.Mode, UID: st.Uid, GID: st.Gid, Links: uint32(st.Nlink), Rdev: st.Rdev, Mtime: st.Mtim.Sec}
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		a.Size, a.Blocks = st.Size, st.Blocks
		value := make([]byte, 64)
		if n, err := unix.Lgetxattr(path, "security.capability", value); err == nil {
			a.Capability = fmt.Sprintf("%x", value[:n])
		}
	}
	return a
}

func TestBuildFromFolder(t *testing.T) {
	needRoot(t)
	disktest.NeedTools(t, "sgdisk", "e2fsck")
	src := folder(t)
	dst, facts := mustBuild(t, src, Options{})
	want := Facts{Name: "debian-12-x86_64", Architecture: "x86_64", OSID: "debian", OSVersion: "12",
		OSCodename: "bookworm", RootPartition: 1, Size: gib}
	if diff := cmp.Diff(want, facts); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	if out := disktest.Run(t, "", "sgdisk", "--verify", dst); !strings.Contains(string(out), "No problems found") {
		t.Errorf("sgdisk --verify: %s", out)
	}
	d, err := disk.Read(t.Context(), dst)
	if err != nil {
		t.Fatal(err)
	}
	root, err := d.Root()
	if err != nil || root.Type != disk.TypeRootX8664 || root.Label != "root" || root.Filesystem.Label != "root" {
		t.Errorf("root = %+v, %v; want it typed and labelled", root, err)
	}
	disktest.Run(t, "", "e2fsck", "-f", "-n", fmt.Sprintf("%s?offset=%d", dst, root.Start))

	tree, err := mountPrivately(dst, root)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	mounted := fmt.Sprintf("/proc/self/fd/%d", tree.Fd())
	for _, name := range []string{".", "bin", "dev/null", "dev/initctl", "etc/os-release", "tmp", "tmp/note",
		"usr/bin/ping", "usr/bin/ping4", "usr/bin/su", "usr/lib/os-release"} {
		want, got := attributesOf(t, src, name), attributesOf(t, mounted, name)
		if name == "." {
			want.Links = got.Links // lost+found is new
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-folder +disk):\n%s", name, diff)
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(dst, &st); err != nil {
		t.Fatal(err)
	}
	if used := st.Blocks * 512; used > 40<<20 {
		t.Errorf("the disk takes %d MiB, want it sparse", used>>20)
	}
	tree.Close()
	nothingLeft(t, dst)
}

func TestBuildFromFolderIsRepeatable(t *testing.T) {
	needRoot(t)
	src := folder(t)
	first, _ := mustBuild(t, src, Options{Size: 1, Label: "system"})
	second, _ := mustBuild(t, src, Options{Size: gib, Label: "system"})
	disktest.NeedTools(t, "cmp")
	disktest.Run(t, "", "cmp", first, second)
}

// cloudDisk makes a disk as clouds offer them: EFI, BIOS boot, root.
func cloudDisk(t *testing.T, size int64, mkfs ...string) string {
	t.Helper()
	root := folder(t)
	image := disktest.Partitioned(t, size, `label: gpt
p1: start=128M, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709
p14: start=1M, size=1M, type=21686148-6449-6E6F-744E-656564454649
p15: start=2M, size=126M, type=U
`, map[int][]string{1: mkfs, 15: {"mkfs.vfat"}})
	partition := disktest.Dump(t, image)[1]
	device, err := loop.Attach(image, loop.Options{Offset: partition.Start * 512, Size: partition.Size * 512})
	if err != nil {
		t.Fatal(err)
	}
	target := t.TempDir()
	disktest.Run(t, "", "mount", device.Path, target)
	disktest.Run(t, "", "cp", "-a", root+"/.", target)
	disktest.Run(t, "", "umount", target)
	if err := device.Detach(); err != nil {
		t.Fatal(err)
	}
	return image
}

func TestBuildFromRawDisk(t *testing.T) {
	needRoot(t)
	for name, mkfs := range map[string][]string{
		"ext4":  {"mkfs.ext4", "-q"},
		"xfs":   {"mkfs.xfs", "-q"},
		"btrfs": {"mkfs.btrfs", "-q"},
	} {
		t.Run(name, func(t *testing.T) {
			const size = 600 << 20
			src := cloudDisk(t, size, mkfs...)
			dst, facts := mustBuild(t, src, Options{})
			want := Facts{Name: "debian-12-x86_64", Architecture: "x86_64", BootMode: "uefi-preferred", OSID: "debian",
				OSVersion: "12", OSCodename: "bookworm", RootPartition: 1, Size: gib}
			if diff := cmp.Diff(want, facts); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
			disktest.Run(t, "", "cmp", "--bytes", fmt.Sprint(size), src, dst)
			before, err := disk.Read(t.Context(), src)
			if err != nil {
				t.Fatal(err)
			}
			after, err := disk.Read(t.Context(), dst)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before.Partitions, after.Partitions); diff != "" {
				t.Errorf("partitions (-source +grown):\n%s", diff)
			}
		})
	}
}

func TestBuildFromQcow2(t *testing.T) {
	needRoot(t)
	disktest.NeedTools(t, "qemu-img")
	const size = 300<<20 + 512
	raw := disktest.New(t, size)
	disktest.Mkfs(t, raw, "mkfs.ext4", "-q", "-d", folder(t))
	for name, options := range map[string][]string{
		"plain":           {"-o", "compat=1.1"},
		"version 2":       {"-o", "compat=0.10"},
		"small clusters":  {"-o", "cluster_size=4k"},
		"compressed":      {"-c"},
		"compressed zstd": {"-c", "-o", "compression_type=zstd"},
	} {
		t.Run(name, func(t *testing.T) {
			src := filepath.Join(t.TempDir(), "disk.qcow2")
			argv := append([]string{"qemu-img", "convert", "-f", "raw", "-O", "qcow2"}, options...)
			disktest.Run(t, "", append(argv, raw, src)...)
			dst, facts := mustBuild(t, src, Options{})
			if facts.OSID != "debian" || facts.RootPartition != 0 || facts.BootMode != "" || facts.Size != gib {
				t.Errorf("facts = %+v", facts)
			}
			disktest.Run(t, "", "cmp", "--bytes", fmt.Sprint(size), raw, dst)
		})
	}
}

func TestBuildRefuses(t *testing.T) {
	needRoot(t)
	disktest.NeedTools(t, "qemu-img", "sfdisk")
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	base := disktest.New(t, 8<<20)
	backed := filepath.Join(dir, "backed.qcow2")
	disktest.Run(t, "", "qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", backed)
	extended := filepath.Join(dir, "extended.qcow2")
	disktest.Run(t, "", "qemu-img", "create", "-q", "-f", "qcow2", "-o", "extended_l2=on", extended, "64M")
	whole := filepath.Join(dir, "whole.qcow2")
	disktest.Run(t, "", "qemu-img", "create", "-q", "-f", "qcow2", whole, "64M")
	content, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	cut := file("cut.qcow2", string(content[:1000]))
	vmdk := filepath.Join(dir, "d.vmdk")
	disktest.Run(t, "", "qemu-img", "create", "-q", "-f", "vmdk", vmdk, "64M")
	vpc := filepath.Join(dir, "d.vhd")
	disktest.Run(t, "", "qemu-img", "create", "-q", "-f", "vpc", "-o", "subformat=fixed", vpc, "8M")
	mounted := folder(t)
	if err := unix.Mount("tmpfs", filepath.Join(mounted, "dev"), "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(filepath.Join(mounted, "dev"), 0) })
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	riscv := folder(t)
	if err := os.WriteFile(filepath.Join(riscv, "usr/bin/dash"), []byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xf3\x00"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		src     string
		options Options
		want    string
	}{
		"missing":            {filepath.Join(dir, "none"), Options{}, "no such file"},
		"empty":              {file("empty", ""), Options{}, "is empty"},
		"FIFO":               {fifo, Options{}, "neither a file"},
		"backing file":       {backed, Options{}, "qemu-img convert"},
		"subclusters":        {extended, Options{}, "subclusters are not supported"},
		"cut off":            {cut, Options{}, "cut off"},
		"VMDK":               {vmdk, Options{}, "VMDK image"},
		"fixed VHD":          {vpc, Options{}, "VHD image"},
		"xz":                 {file("disk.raw.xz", "\xfd7zXZ\x00..."), Options{}, "unxz"},
		"mounts in folder":   {mounted, Options{}, filepath.Join(mounted, "dev") + " is mounted in it"},
		"no system":          {t.TempDir(), Options{}, "cannot tell the architecture"},
		"blank disk":         {base, Options{}, "no root file system found"},
		"other architecture": {folder(t), Options{Architecture: "arm64"}, "programs on the disk are for x86_64"},
		"no such machine":    {riscv, Options{}, "ELF machine 243"},
		"too small":          {disktest.New(t, 2*gib), Options{Size: gib}, "2.0 GiB are needed"},
		"wrong words": {base, Options{Architecture: "amd64", BootMode: "bios", Label: strings.Repeat("x", 17), Size: -1},
			"boot mode \"bios\""},
	} {
		t.Run(name, func(t *testing.T) {
			dst := filepath.Join(t.TempDir(), "out.raw")
			facts, err := Build(t.Context(), tt.src, dst, tt.options)
			if err == nil {
				t.Fatalf("made %+v", facts)
			}
			if !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.src) {
				t.Errorf("error = %v, want %q and the source in it", err, tt.want)
			}
			nothingLeft(t, dst)
			if _, err := os.Lstat(dst); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s exists: %v", dst, err)
			}
		})
	}
}

func TestBuildBlankDiskOfKnownArchitecture(t *testing.T) {
	needRoot(t)
	_, facts := mustBuild(t, disktest.New(t, 8<<20), Options{Architecture: "arm64", BootMode: "uefi"})
	if facts.Architecture != "arm64" || facts.BootMode != "uefi" || facts.OSID != "" {
		t.Errorf("facts = %+v", facts)
	}
}

func TestBuildKeepsExistingFile(t *testing.T) {
	dst := filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(dst, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(t.Context(), t.TempDir(), dst, Options{}); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("error = %v, want a refusal", err)
	}
	if content, err := os.ReadFile(dst); err != nil || string(content) != "precious" {
		t.Errorf("file = %q, %v", content, err)
	}
}

func TestBuildCancelled(t *testing.T) {
	needRoot(t)
	disktest.NeedTools(t, "qemu-img")
	raw := disktest.New(t, 64<<20)
	f, err := os.OpenFile(raw, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.NewOffsetWriter(f, 8<<20), io.LimitReader(letters{}, 8<<20))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	qcow2 := filepath.Join(t.TempDir(), "disk.qcow2")
	disktest.Run(t, "", "qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, qcow2)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, src := range []string{raw, qcow2, folder(t)} {
		dst := filepath.Join(t.TempDir(), "out.raw")
		if _, err := Build(ctx, src, dst, Options{Architecture: "x86_64"}); !errors.Is(err, context.Canceled) {
			t.Errorf("Build(%s) = %v, want it cancelled", src, err)
		}
		nothingLeft(t, dst)
	}
}

// letters is an endless text.
type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// TestHostileTree has paths in the image that lead to the host, or nowhere.
func TestHostileTree(t *testing.T) {
	dir := t.TempDir()
	tree, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	for _, err := range []error{
		os.WriteFile(secret, []byte("of the host"), 0o644),
		os.WriteFile(filepath.Join(dir, "large"), make([]byte, 1<<20), 0o644),
		os.Symlink(secret, filepath.Join(dir, "absolute")),
		os.Symlink("../../../../../../../../"+secret, filepath.Join(dir, "relative")),
		os.Symlink("circle", filepath.Join(dir, "circle")),
		os.Symlink("/proc/self/root/etc/passwd", filepath.Join(dir, "magic")),
		unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"absolute", "relative", "circle", "magic", "fifo", "/large/below", "/../.." + secret} {
		if text, err := readInside(tree, name, 100); !absent(err) {
			t.Errorf("readInside(%s) = %q, %v; want it absent", name, text, err)
		}
	}
	if text, err := readInside(tree, "/../large", 100); err != nil || len(text) != 100 {
		t.Errorf("readInside of a large file = %d bytes, %v; want 100", len(text), err)
	}
}
