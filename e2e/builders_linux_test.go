package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fileTemplate registers what Packer's own file builder makes.
const fileTemplate = `
variable "content" {}

source "file" "disk" {
  content = var.content
  target  = "disk.img"
}
build {
  sources = ["source.file.disk"]
  post-processor "bakery-lineage" {
    application = "disk"
    version     = var.content
    layer       = "foundation"
    properties  = "disk.properties"
    keep_input_artifact = false
  }
}
`

// TestOtherBuilders registers the artifacts of builders that Packer itself has.
func TestOtherBuilders(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("file.pkr.hcl", fileTemplate)
	for n, content := range []string{"one", "two"} {
		out := w.must(t, dir, w.packer, "build", "-color=false", "-var", "content="+content, "file.pkr.hcl")
		if !strings.Contains(out, "Registered disk "+content) {
			t.Error("it does not say that it has registered the image")
		}
		if !strings.Contains(out, "none is known") {
			t.Error("it names a parent, and there is none")
		}
		if _, err := os.Stat(filepath.Join(dir, "disk.img")); err != nil {
			t.Errorf("the artifact is lost: %v", err)
		}
		props, err := os.ReadFile(filepath.Join(dir, "disk.properties"))
		if err != nil || !strings.Contains(string(props), "BAKERY_VERSION="+content+"\n") {
			t.Errorf("properties = %q, %v", props, err)
		}
		if images := w.images(t); len(images) != n+1 {
			t.Errorf("%d images are registered, want %d", len(images), n+1)
		}
	}

	write("null.pkr.hcl", `
source "null" "nothing" {
  communicator = "none"
}
build {
  sources = ["source.null.nothing"]
  post-processor "bakery-lineage" {
    application = "x"
    version     = "1"
    layer       = "base"
  }
}
`)
	if r := w.run(t, dir, w.packer, "build", "-color=false", "null.pkr.hcl"); r.code == 0 || !strings.Contains(unwrapped(r.out), "the null builder makes no image") {
		t.Errorf("exit status %d, want a failure", r.code)
	}
}
