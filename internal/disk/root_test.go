package disk

import (
	"errors"
	"strings"
	"testing"
)

const gib = 1 << 30

func TestRoot(t *testing.T) {
	ext4 := Filesystem{Type: "ext4"}
	labelled := func(label string) Filesystem { return Filesystem{Type: "ext4", Label: label} }
	esp := Partition{Number: 15, Size: gib / 8, Type: TypeESP, Filesystem: Filesystem{Type: "vfat", Label: "root"}}
	bios := Partition{Number: 14, Size: gib / 256, Type: TypeBIOSBoot}
	for name, tt := range map[string]struct {
		disk Disk
		want int
		err  error
		says string
	}{
		"type wins over label and size": {
			disk: Disk{Table: "gpt", Partitions: []Partition{
				{Number: 1, Size: gib, Type: TypeRootX8664, Filesystem: ext4},
				{Number: 2, Size: 4 * gib, Type: TypeLinux, Filesystem: labelled("root")}, bios, esp}},
			want: 1,
		},
		"arm64 type": {
			disk: Disk{Table: "gpt", Partitions: []Partition{
				{Number: 1, Size: 4 * gib, Type: TypeLinux, Filesystem: ext4},
				{Number: 2, Size: gib, Type: TypeRootARM64, Filesystem: Filesystem{Type: "xfs"}}}},
			want: 2,
		},
		"label of the file system": {
			disk: Disk{Table: "gpt", Partitions: []Partition{
				{Number: 1, Size: gib, Type: TypeLinux, Filesystem: labelled("cloudimg-rootfs")},
				{Number: 2, Size: 4 * gib, Type: TypeLinux, Filesystem: labelled("data")}, esp}},
			want: 1,
		},
		"label of the partition": {
			disk: Disk{Table: "gpt", Partitions: []Partition{
				{Number: 1, Size: gib, Type: TypeLinux, Label: "Root", Filesystem: ext4},
				{Number: 2, Size: 4 * gib, Type: TypeLinux, Filesystem: ext4}}},
			want: 1,
		},
		"Amazon Linux": {
			disk: Disk{Table: "gpt", Partitions: []Partition{
				{Number: 1, Size: 8 * gib, Type: TypeLinux, Label: "Linux", Filesystem: Filesystem{Type: "xfs", Label: "/"}},
				{Number: 127, Size: gib / 1024, Type: TypeBIOSBoot, Label: "BIOS Boot Partition"},
				{Number: 128, Size: gib / 100, Type: TypeESP, Label: "EFI System Partition", Filesystem: Filesystem{Type: "vfat"}}}},
			want: 1,
		},
		"largest beside /boot": {
			disk: Disk{Table: "mbr", Partitions: []Partition{
				{Number: 1, Size: gib, Type: "83", Filesystem: ext4},
				{Number: 2, Size: 7 * gib, Type: "83", Filesystem: Filesystem{Type: "xfs"}},
				{Number: 3, Size: 9 * gib, Type: "82", Filesystem: Filesystem{Type: "swap"}}}},
			want: 2,
		},
		"boot partition is larger": {
			disk: Disk{Table: "gpt", Partitions: []Partition{
				{Number: 1, Size: 4 * gib, Type: TypeXBOOTLDR, Filesystem: ext4},
				{Number: 2, Size: 4 * gib, Type: TypeLinux, Filesystem: labelled("BOOT")},
				{Number: 3, Size: gib, Type: TypeLinux, Filesystem: ext4}}},
			want: 3,
		},
		"two of the type, label decides": {
			disk: Disk{Table: "gpt", Partitions: []Partition{
				{Number: 1, Size: gib, Type: TypeRootX8664, Label: "spare", Filesystem: ext4},
				{Number: 2, Size: gib, Type: TypeRootX8664, Label: "root", Filesystem: ext4}}},
			want: 2,
		},
		"two alike": {
			disk: Disk{Table: "gpt", Partitions: []Partition{
				{Number: 3, Size: gib, Type: TypeRootX8664, Filesystem: ext4},
				{Number: 4, Size: gib, Type: TypeRootX8664, Filesystem: ext4}}},
			err: ErrAmbiguous, says: "partitions 3 and 4",
		},
		"LVM": {
			disk: Disk{Table: "gpt", Partitions: []Partition{
				{Number: 1, Size: gib, Type: TypeLinux, Filesystem: Filesystem{Type: "xfs"}},
				{Number: 2, Size: 9 * gib, Type: "e6d6d379-f507-44c2-a23c-238f2a3df928", Filesystem: Filesystem{Type: "LVM2_member"}}}},
			want: 2, err: ErrLVM, says: "partition 2 (9.0 GiB, Linux LVM, LVM2_member)",
		},
		"LVM on the whole disk": {
			disk: Disk{Filesystem: Filesystem{Type: "LVM2_member"}},
			err:  ErrLVM, says: "the whole disk",
		},
		"encrypted": {
			disk: Disk{Table: "gpt", Partitions: []Partition{
				{Number: 1, Size: gib, Type: TypeRootX8664, Filesystem: Filesystem{Type: "crypto_LUKS"}}}},
			want: 1, err: ErrEncrypted,
		},
		"RAID": {
			disk: Disk{Table: "mbr", Partitions: []Partition{
				{Number: 1, Size: gib, Type: "fd", Filesystem: Filesystem{Type: "linux_raid_member"}}}},
			want: 1, err: ErrNotFilesystem, says: "linux_raid_member",
		},
		"only boot partitions": {
			disk: Disk{Table: "gpt", Partitions: []Partition{bios, esp}},
			err:  ErrNoRoot, says: `partition 15 (128 MiB, EFI system, vfat labelled "root")`,
		},
		"empty table": {
			disk: Disk{Size: gib, Table: "gpt"},
			err:  ErrNoRoot, says: "1.0 GiB with an empty GPT table",
		},
		"blank": {
			disk: Disk{Size: gib},
			err:  ErrNoRoot, says: "without a partition table, no known file system",
		},
		"Windows": {
			disk: Disk{Table: "gpt", Partitions: []Partition{
				{Number: 1, Size: 30 * gib, Type: "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", Filesystem: Filesystem{Type: "ntfs"}}}},
			err: ErrNoRoot, says: "ntfs",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tt.disk.Root()
			if !errors.Is(err, tt.err) {
				t.Fatalf("error = %v, want %v", err, tt.err)
			}
			if got.Number != tt.want {
				t.Errorf("partition %d, want %d", got.Number, tt.want)
			}
			if err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error = %v, want %q in it", err, tt.says)
			}
		})
	}
}

