package check

import (
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

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

// commandValues are exit-status, stdout and stderr.
func commandValues(c *compiler, b *Expect) []value {
	text := b.Subject
	timeout := time.Duration(b.Options.seconds(int(defaultTimeout/time.Second))) * time.Second
	if timeout > maxTimeout {
		c.problem("timeout", "%v is more than %v", timeout, maxTimeout)
	}
	options := []option{reads(func(n *needs) { n.command(text, timeout) })}
	for _, p := range lintCommand(text, false) {
		c.problem("", "%s", p)
	}
	// What a mounted image cannot answer is refused or left to the booted run, as
	// any other value.
	if live := lintCommand(text, true); len(live) > 0 {
		_, why, _ := strings.Cut(live[0], "cannot be decided offline: ")
		why, _, _ = strings.Cut(why, "; write")
		options = append(options, notOffline(why), needsBootRemedy(liveRemedy(text)))
	}
	if statusOnly(b) && alwaysSucceeds(text) {
		c.problem("exit-status", "the command exits with 0 whatever it finds, because of how it ends; remove that, or assert what it prints")
	}
	stream := func(name string, of func(r *commandResult) []byte) value {
		return value{
			name: name, options: options, stream: true, show: func(_ *facts, found any) string { return shown([]byte(asString(found))) },
			read: func(f *facts) (any, verdict) {
				r, v := f.command(text)
				if r == nil {
					return nil, v
				}
				return string(of(r)), r.complete(name)
			},
		}
	}
	return []value{
		{
			name: "exit-status", options: options,
			read: func(f *facts) (any, verdict) {
				r, v := f.command(text)
				if r == nil {
					return nil, v
				}
				return r.exit, verdict{}
			},
			show: func(f *facts, found any) string {
				actual := fmt.Sprint(found)
				if r, _ := f.command(text); r != nil && r.exit != 0 {
					if said := firstLines(r.stderr); said != "" {
						actual += ", and on stderr " + said
					}
				}
				return actual
			},
		},
		stream("stdout", func(r *commandResult) []byte { return r.stdout }),
		stream("stderr", func(r *commandResult) []byte { return r.stderr }),
	}
}

// statusOnly tells whether nothing but the exit status 0 is demanded.
func statusOnly(b *Expect) bool {
	status := false
	for _, v := range b.Values {
		list, isList := v.Want.([]any)
		switch {
		case v.Name == "exit-status":
			status = v.Want == 0 || v.Want == 0.0
		case isList && len(list) == 0:
		default:
			return false
		}
	}
	return status
}

// liveRemedy is what to write instead of a command that asks what runs.
func liveRemedy(text string) string {
	for _, p := range lintCommand(text, true) {
		if _, remedy, ok := strings.Cut(p, "; write "); ok {
			if remedy, _, ok = strings.Cut(remedy, `, or requires = "boot"`); ok {
				return remedy
			}
		}
	}
	return ""
}

// needsBootRemedy says what to write instead.
func needsBootRemedy(remedy string) option { return func(a *Assertion) { a.remedy = remedy } }

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

func processValues(_ *compiler, b *Expect) []value {
	return []value{{
		name:    "running",
		options: []option{needsBoot(""), reads(func(n *needs) { n.processes = appendNew(n.processes, b.Subject) })},
		read: func(f *facts) (any, verdict) {
			found, v := f.processes(b.Subject)
			return len(found) > 0, v
		},
	}}
}

func kernelParamValues(_ *compiler, b *Expect) []value {
	file := "/proc/sys/" + strings.ReplaceAll(b.Subject, ".", "/")
	return []value{{
		name: "value", options: []option{needsBoot(""), readsText(file)},
		read: func(f *facts) (any, verdict) {
			if f.mode != Booted {
				return nil, undecided("the kernel is the build host's")
			}
			content, v := f.content(file)
			return strings.TrimSpace(string(content)), v
		},
	}}
}

// mountValues are those of what is mounted at a path, on top of all below.
func mountValues(_ *compiler, b *Expect) []value {
	boot := []option{needsBoot(""), readsText(mountInfo)}
	at := func(f *facts) (mountEntry, []string, verdict) {
		if _, v := f.mounted(b.Subject); v.outcome != "" {
			return mountEntry{}, nil, v
		}
		content, v := f.content(mountInfo)
		e, super := ownOptions(string(content), b.Subject)
		return e, super, v
	}
	of := func(name string, get func(e mountEntry, super []string) any) value {
		return value{name: name, options: boot, read: func(f *facts) (any, verdict) {
			e, super, v := at(f)
			if v.outcome != "" {
				return nil, v
			}
			return get(e, super), verdict{}
		}}
	}
	usage := "exec stat -f -c '%b %f' -- " + quote(b.Subject)
	return []value{
		exists(func(f *facts) verdict {
			_, _, v := at(f)
			return v
		}, boot...),
		of("opts", func(e mountEntry, _ []string) any { return e.options }),
		of("vfs-opts", func(_ mountEntry, super []string) any { return super }),
		of("source", func(e mountEntry, _ []string) any { return e.device }),
		of("filesystem", func(e mountEntry, _ []string) any { return e.typ }),
		{
			name: "usage", options: append(slices.Clone(boot), reads(func(n *needs) { n.command(usage, defaultTimeout) })),
			read: func(f *facts) (any, verdict) {
				if _, _, v := at(f); v.outcome != "" {
					return nil, v
				}
				r, v := f.command(usage)
				if r == nil {
					return nil, v
				}
				percent, err := parseUsage(string(r.stdout))
				if err != nil {
					return nil, undecided("the image's stat command says %s: %v", shown(append(r.stdout, r.stderr...)), err)
				}
				return percent, verdict{}
			},
		},
	}
}

// ownOptions returns the topmost mount at a path with its own options, and those
// of its file system: proc_pid_mountinfo(5).
func ownOptions(text, at string) (e mountEntry, super []string) {
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(line, " - ")
		fields, more := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 6 || len(more) < 3 || unescapeOctal(fields[4]) != at {
			continue
		}
		e = mountEntry{device: unescapeOctal(more[1]), path: at, typ: more[0], options: strings.Split(fields[5], ",")}
		super = strings.Split(more[2], ",")
	}
	return e, super
}

