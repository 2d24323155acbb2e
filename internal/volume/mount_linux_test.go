package volume

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/imagebakery/packer-plugin-bakery/internal/disk"
	"github.com/imagebakery/packer-plugin-bakery/internal/disk/disktest"
	"github.com/imagebakery/packer-plugin-bakery/internal/loop"
)

const mib = disktest.MiB

// cloudTable is what cloud images look like.
const cloudTable = `label: gpt
p1: start=64M, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name="the system"
p14: start=1M, size=1M, type=21686148-6449-6E6F-744E-656564454649
p15: start=2M, size=62M, type=U
`

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: loop devices and mounts")
	}
	disktest.NeedTools(t, "blkid", "mount")
}

// attach binds an image to a loop device, as the disk that it stands for. It
// fails the test if anything on the disk is still in use in the end.
func attach(t *testing.T, image string, o loop.Options) string {
	t.Helper()
	d, err := loop.Attach(image, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		over, err := loop.Find(d.Path)
		if err != nil || len(over) > 0 {
			t.Errorf("loop devices over %s: %v, %v; want none", d.Path, over, err)
		}
		if err := d.Detach(); err != nil {
			t.Error(err)
		}
	})
	return d.Path
}

func mustMount(t *testing.T, o MountOptions) *Mounted {
	t.Helper()
	if o.Target == "" {
		o.Target = filepath.Join(t.TempDir(), "new", "mount")
	}
	m, err := Mount(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unmountSoon(t, m) })
	return m
}

func unmountSoon(t *testing.T, m *Mounted) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := m.Unmount(ctx); err != nil {
		t.Error(err)
	}
}

func TestMount(t *testing.T) {
	needRoot(t)
	gpt := func(mkfs ...string) func(*testing.T) string {
		return func(t *testing.T) string {
			return disktest.Partitioned(t, 400*mib, cloudTable, map[int][]string{1: mkfs, 15: {"mkfs.vfat"}})
		}
	}
	whole := func(t *testing.T) string {
		image := disktest.New(t, 64*mib)
		disktest.Mkfs(t, image, "mkfs.ext4", "-q")
		return image
	}
	two := func(t *testing.T) string {
		return disktest.Partitioned(t, 200*mib, "label: dos\np1: size=90M, type=83\np2: type=83\n", map[int][]string{
			1: {"mkfs.ext4", "-q", "-L", "small"}, 2: {"mkfs.ext4", "-q", "-L", "large", "-U", "11111111-2222-3333-4444-555555555555"}})
	}
	for name, tt := range map[string]struct {
		image     func(*testing.T) string
		partition string
		want      int
		kind      string
	}{
		"GPT with ext4":       {gpt("mkfs.ext4", "-q"), "", 1, "ext4"},
		"GPT with XFS":        {gpt("mkfs.xfs", "-q"), "", 1, "xfs"},
		"GPT with btrfs":      {gpt("mkfs.btrfs", "-q"), "", 1, "btrfs"},
		"partition label":     {gpt("mkfs.ext4", "-q"), "the system", 1, "ext4"},
		"whole disk":          {whole, "", 0, "ext4"},
		"whole disk, as said": {whole, "0", 0, "ext4"},
		"MBR":                 {two, "", 2, "ext4"},
		"MBR by number":       {two, "1", 1, "ext4"},
		"MBR by label":        {two, "small", 1, "ext4"},
		"MBR by UUID":         {two, "11111111-2222-3333-4444-555555555555", 2, "ext4"},
	} {
		t.Run(name, func(t *testing.T) {
			device := attach(t, tt.image(t), loop.Options{})
			target := filepath.Join(t.TempDir(), "new", "mount")
			for round := range 2 {
				m := mustMount(t, MountOptions{Device: device, Partition: tt.partition, Target: target, Options: []string{"noatime"}})
				if m.Partition.Number != tt.want || m.Filesystem != tt.kind || m.Target != target {
					t.Errorf("mounted %+v, want partition %d with %s", m, tt.want, tt.kind)
				}
				note := filepath.Join(target, "note")
				if round == 0 {
					if err := os.WriteFile(note, []byte("kept"), 0o600); err != nil {
						t.Fatal(err)
					}
				} else if text, err := os.ReadFile(note); err != nil || string(text) != "kept" {
					t.Errorf("after a second mount the file is %q, %v", text, err)
				}
				unmountSoon(t, m)
				unmountSoon(t, m) // again
				if _, err := os.Stat(filepath.Dir(target)); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("the folders made for the mount are still there: %v", err)
				}
			}
		})
	}
}

func TestMountClonesOfXFSTogether(t *testing.T) {
	needRoot(t)
	image := disktest.New(t, 320*mib)
	disktest.Mkfs(t, image, "mkfs.xfs", "-q")
	clone := filepath.Join(t.TempDir(), "clone")
	disktest.Run(t, "", "cp", "--sparse=always", image, clone)
	first := mustMount(t, MountOptions{Device: attach(t, image, loop.Options{})})
	second := mustMount(t, MountOptions{Device: attach(t, clone, loop.Options{})})
	if first.Partition.Filesystem.UUID != second.Partition.Filesystem.UUID {
		t.Fatal("the clone has a UUID of its own; the test shows nothing")
	}
}

func TestMountKeepsExistingFolder(t *testing.T) {
	needRoot(t)
	image := disktest.New(t, 64*mib)
	disktest.Mkfs(t, image, "mkfs.ext4", "-q")
	target := t.TempDir()
	m := mustMount(t, MountOptions{Device: attach(t, image, loop.Options{}), Target: target})
	unmountSoon(t, m)
	if _, err := os.Stat(target); err != nil {
		t.Errorf("the folder is gone: %v", err)
	}
}

// TestMountUsesLoopOfPartition has loop devices over parts of the disk, as the
// local cloud makes them.
func TestMountUsesLoopOfPartition(t *testing.T) {
	needRoot(t)
	image := disktest.Partitioned(t, 200*mib, cloudTable, map[int][]string{1: {"mkfs.ext4", "-q"}})
	p := disktest.Dump(t, image)[1]
	start, size := p.Start*512, p.Size*512
	for name, tt := range map[string]struct {
		options loop.Options
		used    bool
	}{
		"same part":     {loop.Options{Offset: start, Size: size}, true},
		"shorter":       {loop.Options{Offset: start, Size: size - mib}, false},
		"another begin": {loop.Options{Offset: start + mib, Size: size - mib}, false},
		"read-only":     {loop.Options{Offset: start, Size: size, ReadOnly: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			device := attach(t, image, loop.Options{})
			part := attach(t, image, tt.options)
			link := filepath.Join(t.TempDir(), "xvdf")
			if err := os.Symlink(device, link); err != nil {
				t.Fatal(err)
			}
			m := mustMount(t, MountOptions{Device: link})
			if used := m.Source == part; used != tt.used || m.Source == device {
				t.Errorf("mounted %s; want %s: %v", m.Source, part, tt.used)
			}
			unmountSoon(t, m)
		})
	}
}

