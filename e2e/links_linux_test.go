package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)|(?:src|srcset)="([^"]+)"`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	fenced  = regexp.MustCompile("(?ms)^```.*?^```$")
	notSlug = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestLinksLeadSomewhere follows every link between documents, to the heading
// that it names.
func TestLinksLeadSomewhere(t *testing.T) {
	followed := 0
	for _, document := range documents(t) {
		for _, match := range link.FindAllStringSubmatch(fenced.ReplaceAllString(read(t, document), ""), -1) {
			target := match[1] + match[2]
			if strings.Contains(target, "://") {
				continue
			}
			followed++
			file, fragment, _ := strings.Cut(target, "#")
			path := document
			if file != "" {
				path = filepath.Join(filepath.Dir(document), file)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Errorf("%s: %s leads nowhere: %v", document, target, err)
				continue
			}
			if info.IsDir() {
				path = filepath.Join(path, "README.md")
			}
			if fragment != "" && !hasHeading(t, path, fragment) {
				t.Errorf("%s: %s: the document has no such heading", document, target)
			}
		}
	}
	if followed < 50 {
		t.Errorf("only %d links were followed", followed)
	}
}

// hasHeading reports whether a document has a heading with the given name, as
// code hosts name them.
func hasHeading(t *testing.T, path, name string) bool {
	t.Helper()
	for _, match := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(read(t, path), ""), -1) {
		slug := strings.ReplaceAll(notSlug.ReplaceAllString(strings.ToLower(match[1]), ""), " ", "-")
		if slug == name {
			return true
		}
	}
	return false
}