func TestFindPartition(t *testing.T) {
	d := Disk{Size: 9 * gib, Table: "gpt", Partitions: []Partition{
		{Number: 1, Size: gib, Label: "one", UUID: "11111111-0000-0000-0000-00000000000a",
			Filesystem: Filesystem{Type: "ext4", Label: "system", UUID: "aaaaaaaa-0000-0000-0000-000000000001"}},
		{Number: 2, Size: gib, Label: "twice", Filesystem: Filesystem{Type: "vfat", Label: "7", UUID: "15E0-C22C"}},
		{Number: 12, Size: gib, Label: "twice", Filesystem: Filesystem{Type: "xfs", Label: "one"}},
		{Number: 13, Size: gib, Label: "a=b"},
	}}
	for selector, want := range map[string]int{
		"0":         0,
		"1":         1,
		"12":        12,
		"system":    1,
		"15e0-c22c": 2,
		"LABEL=one": 12,
		"LABEL=7":   2,
		"a=b":       13,
		"UUID=AAAAAAAA-0000-0000-0000-000000000001": 1,
		"PARTLABEL=one": 1,
		"partuuid=11111111-0000-0000-0000-00000000000A": 1,
	} {
		if p, err := d.FindPartition(selector); err != nil || p.Number != want {
			t.Errorf("FindPartition(%q) = %v, %v; want number %d", selector, p, err, want)
		}
	}
	for selector, want := range map[string]error{
		"":        ErrNoPartition,
		"3":       ErrNoPartition,
		"-1":      ErrNoPartition,
		"7":       ErrNoPartition, // a number, never a label
		"LABEL=":  ErrNoPartition,
		"nothing": ErrNoPartition,
		"one":     ErrAmbiguous, // label of one, file system of another
		"twice":   ErrAmbiguous,
	} {
		if p, err := d.FindPartition(selector); !errors.Is(err, want) {
			t.Errorf("FindPartition(%q) = %v, %v; want %v", selector, p, err, want)
		}
	}
	whole, err := d.FindPartition("0")
	if err != nil || whole.Size != d.Size {
		t.Errorf("whole disk = %v, %v; want its size %d", whole, err, d.Size)
	}
}

func TestParseProbe(t *testing.T) {
	got := parseProbe([]byte("ID_FS_LABEL=a_b\nID_FS_LABEL_ENC=a\\x20b\\x5cx41\\xc3\\xa4\\x4\nID_FS_TYPE=ext4\nID_FS_UUID_ENC=u\nnonsense\n"))
	want := probed{Filesystem: Filesystem{Type: "ext4", Label: "a b\\x41ä\\x4", UUID: "u"}}
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
