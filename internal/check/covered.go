package check

import (
	"slices"
	"strconv"
	"strings"
)

// Covered is a file of the builder that lies over one of the image while it is
// checked, such as the guard that keeps packages from starting services. Files
// are checked as the finished image will have them; commands see what is there.
type Covered struct {
	// Path is absolute in the image.
	Path string
	// SHA256 is the digest of the builder's file, in hex: a file that differs
	// was put there by a provisioner, and is the image's. Empty means that
	// whatever lies there is taken away.
	SHA256 string
	// Under is where the image's own file lies in the meantime; empty means that
	// the image has none.
	Under string
}

// cover asks for what has to be read to see through the covered files: what is
// under each, as much of it as is asked of any path, and which of the paths
// lead to them.
func (n *needs) cover(files []Covered) {
	if len(n.paths) == 0 {
		return
	}
	n.covered, n.asked = files, slices.Clone(n.paths)
	var all pathNeed
	for _, p := range n.asked {
		all.content, all.caps = all.content || p.content, all.caps || p.caps
		for _, name := range p.xattrs {
			all.xattrs = appendNew(all.xattrs, name)
		}
		for _, algorithm := range p.digests {
			all.digests = appendNew(all.digests, algorithm)
		}
	}
	for _, c := range files {
		if c.SHA256 != "" {
			top := n.path(c.Path)
			top.stat, top.digests = true, appendNew(top.digests, "sha256")
		}
		if c.Under != "" {
			under := n.path(c.Under)
			under.stat, under.target, under.content, under.caps = true, true, all.content, all.caps
			under.digests, under.xattrs = slices.Clone(all.digests), slices.Clone(all.xattrs)
		}
	}
}

// scriptCovered writes the part of the script that finds the paths that lead to
// covered files, by whatever links.
func scriptCovered(s *script, n *needs) {
	if len(n.covered) == 0 {
		return
	}
	s.part("covered.sh")
	for batch := range slices.Chunk(n.asked, coveredBatch) {
		i := s.files(batch)
		for j, c := range n.covered {
			words := []string{i, strconv.Itoa(j), c.Path}
			for _, p := range batch {
				words = append(words, p.path)
			}
			s.call("covered", words...)
		}
	}
}

// coveredBatch is how many paths one call gets. No list of arguments is passed
// to a program here, so only the length of a line counts.
const coveredBatch = 1000

// readCovered takes a frame that says which paths of a batch lead to a covered
// file.
func (f *facts) readCovered(fr frame, n *needs, batches [][]*pathNeed) {
	i, err := strconv.Atoi(fr.arg(0))
	j, err2 := strconv.Atoi(fr.arg(1))
	if err != nil || err2 != nil || i < 0 || i >= len(batches) || j < 0 || j >= len(n.covered) {
		return
	}
	letters := strings.TrimSpace(string(fr.body))
	if len(letters) != len(batches[i]) {
		return
	}
	for k, p := range batches[i] {
		if f.leads[p.path] == nil {
			f.leads[p.path] = make([]byte, len(n.covered))
		}
		f.leads[p.path][j] = letters[k]
	}
}

// Letters of the script's covered function.
const (
	leads     = 'y'
	leadsAway = 'n'
)

// uncover replaces what was found at the paths that lead to covered files with
// what the finished image will have there. Of a path about which that cannot be
// told nothing is left, so that whatever is asked of it is an error.
func (f *facts) uncover(n *needs) {
	replaced := map[string]*node{}
	for j, c := range n.covered {
		top := f.nodes[c.Path]
		mine, known := isBuilders(c, top)
		for _, p := range n.asked {
			var letter byte
			if p.path == c.Path {
				letter = leads
			} else if answers := f.leads[p.path]; answers != nil {
				letter = answers[j]
			}
			switch {
			case letter == leads && known && mine:
				seen := f.nodes[p.path]
				if p.path == c.Path {
					seen = &node{presence: present}
				}
				replaced[p.path] = seen.over(f.nodes[c.Under], c.Under != "")
			case letter == leads && !known, letter != leads && letter != leadsAway:
				replaced[p.path] = nil
			}
		}
	}
	for p, seen := range replaced {
		if seen == nil {
			delete(f.nodes, p)
			continue
		}
		f.nodes[p] = seen
	}
}

// isBuilders tells whether what lies at a covered path is still the builder's
// file. A link, or nothing, is what a provisioner made of it.
func isBuilders(c Covered, top *node) (mine, known bool) {
	switch {
	case c.SHA256 == "":
		return true, true
	case top == nil:
		return false, false
	case top.presence != present:
		return false, true
	case top.digestRead["sha256"] != stateRead || top.digests["sha256"] == "":
		// A folder has no digest, and is nothing that the builder puts there.
		return false, top.statted && top.typ() != "file"
	}
	return strings.EqualFold(top.digests["sha256"], c.SHA256), true
}

// over is what a path that leads to a covered file will lead to. n was found at
// the path, under is the image's own file, if it has one.
func (n *node) over(under *node, has bool) *node {
	switch {
	case n == nil || (has && under == nil):
		return nil
	case n.presence != linked && !has:
		return &node{presence: missing}
	case n.presence != linked:
		return under
	}
	// The path is a link itself, and stays one.
	link := &node{presence: dangling, link: n.link, target: n.target, own: n.own}
	if has && (under.presence == present || under.presence == linked) {
		own := *under
		own.presence, own.link, own.target, own.own = linked, n.link, n.target, n.own
		link = &own
	}
	return link
}
