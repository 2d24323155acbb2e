package check

import (
	"fmt"
	"path"
	"strings"
)

// sysctlPath is the path of a parameter below /proc/sys. Names are written with
// dots or with slashes; what the first separator is not stands for itself:
// sysctl.d(5).
func sysctlPath(name string) string {
	i := strings.IndexAny(name, "./")
	if i < 0 || name[i] == '/' {
		return name
	}
	return strings.Map(func(r rune) rune {
		switch r {
		case '.':
			return '/'
		case '/':
			return '.'
		}
		return r
	}, name)
}

const sysctlConf = "/etc/sysctl.conf"

func readsSysctl(a *Assertion) {
	readsText(sysctlConf)(a)
	readsInit(a)
	reads(func(n *needs) {
		n.configs(vendorDirs("sysctl.d", n.mode)...)
	})(a)
}

// sysctl returns the value to which the image's files set a parameter, and the
// file and line that does.
func (f *facts) sysctl(name string) (value, at string, v verdict) {
	files, v := f.dropIns(vendorDirs("sysctl.d", f.mode)...)
	if v.outcome != "" {
		return "", "", v
	}
	systemd, v := f.bootsSystemd()
	if v.outcome != "" {
		return "", "", v
	}
	conf, there, v := f.text(sysctlConf)
	if v.outcome != "" {
		return "", "", v
	}
	// systemd does not read this one; sysctl --system of all others does, last.
	if there && !systemd {
		files = append(files, configFile{path: sysctlConf, text: conf})
	}
	set, ok := findParam(files, sysctlPath(name))
	switch {
	case ok:
		return set.value, set.at, verdict{}
	case there && systemd:
		if set, ok := findParam([]configFile{{path: sysctlConf, text: conf}}, sysctlPath(name)); ok {
			return "", "", fail("not set: %s sets it to %s, but systemd does not read that file", set.at, set.value)
		}
	}
	return "", "", fail("not set")
}

// paramLine is an assignment of sysctl.d.
type paramLine struct {
	pattern string // path below /proc/sys, with wildcards
	value   string
	at      string
	exclude bool // -key without a value: patterns do not mean it
}

// findParam returns the assignment that wins: the last that names the key, or
// without one the last whose pattern matches it, unless the key is excluded from
// patterns: sysctl.d(5).
func findParam(files []configFile, key string) (paramLine, bool) {
	var exact, wild *paramLine
	excluded := false
	for _, file := range files {
		for _, line := range parseSysctl(file) {
			matched, err := path.Match(line.pattern, key)
			switch {
			case line.pattern == key && line.exclude:
				excluded = true
			case line.pattern == key:
				exact = &line
			case err == nil && matched && !line.exclude:
				wild = &line
			}
		}
	}
	switch {
	case exact != nil:
		return *exact, true
	case wild != nil && !excluded:
		return *wild, true
	}
	return paramLine{}, false
}

// parseSysctl reads a file of sysctl.d: key = value, with # and ; for comments,
// and a - before keys whose errors are ignored.
func parseSysctl(file configFile) []paramLine {
	var lines []paramLine
	number := 0
	for text := range strings.Lines(file.text) {
		number++
		text = strings.TrimSpace(text)
		if text == "" || text[0] == '#' || text[0] == ';' {
			continue
		}
		key, value, assigned := strings.Cut(text, "=")
		key, ignore := strings.CutPrefix(strings.TrimSpace(key), "-")
		if !assigned && !ignore {
			continue
		}
		lines = append(lines, paramLine{
			pattern: sysctlPath(key), value: strings.TrimSpace(value),
			at: fmt.Sprintf("%s:%d", file.path, number), exclude: !assigned,
		})
	}
	return lines
}
