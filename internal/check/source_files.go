package check

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// node is what was read of one path.
type node struct {
	presence    byte   // one of the presence constants
	mode        uint32 // as st_mode; of what the path leads to
	uid, gid    int
	size        int64
	statted     bool
	own         *node // of a link: its own status
	link        state
	target      string
	contentRead state
	content     []byte
	digests     map[string]string
	digestRead  map[string]state
	capsPath    string // the path without links, as getcap prints it
	caps        string // what getcap printed
	capsRead    state
	xattrs      map[string]string
	xattrRead   map[string]state
}

// What the script found at a path, with the shell's own tests.
const (
	present     = 'e' // something that is no link
	linked      = 'l' // a link that leads to something
	dangling    = 'd' // a link that leads nowhere, as far as can be seen
	missing     = 'a' // nothing
	unreachable = 'x' // a directory on the way may not be searched
)

// Types of files, as the type attribute names them.
var nodeTypes = []string{"file", "directory", "link", "pipe", "socket", "block", "character"}

// The bits of st_mode that hold the type, and their values on Linux: inode(7).
const (
	typeMask = 0o170000
	typeLink = 0o120000
)

func (n *node) typ() string {
	switch n.mode & typeMask {
	case 0o100000:
		return "file"
	case 0o040000:
		return "directory"
	case typeLink:
		return "link"
	case 0o010000:
		return "pipe"
	case 0o140000:
		return "socket"
	case 0o060000:
		return "block"
	case 0o020000:
		return "character"
	}
	return "unknown"
}

// argumentsLimit is how many bytes go into one list of arguments: with what the
// kernel adds for each, it stays well below the 128 KiB that any system allows.
const argumentsLimit = 64 << 10

// scriptFiles writes the part of the script that reads paths.
func scriptFiles(s *script, n *needs) {
	if len(n.paths) == 0 {
		return
	}
	s.part("files.sh")
	if slices.ContainsFunc(n.paths, func(p *pathNeed) bool { return len(p.xattrs) > 0 }) {
		s.part("xattrs.sh")
	}
	for _, wantStat := range []bool{true, false} {
		var batch []*pathNeed
		size := 0
		flush := func() {
			if len(batch) == 0 {
				return
			}
			words := make([]string, len(batch))
			for i, p := range batch {
				words[i] = p.path
			}
			s.call("entries", append([]string{s.files(batch), strconv.FormatBool(wantStat)}, words...)...)
			batch, size = nil, 0
		}
		for _, p := range n.paths {
			if p.stat != wantStat {
				continue
			}
			if size+len(p.path) > argumentsLimit {
				flush()
			}
			batch, size = append(batch, p), size+len(p.path)+16
		}
		flush()
	}
	scriptContents(s, n)
	for i, p := range n.paths {
		id := strconv.Itoa(i)
		if p.target {
			s.call("target", id, p.path)
		}
		if p.caps {
			s.call("caps", id, p.path)
		}
		for j, name := range p.xattrs {
			s.call("xattr", id, strconv.Itoa(j), p.path, name)
		}
		for _, algorithm := range p.digests {
			s.call("digest", id, algorithm, p.path)
		}
	}
}

// readFiles takes a frame of the files' part.
func (f *facts) readFiles(fr frame, n *needs, batches [][]*pathNeed) {
	if fr.tag == "contents" || fr.tag == "contents-end" {
		f.readContents(fr, n)
		return
	}
	if fr.tag == "entries" || fr.tag == "stat" {
		i, err := strconv.Atoi(fr.arg(0))
		if err != nil || i < 0 || i >= len(batches) {
			return
		}
		f.readBatch(fr, batches[i])
		return
	}
	i, err := strconv.Atoi(fr.arg(0))
	if err != nil || i < 0 || i >= len(n.paths) {
		return
	}
	node := f.nodes[n.paths[i].path]
	if node == nil {
		return
	}
	switch fr.tag {
	case "caps-path", "caps", "caps-end":
		node.readCaps(fr)
	case "xattr", "xattr-end":
		node.readXAttr(fr, n.paths[i])
	case "target":
		node.link = state(fr.arg(1))
		node.target = strings.TrimSuffix(string(fr.body), "\n")
	case "content":
		node.content = fr.body
	case "content-end":
		node.contentRead = state(fr.arg(1))
	case "digest":
		if node.digests == nil {
			node.digests, node.digestRead = map[string]string{}, map[string]state{}
		}
		sum, _, _ := strings.Cut(string(fr.body), " ")
		node.digests[fr.arg(1)] = strings.ToLower(sum)
	case "digest-end":
		if node.digestRead != nil {
			node.digestRead[fr.arg(1)] = state(fr.arg(2))
		}
	}
}

// readBatch takes what was found at the paths of a batch. stat prints one line
// for each path that leads to something, in order.
func (f *facts) readBatch(fr frame, batch []*pathNeed) {
	if fr.tag == "entries" {
		found := strings.TrimSpace(string(fr.body))
		if len(found) != len(batch) {
			return
		}
		for i, p := range batch {
			f.nodes[p.path] = &node{presence: found[i]}
		}
		return
	}
	var expected []*node
	for _, p := range batch {
		n := f.nodes[p.path]
		if n == nil {
			return
		}
		if n.presence == present || n.presence == linked {
			expected = append(expected, n)
		}
	}
	lines := strings.Fields(string(fr.body))
	if len(lines) != len(expected) {
		return
	}
	for i, line := range lines {
		st, err := parseStat(line)
		if err != nil {
			return
		}
		expected[i].mode, expected[i].uid, expected[i].gid, expected[i].size = st.mode, st.uid, st.gid, st.size
		expected[i].statted = true
	}
}

