package check

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// fileValues are those of a path itself: a link's own, not of what it leads to,
// but for its content and digests.
func fileValues(c *compiler, b *Expect) []value {
	path := b.Subject
	var options []option
	if of := builderOwned(path); of != "" {
		options = append(options, notOffline(of+" belongs to the build host while the image is baked"))
	}
	entry := append(slices.Clone(options), reads(func(n *needs) { n.path(path) }))
	status := append(slices.Clone(options), reads(func(n *needs) { n.ownStatus(path) }))
	accounts := append(slices.Clone(status), reads(func(n *needs) { n.accounts = true }))
	content := append(slices.Clone(options), reads(func(n *needs) {
		p := n.path(path)
		p.stat, p.content = true, true
	}))
	ofNode := func(name string, options []option, get func(f *facts, n *node) (any, verdict)) value {
		return value{name: name, options: options, read: func(f *facts) (any, verdict) {
			n, v := f.ownStatus(path)
			if n == nil {
				return nil, v
			}
			return get(f, n)
		}}
	}
	named := func(id int, nameOf func(int) (string, bool), f *facts) (any, verdict) {
		if f.accounts.passwd != stateRead || f.accounts.group != stateRead {
			return nil, f.unread("the names of users and groups")
		}
		name, ok := nameOf(id)
		if !ok {
			return nil, fail("%d, which has no name in the image", id)
		}
		return name, verdict{}
	}
	values := []value{
		{name: "exists", presence: true, options: entry, read: func(f *facts) (any, verdict) {
			v := f.absent(path)
			if v.outcome == Errored {
				return nil, v
			}
			return v.outcome == Failed, verdict{}
		}},
		ofNode("mode", status, func(_ *facts, n *node) (any, verdict) { return fmt.Sprintf("%04o", n.mode&0o7777), verdict{} }),
		ofNode("size", status, func(_ *facts, n *node) (any, verdict) { return int(n.size), verdict{} }),
		ofNode("uid", status, func(_ *facts, n *node) (any, verdict) { return n.uid, verdict{} }),
		ofNode("gid", status, func(_ *facts, n *node) (any, verdict) { return n.gid, verdict{} }),
		ofNode("owner", accounts, func(f *facts, n *node) (any, verdict) { return named(n.uid, f.userName, f) }),
		ofNode("group", accounts, func(f *facts, n *node) (any, verdict) { return named(n.gid, f.groupName, f) }),
		ofNode("filetype", status, func(_ *facts, n *node) (any, verdict) {
			names := map[string]string{"link": "symlink", "character": "character-device", "block": "block-device"}
			if name, ok := names[n.typ()]; ok {
				return name, verdict{}
			}
			return n.typ(), verdict{}
		}),
		{name: "linked-to", options: append(slices.Clone(options), reads(func(n *needs) { n.path(path).target = true })), read: func(f *facts) (any, verdict) {
			target, v := f.target(path)
			return target, v
		}},
	}
	for _, name := range []string{"contents", "contains"} {
		values = append(values, value{
			name: name, options: content, stream: true,
			read: func(f *facts) (any, verdict) {
				data, v := f.content(path)
				return string(data), v
			},
			show: func(f *facts, found any) string {
				return bulk([]byte(asString(found))) + f.excerpt(path, []byte(asString(found)))
			},
			private: func(f *facts) bool { return !f.isPublic(path) },
		})
	}
	for _, algorithm := range []string{"md5", "sha256", "sha512"} {
		values = append(values, value{
			name: algorithm, options: append(slices.Clone(options), reads(func(n *needs) {
				p := n.path(path)
				p.stat, p.digests = true, appendNew(p.digests, algorithm)
			})),
			read: func(f *facts) (any, verdict) {
				sum, v := f.digest(path, algorithm)
				if sum == "" {
					return nil, v
				}
				return sum, verdict{}
			},
		})
	}
	return values
}

func asString(value any) string {
	text, _ := value.(string)
	return text
}

// ownStatus asks for the status of a path, and when it is a link for that of the
// link too.
func (n *needs) ownStatus(path string) {
	p := n.path(path)
	p.stat = true
	n.links = appendNew(n.links, p)
}

// scriptLinks writes the part of the script that reads the status of links. What
// is no link was read with the other paths.
func scriptLinks(s *script, n *needs) {
	if len(n.links) == 0 {
		return
	}
	s.part("links.sh")
	var batch []*pathNeed
	size := 0
	flush := func() {
		words := []string{s.files(batch)}
		for _, p := range batch {
			words = append(words, p.path)
		}
		s.call("links", words...)
		batch, size = nil, 0
	}
	for _, p := range n.links {
		if size+len(p.path) > argumentsLimit {
			flush()
		}
		batch, size = append(batch, p), size+len(p.path)+16
	}
	flush()
}

// readLinks takes the status of the links of a batch: a line for each, in order.
func (f *facts) readLinks(fr frame, batches [][]*pathNeed) {
	i, err := strconv.Atoi(fr.arg(0))
	if err != nil || i < 0 || i >= len(batches) {
		return
	}
	var links []*node
	for _, p := range batches[i] {
		if n := f.nodes[p.path]; n != nil && (n.presence == linked || n.presence == dangling) {
			links = append(links, n)
		}
	}
	lines := strings.Fields(string(fr.body))
	if len(lines) != len(links) {
		return
	}
	for i, line := range lines {
		st, err := parseStat(line)
		if err != nil {
			return
		}
		st.presence, st.statted = present, true
		links[i].own = st
	}
}

// ownStatus returns the status of what is at a path, of a link its own.
func (f *facts) ownStatus(path string) (*node, verdict) {
	n := f.nodes[path]
	switch {
	case n == nil:
		return nil, f.unread(path)
	case n.presence != linked && n.presence != dangling:
		return f.statted(path)
	case n.own == nil:
		return nil, f.unread("the link's status, by the image's stat command,")
	}
	return n.own, verdict{}
}
