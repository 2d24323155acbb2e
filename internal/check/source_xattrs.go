package check

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// xattrName is a name of an extended attribute with its namespace: xattr(7).
var xattrName = regexp.MustCompile(`^(user|trusted|security|system)\.[^\s/]+$`)

// readXAttr takes a frame of an extended attribute of a path.
func (n *node) readXAttr(fr frame, p *pathNeed) {
	j, err := strconv.Atoi(fr.arg(1))
	if err != nil || j < 0 || j >= len(p.xattrs) {
		return
	}
	if n.xattrs == nil {
		n.xattrs, n.xattrRead = map[string]string{}, map[string]state{}
	}
	if fr.tag == "xattr" {
		// The kernel's own have a zero byte at their end.
		n.xattrs[p.xattrs[j]] = strings.TrimSuffix(string(fr.body), "\x00")
		return
	}
	n.xattrRead[p.xattrs[j]] = state(fr.arg(2))
}

// stateNoTool is the state of what the image has no program for.
const stateNoTool state = "tool"

// xattr returns an extended attribute; found is false when the file has none of
// the name. A verdict with an outcome says why it cannot be had.
func (f *facts) xattr(path, name string) (value string, found bool, v verdict) {
	n, v := f.node(path)
	if n == nil {
		return "", false, v
	}
	switch n.xattrRead[name] {
	case stateRead:
		return n.xattrs[name], true, verdict{}
	case stateAbsent:
		return "", false, verdict{}
	case stateNoTool:
		return "", false, undecided("the image has no getfattr command, which reads them (package attr)")
	}
	return "", false, f.unread("the file's extended attributes, by the image's getfattr command,")
}

// compileXAttrs asserts extended attributes.
func (b *File) compileXAttrs(c *compiler, subject string, options []option) {
	if b.XAttrs != nil {
		c.found++
		if len(b.XAttrs) == 0 {
			c.problem("xattrs", "an empty map asserts nothing; name at least one or leave xattrs out")
		}
	}
	on := func(name string, expected string, decide func(value string, found bool) verdict) {
		c.assert("xattr "+name, expected, func(f *facts) verdict {
			value, found, v := f.xattr(subject, name)
			if v.outcome != "" {
				return v
			}
			return decide(value, found)
		}, append(slices.Clone(options), reads(func(n *needs) {
			p := n.path(subject)
			p.xattrs = appendNew(p.xattrs, name)
		}))...)
	}
	valid := func(attr, name string) bool {
		if xattrName.MatchString(name) {
			return true
		}
		c.problem(attr, `%q is not an extended attribute; write its namespace too, for example "user.origin"`, name)
		return false
	}
	for _, name := range slices.Sorted(maps.Keys(b.XAttrs)) {
		want := b.XAttrs[name]
		switch {
		case IsUnknown(name) || IsUnknown(want):
			c.plan.Partial = true
		case valid("xattrs", name):
			on(name, strconv.Quote(want), func(value string, found bool) verdict {
				if !found {
					return fail("not set")
				}
				return is(value == want, strconv.Quote(value))
			})
		}
	}
	for _, name := range c.list("not_xattrs", b.NotXAttrs) {
		if _, both := b.XAttrs[name]; both {
			c.problem("not_xattrs", "%q is in xattrs too; remove one", name)
			continue
		}
		if valid("not_xattrs", name) {
			on(name, "not set", func(value string, found bool) verdict {
				if found {
					return fail("%q", value)
				}
				return pass("not set")
			})
		}
	}
}
