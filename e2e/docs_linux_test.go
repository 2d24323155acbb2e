package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// TestDocumentsAreValid takes every HCL block of the documentation, completes
// those that show a part of a template, and has packer or bakery validate it.
func TestDocumentsAreValid(t *testing.T) {
	w := newWorld(t)
	blocks := 0
	for _, document := range documents(t) {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range hclBlocks(string(text)) {
			blocks++
			t.Run(fmt.Sprintf("%s:%d", strings.TrimPrefix(document, "../"), block.line), func(t *testing.T) {
				dir := t.TempDir()
				mentioned(t, dir)
				validate(t, w, dir, block.text)
			})
		}
	}
	if blocks == 0 {
		t.Error("the documentation has no HCL block: are they fenced as hcl?")
	}
}

// documents are the files that people read.
func documents(t *testing.T) []string {
	t.Helper()
	var list []string
	for _, pattern := range []string{"../*.md", "../docs/*.md", "../docs/*/*.mdx", "../example/*.md", "../example/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, found...)
	}
	return list
}

type hclBlock struct {
	line int // of its first line
	text string
}

var fence = regexp.MustCompile("(?ms)^```hcl\n(.*?)^```$")

func hclBlocks(text string) []hclBlock {
	var list []hclBlock
	for _, at := range fence.FindAllStringSubmatchIndex(text, -1) {
		list = append(list, hclBlock{1 + strings.Count(text[:at[2]], "\n"), text[at[2]:at[3]]})
	}
	return list
}

// mentioned makes the files that blocks mention.
func mentioned(t *testing.T, dir string) {
	t.Helper()
	for name, text := range map[string]string{
		"goss/goss.yaml":        "user:\n  {{ .Vars.user }}:\n    exists: true\n",
		"goss/vars.yaml":        "user: root\n",
		"shop.spec.hcl":         "file \"/etc/motd\" {\n}\n",
		"greeter.spec.hcl":      "file \"/etc/motd\" {\n}\n",
		"greeter.deb":           "",
		"common/base.spec.hcl":  "variable \"owner\" {\n}\nfile \"/srv\" {\n  owner = var.owner\n}\n",
		"reports/deferred.json": `{"version": 1, "checks": [{"suite": "s", "ids": ["service:a:running"], "kind": "service", "attributes": {"name": "a", "running": true}}]}`,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// validate has a block checked by the program that it is for.
func validate(t *testing.T, w *world, dir, text string) {
	t.Helper()
	file, diags := hclsyntax.ParseConfig([]byte(text), "block", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	body := file.Body.(*hclsyntax.Body)
	if isSuite(body) {
		path := filepath.Join(dir, "block.spec.hcl")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		w.must(t, dir, w.bakery, "spec", "check", path)
		return
	}
	whole := complete(body, text)
	if err := os.WriteFile(filepath.Join(dir, "block.pkr.hcl"), []byte(whole), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := w.run(t, dir, w.packer, "validate", "."); r.code != 0 {
		t.Errorf("packer validate refuses:\n%s", whole)
	}
	if r := w.run(t, dir, w.packer, "fmt", "-check", "-diff", "."); r.code != 0 {
		t.Error("packer fmt would write it otherwise")
	}
}

// ofTemplates are the blocks that a Packer template has on its top level.
var ofTemplates = []string{"packer", "variable", "local", "locals", "data", "source", "build"}

// isSuite reports whether a block is a suite file, or a part of one that a
// template cannot have.
func isSuite(body *hclsyntax.Body) bool {
	for _, block := range body.Blocks {
		switch block.Type {
		case "include":
			return true
		case "provisioner", "post-processor":
			continue
		}
		if len(block.Labels) > 0 && !slices.Contains(ofTemplates, block.Type) {
			return true
		}
	}
	return false
}

// complete adds to a part of a template what it stands in and refers to.
func complete(body *hclsyntax.Body, text string) string {
	if len(body.Blocks) == 0 {
		text = "data \"bakery-ancestor\" \"shown\" {\n  application = \"base\"\n\n" + indent(text) + "}\n"
	} else if first := body.Blocks[0].Type; !slices.Contains(ofTemplates, first) {
		if first != "provisioner" && first != "post-processor" {
			text = "provisioner \"bakery-spec\" {\n" + indent(text) + "}\n"
		}
		text = "build {\n  sources = [\"source.bakery-chroot.shop\"]\n\n" + indent(text) + "}\n"
	}
	builds := false
	defined := map[string]bool{}
	for _, block := range body.Blocks {
		builds = builds || !slices.Contains(ofTemplates, block.Type) || block.Type == "build"
		defined[strings.Join(append([]string{block.Type}, block.Labels...), ".")] = true
	}
	if !builds {
		source := "shop"
		for _, block := range body.Blocks {
			if block.Type == "source" {
				source = block.Labels[1]
			}
		}
		text += "\nbuild {\n  sources = [\"source.bakery-chroot." + source + "\"]\n}\n"
	}
	if !strings.Contains(text, "source \"bakery-chroot\"") && !strings.Contains(text, "source \"amazon-") {
		text += "\nsource \"bakery-chroot\" \"shop\" {\n  cloud      = \"local\"\n  source_ami = \"ami-0123456789abcdef0\"\n  ami_name   = \"shop\"\n}\n"
	}
	for _, name := range references(body) {
		if defined[name] {
			continue
		}
		defined[name] = true
		switch parts := strings.Split(name, "."); parts[0] {
		case "variable":
			text += "\nvariable \"" + parts[1] + "\" {\n  default = \"1\"\n}\n"
		case "data":
			text += "\ndata \"bakery-ancestor\" \"" + parts[2] + "\" {\n  application = \"base\"\n}\n"
		}
	}
	return text
}

func indent(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			line = "  " + line
		}
		out.WriteString(line)
	}
	return out.String()
}

// references are the variables and data sources that a body mentions, as
// "variable.NAME" and "data.TYPE.NAME".
func references(body *hclsyntax.Body) []string {
	var list []string
	_ = hclsyntax.VisitAll(body, func(node hclsyntax.Node) hcl.Diagnostics {
		traversal, ok := node.(*hclsyntax.ScopeTraversalExpr)
		if !ok {
			return nil
		}
		var parts []string
		for _, step := range traversal.Traversal {
			switch step := step.(type) {
			case hcl.TraverseRoot:
				parts = append(parts, step.Name)
			case hcl.TraverseAttr:
				parts = append(parts, step.Name)
			}
		}
		switch {
		case parts[0] == "var" && len(parts) > 1:
			list = append(list, "variable."+parts[1])
		case parts[0] == "data" && len(parts) > 2:
			list = append(list, strings.Join(parts[:3], "."))
		}
		return nil
	})
	return list
}
