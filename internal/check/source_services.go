package check

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// services is what starts at boot, as the image's service managers keep it, and
// on a booted system what runs.
type services struct {
	denied      string // a folder that may not be read
	systemd     state
	units       map[string]unitState // systemctl list-unit-files, by full name
	files       map[string]unitFile  // of the units that are asked for, by full name
	instances   map[string]string    // state of instances of templates, by full name
	initScripts []string             // /etc/init.d
	runlevels   map[string][]string  // OpenRC: the runlevels of a service
	hasOpenRC   bool
	rc          map[string][]string // System V: the rcN.d of a service
	machineID   state
	machineText string
	running     map[string]string
}

// unitState is what systemctl says of a unit file.
type unitState struct {
	state  string // enabled, disabled, static, masked, alias, …
	preset string // enabled, disabled, ignored; empty when systemctl does not say
}

// unitFile is where a unit file was found.
type unitFile struct {
	link   bool
	target string
}

func newServices() services {
	return services{
		units: map[string]unitState{}, files: map[string]unitFile{}, instances: map[string]string{},
		runlevels: map[string][]string{}, rc: map[string][]string{}, running: map[string]string{},
	}
}

// unitTypes are the suffixes of systemd's unit names: systemd.unit(5).
var unitTypes = []string{
	".service", ".socket", ".timer", ".path", ".target", ".mount", ".automount", ".swap", ".slice", ".scope", ".device",
}

// unitName completes a name as systemctl does: without a suffix it is a service.
func unitName(name string) string {
	if slices.Contains(unitTypes, path.Ext(name)) {
		return name
	}
	return name + ".service"
}

func scriptServices(s *script, n *needs) {
	if len(n.units) == 0 && len(n.running) == 0 {
		return
	}
	s.part("units.sh")
	for i, unit := range n.units {
		s.call("unit", strconv.Itoa(i), unit)
		if strings.Contains(unit, "@") {
			s.call("instance", strconv.Itoa(i), unit)
		}
	}
	if len(n.units) > 0 {
		s.call("units", n.listed()...)
	}
	if len(n.running) > 0 {
		s.call("running", n.running...)
	}
}

// listed are the units whose state systemctl is asked for; none stands for all.
func (n *needs) listed() []string {
	if n.allUnits {
		return nil
	}
	// A unit that every systemd has: there are versions that take a list with
	// nothing in it for a failure.
	listed, size := []string{"basic.target"}, 0
	for _, unit := range n.units {
		names := []string{unit}
		if prefix, rest, ok := strings.Cut(unit, "@"); ok {
			names = append(names, prefix+"@"+path.Ext(rest))
		}
		for _, name := range names {
			listed, size = append(listed, name), size+len(name)+16
		}
	}
	if size > argumentsLimit {
		return nil
	}
	return listed
}

// readServices takes a frame of the services' part.
func (f *facts) readServices(fr frame, n *needs) {
	s := &f.services
	switch fr.tag {
	case "units-denied":
		s.denied = string(fr.body)
	case "units":
		if st := state(fr.arg(1)); st == stateBroken || fr.cut {
			s.systemd = stateBroken
			return
		}
		s.systemd = stateRead
		s.units = parseUnits(string(fr.body))
	case "unit-file", "instance":
		i, err := strconv.Atoi(fr.arg(0))
		if err != nil || i < 0 || i >= len(n.units) {
			return
		}
		if fr.tag == "instance" {
			s.instances[n.units[i]] = strings.TrimSpace(string(fr.body))
			return
		}
		s.files[n.units[i]] = unitFile{link: fr.arg(1) == "link", target: strings.TrimSuffix(string(fr.body), "\n")}
	case "initscripts":
		s.initScripts = nulList(fr.body)
	case "runlevels":
		s.hasOpenRC = true
		for _, p := range nulList(fr.body) {
			s.runlevels[path.Base(p)] = append(s.runlevels[path.Base(p)], path.Base(path.Dir(p)))
		}
	case "rc":
		for _, p := range nulList(fr.body) {
			// S, two digits and the name: /etc/rc2.d/S01ssh.
			if base := path.Base(p); len(base) > 3 {
				s.rc[base[3:]] = append(s.rc[base[3:]], path.Base(path.Dir(p)))
			}
		}
	case "machine-id":
		s.machineID = state(fr.arg(0))
		s.machineText = strings.TrimSpace(string(fr.body))
	case "running":
		for i, line := range strings.Fields(string(fr.body)) {
			if i < len(n.running) {
				s.running[n.running[i]] = line
			}
		}
		if len(strings.Fields(string(fr.body))) != len(n.running) {
			s.running = map[string]string{}
		}
	}
}

