//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type Config

package check

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Config checks settings of a configuration file, read as the program that owns
// it does: what is commented out, overridden, or meant for some cases only does
// not count. At least one assertion is required.
type Config struct {
	Common `mapstructure:",squash"`

	// Absolute path of the file. One of `path` and `paths` is required; in a
	// suite file the block's label is the path.
	Path string `mapstructure:"path"`
	// Several paths; the block is about each of them.
	Paths []string `mapstructure:"paths"`
	// How the file is written. Found by the name of the file when that tells:
	// `sshd_config`, and `.json`, `.yaml`, `.yml`, `.toml` and `.ini`.
	//
	// - `sshd`: sshd_config; of a keyword's values the first counts, `Match`
	//   blocks do not, and `Include` is followed into the folder
	//   `sshd_config.d`. A keyword that may be given several times has all of
	//   its values, with blanks between them.
	// - `ini`: `[section]` and `key = value`, as systemd writes it; the key is
	//   `section.key`, and the last value counts.
	// - `shell`: `KEY=value`, as in `/etc/default`; the last value counts.
	// - `spaced`: `KEY value`, as in `/etc/login.defs`; the last value counts.
	// - `json`, `yaml`, `toml`: keys are paths with dots, and numbers for the
	//   elements of lists: `servers.0.name`.
	Format *string `mapstructure:"format"`
	// Keys and the value that each must have: a number, a constraint such as
	// `">= 3"`, or text.
	Values map[string]string `mapstructure:"values"`
	// Keys that must not be set. A missing file fails.
	NotSet []string `mapstructure:"not_set"`
}

func (b *Config) kind() string    { return "config" }
func (b *Config) common() *Common { return &b.Common }
func (b *Config) subjects() subjects {
	return subjects{one: "path", value: &b.Path, several: "paths", values: b.Paths, validate: validPath}
}

// formats are the ways in which configuration files are written, by name.
var formats = map[string]func(f *facts, path, content string) (settings, error){
	"sshd":   sshdSettings,
	"ini":    func(_ *facts, _, content string) (settings, error) { return parseINI(content) },
	"shell":  func(_ *facts, _, content string) (settings, error) { return parseAssignments(content), nil },
	"spaced": func(_ *facts, _, content string) (settings, error) { return parseSpaced(content), nil },
	"json":   treeSettings(decodeJSON),
	"yaml":   treeSettings(decodeYAML),
	"toml":   treeSettings(decodeTOML),
}

// formatOf guesses a file's format by its name.
func formatOf(file string) string {
	switch path.Ext(file) {
	case ".json":
		return "json"
	case ".yaml", ".yml":
		return "yaml"
	case ".toml":
		return "toml"
	case ".ini":
		return "ini"
	}
	if path.Base(file) == "sshd_config" || path.Base(path.Dir(file)) == "sshd_config.d" {
		return "sshd"
	}
	return ""
}

func (b *Config) compile(c *compiler, subject string) {
	format, given := c.text("format", b.Format)
	if !given {
		format = formatOf(subject)
	}
	parse := formats[format]
	switch {
	case parse != nil || subject == Unknown || b.Format != nil && !given:
	case given:
		c.problem("format", "%q is not a format; write one of %s", format, strings.Join(slices.Sorted(maps.Keys(formats)), ", "))
	default:
		c.problem("format", "the name of the file does not tell how it is written; set format to one of %s", strings.Join(slices.Sorted(maps.Keys(formats)), ", "))
	}
	options := []option{readsText(subject)}
	if of := builderOwned(subject); of != "" {
		options = append(options, notOffline(of+" belongs to the build host while the image is baked"))
	}
	if format == "sshd" {
		options = append(options, reads(func(n *needs) { n.configs(sshdFolder(subject)) }))
	}
	on := func(property, expected string, decide func(value string, found bool) verdict) {
		c.assert(property, expected, func(f *facts) verdict {
			content, v := f.content(subject)
			if v.outcome != "" {
				return v
			}
			s, err := parse(f, subject, string(content))
			if err != nil {
				return fail("no valid %s: %v", format, err)
			}
			value, found, v := s.value(property)
			if v.outcome != "" {
				return v
			}
			v = decide(value, found)
			if found && format != "sshd" && !f.isPublic(subject) {
				v.actual = "a value that is not shown: not everybody may read the file"
			}
			return v
		}, options...)
	}
	b.compileKeys(c, on)
	if c.found == 0 {
		c.problem("", `asserts nothing; write for example values = { Key = "value" }`)
	}
}

func (b *Config) compileKeys(c *compiler, on func(property, expected string, decide func(value string, found bool) verdict)) {
	if b.Values != nil {
		c.found++
		if len(b.Values) == 0 {
			c.problem("values", "an empty map asserts nothing; name at least one key or leave values out")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(b.Values)) {
		if IsUnknown(key) || IsUnknown(b.Values[key]) {
			c.plan.Partial = true
			continue
		}
		if strings.TrimSpace(key) == "" {
			c.problem("values", `"" is not a key`)
			continue
		}
		want, err := parseSetting(b.Values[key])
		if err != nil {
			c.problem("values", "%s: %v", key, err)
			continue
		}
		on(key, want.String(), func(value string, found bool) verdict {
			if !found {
				return fail("not set")
			}
			return want.decide(value, "")
		})
	}
	for _, key := range c.list("not_set", b.NotSet) {
		if _, both := b.Values[key]; both {
			c.problem("not_set", "%q is in values too; remove one", key)
			continue
		}
		on(key, "not set", func(value string, found bool) verdict {
			if found {
				return fail("%q", value)
			}
			return pass("not set")
		})
	}
}

// settings are what a configuration file says. value returns that of a key;
// a verdict with an outcome says why it cannot be told.
type settings interface {
	value(key string) (value string, found bool, v verdict)
}

// flatSettings are keys and values.
type flatSettings map[string]string

func (s flatSettings) value(key string) (string, bool, verdict) {
	value, found := s[key]
	return value, found, verdict{}
}

// parseINI reads sections of keys and values, as systemd and Python write them.
func parseINI(content string) (settings, error) {
	found := flatSettings{}
	section, number := "", 0
	for line := range strings.Lines(content) {
		number++
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[':
			if line[len(line)-1] != ']' {
				return nil, fmt.Errorf("line %d: %q is no section", number, line)
			}
			section = strings.TrimSpace(line[1:len(line)-1]) + "."
			if section == "." {
				section = ""
			}
		default:
			key, value, _ := strings.Cut(line, "=")
			found[section+strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return found, nil
}

// parseAssignments reads assignments of a shell. Lines that are none, and the
// values that only a shell can work out, stay as they are.
func parseAssignments(content string) flatSettings {
	found := flatSettings{}
	for line := range strings.Lines(content) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		key = strings.TrimSpace(strings.TrimPrefix(key, "export "))
		switch value = strings.TrimSpace(value); {
		case value != "" && (value[0] == '"' || value[0] == '\''):
			if end := strings.IndexByte(value[1:], value[0]); end >= 0 {
				value = value[1 : 1+end]
			}
		default:
			value, _, _ = strings.Cut(value, " #")
			value = strings.TrimSpace(value)
		}
		found[key] = value
	}
	return found
}

// parseSpaced reads lines of a key, white space and a value: login.defs(5).
func parseSpaced(content string) settings {
	found := flatSettings{}
	for line := range strings.Lines(content) {
		key, value, _ := strings.Cut(foldSpace(line), " ")
		if key != "" && key[0] != '#' {
			found[key] = value
		}
	}
	return found
}
