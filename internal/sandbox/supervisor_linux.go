package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// supervisorName is the argv[0] that makes this program a supervisor.
	supervisorName = "bakery-sandbox-supervisor"
	// supervisorSocket is the descriptor that a supervisor finds its socket at.
	supervisorSocket = 3
)

// A program started as supervisorName is a supervisor from here on: main and
// whatever is initialised after this package are not reached. Initialisation
// runs on the main thread, which this locks: namespaces belong to threads.
func init() {
	if len(os.Args) == 0 || os.Args[0] != supervisorName {
		return
	}
	runtime.LockOSThread()
	if err := supervise(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// supervisor is process 1 of a sandbox.
type supervisor struct {
	wire *wire
	proc *os.File // the namespace's /proc

	// mu guards what follows, and is held while a child is started, so that
	// its end is not seen before it is known.
	mu      sync.Mutex
	running map[int]uint64 // commands by process
	pids    map[uint64]int
}

// supervise serves requests until the socket closes.
func supervise() error {
	debug.SetGCPercent(100) // the default, which its environment has turned off
	if err := keepFiles(); err != nil {
		return err
	}
	w, err := newWire(os.NewFile(supervisorSocket, "socket"))
	if err != nil {
		return fmt.Errorf("%s is started by a sandbox, not by hand: %w", supervisorName, err)
	}
	// Guests must not end the sandbox with a stray `kill 1`. Ignoring signals
	// would pass that on to them; catching them does not.
	signal.Notify(make(chan os.Signal, 1))
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)

	var first request
	if _, err := w.receive(&first); err != nil {
		return err
	}
	if first.Setup == nil {
		return errors.New("the first request is not a setup")
	}
	r, err := enterRoom(first.Setup)
	if err == nil {
		err = r.furnish(first.Setup)
	}
	if err != nil {
		return w.send(&reply{Ready: &ready{Error: err.Error()}})
	}
	// Opened again, because what was opened before has no mounts on its root.
	view, err := openTree(imageDir)
	if err != nil {
		return err
	}
	if err := w.send(&reply{Ready: &ready{Made: r.made}}, view.root); err != nil {
		return err
	}
	_ = view.Close()

	s := &supervisor{wire: w, proc: r.proc, running: map[int]uint64{}, pids: map[uint64]int{}}
	go func() {
		for range ended {
			s.reap()
		}
	}()
	// Roomy, so that the end of the socket is noticed while a command starts.
	launches := make(chan task, 256)
	go s.receive(launches)
	for t := range launches {
		s.start(t)
	}
	return nil
}

// keepFiles keeps guests from inheriting open files: those of this process, and
// those that whoever started the build let slip through to it.
func keepFiles() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd >= supervisorSocket {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// task is a command that waits to be started, with its files.
type task struct {
	*launch
	files []*os.File
}

// receive takes requests until the socket closes. Commands are passed on: only
// the main thread is in the right mount namespace.
func (s *supervisor) receive(launches chan<- task) {
	for {
		var req request
		files, err := s.wire.receive(&req)
		if err != nil {
			// The end of the sandbox. Leaving kills all that is left in it,
			// also when the main thread is busy.
			os.Exit(0)
		}
		switch {
		case req.Run != nil:
			launches <- task{req.Run, files}
		case req.Kill != 0:
			go s.kill(req.Kill)
		case req.Interrupt:
			// Process 1 and the caller are exempt.
			_ = unix.Kill(-1, unix.SIGKILL)
		}
	}
}

// start starts a command as leader of a session of its own, and answers.
func (s *supervisor) start(t task) {
	defer closeAll(t.files)
	err := s.fork(t)
	answer := &started{ID: t.ID}
	if err != nil {
		answer.Error = err.Error()
	}
	s.tell(&reply{Started: answer})
}

func (s *supervisor) fork(t task) error {
	if len(t.files) != 3 {
		return fmt.Errorf("%d files came with a command, not 3", len(t.files))
	}
	program, err := lookPath(t.Argv[0], t.Env)
	if err != nil {
		return err
	}
	attr := &syscall.ProcAttr{
		Dir: t.Dir,
		Env: t.Env,
		Sys: &syscall.SysProcAttr{
			Chroot: imageDir,
			Setsid: true,
			// Drops the supplementary groups of whoever started the build.
			Credential: &syscall.Credential{},
		},
	}
	for _, f := range t.files {
		attr.Files = append(attr.Files, f.Fd())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	pid, err := syscall.ForkExec(program, t.Argv, attr)
	if err != nil {
		return fmt.Errorf("run %s: %w", program, err)
	}
	s.running[pid], s.pids[t.ID] = t.ID, pid
	return nil
}

// lookPath finds a program in the PATH of env, inside the image.
func lookPath(program string, env []string) (string, error) {
	if strings.Contains(program, "/") {
		return program, nil
	}
	image, err := openTree(imageDir)
	if err != nil {
		return "", err
	}
	defer func() { _ = image.Close() }()
	for _, entry := range env {
		list, isPath := strings.CutPrefix(entry, "PATH=")
		if !isPath {
			continue
		}
		for dir := range strings.SplitSeq(list, ":") {
			candidate := strings.TrimRight(dir, "/") + "/" + program
			f, err := image.open(candidate, unix.O_PATH, 0)
			if err != nil {
				continue
			}
			info, err := f.Stat()
			f.Close()
			if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
				return candidate, nil
			}
		}
	}
	return "", fmt.Errorf("run %s: not found in the guest's PATH", program)
}

// reap collects all processes that have ended, orphans included, and reports
// those that were commands.
func (s *supervisor) reap() {
	for {
		s.mu.Lock()
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		id, known := s.running[pid]
		if known {
			delete(s.running, pid)
			delete(s.pids, id)
		}
		s.mu.Unlock()
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid == 0 {
			return
		}
		if known {
			s.tell(&reply{Ended: &ended{ID: id, Status: exitStatus(status)}})
		}
	}
}

// exitStatus is the status as a shell gives it.
func exitStatus(status syscall.WaitStatus) int {
	if status.Signaled() {
		return signalStatus + int(status.Signal())
	}
	return status.ExitStatus()
}

// tell answers. When that fails the socket has closed, which receive handles.
func (s *supervisor) tell(answer *reply) { _ = s.wire.send(answer) }