func nulList(data []byte) []string {
	var list []string
	for item := range strings.SplitSeq(string(data), "\x00") {
		if item != "" && item != "\n" {
			list = append(list, item)
		}
	}
	return list
}

// parseUnits reads systemctl list-unit-files without legend: a unit file, its
// state and, since systemd 245, its preset.
func parseUnits(data string) map[string]unitState {
	units := map[string]unitState{}
	for line := range strings.Lines(data) {
		fields := strings.Fields(line)
		if len(fields) < 2 || !slices.Contains(unitTypes, path.Ext(fields[0])) {
			continue
		}
		u := unitState{state: fields[1]}
		if len(fields) > 2 && fields[2] != "-" {
			u.preset = fields[2]
		}
		units[fields[0]] = u
	}
	return units
}

// manager says which service manager the image boots with.
func (f *facts) manager() (string, verdict) {
	s := &f.services
	switch {
	case s.denied != "":
		return "", undecided("%s", stateDenied.explain(s.denied))
	case s.systemd == stateRead:
		return "systemd", verdict{}
	case s.systemd == stateBroken:
		return "", f.unread("the units, by the image's systemctl command,")
	case s.hasOpenRC:
		return "openrc", verdict{}
	case len(s.initScripts) > 0 || len(s.rc) > 0:
		return "sysv", verdict{}
	}
	return "", undecided("the image has no service manager that is known here: no systemctl, no /etc/runlevels, no scripts in /etc/init.d")
}

// service returns the state of a service: one of systemd's, enabled or disabled
// for the others, and "" when there is no such service. name is the unit whose
// state it is, after aliases.
func (f *facts) service(subject string) (st unitState, name string, v verdict) {
	manager, v := f.manager()
	if v.outcome != "" {
		return unitState{}, "", v
	}
	s := &f.services
	short := strings.TrimSuffix(subject, ".service")
	switch manager {
	case "systemd":
		if st, name = s.unit(unitName(subject)); st.state != "" {
			return st, name, verdict{}
		}
		return s.initScript(short, s.rc), short, verdict{}
	case "openrc":
		return s.initScript(short, s.runlevels), short, verdict{}
	}
	return s.initScript(short, s.rc), short, verdict{}
}

// unit looks a unit up by its full name, through an alias to what it stands for.
func (s *services) unit(name string) (unitState, string) {
	file, isFile := s.files[name]
	if isFile && file.link && (file.target == "/dev/null" || file.target == "") {
		return unitState{state: "masked"}, name
	}
	if isFile && file.link {
		// An alias, as sshd.service is of ssh.service on Debian.
		if real := path.Base(file.target); real != name {
			if st, ok := s.units[real]; ok {
				return st, real
			}
		}
	}
	if st, ok := s.units[name]; ok {
		return st, name
	}
	if prefix, rest, ok := strings.Cut(name, "@"); ok {
		template := prefix + "@" + path.Ext(rest)
		_, known := s.units[template]
		// The template's preset is not that of each instance.
		if instance := s.instances[name]; known && instance != "" {
			return unitState{state: instance}, name
		}
	}
	return unitState{}, name
}

// initScript is the state of a service that is a script of /etc/init.d.
func (s *services) initScript(name string, enabledIn map[string][]string) unitState {
	switch {
	case len(enabledIn[name]) > 0:
		return unitState{state: "enabled"}
	case slices.Contains(s.initScripts, name):
		return unitState{state: "disabled"}
	}
	return unitState{}
}

// firstBoot tells whether the image's first boot will apply systemd's presets,
// which may enable what is disabled now: machine-id(5), "First Boot Semantics".
func (s *services) firstBoot() (applies bool, why string) {
	switch {
	case s.machineID == stateAbsent:
		return true, "/etc/machine-id is missing"
	case s.machineID == stateRead && s.machineText == "uninitialized":
		return true, "/etc/machine-id is uninitialized"
	}
	return false, ""
}
