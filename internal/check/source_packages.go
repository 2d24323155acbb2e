package check

import (
	"fmt"
	"slices"
	"strings"

	apk "github.com/knqyf263/go-apk-version"
	deb "github.com/knqyf263/go-deb-version"
	rpm "github.com/knqyf263/go-rpm-version"
)

// packages is what the image's package systems have recorded.
type packages struct {
	databases   []packageDatabase
	interrupted bool // dpkg left a transaction half done
}

// packageDatabase is the record of one package system.
type packageDatabase struct {
	system   string // dpkg, rpm or apk
	state    state
	packages map[string][]installed // by name; rpm may have several versions of one
}

// installed is one package.
type installed struct {
	version, arch string
	source        string // its source package, where it says one
	status        string // dpkg's state word, "installed" for the others when all is well
	held          bool
}

func scriptPackages(s *script, n *needs) {
	if n.packages {
		s.part("rpm.sh")
		s.part("packages.sh")
		s.call("packages")
	}
}

// readPackages takes a frame of the packages' part.
func (f *facts) readPackages(fr frame) {
	if fr.tag == "packages-interrupted" {
		f.packages.interrupted = true
		return
	}
	system, st := fr.arg(0), state(fr.arg(1))
	if st == stateBroken {
		// The command failed after it had opened its frame.
		for i := range f.packages.databases {
			if f.packages.databases[i].system == system {
				f.packages.databases[i].state = st
			}
		}
		return
	}
	db := packageDatabase{system: system, state: st}
	switch system {
	case "dpkg":
		db.packages = parseDpkg(string(fr.body))
	case "apk":
		db.packages = parseApk(string(fr.body))
	case "rpm":
		db.packages = parseRpm(string(fr.body))
	}
	if fr.cut {
		db.state = stateBroken
	}
	// A later attempt to read the same database counts.
	f.packages.databases = slices.DeleteFunc(f.packages.databases, func(d packageDatabase) bool { return d.system == system })
	f.packages.databases = append(f.packages.databases, db)
}

// parseDpkg reads the Package, Status, Version, Architecture and Source fields
// of dpkg's status file; other lines are skipped.
func parseDpkg(data string) map[string][]installed {
	packages := map[string][]installed{}
	name, current := "", installed{}
	add := func() {
		if name != "" {
			packages[name] = append(packages[name], current)
		}
		name, current = "", installed{}
	}
	for line := range strings.Lines(data) {
		key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		switch key {
		case "Package":
			add()
			name = value
		case "Status":
			// want, error flag, state: "install ok installed", dpkg-query(1).
			words := strings.Fields(value)
			if len(words) == 3 {
				current.held = words[0] == "hold"
				current.status = words[2]
				if words[1] != "ok" {
					current.status += ", " + words[1]
				}
			}
		case "Version":
			current.version = value
		case "Architecture":
			current.arch = value
		case "Source":
			current.source = value
		}
	}
	add()
	return packages
}

// parseApk reads the P, V, A and o lines of apk's installed database.
func parseApk(data string) map[string][]installed {
	packages := map[string][]installed{}
	name := ""
	for line := range strings.Lines(data) {
		key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		if !ok || value == "" {
			continue
		}
		switch key {
		case "P":
			name = value
			packages[name] = append(packages[name], installed{status: "installed"})
		case "V", "A", "o":
			if name == "" {
				continue
			}
			last := &packages[name][len(packages[name])-1]
			switch key {
			case "V":
				last.version = value
			case "A":
				last.arch = value
			case "o":
				last.source = value
			}
		}
	}
	return packages
}

// parseRpm reads lines of name, architecture, [epoch:]version-release and source
// rpm with tabs between them. gpg-pubkey entries are keys, no packages.
func parseRpm(data string) map[string][]installed {
	packages := map[string][]installed{}
	for line := range strings.Lines(data) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) != 4 || fields[0] == "" || fields[0] == "gpg-pubkey" {
			continue
		}
		packages[fields[0]] = append(packages[fields[0]],
			installed{version: fields[2], arch: fields[1], source: sourceOfRpm(fields[3]), status: "installed"})
	}
	return packages
}

