//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type File

package check

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// File checks files, directories and links. Without any assertion it asserts
// that they exist. `type = "link"` and `target` are about a symbolic link
// itself; everything else is about what the path leads to.
type File struct {
	Common `mapstructure:",squash"`

	// Absolute path of the file. One of `path` and `paths` is required; in a
	// suite file the block's label is the path.
	Path string `mapstructure:"path"`
	// Several paths; the block is about each of them.
	Paths []string `mapstructure:"paths"`
	// Whether there is anything at the path. With `false` nothing else can be
	// asserted, and a dangling link counts as something.
	Exists *bool `mapstructure:"exists"`
	// `file`, `directory`, `link`, `pipe`, `socket`, `block` or `character`.
	Type *string `mapstructure:"type"`
	// Permissions in octal, for example `"0644"`, with the setuid, setgid and
	// sticky bits.
	Mode *string `mapstructure:"mode"`
	// Owner, by name or by number.
	Owner *string `mapstructure:"owner"`
	// Group, by name or by number.
	Group *string `mapstructure:"group"`
	// Size in bytes: a number, or a constraint such as `"> 0, <= 4096"`.
	Size *string `mapstructure:"size"`
	// SHA-256 of the content, in hex.
	SHA256 *string `mapstructure:"sha256"`
	// SHA-512 of the content, in hex.
	SHA512 *string `mapstructure:"sha512"`
	// MD5 of the content, in hex.
	MD5 *string `mapstructure:"md5"`
	// Capabilities of the file, for example `"cap_net_raw=ep"`, or `"none"`. They
	// are read with the image's `getcap`; without one, the check is an error.
	Capabilities *string `mapstructure:"capabilities"`
	// Extended attributes and the value that each must have, for example
	// `{ "user.origin" = "bake" }`. They are read with the image's `getfattr`;
	// without one, the check is an error.
	XAttrs map[string]string `mapstructure:"xattrs"`
	// Extended attributes that the file must not have.
	NotXAttrs []string `mapstructure:"not_xattrs"`
	// What the path, a symbolic link, points to, exactly as the link says it.
	Target *string `mapstructure:"target"`
	// Texts that the content must contain, literally. Content of more than
	// 16 MiB is an error, here and below.
	Contains []string `mapstructure:"contains"`
	// Texts that the content must not contain. A missing file fails.
	NotContains []string `mapstructure:"not_contains"`
	// Lines that must be there, each as a whole.
	Lines []string `mapstructure:"lines"`
	// Lines that must not be there. A missing file fails.
	NotLines []string `mapstructure:"not_lines"`
	// Regular expressions (RE2), each of which must match some line.
	Matches []string `mapstructure:"matches"`
	// Regular expressions (RE2) that must match no line. A missing file fails.
	NotMatches []string `mapstructure:"not_matches"`
}

func (b *File) kind() string    { return "file" }
func (b *File) common() *Common { return &b.Common }
func (b *File) subjects() subjects {
	return subjects{one: "path", value: &b.Path, several: "paths", values: b.Paths, validate: validPath}
}

func (b *File) compile(c *compiler, subject string) {
	var options []option
	if of := builderOwned(subject); of != "" {
		options = append(options, notOffline(of+" belongs to the build host while the image is baked"))
	}
	options = append(options, reads(func(n *needs) { n.path(subject) }))

	b.compileNode(c, subject, options)
	b.compileContent(c, subject, options)

	exists := b.Exists
	if exists == nil && c.found == 0 {
		exists = new(true)
	}
	switch {
	case exists == nil:
	case *exists:
		c.assert("exists", "true", func(f *facts) verdict {
			node, v := f.node(subject)
			if node == nil {
				return v
			}
			return pass("true")
		}, options...)
	default:
		if c.found > 0 {
			c.problem("exists", "exists = false leaves nothing else to assert; remove the other attributes or exists")
		}
		c.assert("exists", "false", func(f *facts) verdict { return f.absent(subject) }, options...)
	}
}

