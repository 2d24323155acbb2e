package sandbox

import (
	"bytes"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// kill kills a command and everything that it started: its session, and all
// descendants, which may have made sessions of their own. What left both by
// becoming an orphan in a new session, as daemons do, stays until the sandbox
// closes. All are stopped first, and killed when two looks in a row found nobody
// new: the dead would leave orphans whose ancestry is lost.
func (s *supervisor) kill(id uint64) {
	const (
		rounds = 200 // who forks faster than that is left to the end of the sandbox
		pause  = 2 * time.Millisecond
	)
	leader, runs := s.signal(id, unix.SIGSTOP)
	if !runs {
		return
	}
	family := map[int]bool{}
	for round, quiet := 0, 0; quiet < 2 && round < rounds; round++ {
		quiet++
		for _, pid := range familyOf(leader, s.processes()) {
			if !family[pid] {
				family[pid] = true
				quiet = 0
				_ = unix.Kill(pid, unix.SIGSTOP)
			}
		}
		time.Sleep(pause)
	}
	for pid := range family {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	// The leader's end is what is reported, so it comes last.
	for range rounds {
		alive := slices.ContainsFunc(s.processes(), func(p process) bool { return family[p.pid] })
		if !alive {
			break
		}
		time.Sleep(pause)
	}
	s.signal(id, unix.SIGKILL)
}

// signal signals a command that runs, and returns its process.
func (s *supervisor) signal(id uint64, signal unix.Signal) (pid int, runs bool) {
	// Under the lock, because the number is in use until it is reaped.
	s.mu.Lock()
	defer s.mu.Unlock()
	if pid, runs = s.pids[id]; runs {
		_ = unix.Kill(pid, signal)
	}
	return pid, runs
}

// process is a live process of the sandbox.
type process struct{ pid, parent, session int }

// familyOf returns the processes of the leader's session and the descendants of
// those, without the leader.
func familyOf(leader int, all []process) []int {
	member := map[int]bool{leader: true}
	var family []int
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if !member[p.pid] && (p.session == leader || member[p.parent]) {
				member[p.pid] = true
				family = append(family, p.pid)
				grown = true
			}
		}
	}
	return family
}

// processes lists the live processes of the namespace.
func (s *supervisor) processes() []process {
	// The thread that runs this may have the host's view of paths.
	fd, err := unix.Openat(int(s.proc.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	dir := os.NewFile(uintptr(fd), "/proc")
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil
	}
	var all []process
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid != 1 {
			if p, alive := s.readProcess(pid); alive {
				all = append(all, p)
			}
		}
	}
	return all
}

func (s *supervisor) readProcess(pid int) (process, bool) {
	fd, err := unix.Openat(int(s.proc.Fd()), strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return process{}, false
	}
	f := os.NewFile(uintptr(fd), "stat")
	defer f.Close()
	stat, err := io.ReadAll(f)
	if err != nil {
		return process{}, false
	}
	return parseStat(pid, stat)
}

// parseStat reads /proc/PID/stat: number, name in parentheses, which may hold
// anything, state, parent, process group, session (proc_pid_stat(5)). It
// reports false for processes that are dead already.
func parseStat(pid int, stat []byte) (process, bool) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return process{}, false
	}
	fields := bytes.Fields(stat[end+1:])
	if len(fields) < 4 || string(fields[0]) == "Z" || string(fields[0]) == "X" {
		return process{}, false
	}
	parent, parentErr := strconv.Atoi(string(fields[1]))
	session, sessionErr := strconv.Atoi(string(fields[3]))
	return process{pid, parent, session}, parentErr == nil && sessionErr == nil
}
