package check

import (
	"bytes"
	"crypto/md5"  //nolint:gosec // what dpkg has of files
	"crypto/sha1" //nolint:gosec // what apk has of files
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// searchers is how many files are looked into at once.
var searchers = runtime.GOMAXPROCS(0)

// candidate is a file that could hold a secret.
type candidate struct {
	path    string
	size    int64 // in bytes
	changed int64 // when its content was, in seconds since 1970
}

// parseCandidates reads groups of names, each with a zero byte behind it, and of a
// line of size and time for each. Names begin with a slash and may hold anything
// else. A file whose line is missing is one of which nothing is known.
func parseCandidates(body []byte) []candidate {
	var list []candidate
	group := 0 // where the current group begins
	for piece := range bytes.SplitSeq(body, []byte{0}) {
		slash := bytes.IndexByte(piece, '/')
		lines, name := piece, []byte(nil)
		if slash >= 0 {
			lines, name = piece[:slash], piece[slash:]
		}
		if len(bytes.TrimSpace(lines)) > 0 {
			describe(list[group:], strings.Fields(string(lines)))
			group = len(list)
		}
		if name != nil {
			list = append(list, candidate{path: string(name), changed: unknownTime})
		}
	}
	return list
}

// unknownTime is later than any.
const unknownTime = 1<<63 - 1

// describe takes sizes and times of files, when there is one of each for each.
func describe(files []candidate, words []string) {
	if len(words) != 2*len(files) {
		return
	}
	for i := range files {
		size, err := strconv.ParseInt(words[2*i], 10, 64)
		changed, err2 := strconv.ParseInt(words[2*i+1], 10, 64)
		if err == nil && err2 == nil && size >= 0 {
			files[i].size, files[i].changed = size, changed
		}
	}
}

// packaged is what a package says of one of its files.
type packaged struct {
	digest string // in hex; its length tells the algorithm
	until  int64  // files of the package that are as it brought them changed no later
}

// packagedFiles are the files of packages by their path.
type packagedFiles struct {
	files map[string]packaged
	info  map[string][]string // paths of dpkg's packages by the file that lists them
}

func newPackagedFiles() packagedFiles {
	return packagedFiles{files: map[string]packaged{}, info: map[string][]string{}}
}

// read takes what a package system prints of its files.
func (p *packagedFiles) read(system string, body []byte) {
	text := string(body)
	switch system {
	case "dpkg":
		p.readDpkg(text)
	case "dpkg-times":
		for line := range strings.Lines(text) {
			seconds, file, _ := strings.Cut(strings.TrimSpace(line), " ")
			until, err := strconv.ParseInt(seconds, 10, 64)
			if err != nil {
				continue
			}
			for _, name := range p.info[file] {
				p.files[name] = packaged{p.files[name].digest, until}
			}
		}
	case "dpkg-conffiles":
		// " /etc/shop.conf DIGEST", and "obsolete" at times.
		for line := range strings.Lines(text) {
			if words := strings.Fields(line); len(words) >= 2 {
				p.add(words[0], packaged{digest: words[1]})
			}
		}
	case "rpm":
		for line := range strings.Lines(text) {
			words := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 3)
			if len(words) < 3 {
				continue
			}
			if until, err := strconv.ParseInt(words[0], 10, 64); err == nil && words[1] != "" {
				p.add(words[2], packaged{words[1], until})
			}
		}
	case "apk":
		p.readApk(text)
	}
}

// readDpkg reads lines of its md5sums, each with the name of the list in front:
// LIST:DIGEST  PATH.
func (p *packagedFiles) readDpkg(text string) {
	for line := range strings.Lines(text) {
		list, rest, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ".md5sums:")
		digest, name, ok2 := strings.Cut(rest, "  ")
		if !ok || !ok2 {
			continue
		}
		list, name = list+".md5sums", "/"+name
		p.info[list] = append(p.info[list], p.add(name, packaged{digest: digest})...)
	}
}

