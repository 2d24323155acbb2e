package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// TestArchitectureNamesEveryRoom compares the table of docs/architecture.md with
// the packages that there are.
func TestArchitectureNamesEveryRoom(t *testing.T) {
	page, err := os.ReadFile("../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*?`) \\| ").FindAllStringSubmatch(string(page), -1) {
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			named = append(named, name[1])
		}
	}
	for _, name := range named {
		if _, err := os.Stat(filepath.Join("..", name)); err != nil {
			t.Errorf("the table has %s, which is not there", name)
		}
	}
	for _, pattern := range []string{"internal/*", "registry/*", "builder/*", "provisioner/*", "datasource/*", "post-processor/*", "cmd/*"} {
		found, err := filepath.Glob(filepath.Join("..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			sources, err := filepath.Glob(filepath.Join(path, "*.go"))
			if err != nil {
				t.Fatal(err)
			}
			room, err := filepath.Rel("..", path)
			if err != nil {
				t.Fatal(err)
			}
			if len(sources) > 0 && room != "registry/registrytest" && !slices.Contains(named, filepath.ToSlash(room)) {
				t.Errorf("the table lacks %s", room)
			}
		}
	}
}
