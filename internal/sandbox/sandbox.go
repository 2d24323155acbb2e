package sandbox

import (
	"errors"
	"io"
)

// ErrClosed is returned by all calls on a sandbox that was closed or whose
// supervisor is gone.
var ErrClosed = errors.New("the sandbox is closed")

// Path and Home are what every guest starts with.
const (
	Path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	Home = "/root"
)

// Config says how to make a sandbox.
type Config struct {
	// Root is the directory of the host where the image's root is mounted.
	// Mounts below it are part of the image.
	Root string
	// Mounts are mounted inside, in order. Nil means DefaultMounts; an empty
	// list mounts nothing.
	Mounts []Mount
	// Devices are block devices of the host that a private /dev shows, under
	// their own names. The device that Root is mounted from, its disk and the
	// disk's partitions are always there.
	Devices []string
	// ResolvConf is the file of the host whose content guests see as
	// /etc/resolv.conf, be that a file, a link or nothing in the image. Guests
	// may change or remove it; Close puts back exactly what the image had, unless
	// a guest left a symbolic link there: that stays. Empty means none.
	ResolvConf string
	// CopyFiles are files of the host that guests see under the same path.
	// Close puts back exactly what the image had there. /etc/resolv.conf among
	// them means the same as ResolvConf.
	CopyFiles []string
	// Env is added to the environment of every guest, and wins over its
	// defaults. Nothing of the host's environment is passed on.
	Env map[string]string
	// Guard keeps services from being started by package installations. A file
	// that a guest puts in the guard's place is kept.
	Guard bool
	// Log is told what is worth knowing and no error. Nil discards it.
	Log func(string)
}

// Mount is something to mount inside the image.
type Mount struct {
	// Type is a file system type of the kernel; "bind" or "rbind" for a file
	// or folder of the host; or one of the Private types.
	Type string
	// Source is the device, or for binds the path on the host.
	Source string
	// Target is the path inside the image. Missing ones are made, and removed
	// at the end.
	Target string
	// Options are mount options, each alone: "ro", "mode=0755".
	Options []string
	// Optional mounts are left out when the kernel does not know the type or
	// the target does not exist and cannot be made.
	Optional bool
}

const (
	// PrivateDev is the mount type of a /dev of its own: the standard
	// character devices, and of the block devices only the image's disk. What
	// guests do to it does not reach the host's /dev, and boot loader tools
	// that probe all disks find no other system.
	PrivateDev = "private-dev"
	// PrivateRun is the mount type of a /run as after boot: a tmpfs, so that
	// neither sockets and pid files stay in the image, nor stale ones make
	// tools believe that it is booted. It starts with the image's own folders
	// below /run, because packages make them when they are installed, and new
	// folders, not files, are left in the image.
	PrivateRun = "private-run"
)

// DefaultMounts is what guests get when a Config names no mounts.
func DefaultMounts() []Mount {
	return []Mount{
		{Type: "proc", Source: "proc", Target: "/proc", Options: []string{"nosuid", "nodev", "noexec"}},
		{Type: "sysfs", Source: "sysfs", Target: "/sys", Options: []string{"nosuid", "nodev", "noexec"}},
		{Type: PrivateDev, Source: "dev", Target: "/dev"},
		{Type: "devpts", Source: "devpts", Target: "/dev/pts", Options: []string{"nosuid", "noexec", "gid=5", "mode=0620", "ptmxmode=0666"}},
		{Type: "tmpfs", Source: "shm", Target: "/dev/shm", Options: []string{"nosuid", "nodev", "mode=1777"}},
		{Type: PrivateRun, Source: "run", Target: "/run"},
		{Type: "binfmt_misc", Source: "binfmt_misc", Target: "/proc/sys/fs/binfmt_misc", Options: []string{"nosuid", "nodev", "noexec"}, Optional: true},
	}
}

// Covered is a file of the sandbox that lies in the place of the image's own
// while the sandbox is open.
type Covered struct {
	// Path is where it lies, inside the image.
	Path string
	// SHA256 is the digest of its content in hex. A file at Path that differs is
	// a guest's, and stays. Empty means that nothing stays that guests put there.
	SHA256 string
	// Under is where the image's own file lies in the meantime, in the same
	// folder. Empty means that the image has none.
	Under string
}

// Command is one command of a guest.
type Command struct {
	// Argv is the program and its arguments. A program without a slash is
	// looked up in the guest's PATH.
	Argv []string
	// Env is added to the environment of guests and wins over it.
	Env map[string]string
	// Dir is the working directory inside the image; empty means /.
	Dir string
	// Stdin is read until the command ends; nil reads as empty. The reader may
	// be read from once more after that.
	Stdin io.Reader
	// Stdout and Stderr get the output; nil discards it. Nothing is written to
	// them after the command was reported as ended.
	Stdout, Stderr io.Writer
}
