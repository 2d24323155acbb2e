package check

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

// ErrNotHeld means that a suite that was learned of an image does not hold on it:
// the image changes while it is looked at, or cannot be read whole.
var ErrNotHeld = errors.New("the suite does not hold on the image it was learned from")

// learnedFiles are the files whose owner and permissions a learned suite holds:
// those that decide who gets in and what may run.
var learnedFiles = []string{
	"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/ssh/sshd_config", "/etc/fstab", "/etc/crontab",
	"/etc/nsswitch.conf", "/etc/pam.d", "/etc/security/limits.conf", "/etc/selinux/config", "/root", "/tmp", "/var/tmp",
}

// learnedKeys are the settings of sshd that it holds, when they are set.
var learnedKeys = []string{"PasswordAuthentication", "PermitEmptyPasswords", "PermitRootLogin", "PubkeyAuthentication"}

// firstPerson and lastPerson bound the uids that are given to people and their
// like: UID_MIN and UID_MAX of login.defs(5).
const (
	firstPerson = 1000
	lastPerson  = 60000
)

// firstEphemeral is where the ports begin that programs get when they ask for
// none: net.ipv4.ip_local_port_range.
const firstEphemeral = 32768

const (
	aptStates      = "/var/lib/apt/extended_states"
	dpkgStatusFile = "/var/lib/dpkg/status"
	apkWorld       = "/etc/apk/world"
	sshdFile       = "/etc/ssh/sshd_config"
)

// Learn writes a suite file that a good image passes: its packages by choice,
// what starts at boot, who can log in, where packages come from, what is mounted,
// the permissions of key files and, of a booted one, the ports that listen. The
// same image gives the same text. The suite is run on the image before it is
// returned.
func Learn(ctx context.Context, t Target) ([]byte, error) {
	report := &Report{Started: time.Now()}
	if err := report.chooseMode(ctx, t); err != nil {
		return nil, fmt.Errorf("learn: %w", err)
	}
	f, err := readNeeds(ctx, t, report.Mode, learnedNeeds(report.Mode))
	if err != nil {
		return nil, fmt.Errorf("learn: %w", err)
	}
	l := &learner{facts: f, file: hclwrite.NewEmptyFile()}
	l.comment("Learned from " + strings.TrimSpace(f.osName()+", "+string(report.Mode)) + ".")
	for _, part := range []func() error{l.packages, l.repositories, l.services, l.users, l.files, l.mounts} {
		if err := part(); err != nil {
			return nil, fmt.Errorf("learn: %w", err)
		}
	}
	if report.Mode == Booted {
		if err := l.ports(); err != nil {
			return nil, fmt.Errorf("learn: %w", err)
		}
	}
	text := l.file.Bytes()
	return text, held(ctx, t, text)
}

// held runs a suite on the image that it is about.
func held(ctx context.Context, t Target, text []byte) error {
	suite, errs := ParseSuite("learned"+SuiteExtension, text)
	if len(errs) > 0 {
		return fmt.Errorf("%w: %w", ErrNotHeld, errors.Join(errs...))
	}
	plan, errs := Compile([]Suite{suite}, Auto, time.Now())
	if len(errs) > 0 {
		return fmt.Errorf("%w: %w", ErrNotHeld, errors.Join(errs...))
	}
	report, err := Run(ctx, plan, t)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotHeld, err)
	}
	if err := report.Err(Low); err != nil {
		return fmt.Errorf("%w: %w", ErrNotHeld, err)
	}
	return nil
}

func learnedNeeds(mode Mode) *needs {
	n := &needs{byPath: map[string]*pathNeed{}, mode: mode, packages: true, accounts: true, units: []string{"default.target"}, allUnits: true}
	for _, p := range learnedFiles {
		n.path(p).stat = true
	}
	n.path("/etc/localtime").target = true
	var a Assertion
	readsText(aptStates, dpkgStatusFile, apkWorld, fstab, sshdFile)(&a)
	readsRepositories(&a)
	if mode == Booted {
		readsText(slices.Concat(socketFiles("tcp"), socketFiles("udp"))...)(&a)
	}
	for _, ask := range a.asks {
		ask(n)
	}
	n.configs(sshdFolder(sshdFile))
	return n
}

// learner writes blocks of what was read.
type learner struct {
	facts *facts
	file  *hclwrite.File
}

func (l *learner) comment(text string) {
	l.file.Body().AppendUnstructuredTokens(hclwrite.Tokens{{Type: 'C', Bytes: []byte("# " + printable(text) + "\n")}})
}

// block writes a block; attributes are names and values in turn. Values that are
// nil or empty are left out.
func (l *learner) block(kind, label string, attributes ...any) {
	l.file.Body().AppendNewline()
	var labels []string
	if label != "" {
		labels = []string{label}
	}
	body := l.file.Body().AppendNewBlock(kind, labels).Body()
	for i := 0; i+1 < len(attributes); i += 2 {
		name, _ := attributes[i].(string)
		switch v := attributes[i+1].(type) {
		case string:
			if v != "" {
				body.SetAttributeValue(name, cty.StringVal(v))
			}
		case bool:
			body.SetAttributeValue(name, cty.BoolVal(v))
		case []string:
			if len(v) > 0 {
				body.SetAttributeRaw(name, listTokens(v))
			}
		}
	}
}

