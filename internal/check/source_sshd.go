package check

import (
	"path"
	"slices"
	"strings"
)

// sshdDepth is how deep sshd follows Include.
const sshdDepth = 16

// sshdFolder is the folder whose files the sshd_config of distributions
// includes. Of no other Include the files are known when the image is read.
func sshdFolder(file string) string { return path.Dir(file) + "/sshd_config.d" }

// sshdRepeated are the keywords of sshd_config(5) that may be given several
// times, in lower case.
var sshdRepeated = []string{
	"acceptenv", "allowgroups", "allowusers", "denygroups", "denyusers", "hostcertificate", "hostkey", "listenaddress", "port", "subsystem",
}

// sshdConfig are the settings of sshd that hold for every connection.
type sshdConfig struct {
	values  map[string][]string // by keyword in lower case
	unknown string              // the first Include that could not be followed
	before  map[string]bool     // keywords that were set before it
	failed  verdict             // why an included file could not be read
}

// sshdSettings reads sshd_config(5).
func sshdSettings(f *facts, file, content string) (settings, error) {
	s := &sshdConfig{values: map[string][]string{}, before: map[string]bool{}}
	s.read(f, sshdFolder(file), content, 0)
	return s, nil
}

// read takes a file and those that it includes. A Match block ends with its file.
func (s *sshdConfig) read(f *facts, folder, content string, depth int) {
	matching := true
	for line := range strings.Lines(content) {
		keyword, value := sshdLine(line)
		switch {
		case keyword == "":
		case keyword == "match":
			matching = strings.EqualFold(value, "all")
		case !matching:
		case keyword == "include":
			for pattern := range strings.FieldsSeq(value) {
				s.include(f, folder, strings.Trim(pattern, `"`), depth)
			}
		default:
			s.values[keyword] = append(s.values[keyword], value)
			if s.unknown == "" {
				s.before[keyword] = true
			}
		}
	}
}

func (s *sshdConfig) include(f *facts, folder, pattern string, depth int) {
	if !path.IsAbs(pattern) {
		pattern = path.Join("/etc/ssh", pattern)
	}
	if pattern != folder+"/*.conf" || depth >= sshdDepth {
		if s.unknown == "" {
			s.unknown = pattern
		}
		return
	}
	dir := f.configs[configNeed{folder, confFiles}]
	if dir != nil && dir.read == stateAbsent {
		return
	}
	files, v := f.dropIns(folder)
	if v.outcome != "" {
		s.failed, s.unknown = v, pattern
		return
	}
	for _, file := range files {
		s.read(f, folder, file.text, depth+1)
	}
}

func (s *sshdConfig) value(key string) (string, bool, verdict) {
	keyword := strings.ToLower(key)
	values := s.values[keyword]
	repeated := slices.Contains(sshdRepeated, keyword)
	if s.unknown != "" && (repeated || !s.before[keyword]) {
		if s.failed.outcome != "" {
			return "", false, s.failed
		}
		return "", false, undecided("it may be set by the files of Include %s, which are not read; only *.conf of the folder sshd_config.d is", s.unknown)
	}
	switch {
	case len(values) == 0:
		return "", false, verdict{}
	case repeated:
		return strings.Join(values, " "), true, verdict{}
	}
	return values[0], true, verdict{}
}

// sshdLine reads a line: a keyword, in lower case, and what follows it.
func sshdLine(line string) (keyword, value string) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return "", ""
	}
	end := strings.IndexAny(line, " \t=")
	if end < 0 {
		return strings.ToLower(line), ""
	}
	value = strings.TrimSpace(line[end:])
	if rest, ok := strings.CutPrefix(value, "="); ok {
		value = strings.TrimSpace(rest)
	}
	if i := strings.Index(value, " #"); i >= 0 && !strings.Contains(value, `"`) {
		value = strings.TrimSpace(value[:i])
	}
	if n := len(value); n > 1 && value[0] == '"' && value[n-1] == '"' && strings.Count(value, `"`) == 2 {
		value = value[1 : n-1]
	}
	return strings.ToLower(line[:end]), value
}
