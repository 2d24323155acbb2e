package disk

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
)

// ErrNoPartition says that no partition of the disk fits a selector.
var ErrNoPartition = errors.New("no such partition")

// FindPartition returns the partition that selector names: its number, with "0"
// for the whole disk; or the label or UUID of its file system, or its own label
// or UUID. A prefix LABEL=, UUID=, PARTLABEL= or PARTUUID= as in fstab(5) says
// which of these is meant. A selector that is a number is never a label. UUIDs
// match in any case of letters.
//
// The error wraps [ErrNoPartition], or [ErrAmbiguous] when several partitions
// bear the name, and says what is on the disk.
func (d Disk) FindPartition(selector string) (Partition, error) {
	found := d.matching(selector)
	if len(found) == 1 {
		return found[0], nil
	}
	err := ErrNoPartition
	if len(found) > 1 {
		err = fmt.Errorf("%w: %s", ErrAmbiguous, numbers(found))
	}
	return Partition{}, fmt.Errorf("find partition %q: %w; on the disk: %s", selector, err, d)
}

func (d Disk) matching(selector string) []Partition {
	if selector == "" {
		return nil
	}
	all := append([]Partition{d.whole()}, d.Partitions...)
	if number, err := strconv.Atoi(selector); err == nil {
		return filter(all, func(p Partition) bool { return p.Number == number })
	}
	tag, value, tagged := strings.Cut(selector, "=")
	names := map[string]func(Partition) bool{
		"LABEL":     func(p Partition) bool { return p.Filesystem.Label == value },
		"PARTLABEL": func(p Partition) bool { return p.Label == value },
		"UUID":      func(p Partition) bool { return strings.EqualFold(p.Filesystem.UUID, value) },
		"PARTUUID":  func(p Partition) bool { return strings.EqualFold(p.UUID, value) },
	}
	if match := names[strings.ToUpper(tag)]; tagged && match != nil && value != "" {
		return filter(all, match)
	}
	value = selector
	return filter(all, func(p Partition) bool {
		for _, match := range names {
			if match(p) {
				return true
			}
		}
		return false
	})
}

// whole is the disk itself, as a partition.
func (d Disk) whole() Partition {
	return Partition{Size: d.Size, Filesystem: d.Filesystem}
}

// String says in one line what is on the disk.
func (d Disk) String() string {
	if d.Table == "" {
		return fmt.Sprintf("%s without a partition table, %s", size(d.Size), d.Filesystem)
	}
	if len(d.Partitions) == 0 {
		return fmt.Sprintf("%s with an empty %s table", size(d.Size), strings.ToUpper(d.Table))
	}
	parts := make([]string, len(d.Partitions))
	for i, p := range d.Partitions {
		parts[i] = p.String()
	}
	return strings.Join(parts, ", ")
}

// String names the partition for messages: number, size, use, file system.
func (p Partition) String() string {
	name := fmt.Sprintf("partition %d", p.Number)
	if p.Number == 0 {
		name = "the whole disk"
	}
	words := []string{size(p.Size)}
	if use := typeNames[p.Type]; use != "" {
		words = append(words, use)
	} else if use := rootTypes[p.Type]; use != "" {
		words = append(words, "Linux root ("+use+")")
	}
	if p.Label != "" {
		words = append(words, strconv.Quote(p.Label))
	}
	if !p.extended() {
		words = append(words, p.Filesystem.String())
	}
	return fmt.Sprintf("%s (%s)", name, strings.Join(words, ", "))
}

// String names the file system for messages.
func (f Filesystem) String() string {
	switch {
	case f.Type == "":
		return "no known file system"
	case f.Label != "":
		return fmt.Sprintf("%s labelled %q", f.Type, f.Label)
	default:
		return f.Type
	}
}

func size(bytes int64) string { return humanize.IBytes(uint64(max(bytes, 0))) }

func numbers(partitions []Partition) string {
	words := make([]string, len(partitions))
	for i, p := range partitions {
		words[i] = strconv.Itoa(p.Number)
	}
	slices.Sort(words)
	return "partitions " + strings.Join(words, " and ")
}
