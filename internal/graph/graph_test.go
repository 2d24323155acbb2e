package graph

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

var update = flag.Bool("update", false, "write the golden files")

var when = time.Date(2026, 11, 20, 9, 30, 0, 0, time.UTC)

// tree is an image with a status and what was baked from it.
func tree(id, application, version, layer string, status registry.Status, children ...registry.Tree) registry.Tree {
	return registry.Tree{
		View: registry.View{
			Image: registry.Image{
				ID: id, Application: application, Version: version, Layer: layer, CreatedAt: when, Packages: "p-" + application,
				Artifacts: []registry.Artifact{{Ref: registry.Ref{Cloud: "aws", Region: "eu-west-1", ID: "ami-" + id}, Name: application}},
			},
			State: registry.State{
				Status: status, Reason: "because of " + id,
				Suites: []registry.TestResult{{Suite: "inline", Mode: "offline", Outcome: registry.Passed, Counts: registry.Counts{Passed: 3, Skipped: 1}, StartedAt: when}},
			},
		},
		Children: children,
	}
}

func forest() []registry.Tree {
	shop := tree("D", "shop", "2.0", "application", registry.StatusPromoted)
	shop.Channels = []string{"stable"}
	return []registry.Tree{
		tree("A", "foundation", "1.0", "foundation", registry.StatusTested,
			tree("B", "base", "1.5", "base", registry.StatusTested, shop, tree("E", "mail", "1.0", "application", registry.StatusRejected)),
			tree("C", "base", "1.4", "base", registry.StatusRevoked)),
		tree("F", "alone", "1.0", "foundation", registry.StatusBuilt),
	}
}

// hostile is an image whose names try to break out of every format.
func hostile() []registry.Tree {
	return []registry.Tree{tree(`X"'<>`, `</title><script>alert(1)</script>`, "1\"]; n2[\"x\\", "a`#{b}\nc", registry.StatusTested)}
}

var writers = map[string]func(io.Writer, []registry.Tree) error{
	"svg": WriteSVG, "mmd": WriteMermaid, "dot": WriteDOT,
}

func TestGolden(t *testing.T) {
	for kind, write := range writers {
		for name, images := range map[string][]registry.Tree{"forest": forest(), "hostile": hostile(), "empty": nil} {
			t.Run(name+"."+kind, func(t *testing.T) {
				var got bytes.Buffer
				if err := write(&got, images); err != nil {
					t.Fatal(err)
				}
				file := filepath.Join("testdata", name+"."+kind)
				if *update {
					if err := os.WriteFile(file, got.Bytes(), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), got.String()); diff != "" {
					t.Errorf("%s (-want +got), -update writes it:\n%s", file, diff)
				}
			})
		}
	}
}

func TestSVGIsWellFormed(t *testing.T) {
	for _, images := range [][]registry.Tree{forest(), hostile(), nil} {
		var svg bytes.Buffer
		if err := WriteSVG(&svg, images); err != nil {
			t.Fatal(err)
		}
		decoder := xml.NewDecoder(&svg)
		for {
			token, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if element, ok := token.(xml.StartElement); ok && element.Name.Local == "script" {
				t.Error("the name of an image has become a script")
			}
		}
	}
}

func TestGraphvizReadsDOT(t *testing.T) {
	if _, err := exec.LookPath("dot"); err != nil {
		t.Skip("needs Graphviz: dot is not installed")
	}
	for _, images := range [][]registry.Tree{forest(), hostile(), nil} {
		var text bytes.Buffer
		if err := WriteDOT(&text, images); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "dot", "-Tplain")
		cmd.Stdin = &text
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		nodes, want := strings.Count("\n"+string(out), "\nnode "), len(flat(images))
		if nodes != want {
			t.Errorf("Graphviz sees %d images, want %d:\n%s", nodes, want, out)
		}
	}
}

func flat(images []registry.Tree) []registry.View {
	var all []registry.View
	for _, tree := range images {
		all = append(append(all, tree.View), tree.Below()...)
	}
	return all
}
