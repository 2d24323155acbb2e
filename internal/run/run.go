// Package run runs commands of the host. Every failure names the command as it
// could be typed in a shell and the end of what the command said, and a
// cancelled command takes the processes that it started with it.
package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os/exec"
	"strings"
	"time"
)

// stderrLimit is how much of a failed command's stderr an error carries: the
// end is where the cause is.
const stderrLimit = 2048

// outputGrace is how long output is still read after a command has ended or was
// killed, when a process that it left behind holds the pipe open. The kernel itself
// may do so for a while: what this program is just forking has all its files.
const outputGrace = 3 * time.Second

// Command is one command of the host. The zero value of each optional field is
// what os/exec makes of it.
type Command struct {
	Argv   []string // program and arguments; never a shell line
	Dir    string   // working directory
	Env    []string // whole environment as KEY=VALUE; nil inherits
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer // gets a copy; errors carry the end of it anyhow
}

// Error is a command that could not be started or did not exit with 0.
type Error struct {
	Argv   []string
	Stderr string // the end of what it wrote to stderr, trimmed
	Err    error  // *exec.ExitError, a start error, or the context's error
}

func (e *Error) Error() string {
	msg := fmt.Sprintf("%s: %v", Quote(e.Argv), e.Err)
	if e.Stderr != "" {
		msg += ": " + e.Stderr
	}
	return msg
}

func (e *Error) Unwrap() error { return e.Err }

// ExitCode returns the exit status of a command that ran and failed, and -1
// for any other error.
func ExitCode(err error) int {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	return -1
}

// Run runs c and waits for it, but not for what it leaves behind in the
// background. When ctx ends first, the process group of the command is killed and
// the error wraps the context's cause.
func (c Command) Run(ctx context.Context) error {
	if len(c.Argv) == 0 {
		return errors.New("run: no command given")
	}
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.Dir, cmd.Env = c.Dir, c.Env
	cmd.Stdin, cmd.Stdout = c.Stdin, c.Stdout
	tail := &tailWriter{limit: stderrLimit}
	cmd.Stderr = tail
	if c.Stderr != nil {
		cmd.Stderr = io.MultiWriter(c.Stderr, tail)
	}
	ownGroup(cmd)
	cmd.WaitDelay = outputGrace

	begin := time.Now()
	err := cmd.Run()
	log.Printf("[DEBUG] run: %s: %v in %v", Quote(c.Argv), err, time.Since(begin).Round(time.Millisecond))
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.Is(err, exec.ErrWaitDelay):
		return nil // it has succeeded, and all that it wrote was read meanwhile
	}
	return &Error{Argv: c.Argv, Stderr: strings.TrimSpace(tail.String()), Err: err}
}

// Run runs a program and waits for it.
func Run(ctx context.Context, name string, args ...string) error {
	return Command{Argv: append([]string{name}, args...)}.Run(ctx)
}

// Output runs a program and returns what it wrote to stdout, also when it
// failed.
func Output(ctx context.Context, name string, args ...string) ([]byte, error) {
	var out bytes.Buffer
	err := Command{Argv: append([]string{name}, args...), Stdout: &out}.Run(ctx)
	return out.Bytes(), err
}

// Quote writes argv so that a POSIX shell would read the same words.
func Quote(argv []string) string {
	words := make([]string, len(argv))
	for i, word := range argv {
		words[i] = quoteWord(word)
	}
	return strings.Join(words, " ")
}

func quoteWord(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("_-+=./:,@%", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// tailWriter keeps the last limit bytes written to it.
type tailWriter struct {
	limit int
	buf   []byte
}

func (w *tailWriter) Write(p []byte) (int, error) {
	w.buf = append(w.buf, p...)
	if over := len(w.buf) - w.limit; over > 0 {
		w.buf = append(w.buf[:0], w.buf[over:]...)
	}
	return len(p), nil
}

func (w *tailWriter) String() string { return strings.ToValidUTF8(string(w.buf), "\uFFFD") }
