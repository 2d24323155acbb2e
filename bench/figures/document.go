package figures

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// sectionName is what a section can be called: its marker must not end early.
var sectionName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

func markers(name string) (begin, end string) {
	return "<!-- begin " + name + " -->", "<!-- end " + name + " -->"
}

// WriteSection puts text into a section of a Markdown file: what is between the
// lines <!-- begin NAME --> and <!-- end NAME -->. Nothing else of the file
// changes. A file that has no such section gets one at its end; a file that is
// not there is made. The file is replaced as a whole, so that it is never half
// written.
func WriteSection(file, name, text string) error {
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("write section %s: %w", name, err)
	}
	updated, err := replaceSection(string(old), name, text)
	if err != nil {
		return fmt.Errorf("write section %s of %s: %w", name, file, err)
	}
	if updated == string(old) {
		return nil
	}
	return replaceFile(file, updated)
}

func replaceSection(document, name, text string) (string, error) {
	if !sectionName.MatchString(name) {
		return "", fmt.Errorf("%q is no name of a section: write lower-case letters, digits and dashes", name)
	}
	begin, end := markers(name)
	if strings.Contains(text, begin) || strings.Contains(text, end) {
		return "", errors.New("the text has the section's own marker in it")
	}
	section := begin + "\n\n" + strings.Trim(text, "\n") + "\n\n" + end
	begins, ends := strings.Count(document, begin), strings.Count(document, end)
	switch {
	case begins == 0 && ends == 0:
		if document != "" {
			document = strings.TrimRight(document, "\n") + "\n\n"
		}
		return document + section + "\n", nil
	case begins != 1 || ends != 1:
		return "", fmt.Errorf("the file has %d lines %q and %d lines %q; it must have one of each", begins, begin, ends, end)
	}
	before, rest, _ := strings.Cut(document, begin)
	_, after, found := strings.Cut(rest, end)
	if !found {
		return "", fmt.Errorf("%q comes before %q", end, begin)
	}
	return before + section + after, nil
}

// replaceFile writes a file beside the old one and renames it.
func replaceFile(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
