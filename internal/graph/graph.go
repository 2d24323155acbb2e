// Package graph draws what was baked from what: as SVG, as a page for browsers,
// and in the languages of Mermaid and Graphviz.
package graph

import (
	"fmt"
	"strings"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// node is an image at its place in the drawing. Generations are columns, from
// left to right; an image without descendants has a row of its own, another
// stands at the height of its first child.
type node struct {
	registry.View
	parent *node
	number int // from 1, parents before children
	column int
	row    int
}

// arrange places the images of a forest and returns them, parents before their
// children, with the number of columns and rows.
func arrange(forest []registry.Tree) (nodes []*node, columns, rows int) {
	var place func(registry.Tree, *node)
	place = func(tree registry.Tree, parent *node) {
		n := &node{View: tree.View, parent: parent, number: len(nodes) + 1, row: rows}
		if parent != nil {
			n.column = parent.column + 1
		}
		columns = max(columns, n.column+1)
		nodes = append(nodes, n)
		for _, child := range tree.Children {
			place(child, n)
		}
		if len(tree.Children) == 0 {
			rows++
		}
	}
	for _, tree := range forest {
		place(tree, nil)
	}
	return nodes, columns, rows
}

// title is the first line of a node.
func (n *node) title() string { return n.Application + " " + n.Version }

// standing is the second line of a node: layer, status and checks.
func (n *node) standing() string {
	words := []string{n.Layer, statusText(n.State)}
	if passed, total := n.Checks(); total > 0 {
		words = append(words, fmt.Sprintf("%d/%d checks", passed, total))
	}
	return strings.Join(words, " · ")
}

// statusText is the status, with the channels that the image heads.
func statusText(s registry.State) string {
	if len(s.Channels) == 0 || s.Status != registry.StatusPromoted {
		return string(s.Status)
	}
	return string(s.Status) + " " + strings.Join(s.Channels, ",")
}

// shade is how a status looks: dark text and line on a light ground, the same
// in every format.
type shade struct{ line, ground string }

var shades = map[registry.Status]shade{
	registry.StatusRevoked:    {"#b42318", "#fee4e2"},
	registry.StatusRetired:    {"#667085", "#eaecf0"},
	registry.StatusDeprecated: {"#b54708", "#fef0c7"},
	registry.StatusPromoted:   {"#175cd3", "#d1e9ff"},
	registry.StatusTested:     {"#067647", "#d1fadf"},
	registry.StatusRejected:   {"#c01048", "#ffe4e8"},
	registry.StatusBuilt:      {"#475467", "#f2f4f7"},
}
