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
	p, err := s.Begin(ctx, c)
	if err != nil {
		return -1, err
	}
	return p.Wait(ctx)
}

// Process is a command with the streams between it and its user.
type Process struct {
	sandbox *Sandbox
	id      uint64
	reports *running
	stdin   *os.File // our end, nil when there is none
	outputs []*output
}

// Begin starts a command, which must be waited for. The error is not nil when it
// could not be run at all.
func (s *Sandbox) Begin(ctx context.Context, c Command) (*Process, error) {
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
	p := &Process{sandbox: s, reports: &running{started: make(chan string, 1), ended: make(chan int, 1)}}
	theirs, err := p.connect(c)
	if err == nil {
		err = p.launch(ctx, launch, theirs)
	}
	closeAll(theirs)
	if err != nil {
		p.hangUp()
		for _, out := range p.outputs {
			out.from.Close()
		}
		return nil, err
	}
	if c.Stdin != nil {
		go func() {
			// Ends with EOF, with the reader, or when the command is gone.
			_, _ = io.Copy(p.stdin, c.Stdin)
			p.stdin.Close()
		}()
	}
	for _, out := range p.outputs {
		go out.copy()
	}
	return p, nil
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
func (p *Process) connect(c Command) (theirs []*os.File, err error) {
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
		if p.stdin, err = pollable(write); err != nil {
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
		p.outputs = append(p.outputs, newOutput(from, to))
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
func (p *Process) launch(ctx context.Context, l *launch, theirs []*os.File) error {
	s := p.sandbox
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	s.lastID++
	p.id = s.lastID
	l.ID = p.id
	s.runs[p.id] = p.reports
	s.mu.Unlock()

	if err := s.wire.send(&request{Run: l}, theirs...); err != nil {
		s.forget(p.id)
		return s.lost()
	}
	select {
	case message := <-p.reports.started:
		if message == "" {
			return nil
		}
		s.forget(p.id)
		return errors.New(message)
	case <-s.gone:
		s.forget(p.id)
		return s.lost()
	case <-ctx.Done():
		// Requests are handled in order, so this one will be known by then.
		p.abandon()
		return context.Cause(ctx)
	}
}

// abandon kills a command that nobody waits for any more.
func (p *Process) abandon() {
	go func() {
		select {
		case message := <-p.reports.started:
			if message == "" {
				_ = p.sandbox.wire.send(&request{Kill: p.id})
			}
		case <-p.sandbox.gone:
		}
		p.sandbox.forget(p.id)
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

// Wait waits for the command's end and its output. What it returns is that of
// [Sandbox.Exec].
func (p *Process) Wait(ctx context.Context) (int, error) {
	const (
		// dying bounds the wait for a process that is stuck in the kernel.
		dying = 4 * time.Second
		// handingOver bounds the wait for a writer after the command was killed.
		handingOver = time.Second
	)
	defer p.hangUp()
	defer p.sandbox.forget(p.id)
	select {
	case status := <-p.reports.ended:
		return status, p.finish()
	case <-p.sandbox.gone:
		p.drop(handingOver)
		return -1, p.sandbox.lost()
	case <-ctx.Done():
	}
	if err := p.sandbox.wire.send(&request{Kill: p.id}); err == nil {
		select {
		case <-p.reports.ended:
		case <-p.sandbox.gone:
		case <-time.After(dying):
		}
	}
	p.drop(handingOver)
	return signalStatus + int(unix.SIGKILL), context.Cause(ctx)
}

// finish waits until all output of the ended command has been handed over.
func (p *Process) finish() error {
	for _, out := range p.outputs {
		go out.settle()
	}
	var errs []error
	for _, out := range p.outputs {
		<-out.done
		errs = append(errs, out.err)
	}
	return errors.Join(errs...)
}

// drop ends the output, and waits a little for writers that are at it.
func (p *Process) drop(patience time.Duration) {
	limit := time.After(patience)
	for _, out := range p.outputs {
		out.cut()
		select {
		case <-out.done:
		case <-limit:
			return
		}
	}
}

// hangUp closes our end of stdin; the outputs close themselves.
func (p *Process) hangUp() {
	if p.stdin != nil {
		p.stdin.Close()
	}
}
