package disk

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// What Root and Mountable may find instead of a file system that can be mounted.
var (
	// ErrNoRoot: nothing on the disk looks like the root of a Linux system.
	ErrNoRoot = errors.New("no root file system found")

	// ErrAmbiguous: several partitions fit equally well.
	ErrAmbiguous = errors.New("several partitions fit")

	// ErrLVM: a physical volume of LVM. Its volumes appear once device-mapper
	// has activated the volume group.
	ErrLVM = errors.New("it is a physical volume of LVM, which needs device-mapper")

	// ErrEncrypted: a LUKS container, which needs a key and device-mapper.
	ErrEncrypted = errors.New("it is encrypted (LUKS)")

	// ErrNotFilesystem: something else that cannot be mounted as it is.
	ErrNotFilesystem = errors.New("it holds no file system that can be mounted")
)

// rootLabels are the names that distributions give their root, lower-case:
// Debian and Ubuntu cloud images, Amazon Linux, SUSE, Red Hat.
var rootLabels = []string{"root", "rootfs", "/", "cloudimg-rootfs", "p.lxroot", "cloudimg-root"}

// bootLabels are those of partitions that hold kernels but not the system.
var bootLabels = []string{"boot", "/boot", "efi", "esp", "uefi", "bios", "grub", "xbootldr"}

// Root finds the partition that holds the root file system. The first rule that
// any partition meets decides:
//
//  1. a GPT type that the Discoverable Partitions Specification gives to roots
//     (https://uapi-group.org/specifications/specs/discoverable_partitions_specification/),
//  2. a customary label of the file system or the partition, such as "root",
//     "cloudimg-rootfs" or "/",
//  3. the largest that holds a file system of Linux,
//  4. a file system on the whole disk, without partitions (Number 0).
//
// Partitions for firmware, boot loaders, kernels and swap never count. When
// several meet a rule, the next one decides between them; when it does not
// either, the error wraps [ErrAmbiguous]. A root that cannot be mounted as it is
// comes with the error of [Partition.Mountable]. Without any the error wraps
// [ErrNoRoot] and says what is there.
func (d Disk) Root() (Partition, error) {
	p, err := d.root()
	if err != nil {
		return Partition{}, fmt.Errorf("find the root file system: %w; on the disk: %s; name the partition with mount_partition", err, d)
	}
	if err := p.Mountable(); err != nil {
		return p, fmt.Errorf("find the root file system: %s seems to be the root: %w", p, err)
	}
	return p, nil
}

func (d Disk) root() (Partition, error) {
	candidates := slices.DeleteFunc(slices.Clone(d.Partitions), func(p Partition) bool { return !p.maybeRoot() })
	if len(candidates) == 0 {
		if whole := d.whole(); whole.Filesystem.linux() || whole.Filesystem.container() {
			return whole, nil
		}
		return Partition{}, ErrNoRoot
	}
	for _, rule := range []func(Partition) bool{Partition.rootType, Partition.rootLabel} {
		if chosen := filter(candidates, rule); len(chosen) > 0 {
			candidates = chosen
		}
		if len(candidates) == 1 {
			return candidates[0], nil
		}
	}
	largest := slices.MaxFunc(candidates, func(a, b Partition) int { return cmp.Compare(a.Size, b.Size) })
	if equal := filter(candidates, func(p Partition) bool { return p.Size == largest.Size }); len(equal) > 1 {
		return Partition{}, fmt.Errorf("%w: %s", ErrAmbiguous, numbers(equal))
	}
	return largest, nil
}

// Mountable tells why what is on the partition cannot be mounted, by [ErrLVM],
// [ErrEncrypted] or [ErrNotFilesystem]; nil if it can.
func (p Partition) Mountable() error {
	switch kind := p.Filesystem.Type; {
	case kind == "LVM2_member":
		return ErrLVM
	case kind == "crypto_LUKS":
		return ErrEncrypted
	case kind == "":
		return fmt.Errorf("%w: blkid recognises nothing on it", ErrNotFilesystem)
	case kind == "swap" || p.Filesystem.container():
		return fmt.Errorf("%w: blkid calls it %s", ErrNotFilesystem, kind)
	}
	return nil
}

// maybeRoot tells whether the root may be here at all.
func (p Partition) maybeRoot() bool {
	if p.extended() || notRootTypes[p.Type] || isBoot(p.Label) || isBoot(p.Filesystem.Label) {
		return false
	}
	return p.Filesystem.linux() || p.Filesystem.container()
}

func (p Partition) rootType() bool { return RootArchitecture(p.Type) != "" }

func (p Partition) rootLabel() bool { return isRoot(p.Label) || isRoot(p.Filesystem.Label) }

func isRoot(label string) bool { return slices.Contains(rootLabels, strings.ToLower(label)) }

func isBoot(label string) bool { return slices.Contains(bootLabels, strings.ToLower(label)) }

// linux tells whether a Linux system may have its root on the file system.
func (f Filesystem) linux() bool {
	switch f.Type {
	case "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "reiserfs", "nilfs2", "bcachefs", "squashfs", "erofs":
		return true
	}
	return false
}

// container tells whether there is something else inside that is to be opened
// first. All types of that kind end in _member, but those of LUKS and BitLocker.
func (f Filesystem) container() bool {
	return strings.HasSuffix(f.Type, "_member") || f.Type == "crypto_LUKS" || f.Type == "BitLocker" || f.Type == "bcache"
}

func filter(partitions []Partition, keep func(Partition) bool) []Partition {
	return slices.DeleteFunc(slices.Clone(partitions), func(p Partition) bool { return !keep(p) })
}