// parseUsage reads the blocks of a file system and those that are free, and
// returns the rounded percentage of those in use.
func parseUsage(text string) (int, error) {
	fields := strings.Fields(text)
	if len(fields) != 2 {
		return 0, errors.New("not two numbers")
	}
	blocks, err := strconv.ParseUint(fields[0], 10, 64)
	if err != nil || blocks == 0 {
		return 0, errors.New("no number of blocks")
	}
	free, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil || free > blocks {
		return 0, errors.New("no number of free blocks")
	}
	return int(math.Round((1 - float64(free)/float64(blocks)) * 100)), nil
}

func interfaceValues(_ *compiler, b *Expect) []value {
	dir := path.Join(sysInterfaces, b.Subject)
	boot := []option{needsBoot(""), reads(func(n *needs) {
		n.path(sysInterfaces)
		n.path(dir)
	})}
	show := "exec ip -o addr show dev " + quote(b.Subject)
	return []value{
		exists(func(f *facts) verdict { return f.hasInterface(dir) }, boot...),
		{name: "mtu", options: append(slices.Clone(boot), readsText(dir+"/mtu")), read: func(f *facts) (any, verdict) {
			if v := f.hasInterface(dir); v.outcome != "" {
				return nil, v
			}
			text, v := f.content(dir + "/mtu")
			if v.outcome != "" {
				return nil, v
			}
			mtu, err := strconv.Atoi(strings.TrimSpace(string(text)))
			if err != nil {
				return nil, undecided("%s/mtu says %q", dir, text)
			}
			return mtu, verdict{}
		}},
		{name: "addrs", options: append(slices.Clone(boot), reads(func(n *needs) { n.command(show, defaultTimeout) })), read: func(f *facts) (any, verdict) {
			if v := f.hasInterface(dir); v.outcome != "" {
				return nil, v
			}
			r, v := f.command(show)
			switch {
			case r == nil:
				return nil, v
			case r.exit != 0:
				return nil, undecided("the image's ip command exited with %d: %s", r.exit, shown(r.stderr))
			}
			addrs := []string{}
			for _, p := range parseAddresses(string(r.stdout)) {
				addrs = append(addrs, p.String())
			}
			return addrs, verdict{}
		}},
	}
}

// matchingValues are of what is written in the check: nothing is read.
func matchingValues(_ *compiler, b *Expect) []value {
	content := b.Options.Content
	if b.Options.Lines {
		content = fmt.Sprint(content)
	}
	return []value{{
		name: "matches", stream: b.Options.Lines,
		read: func(*facts) (any, verdict) { return content, verdict{} },
	}}
}
