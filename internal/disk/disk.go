// Package disk reads what is on a disk, or on the image file of one, without
// mounting it: its partition table and its file systems.
//
// What is on a disk was written by strangers. Tables are checked before they are
// believed: a [Disk] has no partition that leaves the disk or that overlaps
// another.
package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/diskfs/go-diskfs/backend"
)

// Disk is what is on a disk.
type Disk struct {
	Size       int64       // in bytes
	Table      string      // kind of partition table: "gpt", "mbr", or "" for none
	Partitions []Partition // ordered by number; an MBR's extended partition is among them
	Filesystem Filesystem  // of a disk that carries one without partitions
}

// Partition is one partition, or with Number 0 the whole disk.
type Partition struct {
	Number      int
	Start, Size int64      // in bytes
	Type        string     // lower-case GPT type GUID, or two hex digits of an MBR
	Label       string     // name in the GPT (PARTLABEL)
	UUID        string     // of the partition (PARTUUID), lower-case
	Filesystem  Filesystem // what blkid finds at its start
}

// Filesystem is what blkid recognises: a file system, or a container of others
// such as LVM2_member. The zero value is "none known".
type Filesystem struct {
	Type, Label, UUID string
}

// Read reads the disk or image file at path. It needs blkid of util-linux on
// the PATH, and only reads.
func Read(ctx context.Context, path string) (Disk, error) {
	d, err := read(ctx, path)
	if err != nil {
		return Disk{}, fmt.Errorf("read disk %s: %w", path, err)
	}
	return d, nil
}

func read(ctx context.Context, path string) (Disk, error) {
	f, err := os.Open(path)
	if err != nil {
		return Disk{}, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return Disk{}, err
	} else if info.IsDir() {
		return Disk{}, errors.New("is a directory, not a disk")
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return Disk{}, err
	}
	if size == 0 {
		return Disk{}, errors.New("is empty")
	}
	whole, err := probe(ctx, path, 0, size)
	if err != nil {
		return Disk{}, err
	}
	d := Disk{Size: size, Filesystem: whole.Filesystem}
	if d.Table, d.Partitions, err = readTable(f, size, whole.table); err != nil {
		return Disk{}, err
	}
	for i := range d.Partitions {
		p := &d.Partitions[i]
		if p.extended() {
			continue
		}
		found, err := probe(ctx, path, p.Start, p.Size)
		if err != nil {
			return Disk{}, fmt.Errorf("partition %d: %w", p.Number, err)
		}
		p.Filesystem = found.Filesystem
	}
	return d, nil
}

// readTable reads the table of the given kind, as blkid calls it.
func readTable(f backend.File, size int64, kind string) (string, []Partition, error) {
	var partitions []Partition
	var err error
	switch kind {
	case "":
		return "", nil, nil
	case "gpt":
		partitions, err = readGPT(f, size)
	case "dos":
		kind = "mbr"
		partitions, err = readMBR(f, size)
	case "PMBR":
		err = errors.New("the protective MBR announces a GPT, but there is none that fits the disk: it is damaged, or the disk is cut off (look with sgdisk --verify)")
	default:
		err = fmt.Errorf("partition tables of type %s are not supported, only GPT and MBR", kind)
	}
	if err == nil {
		err = checkLayout(partitions, size)
	}
	if err != nil {
		return "", nil, fmt.Errorf("partition table: %w", err)
	}
	return kind, partitions, nil
}