// physicalVolume makes an image that starts as LVM's physical volumes do
// (lvm2: lib/format_text/layout.h).
func physicalVolume(t *testing.T) string {
	t.Helper()
	label := make([]byte, 512)
	copy(label, "LABELONE")
	binary.LittleEndian.PutUint64(label[8:], 1)
	binary.LittleEndian.PutUint32(label[20:], 32)
	copy(label[24:], "LVM2 001")
	copy(label[32:], "abcdefghijklmnopqrstuvwxyz012345")
	binary.LittleEndian.PutUint32(label[16:], ^crc32.Update(^uint32(0xf597a6cf), crc32.IEEETable, label[20:]))
	image := disktest.New(t, 8*mib)
	f, err := os.OpenFile(image, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(label, 512)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return image
}

func TestMountFailsCleanly(t *testing.T) {
	needRoot(t)
	ext4 := disktest.Partitioned(t, 100*mib, cloudTable, map[int][]string{1: {"mkfs.ext4", "-q"}, 15: {"mkfs.vfat"}})
	good := attach(t, ext4, loop.Options{})
	broken := disktest.Partitioned(t, 100*mib, cloudTable, map[int][]string{1: {"mkfs.ext4", "-q"}})
	start := disktest.Dump(t, broken)[1].Start * 512
	f, err := os.OpenFile(broken, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	// The group descriptors, which the superblock's checksum does not cover.
	_, err = f.WriteAt([]byte(strings.Repeat("x", 64<<10)), start+2048)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	occupied := t.TempDir()
	if err := unix.Mount("tmpfs", occupied, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(occupied, 0) })
	for name, tt := range map[string]struct {
		options MountOptions
		is      error
		says    string
	}{
		"LVM":             {MountOptions{Device: attach(t, physicalVolume(t), loop.Options{})}, disk.ErrLVM, "device-mapper"},
		"no such device":  {MountOptions{Device: "/dev/none"}, os.ErrNotExist, "/dev/none"},
		"a file":          {MountOptions{Device: ext4}, nil, "is not a block device"},
		"no such label":   {MountOptions{Device: good, Partition: "data"}, disk.ErrNoPartition, "partition 15"},
		"no file system":  {MountOptions{Device: good, Partition: "14"}, disk.ErrNotFilesystem, "recognises nothing"},
		"broken":          {MountOptions{Device: attach(t, broken, loop.Options{})}, nil, "mount -t ext4"},
		"write-protected": {MountOptions{Device: attach(t, ext4, loop.Options{ReadOnly: true})}, nil, "mount"},
		"bad option":      {MountOptions{Device: good, Options: []string{"nonsense"}}, nil, "nonsense"},
		"occupied":        {MountOptions{Device: good, Target: occupied}, nil, "mounted there already"},
		"relative target": {MountOptions{Device: good, Target: "here"}, nil, "not an absolute path"},
	} {
		t.Run(name, func(t *testing.T) {
			parent := filepath.Join(t.TempDir(), "new")
			if tt.options.Target == "" {
				tt.options.Target = filepath.Join(parent, "mount")
			}
			m, err := Mount(t.Context(), tt.options)
			if err == nil {
				unmountSoon(t, m)
				t.Fatalf("mounted %+v", m)
			}
			if tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error = %v, want %v with %q in it", err, tt.is, tt.says)
			}
			if _, err := os.Stat(parent); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s was left behind: %v", parent, err)
			}
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Mount(ctx, MountOptions{Device: good, Target: t.TempDir()}); !errors.Is(err, context.Canceled) {
			t.Errorf("error = %v, want it cancelled", err)
		}
	})
}

func TestMountReadOnly(t *testing.T) {
	needRoot(t)
	image := disktest.New(t, 64*mib)
	disktest.Mkfs(t, image, "mkfs.ext4", "-q")
	m := mustMount(t, MountOptions{Device: attach(t, image, loop.Options{ReadOnly: true}), Options: []string{"ro"}})
	if err := os.WriteFile(filepath.Join(m.Target, "new"), nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("writing gives %v, want EROFS", err)
	}
}

func TestMountIsPrivateBelowSharedParent(t *testing.T) {
	needRoot(t)
	parent := t.TempDir()
	if err := unix.Mount("tmpfs", parent, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(parent, 0) })
	if err := unix.Mount("", parent, "", unix.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
	image := disktest.New(t, 64*mib)
	disktest.Mkfs(t, image, "mkfs.ext4", "-q")
	m := mustMount(t, MountOptions{Device: attach(t, image, loop.Options{}), Target: filepath.Join(parent, "root")})
	mounts, err := mountsAt(m.Target)
	if err != nil || len(mounts) != 1 || mounts[0].Optional != "" {
		t.Errorf("mounts = %+v, %v; want one that is not shared", mounts, err)
	}
	unmountSoon(t, m)
}

// start runs a command for as long as the test needs it.
func start(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}
