package diskimage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/imagebakery/packer-plugin-bakery/internal/disk"
)

// bootCodeSize is the part of the first sector that the BIOS runs.
const bootCodeSize = 440

// programs are files that say by their ELF header what machine a system is for;
// the first that is there and is an ELF file decides.
var programs = []string{
	"/bin/sh", "/usr/bin/sh", "/bin/busybox", "/usr/lib/systemd/systemd", "/lib/systemd/systemd", "/sbin/init",
	"/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1",
}

// inspect reads the facts off the raw disk at path, except for the name.
func inspect(ctx context.Context, path string, o Options) (Facts, error) {
	d, err := disk.Read(ctx, path)
	if err != nil {
		return Facts{}, err
	}
	facts := Facts{Size: d.Size, Architecture: o.Architecture, BootMode: o.BootMode}
	root, rootErr := d.Root()
	if rootErr == nil {
		facts.RootPartition = root.Number
		if rootErr = facts.readSystem(path, root); rootErr != nil && !errors.Is(rootErr, errNotReadable) {
			return Facts{}, rootErr
		}
	}
	if facts.Architecture == "" {
		facts.Architecture = ec2Architecture(disk.RootArchitecture(root.Type))
	}
	if facts.Architecture == "" {
		if rootErr == nil {
			rootErr = fmt.Errorf("none of %q on %s is a program", programs, root)
		}
		return Facts{}, fmt.Errorf("cannot tell the architecture, name it (%s or %s): %w", archX8664, archARM64, rootErr)
	}
	if facts.BootMode == "" {
		legacy, uefi, err := bootloaders(path, d)
		if err != nil {
			return Facts{}, err
		}
		facts.BootMode = bootMode(legacy, uefi, facts.Architecture)
	}
	return facts, nil
}

// readSystem reads what the root file system says of the system on it.
func (f *Facts) readSystem(path string, root disk.Partition) error {
	tree, err := mountPrivately(path, root)
	if err != nil {
		return err
	}
	defer tree.Close()
	return f.readTree(tree)
}

func (f *Facts) readTree(tree *os.File) error {
	found, err := treeArchitecture(tree)
	if err != nil {
		return err
	}
	if f.Architecture == "" {
		f.Architecture = found
	} else if found != "" && found != f.Architecture {
		return fmt.Errorf("the architecture is said to be %s, but the programs on the disk are for %s", f.Architecture, found)
	}
	for _, name := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		text, err := readInside(tree, name, 64<<10)
		if absent(err) {
			continue
		}
		if err != nil {
			return err
		}
		values := osRelease(text)
		f.OSID, f.OSVersion, f.OSCodename = values["ID"], values["VERSION_ID"], values["VERSION_CODENAME"]
		break
	}
	return nil
}

// treeArchitecture returns the architecture of the programs in a root file
// system, "" if there are none.
func treeArchitecture(tree *os.File) (string, error) {
	for _, name := range programs {
		header, err := readInside(tree, name, elfHeaderSize)
		if absent(err) {
			continue
		}
		if err != nil {
			return "", err
		}
		if arch, err := elfArchitecture(header); arch != "" || err != nil {
			return arch, err
		}
	}
	return "", nil
}

// bootloaders tells what firmware finds something to start on the disk: an MBR
// with code in it or a BIOS boot partition, an EFI system partition.
func bootloaders(path string, d disk.Disk) (legacy, uefi bool, err error) {
	if d.Table == "" {
		return false, false, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return false, false, err
	}
	defer f.Close()
	code := make([]byte, bootCodeSize)
	if _, err := f.ReadAt(code, 0); err != nil {
		return false, false, fmt.Errorf("read the boot sector: %w", err)
	}
	has := func(kinds ...string) bool {
		return slices.ContainsFunc(d.Partitions, func(p disk.Partition) bool { return slices.Contains(kinds, p.Type) })
	}
	legacy = len(bytes.Trim(code, "\x00")) > 0 || has(disk.TypeBIOSBoot)
	return legacy, has(disk.TypeESP, "ef"), nil
}

// readInside reads the first limit bytes of a regular file of the system whose
// root is tree. Symbolic links are followed as the system itself would.
func readInside(tree *os.File, name string, limit int64) ([]byte, error) {
	// A FIFO must not make us wait, and a device must not notice us.
	fd, err := unix.Openat2(int(tree.Fd()), name, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &os.PathError{Op: "read", Path: name, Err: os.ErrNotExist}
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

// absent tells whether err says that a file is not there, or cannot be there.
func absent(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO)
}

// ec2Architecture turns the word of `uname -m` into EC2's.
func ec2Architecture(machine string) string {
	switch machine {
	case "x86_64":
		return archX8664
	case "aarch64":
		return archARM64
	case "i686":
		return archI386
	}
	return ""
}
