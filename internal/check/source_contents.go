package check

import (
	"bytes"
	"crypto/sha256"
	"strconv"
	"strings"
)

const (
	// contentsBatch is how many files one process of the image reads. Their
	// numbers must fit into the line that opens a frame.
	contentsBatch = 100
	// smallContent is the size of files, in bytes, that are read together: a batch
	// of them must fit into a frame.
	smallContent = 256 << 10
	// longestSalted leaves room for the salt in a path: the kernel takes 4096 bytes.
	longestSalted = 3500
)

// saltOf returns a way to say / that nobody can guess who does not know the
// nonce of the run. It does not tell the nonce: other processes of a booted image
// see the arguments of programs.
func saltOf(nonce string) string {
	digest := sha256.Sum256([]byte(nonce))
	var salt strings.Builder
	for _, b := range digest[:8] {
		for bit := range 8 {
			salt.WriteString([]string{"///", "/./"}[b>>bit&1])
		}
	}
	return salt.String()
}

// scriptContents writes the part of the script that reads what is in files. One
// process for each would take longer than all the rest.
func scriptContents(s *script, n *needs) {
	limit := strconv.Itoa(contentLimit + 1)
	var several []int
	for i, p := range n.paths {
		if p.content && len(p.path) <= longestSalted {
			several = append(several, i)
		} else if p.content {
			s.call("content", strconv.Itoa(i), limit, p.path)
		}
	}
	if len(several) == 1 {
		s.call("content", strconv.Itoa(several[0]), limit, n.paths[several[0]].path)
		return
	}
	n.salt = saltOf(s.nonce)
	flush := func(batch []int) {
		ids, paths := make([]string, len(batch)), make([]string, len(batch))
		for i, id := range batch {
			ids[i], paths[i] = strconv.Itoa(id), n.paths[id].path
		}
		s.call("contents", append([]string{n.salt, limit, strconv.Itoa(smallContent), strings.Join(ids, " ")}, paths...)...)
	}
	var batch []int
	size := 0
	for _, id := range several {
		length := len(n.salt) + len(n.paths[id].path) + 16
		if len(batch) == contentsBatch || size+length > argumentsLimit {
			flush(batch)
			batch, size = nil, 0
		}
		batch, size = append(batch, id), size+length
	}
	if len(batch) > 0 {
		flush(batch)
	}
}

// readContents takes a frame with the content of several files, as head -v prints
// it: below a line ==> PATH <==, which has an empty line before it if it is not the
// first.
func (f *facts) readContents(fr frame, n *needs) {
	var nodes []*node
	var heads [][]byte
	for _, arg := range fr.args {
		i, err := strconv.Atoi(arg)
		if err != nil || i < 0 || i >= len(n.paths) || f.nodes[n.paths[i].path] == nil {
			return
		}
		nodes = append(nodes, f.nodes[n.paths[i].path])
		heads = append(heads, []byte("\n==> "+n.salt+n.paths[i].path+" <==\n"))
	}
	if fr.tag == "contents-end" {
		for _, node := range nodes {
			if node.content != nil {
				node.contentRead = stateRead
			}
		}
		return
	}
	// A head too many is one that somebody has written into a file meanwhile.
	if n.salt == "" || fr.cut || bytes.Count(fr.body, []byte("==> "+n.salt)) != len(heads) || len(heads) == 0 {
		return
	}
	rest, found := bytes.CutPrefix(fr.body, heads[0][1:])
	if !found {
		return
	}
	for i, node := range nodes {
		content := rest
		if i+1 < len(heads) {
			if content, rest, found = bytes.Cut(rest, heads[i+1]); !found {
				return
			}
		}
		// One that has grown meanwhile is not all there.
		if len(content) <= smallContent {
			node.content = append([]byte{}, content...)
		}
	}
}
