package diskimage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/lima-vm/go-qcow2reader"
	"github.com/lima-vm/go-qcow2reader/image"
	"github.com/lima-vm/go-qcow2reader/image/qcow2"
)

const (
	formatRaw   = "raw"
	formatQcow2 = "qcow2"
)

// foreign are formats that are known but not read, by how they begin, with what
// turns them into one that is.
var foreign = []struct {
	offset              int64
	magic, name, remedy string
}{
	{0, "KDMV", "a VMDK image", "convert it with qemu-img convert -O qcow2"},
	{0, "# Disk DescriptorFile", "a VMDK descriptor", "convert it with qemu-img convert -O qcow2"},
	{0, "vhdxfile", "a VHDX image", "convert it with qemu-img convert -O qcow2"},
	{0, "conectix", "a VHD image", "convert it with qemu-img convert -O qcow2"},
	{0x40, "\x7f\x10\xda\xbe", "a VDI image", "convert it with qemu-img convert -O qcow2"},
	{0, "\x1f\x8b", "compressed with gzip", "unpack it with gunzip"},
	{0, "\xfd7zXZ\x00", "compressed with xz", "unpack it with unxz"},
	{0, "\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it with unzstd"},
	{0, "BZh", "compressed with bzip2", "unpack it with bunzip2"},
	{0, "PK\x03\x04", "a zip archive", "unpack it with unzip"},
	{257, "ustar", "a tar archive", "unpack it, and use the disk image or the folder that is in it"},
	{0x8001, "CD001", "an ISO image", "use the disk image of a cloud or generic variant"},
}

// sniff tells whether f is a raw disk or a qcow2 file, and refuses what is
// known to be neither.
func sniff(f io.ReaderAt, size int64) (string, error) {
	if size == 0 {
		return "", errors.New("is empty")
	}
	begins := func(offset int64, magic string) bool {
		got := make([]byte, len(magic))
		n, _ := f.ReadAt(got, offset)
		return string(got[:n]) == magic
	}
	if begins(0, qcow2.Magic) {
		return formatQcow2, nil
	}
	for _, format := range foreign {
		if begins(format.offset, format.magic) {
			return "", fmt.Errorf("is %s, not a raw or qcow2 disk; %s", format.name, format.remedy)
		}
	}
	if size > 512 && begins(size-512, "conectix") {
		return "", errors.New("is a VHD image, not a raw or qcow2 disk; convert it with qemu-img convert -O qcow2")
	}
	return formatRaw, nil
}

// What a qcow2 header may claim, as qemu has it (docs/interop/qcow2.txt).
const (
	minClusterBits, maxClusterBits = 9, 21
	maxL1Size                      = 32 << 20 // bytes
	incompatibleCorrupt            = 1 << 1
)

// registerZstd teaches the qcow2 reader its second compression. Registration is
// global there.
var registerZstd = sync.OnceFunc(func() {
	qcow2.SetDecompressor(qcow2.CompressionTypeZstd, func(r io.Reader) (io.ReadCloser, error) {
		decoder, err := zstd.NewReader(r)
		if err != nil {
			return nil, err
		}
		return decoder.IOReadCloser(), nil
	})
})

// openQcow2 opens a qcow2 file of so many bytes. The reader believes the header
// and opens what that names, so it is checked before.
func openQcow2(f io.ReaderAt, fileSize int64) (image.Image, error) {
	header := make([]byte, 104)
	n, err := f.ReadAt(header, 0)
	if n < 72 {
		return nil, fmt.Errorf("qcow2 header: %w", err)
	}
	if err := checkQcow2(header, fileSize); err != nil {
		return nil, fmt.Errorf("qcow2 header: %w", err)
	}
	registerZstd()
	img, err := qcow2reader.OpenWithType(f, qcow2.Type)
	if err != nil {
		return nil, fmt.Errorf("open as qcow2: %w", err)
	}
	if err := img.Readable(); err != nil {
		return nil, fmt.Errorf("open as qcow2: %w", err)
	}
	return img, nil
}

func checkQcow2(header []byte, fileSize int64) error {
	u32 := func(at int) uint64 { return uint64(binary.BigEndian.Uint32(header[at:])) }
	u64 := func(at int) uint64 { return binary.BigEndian.Uint64(header[at:]) }
	if !bytes.HasPrefix(header, []byte(qcow2.Magic)) {
		return errors.New("is none")
	}
	version, clusterBits, size := u32(4), u32(20), u64(24)
	entries, offset := u32(36), u64(40)
	switch {
	case version != 2 && version != 3:
		return fmt.Errorf("version %d is not supported", version)
	case u64(8) != 0:
		return errors.New("the image needs a backing file; merge the two with qemu-img convert -O qcow2")
	case clusterBits < minClusterBits || clusterBits > maxClusterBits:
		return fmt.Errorf("clusters of 2^%d bytes are not possible", clusterBits)
	case size == 0 || size > maxSize:
		return fmt.Errorf("a disk of %d bytes is not between 1 byte and 64 TiB", size)
	case u32(32) != 0:
		return errors.New("the image is encrypted; decrypt it with qemu-img convert")
	}
	if version == 3 {
		switch features := u64(72); {
		case features&incompatibleCorrupt != 0:
			return errors.New("the image is marked as corrupt; try qemu-img check -r all")
		case features&(1<<qcow2.IncompatibleFeaturesExtendedL2EntriesBit) != 0:
			return errors.New("images with subclusters are not supported; convert it with qemu-img convert -O qcow2")
		}
	}
	// One entry of the first table covers a second table of one cluster.
	cluster := uint64(1) << clusterBits
	perEntry := cluster * (cluster / 8)
	if need := (size + perEntry - 1) / perEntry; entries < need || entries*8 > maxL1Size {
		return fmt.Errorf("a first table of %d entries does not fit a disk of %d bytes, which needs %d", entries, size, need)
	}
	if offset%cluster != 0 || offset > uint64(fileSize) || offset+entries*8 > uint64(fileSize) {
		return errors.New("the first table is not in the file: it is damaged or cut off")
	}
	return nil
}