// listTokens writes a list, a line for each element when it has several.
func listTokens(values []string) hclwrite.Tokens {
	text := &strings.Builder{}
	text.WriteString("[")
	for i, v := range values {
		if len(values) > 1 {
			text.WriteString("\n    ")
		} else if i > 0 {
			text.WriteString(" ")
		}
		text.Write(hclwrite.TokensForValue(cty.StringVal(v)).Bytes())
		if len(values) > 1 {
			text.WriteString(",")
		}
	}
	if len(values) > 1 {
		text.WriteString("\n  ")
	}
	text.WriteString("]")
	return hclwrite.Tokens{{Type: 'L', Bytes: []byte(text.String())}}
}

// packages writes the packages that somebody has chosen, as far as the package
// system keeps that.
func (l *learner) packages() error {
	if len(l.facts.packages.databases) == 0 {
		return nil
	}
	db, v := l.facts.database()
	if v.outcome != "" {
		return fmt.Errorf("packages: %s", v.actual)
	}
	chosen, err := l.chosen(db)
	if err != nil || len(chosen) == 0 {
		return err
	}
	l.block("package", "", "names", chosen)
	return nil
}

func (l *learner) chosen(db packageDatabase) ([]string, error) {
	var names []string
	for name := range db.packages {
		installed := slices.ContainsFunc(db.found(name), func(p installed) bool { return p.status == "installed" })
		if installed && validName(name) == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var drop func(name string) bool
	switch db.system {
	case "dpkg":
		states, _, v := l.facts.text(aptStates)
		if v.outcome == Errored {
			return nil, fmt.Errorf("packages: %s", v.actual)
		}
		status, v := l.facts.content(dpkgStatusFile)
		if v.outcome != "" {
			return nil, fmt.Errorf("packages: %s", v.actual)
		}
		auto, base := autoInstalled(states), basePackages(string(status))
		drop = func(name string) bool { return auto[name] || base[name] }
	case "apk":
		text, there, v := l.facts.text(apkWorld)
		if v.outcome != "" {
			return nil, fmt.Errorf("packages: %s", v.actual)
		}
		if !there {
			return names, nil
		}
		world := map[string]bool{}
		for word := range strings.FieldsSeq(text) {
			// A constraint may follow the name: openssl>3, tag@edge.
			if end := strings.IndexAny(word, "<>=~@!"); end >= 0 {
				word = word[:end]
			}
			world[word] = true
		}
		drop = func(name string) bool { return !world[name] }
	default:
		// rpm does not keep who has asked for a package.
		return names, nil
	}
	return slices.DeleteFunc(names, drop), nil
}

// autoInstalled are the packages that apt has installed because others need
// them: the fields of /var/lib/apt/extended_states.
func autoInstalled(text string) map[string]bool {
	auto, name := map[string]bool{}, ""
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch {
		case key == "Package":
			name = value
		case key == "Auto-Installed" && value == "1":
			auto[name] = true
		}
	}
	return auto
}

// basePackages are those that are there without anybody's choice, though apt does
// not say so of what debootstrap has installed: of priority required or
// important, essential ones, and libraries that others need.
func basePackages(status string) map[string]bool {
	base, name := map[string]bool{}, ""
	libraries, needed := map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(status) {
		switch key, value, _ := strings.Cut(strings.TrimRight(line, "\n"), ": "); key {
		case "Package":
			name = value
		case "Priority":
			base[name] = base[name] || value == "required" || value == "important"
		case "Essential":
			base[name] = base[name] || value == "yes"
		case "Section":
			libraries[name] = strings.HasSuffix(value, "libs")
		case "Depends", "Pre-Depends":
			for word := range strings.FieldsFuncSeq(value, func(c rune) bool { return c == ',' || c == '|' }) {
				if fields := strings.Fields(word); len(fields) > 0 {
					other, _, _ := strings.Cut(fields[0], ":")
					needed[other] = true
				}
			}
		}
	}
	for library, is := range libraries {
		base[library] = base[library] || is && needed[library]
	}
	return base
}

