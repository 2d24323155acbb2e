package serverspec

import (
	"fmt"
	"slices"
	"strings"
)

// block is a block of a suite file.
type block struct {
	kind  string
	label string // empty for a command, whose subject is an attribute
	attrs []attr
	boot  bool // decided on a booted system only
	note  string
	when  []string
}

// attr is an attribute: a value in HCL, or several of a list.
type attr struct {
	name string
	one  string
	list []string
}

func newBlock(kind, label string, attrs ...attr) *block {
	return &block{kind: kind, label: label, attrs: attrs}
}

func (b *block) booted() *block {
	b.boot = true
	return b
}

func (b *block) noted(note string) *block {
	b.note = note
	return b
}

func is(name, text string) attr { return attr{name: name, one: quote(text)} }

func yes(name string, is bool) attr { return attr{name: name, one: fmt.Sprint(is)} }

func has(name string, texts ...string) attr {
	var list []string
	for _, text := range texts {
		list = append(list, quote(text))
	}
	return attr{name: name, list: list}
}

// absent are the attributes with whose false nothing else can be asserted.
func (b *block) absent() bool {
	return slices.ContainsFunc(b.attrs, func(a attr) bool { return a.one == "false" })
}

// merge adds what other asserts to b, when both are about one thing and do not
// contradict each other.
func (b *block) merge(other *block) bool {
	if b.kind != other.kind || b.label != other.label || b.boot != other.boot || b.note != other.note ||
		!slices.Equal(b.when, other.when) || b.absent() != other.absent() {
		return false
	}
	for _, a := range other.attrs {
		if i := b.find(a.name); i >= 0 && b.attrs[i].one != a.one {
			return false
		}
	}
	for _, a := range other.attrs {
		switch i := b.find(a.name); {
		case i < 0:
			b.attrs = append(b.attrs, a)
		case a.one == "":
			for _, text := range a.list {
				if !slices.Contains(b.attrs[i].list, text) {
					b.attrs[i].list = append(b.attrs[i].list, text)
				}
			}
		}
	}
	return true
}

func (b *block) find(name string) int {
	return slices.IndexFunc(b.attrs, func(a attr) bool { return a.name == name })
}

func (b *block) write(out *strings.Builder) {
	if b.note != "" {
		fmt.Fprintf(out, "# %s\n", b.note)
	}
	out.WriteString(b.kind)
	if b.label != "" {
		out.WriteString(" " + quote(b.label))
	}
	out.WriteString(" {\n")
	if len(b.when) > 0 {
		fmt.Fprintf(out, "when = %s\n", strings.Join(b.when, " && "))
	}
	for _, a := range b.attrs {
		if a.one != "" {
			fmt.Fprintf(out, "%s = %s\n", a.name, a.one)
		} else {
			fmt.Fprintf(out, "%s = [%s]\n", a.name, strings.Join(a.list, ", "))
		}
	}
	if b.boot {
		out.WriteString("requires = \"boot\"\n")
	}
	out.WriteString("}\n")
}
