// Package sandbox is the chroot that guests run in: the commands of
// provisioners, run on an image's mounted root without booting it.
//
// # What a guest sees
//
// Guests have process, mount, IPC and host-name namespaces of their own; the
// network and the kernel are the host's. Everything that is mounted for them
// (/proc, /sys, /dev, /run) is mounted in their namespace alone: the host's
// mount table shows the image's root and nothing more. They get a clean
// environment, services refuse to start, and when the sandbox closes nothing
// that they started is left, whatever it did to get away.
//
// What has to lie in the image itself meanwhile (resolv.conf, copied files, the
// guard that keeps services from starting) lies there as real files, with the
// image's own moved aside, and Close puts those back as they were: content,
// mode, owner, links, times. Binding over them would leave the image alone, but
// a mount cannot be renamed or removed, and so breaks packages and clean-up
// commands that replace such a file.
//
// It is no prison. Guests are root, with the kernel of the host: the commands
// are the template author's, and they may do what they could do in a plain
// chroot, short of rebooting. The sandbox keeps accidents in: daemons, mounts,
// device nodes, services, and links in the image that point outside.
//
// # How it works
//
// Start runs the current program again under another name, as container
// runtimes do; the package's init function recognises that name and never
// returns to main. The second process, the supervisor, is process 1 of the new
// namespace. It mounts, starts guest commands that arrive over a socket along
// with their standard streams, reports their ends, and reaps orphans. It exits
// when the socket closes, and the kernel then kills all that is left in the
// namespace and takes the mounts down. So guests die with this process also
// when it gets SIGKILL, and there is nothing to clean up.
//
// The supervisor's own root is an empty tmpfs which it pivots into, with the
// image below it, and guests are chrooted to the image. Both are needed:
//
//   - pivot_root drops the copies of all mounts of the host that a new mount
//     namespace starts with. Without it, a volume that another bake unmounts
//     meanwhile would stay mounted in here, unflushed, when its snapshot is
//     taken. Also a process that breaks out of its chroot finds an empty room.
//   - chroot makes / differ from /proc/1/root, which is how systemctl,
//     ischroot and their kin know that nothing is booted: `systemctl start x`
//     is ignored with status 0, and `systemctl is-system-running` says offline,
//     also where sudo has dropped SYSTEMD_OFFLINE.
//
// Every path in an image is resolved by the kernel inside the image's root
// (openat2 with RESOLVE_IN_ROOT and RESOLVE_NO_MAGICLINKS), so links that point
// out of it, hostile or absolute by habit, lead to places inside.
//
// It needs Linux 5.6, and 5.12 for bind mounts with options. On other systems
// the package compiles, and Start says so.
package sandbox
