package graph

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// Measures of the drawing, in pixels.
const (
	boxWidth  = 230
	boxHeight = 46
	gapX      = 50
	gapY      = 16
	margin    = 16

	// maxLetters of the two sizes of text fit into a box.
	maxTitle    = 29
	maxStanding = 38
)

// WriteSVG draws a forest: generations from left to right, each image a box in
// the colours of its status, with everything that does not fit in its title.
func WriteSVG(w io.Writer, forest []registry.Tree) error {
	nodes, columns, rows := arrange(forest)
	width := 2*margin + max(columns, 1)*(boxWidth+gapX) - gapX
	height := 2*margin + max(rows, 1)*(boxHeight+gapY) - gapY
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="system-ui, sans-serif" role="img">`+"\n", width, height)
	fmt.Fprintf(&b, "<title>Lineage of %d images</title>\n", len(nodes))
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, height)
	for _, n := range nodes {
		if n.parent == nil {
			continue
		}
		x1, y1 := n.parent.left()+boxWidth, n.parent.top()+boxHeight/2
		x2, y2 := n.left(), n.top()+boxHeight/2
		fmt.Fprintf(&b, `<path d="M%d %dC%d %[2]d %[3]d %d %d %[4]d" fill="none" stroke="#98a2b3" stroke-width="1.5"/>`+"\n",
			x1, y1, (x1+x2)/2, y2, x2)
	}
	for _, n := range nodes {
		colours := shades[n.Status]
		fmt.Fprintf(&b, `<g><title>%s</title><rect x="%d" y="%d" width="%d" height="%d" rx="8" fill="%s" stroke="%s"/>`,
			escapeXML(n.title()+"\n"+n.standing()+"\n"+n.Reason+"\n"+n.ID), n.left(), n.top(), boxWidth, boxHeight, colours.ground, colours.line)
		fmt.Fprintf(&b, `<text x="%d" y="%d" font-size="14" font-weight="600" fill="#101828">%s</text>`,
			n.left()+12, n.top()+20, escapeXML(cut(n.title(), maxTitle)))
		fmt.Fprintf(&b, `<text x="%d" y="%d" font-size="11.5" fill="%s">%s</text></g>`+"\n",
			n.left()+12, n.top()+37, colours.line, escapeXML(cut(n.standing(), maxStanding)))
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (n *node) left() int { return margin + n.column*(boxWidth+gapX) }
func (n *node) top() int  { return margin + n.row*(boxHeight+gapY) }

// cut shortens text to a number of letters.
func cut(text string, letters int) string {
	if all := []rune(text); len(all) > letters {
		return string(all[:letters-1]) + "…"
	}
	return text
}

func escapeXML(text string) string {
	var b strings.Builder
	// A strings.Builder never fails.
	_ = xml.EscapeText(&b, []byte(text))
	return b.String()
}
