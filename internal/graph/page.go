package graph

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// Page is what WritePage shows.
type Page struct {
	Forest []registry.Tree
	// Packages are the lists of what is installed, by the digests that images
	// have; images whose list is not there show none.
	Packages map[string]registry.PackageList
	// Now is when the page was made.
	Now time.Time
}

//go:embed page.html
var pageText string

// pageTemplate is parsed when it is needed: each start of a program would wait for
// it.
var pageTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("page").Funcs(template.FuncMap{
		"status": statusText,
		"when":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") },
		"took":   took,
	}).Parse(pageText))
})

// pageView is what the template sees.
type pageView struct {
	Page
	Roots        []*pageNode
	Nodes        []*pageNode // all, parents before their children
	Applications []string
	Layers       []string
	Statuses     []registry.Status
	Shades       []pageShade
	Lists        map[string][]string // lines of packages, by digest
}

type pageShade struct {
	Status       registry.Status
	Line, Ground template.CSS
}

type pageNode struct {
	registry.View
	Children      []*pageNode
	Passed, Total int
	Installed     int // packages
}

// WritePage writes one HTML page that needs nothing from the network: the
// lineage as a tree, and status, tests, copies and packages of each image. It
// can be read without scripts; filters and lists of packages need them.
func WritePage(w io.Writer, page Page) error {
	view := pageView{Page: page, Lists: map[string][]string{}}
	for _, tree := range page.Forest {
		view.Roots = append(view.Roots, view.add(tree))
	}
	var statuses []registry.Status
	for _, n := range view.Nodes {
		view.Applications, view.Layers = append(view.Applications, n.Application), append(view.Layers, n.Layer)
		statuses = append(statuses, n.Status)
	}
	view.Applications, view.Layers = distinct(view.Applications), distinct(view.Layers)
	for _, status := range registry.Statuses() {
		if slices.Contains(statuses, status) {
			view.Statuses = append(view.Statuses, status)
		}
		colours := shades[status]
		// The colours are this package's own.
		view.Shades = append(view.Shades, pageShade{status, template.CSS(colours.line), template.CSS(colours.ground)}) //nolint:gosec // constants
	}
	if err := pageTemplate().Execute(w, view); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

// add adds a tree and returns its node.
func (v *pageView) add(tree registry.Tree) *pageNode {
	n := &pageNode{View: tree.View}
	n.Passed, n.Total = tree.Checks()
	if list, known := v.Page.Packages[tree.Packages]; known {
		n.Installed = len(list.Packages)
		if v.Lists[tree.Packages] == nil {
			v.Lists[tree.Packages] = lines(list)
		}
	}
	v.Nodes = append(v.Nodes, n)
	for _, child := range tree.Children {
		n.Children = append(n.Children, v.add(child))
	}
	return n
}

func distinct(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

func lines(list registry.PackageList) []string {
	all := []string{}
	for _, p := range list.Sorted().Packages {
		all = append(all, p.String())
	}
	return all
}

// took is how long a bake took, in words; empty when it is not known.
func took(b registry.Bake) string {
	if b.StartedAt.IsZero() || b.FinishedAt.IsZero() {
		return ""
	}
	return b.FinishedAt.Sub(b.StartedAt).Round(time.Second).String()
}
