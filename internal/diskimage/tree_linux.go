package diskimage

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/diskfs/go-diskfs/partition/gpt"
	"github.com/google/uuid"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/imagebakery/packer-plugin-bakery/internal/disk"
	"github.com/imagebakery/packer-plugin-bakery/internal/run"
)

const (
	mib       = 1 << 20
	sector    = 512
	blockSize = 4096 // of the file system

	// packedStart is where the partition begins: aligned for every medium.
	packedStart = mib

	// packedEnd is what the backup of the GPT and alignment need at the end.
	packedEnd = mib

	// bytesPerInode is mke2fs's customary ratio.
	bytesPerInode = 16384
)

// survey is what is known of a folder before it is packed.
type survey struct {
	files  int64 // inodes
	bytes  int64 // of data and directories, in blocks of the file system
	newest time.Time
	digest [sha256.Size]byte // of names and attributes
}

// pack makes the empty file out a GPT disk with the folder src as the root file
// system on it. It returns o with the architecture filled in.
func pack(ctx context.Context, src string, out *os.File, o Options) (Options, error) {
	src, err := filepath.EvalSymlinks(src)
	if err == nil {
		src, err = filepath.Abs(src)
	}
	if err != nil {
		return o, err
	}
	if err := refuseMounts(src); err != nil {
		return o, err
	}
	if o.Architecture == "" {
		if o.Architecture, err = folderArchitecture(src); err != nil {
			return o, err
		}
	}
	s, err := look(ctx, src)
	if err != nil {
		return o, err
	}
	size, err := o.volumeSize(s.leastSize())
	if err != nil {
		return o, err
	}
	if o.Size == 0 {
		size = roundUp(s.comfortableSize(), gib)
	}
	if err := out.Truncate(size); err != nil {
		return o, err
	}
	if err := s.writeTable(out, size, o.Architecture); err != nil {
		return o, fmt.Errorf("write the partition table: %w", err)
	}
	return o, s.makeFilesystem(ctx, src, out.Name(), size, o.Label)
}

// leastSize is the size of a disk that the folder just fits: 1.6 % for inodes,
// and 5 % and 16 MiB for the rest of what the file system itself needs.
func (s survey) leastSize() int64 {
	return packedStart + packedEnd + s.bytes + s.bytes/15 + s.inodes(s.bytes)*256 + 16*mib
}

// comfortableSize leaves room to install about as much again.
func (s survey) comfortableSize() int64 { return s.leastSize() + s.bytes/2 + 512*mib }

// inodes returns how many files the file system can have.
func (s survey) inodes(size int64) int64 { return max(size/bytesPerInode, s.files+s.files/2+1024) }

// id derives an identifier from the folder, a different one for each purpose.
func (s survey) id(purpose string) uuid.UUID {
	return uuid.NewSHA1(uuid.Nil, append([]byte(purpose), s.digest[:]...))
}

func (s survey) writeTable(out *os.File, size int64, architecture string) error {
	kinds := map[string]string{archX8664: disk.TypeRootX8664, archARM64: disk.TypeRootARM64, archI386: disk.TypeRootX86}
	table := gpt.Table{
		LogicalSectorSize:  sector,
		PhysicalSectorSize: sector,
		ProtectiveMBR:      true,
		GUID:               s.id("disk").String(),
		Partitions: []*gpt.Partition{{
			Index: 1,
			Start: packedStart / sector,
			End:   uint64((size-packedEnd)/sector - 1),
			Type:  gpt.Type(strings.ToUpper(kinds[architecture])),
			Name:  "root",
			GUID:  s.id("partition").String(),
		}},
	}
	return table.Write(out, size)
}

// makeFilesystem has mke2fs make and fill the file system in one go: no mount is
// needed, and blocks that were never used stay holes of the image.
func (s survey) makeFilesystem(ctx context.Context, src, image string, size int64, label string) error {
	if label == "" {
		label = defaultLabel
	}
	length := size - packedStart - packedEnd
	err := run.Command{
		Argv: []string{"mke2fs", "-q", "-F", "-t", "ext4", "-b", strconv.Itoa(blockSize),
			"-L", label, "-U", s.id("file system").String(), "-N", strconv.FormatInt(s.inodes(length), 10),
			"-E", fmt.Sprintf("offset=%d,lazy_itable_init=0,lazy_journal_init=0,hash_seed=%s", packedStart, s.id("hash")),
			"-d", src, image, strconv.FormatInt(length/1024, 10) + "k"},
		// The time that mke2fs writes into what has none of its own.
		Env: append(os.Environ(), "E2FSPROGS_FAKE_TIME="+strconv.FormatInt(s.newest.Unix(), 10)),
	}.Run(ctx)
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%w (install e2fsprogs 1.43 or newer)", err)
	}
	return err
}

// refuseMounts refuses a folder with other file systems in it: their content
// would be packed, which for /proc or /dev is never meant.
func refuseMounts(dir string) error {
	below := strings.TrimSuffix(dir, "/") + "/"
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return !strings.HasPrefix(m.Mountpoint, below), false
	})
	if err != nil {
		return fmt.Errorf("look for mounts in %s: %w", dir, err)
	}
	if len(mounts) > 0 {
		return fmt.Errorf("%s is mounted in it; unmount it first", mounts[0].Mountpoint)
	}
	return nil
}

func folderArchitecture(dir string) (string, error) {
	tree, err := os.Open(dir)
	if err != nil {
		return "", err
	}
	defer tree.Close()
	arch, err := treeArchitecture(tree)
	if err == nil && arch == "" {
		err = fmt.Errorf("cannot tell the architecture, name it (%s or %s): none of %q is a program; is this the root of a system?", archX8664, archARM64, programs)
	}
	return arch, err
}

// look walks the folder, in lexical order.
func look(ctx context.Context, dir string) (survey, error) {
	s, digest := survey{}, sha256.New()
	linked := map[[2]uint64]bool{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return &fs.PathError{Op: "lstat", Path: path, Err: err}
		}
		if err := describe(digest, strings.TrimPrefix(path, dir), entry, &st); err != nil {
			return err
		}
		inode := [2]uint64{st.Dev, st.Ino}
		if st.Nlink > 1 && !entry.IsDir() {
			if linked[inode] {
				return nil
			}
			linked[inode] = true
		}
		s.files++
		// Holes stay holes, so what is allocated counts; small files may be
		// stored in less than a block where they come from.
		s.bytes += roundUp(max(st.Blocks*sector, min(st.Size, blockSize)), blockSize)
		if changed := time.Unix(st.Mtim.Unix()); changed.After(s.newest) {
			s.newest = changed
		}
		return nil
	})
	digest.Sum(s.digest[:0])
	return s, err
}

// describe adds to the digest what makes one file of a folder.
func describe(digest hash.Hash, name string, entry fs.DirEntry, st *unix.Stat_t) error {
	size := st.Size
	if entry.IsDir() {
		size = 0 // depends on the file system that it is on
	}
	_, err := fmt.Fprintf(digest, "%q %o %d:%d %d %d.%d %d\n", name, st.Mode, st.Uid, st.Gid, size,
		st.Mtim.Sec, st.Mtim.Nsec, st.Rdev)
	return err
}