// compileNode asserts what the file system says of a file.
func (b *File) compileNode(c *compiler, subject string, options []option) {
	stat := reads(func(n *needs) { n.path(subject).stat = true })
	onNode := func(property, expected string, decide func(f *facts, n *node) verdict, more ...option) {
		c.assert(property, expected, func(f *facts) verdict {
			n, v := f.statted(subject)
			if n == nil {
				return v
			}
			return decide(f, n)
		}, slices.Concat(options, []option{stat}, more)...)
	}
	accounts := reads(func(n *needs) { n.accounts = true })
	if typ, ok := c.expected("type", b.Type); ok {
		switch {
		case !slices.Contains(nodeTypes, typ):
			c.problem("type", "%q is not a type of file; write one of %s", typ, strings.Join(nodeTypes, ", "))
		case typ == "link":
			c.assert("type", "link", func(f *facts) verdict { return f.isLink(subject) }, append(options, stat)...)
		default:
			onNode("type", typ, func(_ *facts, n *node) verdict { return is(n.typ() == typ, n.typ()) })
		}
	}
	if mode, ok := c.octal("mode", b.Mode); ok {
		onNode("mode", fmt.Sprintf("%04o", mode), func(_ *facts, n *node) verdict {
			return is(n.mode&0o7777 == mode, fmt.Sprintf("%04o", n.mode&0o7777))
		})
	}
	if name, ok := c.expected("owner", b.Owner); ok && c.validAccount("owner", name) {
		onNode("owner", name, func(f *facts, n *node) verdict { return f.ownedBy(name, n.uid, f.userName) }, accounts)
	}
	if name, ok := c.expected("group", b.Group); ok && c.validAccount("group", name) {
		onNode("group", name, func(f *facts, n *node) verdict { return f.ownedBy(name, n.gid, f.groupName) }, accounts)
	}
	if want, ok := c.number("size", b.Size); ok {
		onNode("size", want.String(), func(_ *facts, n *node) verdict {
			return is(want.meets(n.size), strconv.FormatInt(n.size, 10))
		})
	}
	if text, ok := c.expected("capabilities", b.Capabilities); ok {
		b.compileCapabilities(c, subject, text, append(options, stat))
	}
	b.compileXAttrs(c, subject, append(options, stat))
	if want, ok := c.expected("target", b.Target); ok {
		c.assert("target", want, func(f *facts) verdict {
			target, v := f.target(subject)
			if v.outcome != "" {
				return v
			}
			return is(target == want, target)
		}, append(options, reads(func(n *needs) { n.path(subject).target = true }))...)
	}
}

func (b *File) compileCapabilities(c *compiler, subject, text string, options []option) {
	want := noCaps
	if text != noCaps {
		var err error
		if want, err = canonicalCaps(text); err != nil || want == noCaps {
			c.problem("capabilities", `%q is not a set of capabilities; write for example "cap_net_raw=ep", or "none"`, text)
			return
		}
	}
	c.assert("capabilities", want, func(f *facts) verdict {
		caps, v := f.capabilities(subject)
		if v.outcome != "" {
			return v
		}
		return is(caps == want, caps)
	}, append(options, reads(func(n *needs) { n.path(subject).caps = true }))...)
}

func (c *compiler) validAccount(attr, name string) bool {
	err := validName(name)
	if err != nil {
		c.problem(attr, "%q %v", name, err)
	}
	return err == nil
}

// compileContent asserts what is in a file.
func (b *File) compileContent(c *compiler, subject string, options []option) {
	for _, d := range []struct {
		algorithm string
		digits    *string
		bytes     int
	}{{"sha256", b.SHA256, 32}, {"sha512", b.SHA512, 64}, {"md5", b.MD5, 16}} {
		digits, ok := c.expected(d.algorithm, d.digits)
		if !ok {
			continue
		}
		if sum, err := hex.DecodeString(digits); err != nil || len(sum) != d.bytes {
			c.problem(d.algorithm, "%q is not a digest; write its %d hexadecimal digits", digits, 2*d.bytes)
			continue
		}
		want := strings.ToLower(digits)
		c.assert(d.algorithm, want, func(f *facts) verdict {
			sum, v := f.digest(subject, d.algorithm)
			if sum == "" {
				return v
			}
			return is(sum == want, sum)
		}, append(options, reads(func(n *needs) {
			p := n.path(subject)
			p.stat, p.digests = true, appendNew(p.digests, d.algorithm)
		}))...)
	}
	onContent := func(property string, values []string, decide func(content []byte) verdict) {
		if len(values) == 0 {
			return
		}
		c.assert(property, quotedTexts(values), func(f *facts) verdict {
			content, v := f.content(subject)
			if v.outcome != "" {
				return v
			}
			v = decide(content)
			if v.outcome == Failed {
				v.actual += f.excerpt(subject, content)
			}
			return v
		}, append(options, additive, reads(func(n *needs) {
			p := n.path(subject)
			p.stat, p.content = true, true
		}))...)
	}
	contains, notContains := c.list("contains", b.Contains), c.list("not_contains", b.NotContains)
	matches, notMatches := c.patterns("matches", b.Matches), c.patterns("not_matches", b.NotMatches)
	lines, notLines := c.list("lines", b.Lines), c.list("not_lines", b.NotLines)
	for attr, list := range map[string][]string{"lines": lines, "not_lines": notLines} {
		for _, line := range list {
			if strings.ContainsAny(line, "\r\n") {
				c.problem(attr, "%q is not one line; write each on its own", line)
			}
		}
	}
	for _, line := range lines {
		if slices.Contains(notLines, line) {
			c.problem("lines", "%q is in not_lines too; remove one", line)
		}
	}
	for _, text := range contains {
		if slices.Contains(notContains, text) {
			c.problem("contains", "%q is in not_contains too; remove one", text)
		}
	}
	onContent("contains", contains, func(content []byte) verdict { return containsAll(content, contains) })
	onContent("not_contains", notContains, func(content []byte) verdict { return containsNone(content, notContains) })
	onContent("lines", lines, func(content []byte) verdict { return matchesAll(content, wholeLines(lines)) })
	onContent("not_lines", notLines, func(content []byte) verdict { return matchesNone(content, wholeLines(notLines)) })
	onContent("matches", sources(matches), func(content []byte) verdict { return matchesAll(content, matches) })
	onContent("not_matches", sources(notMatches), func(content []byte) verdict { return matchesNone(content, notMatches) })
}

