package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/imagebakery/packer-plugin-bakery/internal/match"
)

// packageValues are installed and versions.
func packageValues(_ *compiler, b *Expect) []value {
	database := reads(func(n *needs) { n.packages = true })
	versions := func(f *facts) (match.Versions, verdict) {
		db, v := f.database()
		if v.outcome != "" {
			return match.Versions{}, v
		}
		found := match.Versions{System: db.system, Compare: func(version, bound string) (int, error) {
			return compareVersions(db.system, version, bound)
		}}
		packages := db.found(b.Subject)
		if len(packages) == 0 && db.system == "rpm" {
			packages = db.labelled(b.Subject)
		}
		for _, p := range packages {
			if p.status == "installed" {
				found.List = append(found.List, p.version)
			}
		}
		return found, verdict{}
	}
	return []value{
		{name: "installed", presence: true, options: []option{database}, read: func(f *facts) (any, verdict) {
			found, v := versions(f)
			return len(found.List) > 0, v
		}},
		{name: "versions", options: []option{database}, read: func(f *facts) (any, verdict) {
			found, v := versions(f)
			if v.outcome == "" && len(found.List) == 0 {
				v = fail("not installed")
			}
			return found, v
		}},
	}
}

// labelled returns the packages of rpm that have one of the longer names which
// `rpm -q` takes: NAME-VERSION, NAME-VERSION-RELEASE, and each, or the name, with
// .ARCH.
func (db packageDatabase) labelled(label string) []installed {
	var found []installed
	for name, packages := range db.packages {
		if !strings.HasPrefix(label, name) {
			continue
		}
		for _, p := range packages {
			_, full, ok := strings.Cut(p.version, ":")
			if !ok {
				full = p.version
			}
			version, _, _ := strings.Cut(full, "-")
			rest := strings.TrimPrefix(label, name)
			if bare := strings.TrimSuffix(rest, "."+p.arch); bare != rest && bare == "" || bare == "-"+version || bare == "-"+full {
				found = append(found, p)
			}
		}
	}
	return found
}

// legacyEnabled are the states of units for which `systemctl is-enabled` exits
// with 0, by which other tools call a service enabled.
var legacyEnabled = []string{"enabled", "enabled-runtime", "static", "alias", "indirect", "generated", "transient"}

// serviceValues are enabled, running and runlevels.
func serviceValues(_ *compiler, b *Expect) []value {
	name := b.Subject
	units := readsUnits(append(starters(name), name))
	running := reads(func(n *needs) { n.running = appendNew(n.running, name) })
	return []value{
		{
			name: "enabled", options: []option{units},
			read: func(f *facts) (any, verdict) {
				st, _, v := f.service(name)
				return slices.Contains(legacyEnabled, st.state), v
			},
			show: func(f *facts, value any) string {
				st, _, _ := f.service(name)
				if st.state == "" {
					return "false (no such service)"
				}
				return fmt.Sprintf("%v (%s)", value, st.state)
			},
			truth: func(f *facts) (any, string, verdict) {
				st, unit, v := f.service(name)
				if v.outcome != "" || st.state == "" {
					return false, "", v
				}
				up, down := f.startsAtBoot(st, unit), f.staysDown(st, unit)
				switch {
				case up.outcome == Passed:
					return true, up.actual, verdict{}
				case down.outcome == Errored:
					return nil, "", down
				case down.outcome == Failed:
					return true, down.actual, verdict{}
				}
				return false, up.actual, verdict{}
			},
		},
		{
			name: "running", options: []option{needsBoot("enabled: true to check that it starts at boot"), running},
			read: func(f *facts) (any, verdict) {
				v := f.runs(name, true)
				if v.outcome == Errored {
					return nil, v
				}
				return v.outcome == Passed, verdict{}
			},
			show: func(f *facts, _ any) string { return f.runs(name, true).actual },
		},
		{name: "runlevels", options: []option{units}, read: func(f *facts) (any, verdict) {
			manager, v := f.manager()
			if v.outcome != "" {
				return nil, v
			}
			levels := []string{}
			short := strings.TrimSuffix(name, ".service")
			switch manager {
			case "systemd":
				return nil, undecided("systemd has no runlevels; write enabled: true")
			case "openrc":
				levels = append(levels, f.services.runlevels[short]...)
			default:
				for _, folder := range f.services.rc[short] {
					levels = append(levels, strings.TrimSuffix(strings.TrimPrefix(folder, "rc"), ".d"))
				}
			}
			slices.Sort(levels)
			return levels, verdict{}
		}},
	}
}

func userValues(_ *compiler, b *Expect) []value {
	name := b.Subject
	accounts := reads(func(n *needs) { n.accounts, n.names = true, appendNew(n.names, name) })
	of := func(property string, get func(f *facts, u user) (any, verdict)) value {
		return value{name: property, options: []option{accounts}, read: func(f *facts) (any, verdict) {
			u, v := f.user(name)
			if v.outcome != "" {
				return nil, v
			}
			return get(f, u)
		}}
	}
	return []value{
		exists(func(f *facts) verdict {
			_, v := f.user(name)
			return v
		}, accounts),
		of("uid", func(_ *facts, u user) (any, verdict) { return u.uid, verdict{} }),
		of("gid", func(_ *facts, u user) (any, verdict) { return u.gid, verdict{} }),
		of("home", func(_ *facts, u user) (any, verdict) { return u.home, verdict{} }),
		of("shell", func(_ *facts, u user) (any, verdict) { return u.shell, verdict{} }),
		of("groups", func(f *facts, u user) (any, verdict) {
			if f.accounts.group != stateRead {
				return nil, undecided("%s", f.accounts.group.explain("/etc/group"))
			}
			groups := []string{}
			for name, g := range f.accounts.groups {
				if g.gid == u.gid || slices.Contains(g.members, u.name) {
					groups = append(groups, name)
				}
			}
			slices.Sort(groups)
			return groups, verdict{}
		}),
	}
}

func groupValues(_ *compiler, b *Expect) []value {
	accounts := reads(func(n *needs) { n.accounts, n.names = true, appendNew(n.names, b.Subject) })
	return []value{
		exists(func(f *facts) verdict {
			_, v := f.group(b.Subject)
			return v
		}, accounts),
		{name: "gid", options: []option{accounts}, read: func(f *facts) (any, verdict) {
			g, v := f.group(b.Subject)
			return g.gid, v
		}},
	}
}
