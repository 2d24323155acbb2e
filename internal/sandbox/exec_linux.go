package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// baseEnv is the environment of guests: what a login over ssh would give, and
// nothing of the host's.
var baseEnv = map[string]string{
	"PATH":    Path,
	"HOME":    Home,
	"USER":    "root",
	"LOGNAME": "root",
	"SHELL":   "/bin/sh",
	"TERM":    "dumb",
	// The locale of the cloud images of all distributions: programs in Ruby or
	// Python take all text for ASCII without it.
	"LANG": "C.UTF-8",
	// Makes systemctl ignore what needs a running systemd, with status 0.
	"SYSTEMD_OFFLINE": "1",
}

// running is a command that was asked for and has not been reported as ended.
type running struct {
	started chan string // an error, or empty
	ended   chan int
}

// Exec runs a command and returns its exit status: that of the program, or 128
// and the number of the signal that ended it. The error is not nil when the
// command could not be run at all, or when ctx ended first: then the command
// and what it started are dead.
//
// A command has ended when its process has. Daemons that it leaves behind may
// keep its output open; they are not waited for, and what they write later is
// dropped.
func (s *Sandbox) Exec(ctx context.Context, c Command) (int, error) {
	run, err := s.begin(ctx, c)
	if err != nil {
		return -1, err
	}
	return run.wait(ctx)
}

// run is a command with the streams between it and its user.
type run struct {
	sandbox *Sandbox
	id      uint64
	reports *running
	stdin   *os.File // our end, nil when there is none
	outputs []*output
}

// begin starts a command.
func (s *Sandbox) begin(ctx context.Context, c Command) (*run, error) {
	if len(c.Argv) == 0 {
		return nil, errors.New("no command given")
	}
	launch := &launch{Argv: c.Argv, Env: s.env(c.Env), Dir: c.Dir}
	if launch.Dir == "" {
		launch.Dir = "/"
	}
	for _, text := range slices.Concat(launch.Argv, launch.Env, []string{launch.Dir}) {
		if strings.ContainsRune(text, 0) {
			return nil, fmt.Errorf("run %s: a command cannot hold a NUL byte", c.Argv[0])
		}
	}
	r := &run{sandbox: s, reports: &running{started: make(chan string, 1), ended: make(chan int, 1)}}
	theirs, err := r.connect(c)
	if err == nil {
		err = r.launch(ctx, launch, theirs)
	}
	closeAll(theirs)
	if err != nil {
		r.hangUp()
		for _, out := range r.outputs {
			out.from.Close()
		}
		return nil, err
	}
	if c.Stdin != nil {
		go func() {
			// Ends with EOF, with the reader, or when the command is gone.
			_, _ = io.Copy(r.stdin, c.Stdin)
			r.stdin.Close()
		}()
	}
	for _, out := range r.outputs {
		go out.copy()
	}
	return r, nil
}

// env makes the environment of a command.
func (s *Sandbox) env(more map[string]string) []string {
	merged := map[string]string{}
	for _, layer := range []map[string]string{baseEnv, s.config.Env, more} {
		maps.Copy(merged, layer)
	}
	env := make([]string, 0, len(merged))
	for key, value := range merged {
		env = append(env, key+"="+value)
	}
	slices.Sort(env)
	return env
}

// connect makes the pipes of a command and returns the command's ends.
func (r *run) connect(c Command) (theirs []*os.File, err error) {
	if c.Stdin == nil {
		null, err := os.Open(os.DevNull)
		if err != nil {
			return nil, err
		}
		theirs = append(theirs, null)
	} else {
		read, write, err := pipe()
		if err != nil {
			return nil, err
		}
		theirs = append(theirs, read)
		if r.stdin, err = pollable(write); err != nil {
			return theirs, err
		}
	}
	for _, to := range []io.Writer{c.Stdout, c.Stderr} {
		read, write, err := pipe()
		if err != nil {
			return theirs, err
		}
		theirs = append(theirs, write)
		from, err := pollable(read)
		if err != nil {
			return theirs, err
		}
		if to == nil {
			to = io.Discard
		}
		r.outputs = append(r.outputs, newOutput(from, to))
	}
	return theirs, nil
}

