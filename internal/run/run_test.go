package run

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestErrorNamesCommandAndStderr(t *testing.T) {
	err := Run(t.Context(), "sh", "-c", "echo 'it broke' >&2; exit 3")
	if got := ExitCode(err); got != 3 {
		t.Errorf("ExitCode = %d, want 3", got)
	}
	want := `sh -c 'echo '\''it broke'\'' >&2; exit 3': exit status 3: it broke`
	if err == nil || err.Error() != want {
		t.Errorf("error = %v\nwant    %s", err, want)
	}
}

func TestMissingProgram(t *testing.T) {
	err := Run(t.Context(), "no-such-program-here")
	if !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("error = %v, want one that wraps exec.ErrNotFound", err)
	}
}

func TestStderrIsBounded(t *testing.T) {
	err := Run(t.Context(), "sh", "-c", "yes line | head -n 10000 >&2; echo the cause >&2; exit 1")
	var runErr *Error
	if !errors.As(err, &runErr) {
		t.Fatalf("error = %v, want *Error", err)
	}
	if len(runErr.Stderr) > stderrLimit || !strings.HasSuffix(runErr.Stderr, "the cause") {
		t.Errorf("stderr of %d bytes ends with %q", len(runErr.Stderr), runErr.Stderr[max(0, len(runErr.Stderr)-20):])
	}
}

func TestCancelKillsGrandchildren(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("asked to stop")
	var out bytes.Buffer
	started := make(chan struct{})
	go func() {
		<-started
		cancel(stop)
	}()
	begin := time.Now()
	err := Command{
		Argv:   []string{"sh", "-c", "sleep 60 & echo up; wait"},
		Stdout: writerFunc(func(p []byte) (int, error) { close(started); return out.Write(p) }),
	}.Run(ctx)
	if !errors.Is(err, stop) {
		t.Errorf("error = %v, want the context's cause", err)
	}
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("cancelling took %v: the grandchild was waited for", took)
	}
}

// A command that leaves something behind, which holds its output open, has done
// what it was to do.
func TestBackgroundIsNotWaitedFor(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	t.Cleanup(func() {
		text, err := os.ReadFile(pid)
		if err != nil {
			t.Error(err)
			return
		}
		id, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Error(err)
			return
		}
		if left, err := os.FindProcess(id); err != nil || left.Kill() != nil {
			t.Errorf("process %d, which was left behind, is gone: %v", id, err)
		}
	})
	begin := time.Now()
	out, err := Output(t.Context(), "sh", "-c", "echo said; sleep 79500 & echo $! >"+pid)
	if err != nil || string(out) != "said\n" {
		t.Errorf("said %q, %v", out, err)
	}
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("what was left behind was waited for, for %v", took)
	}
}

func TestQuote(t *testing.T) {
	got := Quote([]string{"echo", "a b", "it's", "", "$HOME", "x=1"})
	if want := `echo 'a b' 'it'\''s' '' '$HOME' x=1`; got != want {
		t.Errorf("Quote = %s, want %s", got, want)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
