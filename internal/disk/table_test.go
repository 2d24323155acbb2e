package disk

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io/fs"
	"strings"
	"testing"
)

// memory is a disk in memory.
type memory struct{ *bytes.Reader }

func (memory) Stat() (fs.FileInfo, error) { return nil, fs.ErrInvalid }
func (memory) Close() error               { return nil }

func inMemory(content []byte) memory { return memory{bytes.NewReader(content)} }

// gptImage makes a disk of 48 sectors whose header claims count entries of
// length bytes, with the partitions given as first and last sector. Checksums
// are right: what it claims is only wrong in itself.
func gptImage(count, length uint32, spans ...[2]uint64) []byte {
	image := make([]byte, 48*512)
	entries := image[2*512 : 2*512+4*128]
	for i, span := range spans {
		entry := entries[i*128:]
		entry[0] = 0xaf // any type but zero
		binary.LittleEndian.PutUint64(entry[32:], span[0])
		binary.LittleEndian.PutUint64(entry[40:], span[1])
	}
	header := image[512 : 512+92]
	copy(header, gptSignature)
	header[10], header[12] = 1, 92
	binary.LittleEndian.PutUint64(header[24:], 1)
	binary.LittleEndian.PutUint64(header[32:], 47)
	binary.LittleEndian.PutUint64(header[72:], 2)
	binary.LittleEndian.PutUint32(header[80:], count)
	binary.LittleEndian.PutUint32(header[84:], length)
	seal(image)
	return image
}

// seal makes the checksums of a GPT with four entries right.
func seal(image []byte) {
	if len(image) < 2*512+4*128 {
		return
	}
	header := image[512 : 512+92]
	binary.LittleEndian.PutUint32(header[88:], crc32.ChecksumIEEE(image[2*512:2*512+4*128]))
	binary.LittleEndian.PutUint32(header[16:], 0)
	binary.LittleEndian.PutUint32(header[16:], crc32.ChecksumIEEE(header))
}

// mbrEntry writes entry number n, from 1, of the table in the given sector.
func mbrEntry(image []byte, sector, n int, kind byte, start, size uint32) {
	table := image[sector*512 : sector*512+512]
	table[510], table[511] = 0x55, 0xaa
	entry := table[446+(n-1)*16:]
	entry[4] = kind
	binary.LittleEndian.PutUint32(entry[8:], start)
	binary.LittleEndian.PutUint32(entry[12:], size)
}

