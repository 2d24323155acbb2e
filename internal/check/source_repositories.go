package check

import (
	"slices"
	"strings"
)

// repository is a source of packages that the image is configured to use.
type repository struct {
	id         string // of yum and dnf
	uris       []string
	enabled    bool
	suites     []string // of apt
	components []string // of apt
	keys       []string // files or ids that sign it; of apt and yum
	signed     string   // empty: signatures are verified; else what says that they are not
	at         string
}

// The places of the configuration of apt, dnf, zypper and apk.
const (
	aptList     = "/etc/apt/sources.list"
	aptFolder   = "/etc/apt/sources.list.d"
	apkFile     = "/etc/apk/repositories"
	dnfConf     = "/etc/dnf/dnf.conf"
	yumConf     = "/etc/yum.conf"
	defaultsKey = "main"
)

var yumFolders = []string{"/etc/yum.repos.d", "/etc/distro.repos.d", "/usr/share/dnf5/repos.d", "/etc/zypp/repos.d"}

func readsRepositories(a *Assertion) {
	readsText(aptList, apkFile, dnfConf, yumConf)(a)
	reads(func(n *needs) {
		n.folder(aptFolder, "*.list")
		n.folder(aptFolder, "*.sources")
		for _, dir := range yumFolders {
			n.folder(dir, "*.repo")
		}
	})(a)
}

// repositories are all that the image is configured to have.
func (f *facts) repositories() ([]repository, verdict) {
	text, _, v := f.text(aptList)
	if v.outcome != "" {
		return nil, v
	}
	found := parseAptList(text, aptList)
	var files []configFile
	for _, folder := range []configNeed{{aptFolder, "*.list"}, {aptFolder, "*.sources"}} {
		read, v := f.folderFiles(folder.dir, folder.pattern)
		if v.outcome != "" {
			return nil, v
		}
		files = append(files, read...)
	}
	for _, file := range files {
		if strings.HasSuffix(file.name, ".sources") {
			found = append(found, parseAptSources(file.text, file.path)...)
			continue
		}
		found = append(found, parseAptList(file.text, file.path)...)
	}
	verified, v := f.yumVerifies()
	if v.outcome != "" {
		return nil, v
	}
	for _, dir := range yumFolders {
		read, v := f.folderFiles(dir, "*.repo")
		if v.outcome != "" {
			return nil, v
		}
		for _, file := range read {
			found = append(found, parseYumRepo(file.text, file.path, verified)...)
		}
	}
	text, _, v = f.text(apkFile)
	if v.outcome != "" {
		return nil, v
	}
	return append(found, parseApkRepositories(text)...), verdict{}
}

// parseAptList reads the one-line style of sources.list(5).
func parseAptList(text, file string) []repository {
	var found []repository
	number := 0
	for line := range strings.Lines(text) {
		number++
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "deb" {
			continue
		}
		r := repository{enabled: true, at: lineOf(file, number)}
		rest := words[1:]
		if strings.HasPrefix(rest[0], "[") {
			end := slices.IndexFunc(rest, func(w string) bool { return strings.HasSuffix(w, "]") })
			if end < 0 {
				continue
			}
			for _, option := range rest[:end+1] {
				r.aptOption(strings.Trim(option, "[]"))
			}
			rest = rest[end+1:]
		}
		if len(rest) < 2 {
			continue
		}
		r.uris, r.suites, r.components = rest[:1], rest[1:2], rest[2:]
		found = append(found, r)
	}
	return found
}

// aptOption takes an option in brackets, or a field of the other style.
func (r *repository) aptOption(option string) {
	name, value, _ := strings.Cut(option, "=")
	switch strings.ToLower(name) {
	case "signed-by":
		r.keys = strings.FieldsFunc(value, func(c rune) bool { return c == ',' || c == ' ' })
	case "trusted", "allow-insecure":
		if aptTrue(value) {
			r.signed = name + "=" + value
		}
	}
}

// aptTrue reads a boolean of apt: StringToBool in apt-pkg/contrib/strutl.cc.
func aptTrue(value string) bool {
	return slices.Contains([]string{"yes", "true", "with", "on", "enable", "1"}, strings.ToLower(strings.TrimSpace(value)))
}

