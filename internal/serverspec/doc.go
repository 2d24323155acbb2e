// Package serverspec turns Serverspec files into suite files.
//
// It reads the part of Ruby that such files are written in: describe and
// context blocks about one resource, it and its with should, is_expected and
// expect, conditions on os[:family], and loops over lists of words. What it
// cannot turn stays in the result as a comment, with its line: a check is never
// dropped, and never weakened, in silence.
package serverspec

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Suite is a Serverspec file as a suite file.
type Suite struct {
	Text string // HCL
	// Blocks is how many blocks of checks it has.
	Blocks int
	// Left are the parts of the Serverspec file that are comments in Text.
	Left []Left
}

// Left is a part of a Serverspec file that could not be turned.
type Left struct {
	Line   int // of its beginning
	Why    string
	Source string // one or more lines
}

// Convert turns the text of a Serverspec file. name is what the file is called
// in the result.
func Convert(name, text string) Suite {
	p := &parser{lines: strings.Split(text, "\n"), tokens: scan(text)}
	p.statements(scope{}, false)
	suite := Suite{Left: p.left}
	var b strings.Builder
	fmt.Fprintf(&b, "# Converted from %s.\n", oneLine(name))
	for _, item := range p.items {
		b.WriteString("\n")
		if item.left != nil {
			writeLeft(&b, *item.left)
			continue
		}
		suite.Blocks++
		item.block.write(&b)
	}
	suite.Text = string(hclwrite.Format([]byte(b.String())))
	return suite
}

func writeLeft(b *strings.Builder, l Left) {
	fmt.Fprintf(b, "# line %d was not converted: %s\n", l.Line, oneLine(l.Why))
	for line := range strings.Lines(l.Source) {
		fmt.Fprintf(b, "#   %s\n", oneLine(line))
	}
}

func oneLine(text string) string {
	return strings.TrimRight(strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?")), " ")
}
