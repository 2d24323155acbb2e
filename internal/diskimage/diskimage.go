// Package diskimage makes a raw disk, as EBS volumes hold it, from what people
// have: a raw or qcow2 disk image, or a folder with a root file system such as
// debootstrap makes. It also reads off the disk what EC2 wants to know of an
// image: name, architecture and boot mode.
//
// Disks come from strangers. Their root file system is mounted read-only and
// attached to no folder, so that nothing else on the machine sees it and the
// kernel drops it with the process; paths are resolved inside of it.
package diskimage

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/dustin/go-humanize"
)

const (
	gib = 1 << 30

	// maxSize is what EBS allows for a volume: 64 TiB.
	maxSize = 64 << 40

	// defaultLabel and ext4LabelMax, in bytes, are of the file system for a folder.
	defaultLabel = "root"
	ext4LabelMax = 16
)

// Options are what Build is told. The zero value is right for most sources.
type Options struct {
	// Size is how large the disk is made, in bytes, rounded up to full GiB. 0
	// means as large as the source; for a folder, with room to install more.
	Size int64

	// Label is that of the root file system made for a folder; "root" if empty.
	Label string

	// Architecture and BootMode, in EC2's words, override what is found. A disk
	// without a root that can be looked into needs Architecture.
	Architecture, BootMode string
}

// Facts are what was read off a disk.
type Facts struct {
	Name         string // a name for the image, valid in EC2: "debian-12-x86_64"
	Architecture string // EC2's word: x86_64, arm64 or i386
	BootMode     string // EC2's word: legacy-bios, uefi, uefi-preferred; "" if the disk does not boot by itself

	OSID, OSVersion, OSCodename string // from os-release(5); "" where it says nothing

	RootPartition int   // number of the root partition; 0 for the whole disk, or when none was found
	Size          int64 // of the disk in bytes, a multiple of 1 GiB
}

// Build makes the raw disk file dst from src and returns what it found on it.
// src is a raw disk image, a block device, a qcow2 file, or a folder that holds
// a root file system. dst must not exist; it appears only when it is complete
// and on stable storage, and is sparse.
//
// EBS counts in GiB: a disk of another size is grown to the next GiB. Its
// partition table is left as it is. The backup of a GPT is then not at the end
// of the disk any more, just as on an EBS volume larger than its snapshot;
// firmware and Linux accept that, and growpart or sgdisk -e moves it.
//
// A folder becomes a GPT disk with one ext4 partition of the type that the
// Discoverable Partitions Specification has for its architecture. Owners, modes,
// times, extended attributes, hard links and device nodes are kept. The same
// folder gives the same identifiers again.
func Build(ctx context.Context, src, dst string, o Options) (Facts, error) {
	if err := o.check(); err != nil {
		return Facts{}, fmt.Errorf("make a disk of %s: %w", src, err)
	}
	if _, err := os.Lstat(dst); err == nil {
		return Facts{}, fmt.Errorf("make a disk of %s: %s exists already", src, dst)
	}
	facts, err := build(ctx, src, dst, o)
	if err != nil {
		return Facts{}, fmt.Errorf("make a disk of %s: %w", src, err)
	}
	return facts, nil
}

func (o Options) check() error {
	var errs []error
	switch o.Architecture {
	case "", archX8664, archARM64, archI386:
	default:
		errs = append(errs, fmt.Errorf("architecture %q is not one of %s, %s, %s", o.Architecture, archX8664, archARM64, archI386))
	}
	switch o.BootMode {
	case "", bootLegacy, bootUEFI, bootPreferred:
	default:
		errs = append(errs, fmt.Errorf("boot mode %q is not one of %s, %s, %s", o.BootMode, bootLegacy, bootUEFI, bootPreferred))
	}
	if o.Architecture == archARM64 && (o.BootMode == bootLegacy || o.BootMode == bootPreferred) {
		errs = append(errs, fmt.Errorf("boot mode %s does not exist on %s; use %s", o.BootMode, archARM64, bootUEFI))
	}
	if len(o.Label) > ext4LabelMax {
		errs = append(errs, fmt.Errorf("label %q is longer than the %d bytes of ext4", o.Label, ext4LabelMax))
	}
	if o.Size < 0 || o.Size > maxSize {
		errs = append(errs, fmt.Errorf("size of %d bytes is not between 0 and 64 TiB", o.Size))
	}
	return errors.Join(errs...)
}

// volumeSize returns the size of the disk for content that needs so many bytes.
func (o Options) volumeSize(content int64) (int64, error) {
	if content > maxSize {
		return 0, fmt.Errorf("a disk of %d bytes is larger than the 64 TiB of EBS", content)
	}
	size := roundUp(o.Size, gib)
	if size > 0 && size < content {
		return 0, fmt.Errorf("a size of %s is too small, %s are needed",
			humanize.IBytes(uint64(size)), humanize.IBytes(uint64(content)))
	}
	return max(size, roundUp(content, gib)), nil
}

func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }
