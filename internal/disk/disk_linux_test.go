package disk_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/imagebakery/packer-plugin-bakery/internal/disk"
	"github.com/imagebakery/packer-plugin-bakery/internal/disk/disktest"
)

const MiB = disktest.MiB

func read(t *testing.T, image string) disk.Disk {
	t.Helper()
	disktest.NeedTools(t, "blkid")
	d, err := disk.Read(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// checkAgainstSfdisk compares what we read of the table with what sfdisk reads.
func checkAgainstSfdisk(t *testing.T, image string, d disk.Disk) {
	t.Helper()
	want := disktest.Dump(t, image)
	if len(want) != len(d.Partitions) {
		t.Errorf("%d partitions, sfdisk finds %d", len(d.Partitions), len(want))
	}
	for _, p := range d.Partitions {
		w := want[p.Number]
		got := disktest.Partition{Node: w.Node, Start: p.Start / 512, Size: p.Size / 512,
			Type: p.Type, UUID: p.UUID, Name: p.Label}
		w.Type, w.UUID = strings.ToLower(w.Type), strings.ToLower(w.UUID)
		if len(w.Type) == 1 { // sfdisk leaves out a leading zero
			w.Type = "0" + w.Type
		}
		if d.Table == "mbr" {
			w.UUID = got.UUID // which sfdisk does not print
		}
		if diff := cmp.Diff(w, got); diff != "" {
			t.Errorf("partition %d (-sfdisk +ours):\n%s", p.Number, diff)
		}
	}
}

func TestReadGPT(t *testing.T) {
	image := disktest.Partitioned(t, 640*MiB, `label: gpt
size=1M, type=21686148-6449-6E6F-744E-656564454649
size=40M, type=U, name="EFI system äö"
size=64M, type=bc13c2ff-59e6-4262-a352-b275fd6f7172
size=128M, type=S
type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709
`, map[int][]string{
		2: {"mkfs.vfat", "-n", "UEFI"},
		3: {"mkfs.ext4", "-q", "-L", "boot"},
		4: {"mkswap"},
		5: {"mkfs.xfs", "-q", "-L", `a b"$\x`},
	})
	d := read(t, image)
	checkAgainstSfdisk(t, image, d)
	if d.Table != "gpt" || d.Size != 640*MiB {
		t.Errorf("table %q of %d bytes, want gpt of 640 MiB", d.Table, d.Size)
	}
	var types, labels []string
	for _, p := range d.Partitions {
		types, labels = append(types, p.Filesystem.Type), append(labels, p.Filesystem.Label)
	}
	if diff := cmp.Diff([]string{"", "vfat", "ext4", "swap", "xfs"}, types); diff != "" {
		t.Errorf("file systems (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"", "UEFI", "boot", "", `a b"$\x`}, labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	root, err := d.Root()
	if err != nil || root.Number != 5 {
		t.Errorf("Root = %v, %v; want partition 5", root, err)
	}
}

func TestReadGPTFromBackup(t *testing.T) {
	image := disktest.Partitioned(t, 64*MiB, "label: gpt\nsize=20M, name=one\nname=two\n", nil)
	want := read(t, image)
	f, err := os.OpenFile(image, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	// One bit of the disk's GUID: the header's checksum is wrong then.
	_, err = f.WriteAt([]byte{0xff}, 512+60)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, read(t, image)); diff != "" {
		t.Errorf("by the backup table (-by the primary +got):\n%s", diff)
	}
}

func TestReadMBRWithLogicalPartitions(t *testing.T) {
	image := disktest.Partitioned(t, 256*MiB, `label: dos
p1: size=32M, type=82
p2: size=160M, type=5
p3: size=32M, type=83
p5: size=20M, type=83
p6: size=90M, type=83
`, map[int][]string{
		1: {"mkswap"},
		3: {"mkfs.ext4", "-q", "-L", "data"},
		6: {"mkfs.ext4", "-q", "-L", "cloudimg-rootfs"},
	})
	d := read(t, image)
	checkAgainstSfdisk(t, image, d)
	if d.Table != "mbr" {
		t.Errorf("table = %q, want mbr", d.Table)
	}
	root, err := d.Root()
	if err != nil || root.Number != 6 || root.Filesystem.Label != "cloudimg-rootfs" {
		t.Errorf("Root = %v, %v; want partition 6", root, err)
	}
}

func TestReadWholeDiskFilesystem(t *testing.T) {
	// FAT ends its boot sector as an MBR does, and so may be taken for one.
	for name, argv := range map[string][]string{
		"ext4":  {"mkfs.ext4", "-q", "-L", "all"},
		"btrfs": {"mkfs.btrfs", "-q", "-L", "all"},
		"vfat":  {"mkfs.vfat", "-n", "ALL"},
	} {
		t.Run(name, func(t *testing.T) {
			image := disktest.New(t, 128*MiB)
			disktest.Mkfs(t, image, argv...)
			d := read(t, image)
			if d.Table != "" || len(d.Partitions) > 0 || d.Filesystem.Type != name || !strings.EqualFold(d.Filesystem.Label, "all") {
				t.Errorf("disk = %+v, want %s labelled all without a table", d, name)
			}
			root, err := d.Root()
			if name == "vfat" {
				if !errors.Is(err, disk.ErrNoRoot) {
					t.Errorf("Root = %v, %v; want ErrNoRoot", root, err)
				}
			} else if err != nil || root.Number != 0 || root.Size != 128*MiB {
				t.Errorf("Root = %v, %v; want the whole disk", root, err)
			}
		})
	}
}

func TestReadErrors(t *testing.T) {
	disktest.NeedTools(t, "blkid", "sfdisk")
	dir := t.TempDir()
	cut := disktest.Partitioned(t, 64*MiB, "label: gpt\nsize=20M\n\n", nil)
	if err := os.Truncate(cut, 40*MiB); err != nil {
		t.Fatal(err)
	}
	headless := disktest.Partitioned(t, 8*MiB, "label: gpt\nsize=2M\n", nil)
	for _, at := range []int64{512, 8*MiB - 512} {
		f, err := os.OpenFile(headless, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt(make([]byte, 512), at)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	sun := disktest.Partitioned(t, 64*MiB, "label: sun\n", nil)
	for name, tt := range map[string]struct{ path, want string }{
		"missing":         {dir + "/none", "no such file"},
		"folder":          {dir, "is a directory"},
		"empty":           {disktest.New(t, 0), "is empty"},
		"cut off":         {cut, "cut off"},
		"protective only": {headless, "none that fits the disk"},
		"other table":     {sun, "type sun"},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := disk.Read(t.Context(), tt.path)
			if err == nil {
				t.Fatalf("Read = %+v, want an error", d)
			}
			if !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.path) {
				t.Errorf("error = %v, want %q and the path in it", err, tt.want)
			}
		})
	}
}

func TestReadBlank(t *testing.T) {
	d := read(t, disktest.New(t, MiB))
	if diff := cmp.Diff(disk.Disk{Size: MiB}, d); diff != "" {
		t.Errorf("blank disk (-want +got):\n%s", diff)
	}
}

func TestReadWithoutBlkid(t *testing.T) {
	image := disktest.New(t, MiB)
	t.Setenv("PATH", t.TempDir())
	_, err := disk.Read(t.Context(), image)
	if err == nil || !strings.Contains(err.Error(), "install util-linux") {
		t.Errorf("error = %v, want one that says what to install", err)
	}
}
