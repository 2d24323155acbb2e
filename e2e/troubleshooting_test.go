package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// ofPacker are the messages of docs/troubleshooting.md that are not ours.
var ofPacker = []string{"packer init", "Unsupported argument", "did you mean"}

// TestTroubleshootingQuotesTheCode holds docs/troubleshooting.md to the messages
// that there are.
func TestTroubleshootingQuotesTheCode(t *testing.T) {
	var code strings.Builder
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "bin" || entry.Name() == "dist" || entry.Name() == ".git"):
			return fs.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		code.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// Long messages are written in several pieces.
	source := regexp.MustCompile(`"\s*\+\s*"`).ReplaceAllString(code.String(), "")
	page, err := os.ReadFile("../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, heading := range regexp.MustCompile("(?m)^### .*$").FindAllString(string(page), -1) {
		for _, quoted := range regexp.MustCompile("`[^`]+`").FindAllString(heading, -1) {
			message := strings.Trim(quoted, "`")
			if slices.Contains(ofPacker, message) {
				continue
			}
			for part := range strings.SplitSeq(message, "…") {
				part = strings.TrimSpace(part)
				if len(part) < 4 {
					continue
				}
				checked++
				if !strings.Contains(source, part) {
					t.Errorf("no program says %q, of %q", part, message)
				}
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d pieces of messages were looked for", checked)
	}
}
