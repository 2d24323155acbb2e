package disk

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"

	"github.com/diskfs/go-diskfs/backend"
	"github.com/diskfs/go-diskfs/partition/gpt"
	"github.com/diskfs/go-diskfs/partition/mbr"
)

const (
	mbrSectorSize = 512 // unit of MBR tables, also on disks with larger sectors

	gptEntrySize  = 128  // the only size that Linux accepts
	gptMaxEntries = 1024 // 128 is customary; Linux itself has no more minors than 256

	// maxLogical is how many logical partitions are followed; Linux stops at 255
	// minors, and a chain of tables may be a loop.
	maxLogical = 255
)

var gptSignature = []byte("EFI PART")

// readGPT reads the partitions of a GPT, from the backup at the end of the disk
// if the primary one is damaged.
func readGPT(f backend.File, size int64) ([]Partition, error) {
	sector, err := gptSectorSize(f, size)
	if err != nil {
		return nil, err
	}
	table, err := gpt.Read(f, int(sector), int(sector))
	if err != nil {
		return nil, err
	}
	var partitions []Partition
	for _, p := range table.Partitions {
		if p.Start == 0 || p.End < p.Start || p.End >= uint64(size/sector) {
			return nil, fmt.Errorf("partition %d spans sectors %d to %d of a disk with %d: the table is damaged or the disk is cut off",
				p.Index, p.Start, p.End, size/sector)
		}
		partitions = append(partitions, Partition{
			Number: p.Index,
			Start:  int64(p.Start) * sector,
			Size:   int64(p.End-p.Start+1) * sector,
			Type:   strings.ToLower(string(p.Type)),
			Label:  p.Name,
			UUID:   strings.ToLower(p.GUID),
		})
	}
	return partitions, nil
}

// gptSectorSize finds the unit in which the table counts, by where its header
// is. It refuses headers whose numbers the parser would take at face value.
func gptSectorSize(f backend.File, size int64) (int64, error) {
	var found int64
	for _, sector := range []int64{512, 4096} {
		for _, at := range []int64{sector, size/sector*sector - sector} {
			header := make([]byte, 92)
			if at < sector {
				continue
			}
			if _, err := f.ReadAt(header, at); err != nil {
				return 0, err
			}
			if !bytes.HasPrefix(header, gptSignature) {
				continue
			}
			count, length := binary.LittleEndian.Uint32(header[80:]), binary.LittleEndian.Uint32(header[84:])
			if count > gptMaxEntries || length != gptEntrySize {
				return 0, fmt.Errorf("the GPT claims %d entries of %d bytes: it is damaged", count, length)
			}
			// Block numbers beyond what fits an offset would wrap around.
			if lba := binary.LittleEndian.Uint64(header[72:]); lba > uint64(size/sector) {
				return 0, fmt.Errorf("the GPT's entries begin at sector %d of a disk with %d: it is damaged", lba, size/sector)
			}
			found = cmp.Or(found, sector)
		}
	}
	if found == 0 {
		return 0, fmt.Errorf("no GPT header")
	}
	return found, nil
}

// readMBR reads the four primary partitions and the logical ones, which begin
// at number 5.
func readMBR(f backend.File, size int64) ([]Partition, error) {
	table, err := mbr.Read(f, mbrSectorSize, mbrSectorSize)
	if err != nil {
		return nil, err
	}
	var partitions []Partition
	var extended *Partition
	for _, entry := range table.Partitions {
		if entry.Type == mbr.Empty || entry.Size == 0 {
			continue
		}
		p := mbrPartition(entry, entry.Index, 0, table.UUID())
		partitions = append(partitions, p)
		if p.extended() && extended == nil {
			extended = &p
		}
	}
	if extended == nil {
		return partitions, nil
	}
	logical, err := readLogical(f, *extended, size, table.UUID())
	return append(partitions, logical...), err
}

// readLogical follows the chain of tables in an extended partition. Each holds
// one partition, counted from that table, and a link to the next table, counted
// from the begin of the extended partition.
func readLogical(f backend.File, extended Partition, size int64, diskID string) ([]Partition, error) {
	var partitions []Partition
	end := extended.Start + extended.Size
	for at := extended.Start; ; {
		if at < extended.Start || at+mbrSectorSize > min(end, size) {
			return nil, fmt.Errorf("the chain of logical partitions leaves the extended partition %d", extended.Number)
		}
		if len(partitions) > maxLogical {
			return nil, fmt.Errorf("more than %d logical partitions: the chain of them is damaged", maxLogical)
		}
		table, err := mbr.Read(window{f, at}, mbrSectorSize, mbrSectorSize)
		if err != nil {
			return nil, fmt.Errorf("logical partition %d: %w", 5+len(partitions), err)
		}
		entry, link := table.Partitions[0], table.Partitions[1]
		if entry.Type != mbr.Empty && entry.Size != 0 {
			p := mbrPartition(entry, 5+len(partitions), at, diskID)
			if p.Start < at || p.Start+p.Size > end {
				return nil, fmt.Errorf("logical partition %d leaves the extended partition %d", p.Number, extended.Number)
			}
			partitions = append(partitions, p)
		}
		if link.Type == mbr.Empty || link.Size == 0 {
			return partitions, nil
		}
		next := extended.Start + int64(link.Start)*mbrSectorSize
		if next <= at {
			// Every tool writes the chain in ascending order; a step back may
			// never end.
			return nil, fmt.Errorf("the chain of logical partitions goes backwards after number %d", 4+len(partitions))
		}
		at = next
	}
}

func mbrPartition(entry *mbr.Partition, number int, base int64, diskID string) Partition {
	return Partition{
		Number: number,
		Start:  base + int64(entry.Start)*mbrSectorSize,
		Size:   int64(entry.Size) * mbrSectorSize,
		Type:   fmt.Sprintf("%02x", byte(entry.Type)),
		UUID:   fmt.Sprintf("%s-%02x", diskID, number),
	}
}

// checkLayout refuses partitions that leave the disk or share a part of it. An
// extended partition holds the logical ones and is not counted.
func checkLayout(partitions []Partition, size int64) error {
	solid := slices.DeleteFunc(slices.Clone(partitions), Partition.extended)
	slices.SortFunc(solid, func(a, b Partition) int { return cmp.Compare(a.Start, b.Start) })
	for i, p := range solid {
		if p.Start <= 0 || p.Size <= 0 || p.Start > math.MaxInt64-p.Size || p.Start+p.Size > size {
			return fmt.Errorf("partition %d (%d bytes from byte %d) leaves the disk of %d bytes: the table is damaged or the disk is cut off",
				p.Number, p.Size, p.Start, size)
		}
		if i > 0 && solid[i-1].Start+solid[i-1].Size > p.Start {
			return fmt.Errorf("partitions %d and %d overlap", solid[i-1].Number, p.Number)
		}
	}
	return nil
}

// window is a file from an offset on.
type window struct {
	backend.File
	offset int64
}

// ReadAt implements [io.ReaderAt].
func (w window) ReadAt(p []byte, off int64) (int, error) { return w.File.ReadAt(p, w.offset+off) }

// Stat is not meant for a part of a file.
func (w window) Stat() (fs.FileInfo, error) { return nil, fs.ErrInvalid }
