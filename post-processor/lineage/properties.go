package lineage

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// propertiesOf returns what a job that comes after the build wants to know, in
// the names of environment variables, which is what Jenkins makes of them.
func propertiesOf(view registry.View, reused bool) map[string]string {
	props := map[string]string{}
	set := func(name, value string) {
		if value != "" {
			props["BAKERY_"+name] = value
		}
	}
	set("ID", view.ID)
	set("APPLICATION", view.Application)
	set("VERSION", view.Version)
	set("LAYER", view.Layer)
	set("ENVIRONMENT", view.Environment)
	set("RELEASE", view.Release)
	set("ARCH", view.Arch)
	set("OWNER", view.Owner)
	set("STATUS", string(view.Status))
	set("REUSED", strconv.FormatBool(reused))
	set("ANCESTOR_ID", view.Parent)
	set("ANCESTOR_IMAGE", view.ParentImage.ID)
	for _, a := range view.Artifacts {
		if a.Region != "" {
			set("IMAGE_"+variable(a.Region), a.ID)
		}
	}
	first := view.Artifacts[0]
	set("IMAGE", first.ID)
	set("REGION", first.Region)
	set("CLOUD", first.Cloud)
	return props
}

// variable makes a part of the name of an environment variable of text.
func variable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z' || r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, text)
}

// formatProperties writes properties as java.util.Properties reads them: values
// with escapes for what would end or change them, and ASCII only, because
// readers differ in the encoding that they take the file to be in.
func formatProperties(props map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(props)) {
		fmt.Fprintf(&b, "%s=%s\n", name, escapeProperty(props[name]))
	}
	return b.String()
}

func escapeProperty(value string) string {
	var b strings.Builder
	for i, r := range value {
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == ' ' && i == 0:
			b.WriteString(`\ `) // spaces in front of a value are skipped
		case r < ' ' || r > '~':
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, `\u%04x`, unit)
			}
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// preparing makes sure that a file can be written later. write puts it there, in
// one step; drop removes what was prepared, and does nothing after write.
func preparing(option, path string) (write func(content string) error, drop func(), err error) {
	if path == "" {
		return func(string) error { return nil }, func() {}, nil
	}
	partial := path + ".part"
	if err := os.WriteFile(partial, nil, 0o644); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", option, err)
	}
	write = func(content string) error {
		if err := os.WriteFile(partial, []byte(content), 0o644); err != nil {
			return fmt.Errorf("%s: %w", option, err)
		}
		if err := os.Rename(partial, path); err != nil {
			return fmt.Errorf("%s: %w", option, err)
		}
		return nil
	}
	return write, func() { _ = os.Remove(partial) }, nil
}