// readApk reads its database: of each package, when it was built, and its folders,
// and below each its files and their digests.
func (p *packagedFiles) readApk(text string) {
	var built int64
	var folder, file string
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		if !ok {
			continue
		}
		switch key {
		case "P":
			built, folder, file = 0, "", ""
		case "t":
			built, _ = strconv.ParseInt(value, 10, 64)
		case "F":
			folder = value
		case "R":
			file = path.Join("/", folder, value)
		case "Z":
			// Q1 is SHA-1 in Base64.
			encoded, isSHA1 := strings.CutPrefix(value, "Q1")
			sum, err := base64.StdEncoding.DecodeString(encoded)
			if isSHA1 && err == nil && file != "" {
				p.add(file, packaged{hex.EncodeToString(sum), built})
			}
		}
	}
}

// add notes a file, also under the path that it has when /bin and its like are
// links into /usr, and returns the paths.
func (p *packagedFiles) add(name string, of packaged) []string {
	paths := []string{name}
	if first, _, _ := strings.Cut(strings.TrimPrefix(name, "/"), "/"); slices.Contains(mergedFolders, first) {
		paths = append(paths, "/usr"+name)
	}
	for _, path := range paths {
		p.files[path] = of
	}
	return paths
}

// mergedFolders may be links to folders of the same name in /usr.
var mergedFolders = []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"}

// unmodified tells whether a file is as its package has brought it.
func (p *packagedFiles) unmodified(name string, content []byte) bool {
	digest := p.files[name].digest
	switch len(digest) {
	case 2 * md5.Size:
		sum := md5.Sum(content) //nolint:gosec // see above
		return digest == hex.EncodeToString(sum[:])
	case 2 * sha1.Size:
		sum := sha1.Sum(content) //nolint:gosec // see above
		return digest == hex.EncodeToString(sum[:])
	case 2 * sha256.Size:
		sum := sha256.Sum256(content)
		return digest == hex.EncodeToString(sum[:])
	}
	return false
}

// programFolders are where packages put what everybody may read. A file of a
// package there is looked into when it has changed after the package came.
var programFolders = []string{"/usr/", "/bin/", "/sbin/", "/lib/", "/lib32/", "/lib64/", "/libx32/"}

// packageState is where package systems keep what they have loaded, which is
// nothing that somebody has put there.
var packageState = []string{
	"/var/lib/dpkg/", "/var/lib/apt/", "/var/cache/apt/", "/var/cache/debconf/templates.dat", "/var/cache/debconf/templates.dat-old",
	"/var/lib/rpm/", "/usr/lib/sysimage/rpm/", "/usr/share/rpm/", "/var/cache/dnf/", "/var/cache/yum/", "/var/lib/dnf/",
	"/lib/apk/db/", "/usr/lib/apk/db/", "/var/cache/apk/", "/etc/apk/cache/",
}

// dataSuffixes are of files that are no text.
var dataSuffixes = []string{
	".pyc", ".pyo", ".so", ".a", ".o", ".ko", ".mo", ".gz", ".bz2", ".xz", ".zst", ".lz4", ".zip", ".jar", ".deb", ".rpm", ".apk", ".whl",
	".png", ".jpg", ".jpeg", ".gif", ".ico", ".ttf", ".otf", ".woff", ".woff2",
}

// chosen are the candidates that have to be looked into.
func (f *facts) chosen(except []string) []candidate {
	var list []candidate
	for _, c := range f.candidates {
		if hasPrefix(c.path, packageState) || excepted(c.path, except) || slices.Contains(dataSuffixes, path.Ext(c.path)) {
			continue
		}
		of, owned := f.owned.files[c.path]
		if owned && hasPrefix(c.path, programFolders) && !strings.HasPrefix(c.path, "/usr/local/") && c.changed <= of.until {
			continue
		}
		list = append(list, c)
	}
	return list
}

func hasPrefix(text string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(text, p) })
}

// excepted tells whether a path, or a folder that it is in, matches a pattern.
func excepted(name string, patterns []string) bool {
	for ; name != "/" && name != "."; name = path.Dir(name) {
		for _, pattern := range patterns {
			if ok, err := path.Match(pattern, name); err == nil && ok {
				return true
			}
		}
	}
	return false
}
