package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

const (
	runDir     = "/run"
	resolvConf = "/etc/resolv.conf"
)

// runResolvConfs are the files below /run that /etc/resolv.conf is a link to,
// depending on who manages the name servers of the booted system.
var runResolvConfs = []string{
	"/run/systemd/resolve/stub-resolv.conf",
	"/run/systemd/resolve/resolv.conf",
	"/run/resolvconf/resolv.conf",
	"/run/NetworkManager/resolv.conf",
}

// privateRun makes a tmpfs with the folders, not the files, that the image has
// below /run.
func (r *room) privateRun(options []string) (*os.File, error) {
	run, err := newMount("tmpfs", "run", append([]string{"nosuid", "nodev", "mode=0755"}, options...))
	if err != nil {
		return nil, err
	}
	if err := copyFolders(r.image, runDir, tree{run}, nil); err != nil {
		run.Close()
		return nil, err
	}
	return run, nil
}

// openRun keeps the private /run at hand, which is out of reach when the
// supervisor has ended.
func (s *Sandbox) openRun() error {
	if !slices.ContainsFunc(s.config.Mounts, func(m Mount) bool { return m.Type == PrivateRun && m.Target == runDir }) {
		return nil
	}
	dir, err := s.guest.dir(runDir)
	s.run = tree{dir}
	return err
}

// keepRunFolders leaves new folders of the private /run in the image, where the
// sandbox of the next bake finds them. Packages make them when they are
// installed, and on a booted system something makes them again at each boot;
// in a chroot nothing does, and `sshd -t` fails for want of /run/sshd.
func (s *Sandbox) keepRunFolders() error {
	if s.run.root == nil {
		return nil
	}
	run, err := s.host.dir(runDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil // it was made for the mount, and the image has none
	}
	if err == nil {
		ours := map[fileID]bool{}
		for _, one := range s.made {
			ours[one.ID] = true
		}
		err = copyFolders(s.run, "", tree{run}, ours)
		err = errors.Join(err, run.Close())
	}
	if err != nil {
		return fmt.Errorf("keep the folders of %s: %w", runDir, err)
	}
	return nil
}

// copyFolders makes the folders below from/dir in to as well, unless they are
// there, except for those in without. The folder systemd is left out: from it
// tools conclude that the system is booted.
func copyFolders(from tree, dir string, to tree, without map[fileID]bool) error {
	const maxDepth = 8 // deeper than any package goes
	var descend func(rel string, depth int) error
	descend = func(rel string, depth int) error {
		source, err := from.open(dir+rel+"/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			return nil
		}
		if err != nil {
			return err
		}
		defer source.Close()
		names, err := source.Readdirnames(-1)
		if err != nil {
			return err
		}
		slices.Sort(names)
		for _, name := range names {
			inside := rel + "/" + name
			var st unix.Stat_t
			err := unix.Fstatat(int(source.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
			if err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR || inside == "/systemd" || without[idOf(&st)] {
				continue
			}
			if err := to.addFolder(inside, &st); err != nil {
				return err
			}
			if depth < maxDepth {
				if err := descend(inside, depth+1); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return descend("", 1)
}

// addFolder makes a folder with the mode and owner of like unless something is
// there.
func (t tree) addFolder(name string, like *unix.Stat_t) error {
	around, base, err := split(name)
	if err != nil {
		return err
	}
	dir, err := t.dir(around)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil // what is there is no folder, so none can be in it
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	err = makeFolder(dir, base, like.Mode&0o7777, int(like.Uid), int(like.Gid))
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	return err
}

// showResolver lets guests find the host's name servers, whatever the image has
// for /etc/resolv.conf: a file, a link, a dangling one, nothing.
//
// A file is placed, and not bound over: a mount cannot be removed or replaced,
// and that is what installing resolvconf does, and what templates do that clean
// up or set up systemd-resolved. At the end the image has what it had, unless a
// guest left a link, which is how the name servers of the booted system are
// handed to a manager. For guests that run after that, such links lead to the
// host's name servers too.
func (s *Sandbox) showResolver() error {
	content, err := os.ReadFile(s.config.ResolvConf)
	if err != nil {
		return err
	}
	if s.run.root != nil {
		for _, name := range runResolvConfs {
			if err := s.putInRun(name, content); err != nil {
				return err
			}
		}
	}
	return s.put(resolvConf, bytes.NewReader(content), &unix.Stat_t{Mode: unix.S_IFREG | 0o644}, theImagesOrLink)
}

// putInRun writes a file in the private /run, with the folders around it.
func (s *Sandbox) putInRun(name string, content []byte) error {
	around, base, err := split(name)
	if err != nil {
		return err
	}
	dirs, err := s.guest.mkdirAll(around)
	s.made = append(s.made, dirs...)
	if err != nil {
		return err
	}
	dir, err := s.guest.dir(around)
	if err != nil {
		return err
	}
	defer dir.Close()
	return writeNew(dir, base, bytes.NewReader(content), &unix.Stat_t{Mode: unix.S_IFREG | 0o644})
}