// sourceOfRpm returns the name of the source package from the name of its file,
// NAME-VERSION-RELEASE.src.rpm; "" when it is none.
func sourceOfRpm(file string) string {
	name, ok := strings.CutSuffix(file, ".rpm")
	for range 2 {
		cut := strings.LastIndexByte(name, '-')
		if !ok || cut <= 0 {
			return ""
		}
		name = name[:cut]
	}
	return name
}

// database returns the record that counts: the image's own when it has several,
// as a Debian with rpm installed does.
func (f *facts) database() (packageDatabase, verdict) {
	dbs := f.packages.databases
	if len(dbs) == 0 {
		return packageDatabase{}, undecided("the image has no package database of dpkg, rpm or apk")
	}
	best := dbs[0]
	if len(dbs) > 1 {
		family := " " + f.os["ID"] + " " + f.os["ID_LIKE"] + " "
		for _, db := range dbs {
			for _, id := range familyOf[db.system] {
				if strings.Contains(family, " "+id+" ") {
					best = db
				}
			}
		}
	}
	if best.state != stateRead {
		return packageDatabase{}, undecided("%s", best.state.explain("the package database of "+best.system))
	}
	if best.system == "dpkg" && f.packages.interrupted {
		return packageDatabase{}, undecided("dpkg was interrupted and its record is not complete; run dpkg --configure -a in the image")
	}
	if len(best.packages) == 0 {
		return packageDatabase{}, undecided("the package database of %s has no packages at all", best.system)
	}
	return best, verdict{}
}

// familyOf are the ids of os-release(5) whose packages each system keeps.
var familyOf = map[string][]string{
	"dpkg": {"debian", "ubuntu"},
	"rpm":  {"rhel", "fedora", "centos", "amzn", "suse", "opensuse", "sles"},
	"apk":  {"alpine", "wolfi", "chainguard"},
}

// found returns the packages with a name, which may end in :ARCH, that are
// installed or half so; those of which only the configuration is left are not.
func (db packageDatabase) found(name string) []installed {
	name, arch, _ := strings.Cut(name, ":")
	var found []installed
	for _, p := range db.packages[name] {
		switch {
		case arch != "" && p.arch != arch:
		case p.status == "not-installed", p.status == "config-files":
		default:
			found = append(found, p)
		}
	}
	return found
}

// compareVersions orders two versions as the package system does.
func compareVersions(system, a, b string) (int, error) {
	switch system {
	case "dpkg":
		va, err := deb.NewVersion(a)
		if err != nil {
			return 0, fmt.Errorf("%q is not a version of dpkg: %w", a, err)
		}
		vb, err := deb.NewVersion(b)
		if err != nil {
			return 0, fmt.Errorf("%q is not a version of dpkg: %w", b, err)
		}
		return va.Compare(vb), nil
	case "apk":
		va, err := apk.NewVersion(a)
		if err != nil {
			return 0, fmt.Errorf("%q is not a version of apk: %w", a, err)
		}
		vb, err := apk.NewVersion(b)
		if err != nil {
			return 0, fmt.Errorf("%q is not a version of apk: %w", b, err)
		}
		return va.Compare(vb), nil
	}
	// As in rpm's dependencies, a bound without a release means any release.
	if !strings.Contains(b, "-") {
		a, _, _ = strings.Cut(a, "-")
	}
	return rpm.NewVersion(a).Compare(rpm.NewVersion(b)), nil
}

// epoch returns the epoch of a version of dpkg or rpm, and "0" without one.
func epoch(version string) string {
	if e, _, ok := strings.Cut(version, ":"); ok {
		return e
	}
	return "0"
}