// parseStat reads mode (in hex), uid, gid and size with colons between them.
func parseStat(line string) (*node, error) {
	fields := strings.Split(line, ":")
	if len(fields) != 4 {
		return nil, fmt.Errorf("parse stat: %q has not 4 fields", line)
	}
	mode, err := strconv.ParseUint(fields[0], 16, 32)
	if err != nil {
		return nil, fmt.Errorf("parse stat: mode: %w", err)
	}
	var numbers [3]int64
	for i, text := range fields[1:] {
		if numbers[i], err = strconv.ParseInt(text, 10, 64); err != nil {
			return nil, fmt.Errorf("parse stat: %w", err)
		}
	}
	return &node{mode: uint32(mode), uid: int(numbers[0]), gid: int(numbers[1]), size: numbers[2]}, nil
}

// node returns what there is at a path, links followed, or the verdict when
// there is nothing.
func (f *facts) node(path string) (*node, verdict) {
	n := f.nodes[path]
	if n == nil {
		return nil, f.unread(path)
	}
	switch n.presence {
	case present, linked:
		return n, verdict{}
	case dangling:
		if f.root {
			return nil, fail("a link that leads to nothing")
		}
	case missing:
		return nil, fail("no such file")
	}
	return nil, undecided("%s", stateDenied.explain(path))
}

// absent decides that there is nothing at a path.
func (f *facts) absent(path string) verdict {
	n := f.nodes[path]
	if n == nil {
		return f.unread(path)
	}
	switch n.presence {
	case missing:
		return pass("false")
	case dangling:
		return fail("a link, though one that leads to nothing")
	case present, linked:
		return fail("it exists")
	}
	return undecided("%s", stateDenied.explain(path))
}

// statted returns a node whose mode, owner and size were read.
func (f *facts) statted(path string) (*node, verdict) {
	n, v := f.node(path)
	if n == nil {
		return nil, v
	}
	if !n.statted {
		return nil, f.unread("the file's status, by the image's stat command,")
	}
	return n, verdict{}
}

func (f *facts) isLink(path string) verdict {
	n := f.nodes[path]
	switch {
	case n == nil:
		return f.unread(path)
	case n.presence == linked || n.presence == dangling:
		return pass("link")
	}
	n, v := f.statted(path)
	if n == nil {
		return v
	}
	return fail("%s", n.typ())
}

// target returns where a link points to. A verdict with an outcome says why not.
func (f *facts) target(path string) (string, verdict) {
	n := f.nodes[path]
	switch {
	case n == nil:
		return "", f.unread(path)
	case n.presence == present:
		return "", fail("not a link")
	case n.presence == missing:
		return "", fail("no such file")
	case n.presence == unreachable:
		return "", undecided("%s", stateDenied.explain(path))
	case n.link != stateRead:
		return "", f.unread("the link's target, by the image's readlink command,")
	}
	return n.target, verdict{}
}

// content returns the bytes of a regular file. A verdict with an outcome says
// why they cannot be had.
func (f *facts) content(path string) ([]byte, verdict) {
	n, v := f.node(path)
	if n == nil {
		return nil, v
	}
	if n.statted && n.typ() != "file" {
		return nil, fail("a %s, which has no content", n.typ())
	}
	switch {
	case n.contentRead == stateDenied:
		return nil, undecided("%s", n.contentRead.explain(path))
	case n.contentRead != stateRead:
		return nil, f.unread("the file's content")
	case len(n.content) > contentLimit:
		return nil, undecided("content of %d bytes is more than the %d that are matched; check its digest instead", n.size, contentLimit)
	}
	return n.content, verdict{}
}

// digest returns the digest of a regular file in hex, or a verdict that says
// why it cannot be had.
func (f *facts) digest(path, algorithm string) (string, verdict) {
	n, v := f.statted(path)
	if n == nil {
		return "", v
	}
	if n.typ() != "file" {
		return "", fail("a %s, which has no content", n.typ())
	}
	switch n.digestRead[algorithm] {
	case stateRead:
		if sum := n.digests[algorithm]; sum != "" {
			return sum, verdict{}
		}
	case stateDenied:
		return "", undecided("%s", stateDenied.explain(path))
	}
	return "", f.unread(fmt.Sprintf("the digest, by the image's %ssum command,", algorithm))
}

// ownedBy decides ownership by name or number.
func (f *facts) ownedBy(want string, id int, nameOf func(int) (string, bool)) verdict {
	if number, err := strconv.Atoi(want); err == nil {
		return is(number == id, strconv.Itoa(id))
	}
	if f.accounts.passwd != stateRead || f.accounts.group != stateRead {
		return f.unread("the names of users and groups")
	}
	name, ok := nameOf(id)
	if !ok {
		return fail("%d, which has no name in the image", id)
	}
	return is(name == want, name)
}

// excerptLimit is the size of a file that is short enough to be shown whole.
const excerptLimit = 200

// excerpt shows the content of a short file that everybody may read; others
// could hold secrets, which must not reach a log.
func (f *facts) excerpt(path string, content []byte) string {
	if !f.isPublic(path) || len(content) == 0 || len(content) > excerptLimit {
		return ""
	}
	return ": " + strconv.Quote(string(content))
}

// isPublic tells whether everybody may read a file.
func (f *facts) isPublic(path string) bool {
	n := f.nodes[path]
	return n != nil && n.statted && n.mode&0o004 != 0
}