func (l *learner) repositories() error {
	found, v := l.facts.repositories()
	if v.outcome != "" {
		return fmt.Errorf("repositories: %s", v.actual)
	}
	byName := map[string][]repository{}
	for _, r := range found {
		name := r.id
		if name == "" && len(r.uris) > 0 {
			name = strings.TrimRight(r.uris[0], "/")
		}
		if r.enabled && name != "" && validRepository(name) == nil {
			byName[name] = append(byName[name], r)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		all := byName[name]
		suites, components := gather(all, func(r repository) []string { return r.suites }), gather(all, func(r repository) []string { return r.components })
		slices.Sort(suites)
		slices.Sort(components)
		l.block("repository", name, "enabled", true, "suites", suites, "components", components)
	}
	return nil
}

// services writes what starts at boot. An image without a service manager that is
// known starts nothing.
func (l *learner) services() error {
	s := &l.facts.services
	manager, v := l.facts.manager()
	if v.outcome != "" {
		if s.denied != "" || s.systemd == stateBroken {
			return fmt.Errorf("services: %s", v.actual)
		}
		return nil
	}
	var services, timers []string
	switch manager {
	case "systemd":
		for name, st := range s.units {
			switch kind := path.Ext(name); {
			case st.state != "enabled" || validName(name) != nil:
			case kind == ".timer":
				timers = append(timers, strings.TrimSuffix(name, kind))
			case kind == ".service":
				services = append(services, strings.TrimSuffix(name, kind))
			case kind == ".socket" || kind == ".path":
				services = append(services, name)
			}
		}
	case "openrc":
		services = slices.Collect(maps.Keys(s.runlevels))
	default:
		services = slices.Collect(maps.Keys(s.rc))
	}
	slices.Sort(services)
	slices.Sort(timers)
	if len(services) > 0 {
		l.block("service", "", "names", services, "enabled", true)
	}
	if len(timers) > 0 {
		l.block("timer", "", "names", timers, "enabled", true)
	}
	return nil
}

func (l *learner) users() error {
	a := &l.facts.accounts
	if a.passwd != stateRead || a.group != stateRead {
		return fmt.Errorf("users: %s", a.passwd.explain("/etc/passwd"))
	}
	for _, name := range slices.Sorted(maps.Keys(a.users)) {
		u := a.users[name]
		if u.uid < firstPerson || u.uid > lastPerson || validName(name) != nil {
			continue
		}
		l.block("user", name, "uid", strconv.Itoa(u.uid), "home", u.home, "shell", u.shell, "groups", l.facts.groupsOf(u))
	}
	return nil
}

func (l *learner) files() error {
	for _, p := range learnedFiles {
		n, v := l.facts.statted(p)
		switch v.outcome {
		case Errored:
			return fmt.Errorf("files: %s: %s", p, v.actual)
		case Failed:
			continue
		}
		owner, named := l.facts.userName(n.uid)
		if !named {
			owner = strconv.Itoa(n.uid)
		}
		group, named := l.facts.groupName(n.gid)
		if !named {
			group = strconv.Itoa(n.gid)
		}
		l.block("file", p, "type", n.typ(), "mode", fmt.Sprintf("%04o", n.mode&0o7777), "owner", owner, "group", group)
	}
	if target, v := l.facts.target("/etc/localtime"); v.outcome == "" {
		l.block("file", "/etc/localtime", "target", target)
	}
	return l.sshd()
}

// sshd writes the settings of sshd that decide who gets in.
func (l *learner) sshd() error {
	text, there, v := l.facts.text(sshdFile)
	if v.outcome == Errored {
		return fmt.Errorf("files: %s", v.actual)
	}
	if !there {
		return nil
	}
	s, err := sshdSettings(l.facts, sshdFile, text)
	if err != nil {
		return err
	}
	values := map[string]cty.Value{}
	for _, key := range learnedKeys {
		if value, found, v := s.value(key); found && v.outcome == "" && value != "" {
			values[key] = cty.StringVal(value)
		}
	}
	if len(values) > 0 {
		l.file.Body().AppendNewline()
		l.file.Body().AppendNewBlock("config", []string{sshdFile}).Body().SetAttributeValue("values", cty.ObjectVal(values))
	}
	return nil
}

func (l *learner) mounts() error {
	text, _, v := l.facts.text(fstab)
	if v.outcome != "" {
		return fmt.Errorf("mounts: %s", v.actual)
	}
	byPath := map[string]mountEntry{}
	for _, e := range parseFstab(text) {
		// The last entry for a path counts; swap has no path.
		if validPath(e.path) == nil {
			byPath[e.path] = e
		}
	}
	for _, p := range slices.Sorted(maps.Keys(byPath)) {
		e := byPath[p]
		l.block("mount", p, "device", e.device, "type", e.typ, "options", slices.DeleteFunc(slices.Clone(e.options), func(o string) bool { return o == "" }))
	}
	return nil
}

// ports writes the ports of a booted system on which something listens, for a
// booted run to decide.
func (l *learner) ports() error {
	for _, protocol := range []string{"tcp", "udp"} {
		listening := map[uint16][]string{}
		for i, file := range socketFiles(protocol) {
			text, there, v := l.facts.text(file)
			if v.outcome != "" || !there && i == 0 {
				return fmt.Errorf("ports: %s cannot be read: %s", file, v.actual)
			}
			for _, s := range parseSockets(text, protocol) {
				if s.Port() > 0 && s.Port() < firstEphemeral {
					listening[s.Port()] = appendNew(listening[s.Port()], s.Addr().String())
				}
			}
		}
		for _, port := range slices.Sorted(maps.Keys(listening)) {
			slices.Sort(listening[port])
			l.block("port", fmt.Sprintf("%s:%d", protocol, port), "addresses", listening[port], "requires", "boot")
		}
	}
	return nil
}