// parseAptSources reads the deb822 style of sources.list(5).
func parseAptSources(text, file string) []repository {
	var found []repository
	fields, last, start, number := map[string]string{}, "", 0, 0
	flush := func() {
		if slices.Contains(strings.Fields(fields["types"]), "deb") {
			r := repository{
				enabled: true, uris: strings.Fields(fields["uris"]), suites: strings.Fields(fields["suites"]),
				components: strings.Fields(fields["components"]), at: lineOf(file, start),
			}
			if value, set := fields["enabled"]; set {
				r.enabled = aptTrue(value)
			}
			if key := fields["signed-by"]; strings.Contains(key, "-----BEGIN") {
				r.keys = []string{"a key in the file"}
			} else if key != "" {
				r.aptOption("signed-by=" + key)
			}
			for _, name := range []string{"trusted", "allow-insecure"} {
				r.aptOption(name + "=" + fields[name])
			}
			found = append(found, r)
		}
		fields, last, start = map[string]string{}, "", 0
	}
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, " \t\r\n")
		switch {
		case line == "":
			flush()
		case line[0] == '#':
		case line[0] == ' ' || line[0] == '\t':
			if last != "" {
				fields[last] += " " + strings.TrimSpace(line)
			}
		default:
			name, value, ok := strings.Cut(line, ":")
			if !ok {
				continue
			}
			if start == 0 {
				start = number
			}
			last = strings.ToLower(strings.TrimSpace(name))
			fields[last] = strings.TrimSpace(value)
		}
	}
	flush()
	return found
}

// yumVerifies tells whether packages are verified where a repository does not
// say so: gpgcheck of dnf.conf(5), false by default.
func (f *facts) yumVerifies() (bool, verdict) {
	for _, file := range []string{dnfConf, yumConf} {
		text, there, v := f.text(file)
		if v.outcome != "" {
			return false, v
		}
		if !there {
			continue
		}
		for _, section := range yumSections(text) {
			if value, set := section.values["gpgcheck"]; set && section.name == defaultsKey {
				return yumTrue(value), verdict{}
			}
		}
	}
	return false, verdict{}
}

// yumSection is a section of a file of yum.
type yumSection struct {
	name   string
	line   int
	values map[string]string
}

// yumSections reads the sections of a file of yum, in their order. A line that
// begins with white space continues the value before it.
func yumSections(text string) []yumSection {
	var sections []yumSection
	number, last := 0, ""
	for raw := range strings.Lines(text) {
		number++
		line := strings.TrimSpace(raw)
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[' && strings.HasSuffix(line, "]"):
			sections = append(sections, yumSection{name: line[1 : len(line)-1], line: number, values: map[string]string{}})
			last = ""
		case len(sections) == 0:
		case (raw[0] == ' ' || raw[0] == '\t') && last != "":
			sections[len(sections)-1].values[last] += " " + line
		default:
			key, value, ok := strings.Cut(line, "=")
			if ok {
				last = strings.TrimSpace(key)
				sections[len(sections)-1].values[last] = strings.TrimSpace(value)
			}
		}
	}
	return sections
}

// yumTrue reads a boolean of dnf.conf(5).
func yumTrue(value string) bool {
	return slices.Contains([]string{"1", "yes", "true", "on"}, strings.ToLower(value))
}

// parseYumRepo reads a .repo file: dnf.conf(5), "Repo Options".
func parseYumRepo(text, file string, verified bool) []repository {
	var found []repository
	for _, section := range yumSections(text) {
		if section.name == defaultsKey {
			continue
		}
		r := repository{id: section.name, enabled: true, at: lineOf(file, section.line)}
		if value, set := section.values["enabled"]; set {
			r.enabled = yumTrue(value)
		}
		for _, key := range []string{"baseurl", "mirrorlist", "metalink"} {
			r.uris = append(r.uris, strings.FieldsFunc(section.values[key], func(c rune) bool { return c == ',' || c == ' ' })...)
		}
		r.keys = strings.FieldsFunc(section.values["gpgkey"], func(c rune) bool { return c == ',' || c == ' ' })
		value, set := section.values["gpgcheck"]
		switch {
		case set && !yumTrue(value):
			r.signed = "gpgcheck=" + value
		case !set && !verified:
			r.signed = "no gpgcheck, and it is off by default"
		}
		found = append(found, r)
	}
	return found
}

// parseApkRepositories reads /etc/apk/repositories: apk-repositories(5). apk
// verifies the index of each against its keys.
func parseApkRepositories(text string) []repository {
	var found []repository
	number := 0
	for line := range strings.Lines(text) {
		number++
		words := strings.Fields(line)
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		// A tag, as @edge, stands before the address.
		if words[0][0] == '@' {
			words = words[1:]
		}
		if len(words) > 0 {
			found = append(found, repository{uris: words[:1], enabled: true, at: lineOf(apkFile, number)})
		}
	}
	return found
}

// is tells whether a repository has a name: its id, or one of its addresses.
func (r repository) is(name string) bool {
	return r.id == name || slices.ContainsFunc(r.uris, func(uri string) bool {
		return strings.TrimRight(uri, "/") == strings.TrimRight(name, "/")
	})
}