// pipe makes a pipe that blocks, as a guest expects of its standard streams.
func pipe() (read, write *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("make a pipe: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe"), nil
}

// pollable turns our end of a pipe into one with deadlines.
func pollable(end *os.File) (*os.File, error) {
	defer end.Close()
	fd, err := unix.FcntlInt(end.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	return os.NewFile(uintptr(fd), "pipe"), nil
}

// launch passes a command to the supervisor and waits until it has started it.
func (r *run) launch(ctx context.Context, l *launch, theirs []*os.File) error {
	s := r.sandbox
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	s.lastID++
	r.id = s.lastID
	l.ID = r.id
	s.runs[r.id] = r.reports
	s.mu.Unlock()

	if err := s.wire.send(&request{Run: l}, theirs...); err != nil {
		s.forget(r.id)
		return s.lost()
	}
	select {
	case message := <-r.reports.started:
		if message == "" {
			return nil
		}
		s.forget(r.id)
		return errors.New(message)
	case <-s.gone:
		s.forget(r.id)
		return s.lost()
	case <-ctx.Done():
		// Requests are handled in order, so this one will be known by then.
		r.abandon()
		return context.Cause(ctx)
	}
}

// abandon kills a command that nobody waits for any more.
func (r *run) abandon() {
	go func() {
		select {
		case message := <-r.reports.started:
			if message == "" {
				_ = r.sandbox.wire.send(&request{Kill: r.id})
			}
		case <-r.sandbox.gone:
		}
		r.sandbox.forget(r.id)
	}()
}

// forget stops the reports about a command.
func (s *Sandbox) forget(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.runs, id)
}

// lost is the error of a command that the sandbox ended under.
func (s *Sandbox) lost() error {
	if s.isClosed() {
		return ErrClosed
	}
	select {
	case <-s.gone:
		if s.fate != nil {
			return fmt.Errorf("%w: %w", ErrClosed, s.fate)
		}
		return ErrClosed
	default:
		return ErrClosed
	}
}

// wait waits for the command's end and its output.
func (r *run) wait(ctx context.Context) (int, error) {
	const (
		// dying bounds the wait for a process that is stuck in the kernel.
		dying = 4 * time.Second
		// handingOver bounds the wait for a writer after the command was killed.
		handingOver = time.Second
	)
	defer r.hangUp()
	defer r.sandbox.forget(r.id)
	select {
	case status := <-r.reports.ended:
		return status, r.finish()
	case <-r.sandbox.gone:
		r.drop(handingOver)
		return -1, r.sandbox.lost()
	case <-ctx.Done():
	}
	if err := r.sandbox.wire.send(&request{Kill: r.id}); err == nil {
		select {
		case <-r.reports.ended:
		case <-r.sandbox.gone:
		case <-time.After(dying):
		}
	}
	r.drop(handingOver)
	return signalStatus + int(unix.SIGKILL), context.Cause(ctx)
}

// finish waits until all output of the ended command has been handed over.
func (r *run) finish() error {
	for _, out := range r.outputs {
		go out.settle()
	}
	var errs []error
	for _, out := range r.outputs {
		<-out.done
		errs = append(errs, out.err)
	}
	return errors.Join(errs...)
}

// drop ends the output, and waits a little for writers that are at it.
func (r *run) drop(patience time.Duration) {
	limit := time.After(patience)
	for _, out := range r.outputs {
		out.cut()
		select {
		case <-out.done:
		case <-limit:
			return
		}
	}
}

// hangUp closes our end of stdin; the outputs close themselves.
func (r *run) hangUp() {
	if r.stdin != nil {
		r.stdin.Close()
	}
}