// wholeLines are expressions that match these lines and no others.
func wholeLines(lines []string) []*regexp.Regexp {
	patterns := make([]*regexp.Regexp, len(lines))
	for i, line := range lines {
		patterns[i] = regexp.MustCompile("^" + regexp.QuoteMeta(line) + "$")
	}
	return patterns
}

func sources(patterns []*regexp.Regexp) []string {
	texts := make([]string, len(patterns))
	for i, p := range patterns {
		texts[i] = p.String()
	}
	return texts
}

// appendNew appends a value that the list does not have yet.
func appendNew[T comparable](list []T, value T) []T {
	if slices.Contains(list, value) {
		return list
	}
	return append(list, value)
}

func containsAll(content []byte, texts []string) verdict {
	for _, t := range texts {
		if !bytes.Contains(content, []byte(t)) {
			return fail("no %q in %s", t, bulk(content))
		}
	}
	return pass("all found")
}

func containsNone(content []byte, texts []string) verdict {
	for _, t := range texts {
		if before, _, found := bytes.Cut(content, []byte(t)); found {
			return fail("%q in line %d", t, 1+bytes.Count(before, []byte("\n")))
		}
	}
	return pass("none found")
}

func matchesAll(content []byte, patterns []*regexp.Regexp) verdict {
	for _, p := range patterns {
		if matchingLine(content, p) == 0 {
			return fail("no line that matches %q in %s", p, bulk(content))
		}
	}
	return pass("all matched")
}

func matchesNone(content []byte, patterns []*regexp.Regexp) verdict {
	for _, p := range patterns {
		if line := matchingLine(content, p); line > 0 {
			return fail("%q matches line %d", p, line)
		}
	}
	return pass("none matched")
}

// matchingLine returns the number of the first line that p matches, without its
// line end (LF or CRLF), and 0 when there is none.
func matchingLine(content []byte, p *regexp.Regexp) int {
	for number := 1; len(content) > 0; number++ {
		line, rest, _ := bytes.Cut(content, []byte("\n"))
		if p.Match(bytes.TrimSuffix(line, []byte("\r"))) {
			return number
		}
		content = rest
	}
	return 0
}

func bulk(content []byte) string {
	lines := bytes.Count(content, []byte("\n"))
	if len(content) > 0 && content[len(content)-1] != '\n' {
		lines++
	}
	if lines == 1 {
		return fmt.Sprintf("%d bytes (1 line)", len(content))
	}
	return fmt.Sprintf("%d bytes (%d lines)", len(content), lines)
}

// builderOwned returns which of the places that a chroot builder mounts or
// binds into the image p lies in, and "" for the image's own files.
func builderOwned(p string) string {
	if p == "/etc/resolv.conf" {
		return p
	}
	// /var/run is a link to /run in every distribution that has a /run.
	if rest, ok := strings.CutPrefix(p, "/var/run"); ok && (rest == "" || rest[0] == '/') {
		p = "/run" + rest
	}
	for _, top := range []string{"/proc", "/sys", "/dev", "/run"} {
		if p == top || strings.HasPrefix(p, top+"/") {
			return path.Clean(top)
		}
	}
	return ""
}
