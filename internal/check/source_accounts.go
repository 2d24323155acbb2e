package check

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// accounts is what the image knows of users and groups.
type accounts struct {
	passwd, group, shadow state
	users                 map[string]user
	groups                map[string]group
	passwords             map[string]string // kind of password by user: none, locked, set
	elsewhere             []string          // name services beyond files that nsswitch.conf names for passwd and group
	asked                 bool              // the running system's name services were asked
}

// user is a line of passwd(5).
type user struct {
	name        string
	uid, gid    int
	home, shell string
}

// group is a line of group(5).
type group struct {
	name    string
	gid     int
	members []string
}

// scriptAccounts writes the part of the script that reads users and groups.
func scriptAccounts(s *script, n *needs, mode Mode) {
	if !n.accounts && !n.shadow {
		return
	}
	s.part("accounts.sh")
	s.call("file", "passwd", "/etc/passwd")
	s.call("file", "group", "/etc/group")
	s.call("file", "nsswitch", "/etc/nsswitch.conf")
	if n.shadow {
		s.call("shadow")
	}
	if mode == Booted && len(n.names) > 0 {
		s.call("known", append([]string{"passwd"}, n.names...)...)
		s.call("known", append([]string{"group"}, n.names...)...)
	}
}

// readAccounts takes a frame of the accounts' part.
func (f *facts) readAccounts(fr frame) {
	a := &f.accounts
	switch fr.tag {
	case "passwd":
		a.passwd = state(fr.arg(0))
		a.users = parsePasswd(string(fr.body))
	case "group":
		a.group = state(fr.arg(0))
		a.groups = parseGroup(string(fr.body))
	case "nsswitch":
		a.elsewhere = otherSources(string(fr.body))
	case "shadow":
		a.shadow = state(fr.arg(0))
		a.passwords = map[string]string{}
		for line := range strings.Lines(string(fr.body)) {
			name, kind, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
			if _, dup := a.passwords[name]; ok && !dup {
				a.passwords[name] = kind
			}
		}
	case "getent":
		a.asked = true
		if a.users == nil || a.groups == nil {
			return
		}
		switch fr.arg(0) {
		case "passwd":
			maps.Copy(a.users, parsePasswd(string(fr.body)))
		case "group":
			maps.Copy(a.groups, parseGroup(string(fr.body)))
		}
	}
}

// parsePasswd reads passwd(5). Of lines with the same name the first counts, as
// it does for the C library; lines that are none are skipped.
func parsePasswd(data string) map[string]user {
	users := map[string]user{}
	for line := range strings.Lines(data) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(fields) < 7 || fields[0] == "" || strings.HasPrefix(fields[0], "#") {
			continue
		}
		uid, err := strconv.Atoi(fields[2])
		if err != nil {
			continue
		}
		gid, err := strconv.Atoi(fields[3])
		if err != nil {
			continue
		}
		if _, dup := users[fields[0]]; !dup {
			users[fields[0]] = user{name: fields[0], uid: uid, gid: gid, home: fields[5], shell: fields[6]}
		}
	}
	return users
}

// parseGroup reads group(5), as parsePasswd does.
func parseGroup(data string) map[string]group {
	groups := map[string]group{}
	for line := range strings.Lines(data) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(fields) < 4 || fields[0] == "" || strings.HasPrefix(fields[0], "#") {
			continue
		}
		gid, err := strconv.Atoi(fields[2])
		if err != nil {
			continue
		}
		if _, dup := groups[fields[0]]; dup {
			continue
		}
		g := group{name: fields[0], gid: gid}
		for member := range strings.SplitSeq(fields[3], ",") {
			if member = strings.TrimSpace(member); member != "" {
				g.members = append(g.members, member)
			}
		}
		groups[fields[0]] = g
	}
	return groups
}

// localSources are the name services of nsswitch.conf(5) that answer from the
// files read here, or never name an account that a person would check.
var localSources = []string{"files", "compat", "systemd", "myhostname", "mymachines"}

// otherSources returns the name services for users and groups that files do not
// answer for: ldap, sss, winbind, ….
func otherSources(nsswitch string) []string {
	var others []string
	for line := range strings.Lines(nsswitch) {
		line, _, _ = strings.Cut(line, "#")
		database, sources, ok := strings.Cut(line, ":")
		database = strings.TrimSpace(database)
		if !ok || database != "passwd" && database != "group" && database != "initgroups" {
			continue
		}
		for source := range strings.FieldsSeq(sources) {
			if !strings.HasPrefix(source, "[") && !slices.Contains(localSources, source) && !strings.HasSuffix(source, "]") {
				others = appendNew(others, source)
			}
		}
	}
	return others
}

// userName returns the name of a uid: the alphabetically first, when it has several.
func (f *facts) userName(uid int) (string, bool) {
	best := ""
	for name, u := range f.accounts.users {
		if u.uid == uid && (best == "" || name < best) {
			best = name
		}
	}
	return best, best != ""
}

// groupName returns the name of a gid, as userName does.
func (f *facts) groupName(gid int) (string, bool) {
	best := ""
	for name, g := range f.accounts.groups {
		if g.gid == gid && (best == "" || name < best) {
			best = name
		}
	}
	return best, best != ""
}

// undecidedBeyondFiles is the verdict on a name that the files do not have when
// the image asks other name services too. ok is false when it asks none.
func (f *facts) undecidedBeyondFiles(what, name string) (v verdict, ok bool) {
	if f.accounts.asked || len(f.accounts.elsewhere) == 0 {
		return verdict{}, false
	}
	return undecided("%s %q is not in /etc, but nsswitch.conf also asks %s, which does not answer here; write requires = \"boot\"",
		what, name, strings.Join(f.accounts.elsewhere, ", ")), true
}

// user returns a user, or the verdict when there is none.
func (f *facts) user(name string) (user, verdict) {
	if f.accounts.passwd != stateRead {
		return user{}, undecided("%s", f.accounts.passwd.explain("/etc/passwd"))
	}
	if u, ok := f.accounts.users[name]; ok {
		return u, verdict{}
	}
	if v, ok := f.undecidedBeyondFiles("user", name); ok {
		return user{}, v
	}
	return user{}, fail("no such user")
}

// group returns a group, or the verdict when there is none.
func (f *facts) group(name string) (group, verdict) {
	if f.accounts.group != stateRead {
		return group{}, undecided("%s", f.accounts.group.explain("/etc/group"))
	}
	if g, ok := f.accounts.groups[name]; ok {
		return g, verdict{}
	}
	if v, ok := f.undecidedBeyondFiles("group", name); ok {
		return group{}, v
	}
	return group{}, fail("no such group")
}

// groupsOf returns the names of all groups of a user, the primary one first.
func (f *facts) groupsOf(u user) []string {
	var names []string
	if primary, ok := f.groupName(u.gid); ok {
		names = append(names, primary)
	}
	var others []string
	for name, g := range f.accounts.groups {
		if slices.Contains(g.members, u.name) && !slices.Contains(names, name) {
			others = append(others, name)
		}
	}
	slices.Sort(others)
	return append(names, others...)
}

// password returns the kind of a user's password, or a verdict when it cannot
// be known.
func (f *facts) password(name string) (string, verdict) {
	if f.accounts.shadow != stateRead {
		return "", undecided("%s", f.accounts.shadow.explain("/etc/shadow"))
	}
	kind, ok := f.accounts.passwords[name]
	if !ok {
		return "", fail("no line in /etc/shadow")
	}
	return kind, verdict{}
}