func TestHostileTables(t *testing.T) {
	mbrImage := func(write func(image []byte)) []byte {
		image := make([]byte, 48*512)
		write(image)
		return image
	}
	for name, tt := range map[string]struct {
		kind  string
		image []byte
		want  string // in the error; "" for none
	}{
		"sound GPT":                {"gpt", gptImage(4, 128, [2]uint64{10, 19}, [2]uint64{20, 47}), ""},
		"GPT of billions":          {"gpt", gptImage(1<<32-1, 128), "claims 4294967295 entries"},
		"GPT of long entries":      {"gpt", gptImage(4, 1<<31), "entries of 2147483648 bytes"},
		"GPT of no size":           {"gpt", gptImage(4, 0), "entries of 0 bytes"},
		"GPT beyond the disk":      {"gpt", gptImage(4, 128, [2]uint64{10, 48}), "cut off"},
		"GPT of negative length":   {"gpt", gptImage(4, 128, [2]uint64{20, 10}), "cut off"},
		"GPT of wrapping length":   {"gpt", gptImage(4, 128, [2]uint64{10, 1<<64 - 1}), "cut off"},
		"GPT from sector 0":        {"gpt", gptImage(4, 128, [2]uint64{0, 10}), "cut off"},
		"GPT overlap":              {"gpt", gptImage(4, 128, [2]uint64{10, 20}, [2]uint64{20, 30}), "partitions 1 and 2 overlap"},
		"GPT nested":               {"gpt", gptImage(4, 128, [2]uint64{10, 40}, [2]uint64{20, 30}), "partitions 1 and 2 overlap"},
		"GPT without header":       {"gpt", make([]byte, 48*512), "no GPT header"},
		"GPT of a tiny disk":       {"gpt", make([]byte, 100), "EOF"},
		"MBR beyond the disk":      {"dos", mbrImage(func(b []byte) { mbrEntry(b, 0, 1, 0x83, 10, 200) }), "leaves the disk"},
		"MBR overlap":              {"dos", mbrImage(func(b []byte) { mbrEntry(b, 0, 1, 0x83, 10, 20); mbrEntry(b, 0, 3, 0x83, 29, 9) }), "partitions 1 and 3 overlap"},
		"MBR from sector 0":        {"dos", mbrImage(func(b []byte) { mbrEntry(b, 0, 1, 0x83, 0, 9) }), "leaves the disk"},
		"MBR of a tiny disk":       {"dos", make([]byte, 100), "EOF"},
		"extended beyond the disk": {"dos", mbrImage(func(b []byte) { mbrEntry(b, 0, 1, 0x05, 200, 100) }), "leaves the extended partition"},
		"logical chain in a circle": {"dos", mbrImage(func(b []byte) {
			mbrEntry(b, 0, 1, 0x05, 10, 38)
			mbrEntry(b, 10, 1, 0x83, 1, 5)
			mbrEntry(b, 10, 2, 0x05, 20, 10)
			mbrEntry(b, 30, 1, 0x83, 1, 5)
			mbrEntry(b, 30, 2, 0x05, 0, 10)
		}), "goes backwards"},
		"logical beyond extended": {"dos", mbrImage(func(b []byte) {
			mbrEntry(b, 0, 1, 0x0f, 10, 20)
			mbrEntry(b, 10, 1, 0x83, 1, 60)
		}), "leaves the extended partition 1"},
		"logical without table": {"dos", mbrImage(func(b []byte) { mbrEntry(b, 0, 1, 0x05, 10, 20) }), "logical partition 5"},
	} {
		t.Run(name, func(t *testing.T) {
			_, partitions, err := readTable(inMemory(tt.image), int64(len(tt.image)), tt.kind)
			if tt.want == "" {
				if err != nil {
					t.Errorf("error = %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("partitions = %v, error = %v; want %q in it", partitions, err, tt.want)
			}
		})
	}
}

func FuzzTable(f *testing.F) {
	f.Add(gptImage(4, 128, [2]uint64{10, 19}, [2]uint64{20, 47}))
	f.Add(gptImage(1<<32-1, 1<<31))
	logical := make([]byte, 48*512)
	mbrEntry(logical, 0, 2, 0x05, 10, 38)
	mbrEntry(logical, 10, 1, 0x83, 1, 5)
	mbrEntry(logical, 10, 2, 0x05, 20, 10)
	mbrEntry(logical, 30, 1, 0x83, 1, 5)
	f.Add(logical)
	f.Fuzz(func(t *testing.T, content []byte) {
		size := int64(len(content))
		content = bytes.Clone(content)
		seal(content) // else hardly any GPT would get past the checksums
		for _, kind := range []string{"gpt", "dos"} {
			_, partitions, err := readTable(inMemory(content), size, kind)
			if err != nil {
				continue
			}
			used := make([]bool, size)
			for _, p := range partitions {
				if p.extended() {
					continue
				}
				if p.Start <= 0 || p.Size <= 0 || p.Start+p.Size > size {
					t.Fatalf("%s: %+v leaves a disk of %d bytes", kind, p, size)
				}
				for i := p.Start; i < p.Start+p.Size; i++ {
					if used[i] {
						t.Fatalf("%s: %+v overlaps another", kind, p)
					}
					used[i] = true
				}
			}
			d := Disk{Size: size, Partitions: partitions}
			_, _ = d.Root()
		}
	})
}

func FuzzParseProbe(f *testing.F) {
	f.Add([]byte("ID_FS_LABEL_ENC=a\\x20b\nID_FS_TYPE=ext4\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		if got := parseProbe(out); len(got.Label)+len(got.Type)+len(got.UUID) > len(out) {
			t.Errorf("%q became longer: %+v", out, got)
		}
	})
}
