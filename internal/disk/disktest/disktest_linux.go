package disktest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// MiB is a unit of sizes.
const MiB = 1 << 20

// Partition is what sfdisk says of one, in sectors of 512 bytes.
type Partition struct {
	Node        string // ends in the partition's number
	Start, Size int64
	Type        string
	UUID, Name  string
}

// NeedTools skips the test, naming it, if a host tool is missing.
func NeedTools(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("needs %s of the host: %v", name, err)
		}
	}
}

// New makes a sparse image of size bytes in the test's temporary folder.
func New(t testing.TB, size int64) string {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "disk-*.img")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// Partitioned makes an image of size bytes with the partition table that an
// sfdisk script describes, and runs mkfs, a command line per partition number,
// for the file systems. The command gets a file of the partition's size as its
// last argument.
func Partitioned(t testing.TB, size int64, script string, mkfs map[int][]string) string {
	t.Helper()
	NeedTools(t, "sfdisk")
	image := New(t, size)
	Run(t, script, "sfdisk", "--quiet", image)
	partitions := Dump(t, image)
	for number, argv := range mkfs {
		p := partitions[number]
		if p.Size == 0 {
			t.Fatalf("sfdisk made no partition %d", number)
		}
		part := New(t, p.Size*512)
		Mkfs(t, part, argv...)
		copyInto(t, part, image, p.Start*512)
	}
	return image
}

// Mkfs makes a file system on file, which becomes the last argument of argv.
func Mkfs(t testing.TB, file string, argv ...string) {
	t.Helper()
	NeedTools(t, argv[0])
	Run(t, "", append(argv, file)...)
}

// Dump returns the partitions of an image by their number, as sfdisk has them.
func Dump(t testing.TB, image string) map[int]Partition {
	t.Helper()
	var dump struct {
		PartitionTable struct{ Partitions []Partition }
	}
	if err := json.Unmarshal(Run(t, "", "sfdisk", "--json", image), &dump); err != nil {
		t.Fatal(err)
	}
	byNumber := map[int]Partition{}
	for _, p := range dump.PartitionTable.Partitions {
		number := 0
		for _, digit := range p.Node[len(filepath.Clean(image)):] {
			number = number*10 + int(digit-'0')
		}
		byNumber[number] = p
	}
	return byNumber
}

// Run runs a host command to its end and returns what it wrote to stdout.
func Run(t testing.TB, stdin string, argv ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Stdin = bytes.NewBufferString(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v\n%s", argv, err, stderr.Bytes())
	}
	return out
}

// copyInto copies the data of the sparse file from into to, at an offset.
func copyInto(t testing.TB, from, to string, offset int64) {
	t.Helper()
	src, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	for at := int64(0); ; {
		begin, err := src.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if at, err = src.Seek(begin, unix.SEEK_HOLE); err != nil {
			t.Fatal(err)
		}
		section := io.NewSectionReader(src, begin, at-begin)
		if _, err := io.Copy(io.NewOffsetWriter(dst, offset+begin), section); err != nil {
			t.Fatal(err)
		}
	}
}
