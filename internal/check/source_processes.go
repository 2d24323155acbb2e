package check

import (
	"path"
	"strconv"
	"strings"
)

// processList are those of the wanted names that run.
type processList struct {
	read  state
	found []process
}

// process is one of them.
type process struct {
	name      string // as the kernel keeps it: the first 15 bytes
	uid       int    // effective
	state     string // R, S, …; Z is one that has ended
	arguments []string
}

// commLimit is how much of a name the kernel keeps: TASK_COMM_LEN without the
// zero byte at its end.
const commLimit = 15

func commName(name string) string { return name[:min(len(name), commLimit)] }

func scriptProcesses(s *script, n *needs) {
	if len(n.processes) == 0 {
		return
	}
	s.part("processes.sh")
	var names []string
	for _, name := range n.processes {
		names = appendNew(names, commName(name))
	}
	s.call("processes", names...)
}

// readProcesses takes a frame of the processes' part.
func (f *facts) readProcesses(fr frame) {
	r := &f.running
	switch fr.tag {
	case "processes":
		r.read = state(fr.arg(0))
	case "process":
		r.found = append(r.found, parseProcess(string(fr.body)))
	case "process-args":
		if len(r.found) > 0 {
			r.found[len(r.found)-1].arguments = nulList(fr.body)
		}
	}
}

// parseProcess reads /proc/PID/status: proc_pid_status(5).
func parseProcess(status string) process {
	p := process{uid: -1}
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":\t")
		switch key {
		case "Name":
			p.name = strings.NewReplacer(`\\`, `\`, `\n`, "\n").Replace(value)
		case "State":
			p.state, _, _ = strings.Cut(value, " ")
		case "Uid":
			if ids := strings.Fields(value); len(ids) > 1 {
				if uid, err := strconv.Atoi(ids[1]); err == nil {
					p.uid = uid
				}
			}
		}
	}
	return p
}

// is tells whether a process has a name. Of a long one the kernel keeps the
// beginning only; the program, or the script that it runs, has the rest.
func (p process) is(name string) bool {
	if p.name != commName(name) || p.state == "Z" || p.state == "X" || p.state == "" {
		return false
	}
	if len(name) <= commLimit {
		return true
	}
	for _, argument := range p.arguments[:min(len(p.arguments), 2)] {
		if path.Base(argument) == name {
			return true
		}
	}
	return false
}

// processes returns those that have a name. A verdict with an outcome says why
// that cannot be known.
func (f *facts) processes(name string) ([]process, verdict) {
	switch {
	case f.mode != Booted:
		return nil, undecided("the processes are the build host's")
	case f.running.read == stateDenied:
		return nil, undecided("%s", f.running.read.explain("/proc/1"))
	case f.running.read != stateRead:
		return nil, f.unread("/proc")
	}
	var found []process
	for _, p := range f.running.found {
		if p.is(name) {
			found = append(found, p)
		}
	}
	return found, verdict{}
}
