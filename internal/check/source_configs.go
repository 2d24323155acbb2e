package check

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
)

// configNeed is a folder of configuration files and the shell's pattern for the
// names of those that count.
type configNeed struct{ dir, pattern string }

// confFiles is the pattern of most folders.
const confFiles = "*.conf"

// configDir is what was read of a folder of configuration files.
type configDir struct {
	read  state
	files []configFile
}

// configFile is one of its files.
type configFile struct {
	path string
	name string
	read state // absent: it is masked
	text string
	runs bool // the shell may execute it
}

// configs asks for folders of configuration files whose names end in .conf.
func (n *needs) configs(dirs ...string) {
	for _, dir := range dirs {
		n.folder(dir, confFiles)
	}
}

// folder asks for the files of a folder whose names match a pattern.
func (n *needs) folder(dir, pattern string) {
	n.configDirs = appendNew(n.configDirs, configNeed{dir, pattern})
}

func scriptConfigs(s *script, n *needs) {
	if len(n.configDirs) == 0 {
		return
	}
	s.part("configs.sh")
	for i, dir := range n.configDirs {
		s.call("configs", strconv.Itoa(i), dir.dir, dir.pattern)
	}
}

// readConfigs takes a frame of the configuration folders' part.
func (f *facts) readConfigs(fr frame, n *needs) {
	i, err := strconv.Atoi(fr.arg(0))
	if err != nil || i < 0 || i >= len(n.configDirs) {
		return
	}
	folder := n.configDirs[i]
	dir := f.configs[folder]
	if dir == nil {
		dir = &configDir{}
		f.configs[folder] = dir
	}
	if fr.tag == "configs" {
		dir.read = state(fr.arg(1))
		return
	}
	if fr.tag == "config" {
		name := string(fr.body)
		dir.files = append(dir.files, configFile{path: folder.dir + "/" + name, name: name, runs: fr.arg(1) == "x"})
		return
	}
	if len(dir.files) == 0 {
		return
	}
	last := &dir.files[len(dir.files)-1]
	last.read = state(fr.arg(1))
	if fr.tag == "config-text" {
		last.text = string(fr.body)
		if fr.cut {
			last.read = stateBroken
		}
	}
}

// dropIns returns the files of several folders as systemd and others merge them:
// of files with one name that of the first folder counts, and they are in the
// order of their names. Masked ones are left out. See sysctl.d(5), "Configuration
// Directories and Precedence". A verdict with an outcome says why they cannot be
// had.
func (f *facts) dropIns(dirs ...string) ([]configFile, verdict) {
	byName := map[string]configFile{}
	for _, dir := range dirs {
		found, v := f.listed(dir, confFiles)
		if v.outcome != "" {
			return nil, v
		}
		for _, file := range found {
			if _, hidden := byName[file.name]; !hidden {
				byName[file.name] = file
			}
		}
	}
	files, v := readable(slices.Collect(maps.Values(byName)))
	if v.outcome != "" {
		return nil, v
	}
	slices.SortFunc(files, func(a, b configFile) int { return cmp.Compare(a.name, b.name) })
	return files, verdict{}
}

// listed returns the files of a folder, readable or not, in the order of their
// names.
func (f *facts) listed(dir, pattern string) ([]configFile, verdict) {
	d := f.configs[configNeed{dir, pattern}]
	switch {
	case d == nil || d.read == stateUnread:
		return nil, f.unread(dir)
	case d.read == stateDenied:
		return nil, undecided("%s", d.read.explain(dir))
	}
	return d.files, verdict{}
}

// readable drops what is no regular file, and gives an outcome when one of the
// others could not be read.
func readable(all []configFile) ([]configFile, verdict) {
	var files []configFile
	for _, file := range all {
		switch file.read {
		case stateRead:
			files = append(files, file)
		case stateAbsent:
		default:
			return nil, undecided("%s", file.read.explain(file.path))
		}
	}
	return files, verdict{}
}

// folderFiles are the files of a folder that could be read; a folder that is
// missing has none.
func (f *facts) folderFiles(dir, pattern string) ([]configFile, verdict) {
	all, v := f.listed(dir, pattern)
	if v.outcome != "" {
		return nil, v
	}
	return readable(all)
}

// text returns the content of a file that need not be there.
func (f *facts) text(path string) (text string, there bool, v verdict) {
	if n := f.nodes[path]; n != nil && (n.presence == missing || n.presence == dangling && f.root) {
		return "", false, verdict{}
	}
	content, v := f.content(path)
	return string(content), v.outcome == "", v
}

// readsText tells that the content of a file has to be read.
func readsText(paths ...string) option {
	return reads(func(n *needs) {
		for _, path := range paths {
			p := n.path(path)
			p.stat, p.content = true, true
		}
	})
}

// systemds are the places of systemd, in which it is process 1 of the image.
var systemds = []string{"/usr/lib/systemd/systemd", "/lib/systemd/systemd"}

func readsInit(a *Assertion) {
	reads(func(n *needs) {
		for _, p := range systemds {
			n.path(p)
		}
	})(a)
}

// bootsSystemd tells whether systemd's programs read the configuration at boot:
// older ones read some files that those do not.
func (f *facts) bootsSystemd() (bool, verdict) {
	found := false
	for _, p := range systemds {
		n := f.nodes[p]
		if n == nil {
			return false, f.unread(p)
		}
		found = found || n.presence == present || n.presence == linked
	}
	return found, verdict{}
}

// vendorDirs are the places in which systemd's kind of configuration folder is
// looked for, the one that wins first. That below /run is the build host's while
// an image is mounted, and empty when it boots.
func vendorDirs(name string, mode Mode) []string {
	dirs := []string{"/etc/" + name, "/run/" + name, "/usr/local/lib/" + name, "/usr/lib/" + name, "/lib/" + name}
	if mode != Booted {
		dirs = slices.Delete(dirs, 1, 2)
	}
	return dirs
}

// lineOf names a line of a file: /etc/fstab:3.
func lineOf(file string, line int) string { return file + ":" + strconv.Itoa(line) }
