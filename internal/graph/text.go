package graph

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// WriteMermaid draws a forest as a flowchart of Mermaid, which GitHub and GitLab
// show in their pages.
func WriteMermaid(w io.Writer, forest []registry.Tree) error {
	nodes, _, _ := arrange(forest)
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	used := map[registry.Status]bool{}
	for _, n := range nodes {
		used[n.Status] = true
		fmt.Fprintf(&b, "  n%d[\"%s<br/>%s\"]:::%s\n", n.number, escapeMermaid(n.title()), escapeMermaid(n.standing()), n.Status)
	}
	for _, n := range nodes {
		if n.parent != nil {
			fmt.Fprintf(&b, "  n%d --> n%d\n", n.parent.number, n.number)
		}
	}
	for _, status := range registry.Statuses() {
		if used[status] {
			fmt.Fprintf(&b, "  classDef %s fill:%s,stroke:%s,color:#101828\n", status, shades[status].ground, shades[status].line)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// escapeMermaid writes everything that could end a label or begin a tag as
// Mermaid's entity codes ("Special characters that break syntax" in its manual).
func escapeMermaid(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r < ' ' || strings.ContainsRune("\"#;<>&`\\[]{}()|", r) {
			fmt.Fprintf(&b, "#%d;", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// WriteDOT draws a forest in the language of Graphviz.
func WriteDOT(w io.Writer, forest []registry.Tree) error {
	nodes, _, _ := arrange(forest)
	var b strings.Builder
	b.WriteString("digraph lineage {\n  rankdir=LR\n  node [shape=box style=\"rounded,filled\" fontname=\"sans-serif\"]\n")
	for _, n := range nodes {
		colours := shades[n.Status]
		fmt.Fprintf(&b, "  n%d [label=%s tooltip=%s color=%q fillcolor=%q]\n",
			n.number, quoteDOT(n.title(), n.standing()), quoteDOT(n.Reason, n.ID), colours.line, colours.ground)
	}
	for _, n := range nodes {
		if n.parent != nil {
			fmt.Fprintf(&b, "  n%d -> n%d\n", n.parent.number, n.number)
		}
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// quoteDOT writes lines as a quoted string: only quotes end it, and backslashes
// begin its escapes (Graphviz, "The DOT language" and "escString").
func quoteDOT(lines ...string) string {
	lines = slices.Clone(lines)
	for i, line := range lines {
		line = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return ' '
			}
			return r
		}, line)
		lines[i] = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(line)
	}
	return `"` + strings.Join(lines, `\n`) + `"`
}
