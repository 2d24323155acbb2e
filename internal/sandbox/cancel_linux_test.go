package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stubborn ignores polite signals, and has children in its session, in one of
// their own, and stopped.
const stubborn = `trap '' TERM INT HUP
sleep 1001 &
setsid sh -c 'sleep 1002 & sleep 1003' &
sleep 1004 & kill -STOP $!
echo ready
while :; do sleep 1005; done`

func TestCancelKillsACommandAndAllThatItStarted(t *testing.T) {
	s := open(t, Config{Root: newRoot(t)})
	other, finish := io.Pipe()
	bystander := make(chan error, 1)
	go func() {
		status, err := s.Exec(t.Context(), Command{Argv: Shell("read x; echo $x; exit 3"), Stdin: other})
		bystander <- errors.Join(err, expect(status, 3))
	}()
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	begin := time.Now()
	status, err := s.Exec(ctx, Command{Argv: Shell(stubborn), Stdout: onWrite(func() {
		begin = time.Now()
		cancel(cause)
	})})
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("it took %v to cancel", took)
	}
	if status != 128+9 || !errors.Is(err, cause) {
		t.Errorf("status %d, error %v", status, err)
	}
	if left := sh(t, s, "ps | grep '[s]leep 100'; :"); left != "" {
		t.Errorf("after the command was cancelled there is\n%s", left)
	}
	// Others are left alone.
	_, err = io.WriteString(finish, "x\n")
	must(t, err)
	if err := <-bystander; err != nil {
		t.Errorf("a command beside the cancelled one: %v", err)
	}
}

// What was begun is waited for with the context that it was begun with.
func TestCancelledProcess(t *testing.T) {
	s := open(t, Config{Root: newRoot(t)})
	ctx, cancel := context.WithCancel(t.Context())
	process, err := s.Begin(ctx, Command{Argv: Shell(stubborn), Stdout: onWrite(cancel)})
	must(t, err)
	ended := make(chan int, 1)
	go func() {
		status, err := process.Wait(ctx)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		ended <- status
	}()
	select {
	case status := <-ended:
		if status != 128+9 {
			t.Errorf("status %d", status)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the command goes on 5 seconds after it was cancelled")
	}
}

// Packer's RPC gives a communicator no context, so the one of Start counts.
func TestEndOfTheBuildKillsGuestsButNotTheSandbox(t *testing.T) {
	root := newRoot(t)
	ctx, cancel := context.WithCancel(t.Context())
	s, err := Start(ctx, Config{Root: root})
	must(t, err)
	t.Cleanup(func() { closeNow(t, s) })
	begin := time.Now()
	status, err := s.Exec(context.TODO(), Command{Argv: Shell(stubborn), Stdout: onWrite(cancel)})
	must(t, err)
	if status != 128+9 || time.Since(begin) > 5*time.Second {
		t.Errorf("status %d after %v", status, time.Since(begin))
	}
	if got := sh(t, s, "ps | grep '[s]leep 100'; echo cleaned up"); got != "cleaned up\n" {
		t.Errorf("after the build was cancelled: %q", got)
	}
}

func TestStartHonoursItsContext(t *testing.T) {
	root := newRoot(t)
	before := digest(t, root)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := Start(ctx, Config{Root: root}); !errors.Is(err, context.Canceled) {
		t.Errorf("Start returned %v, %v", s, err)
	}
	unchanged(t, root, before)
}

func TestCloseWhileCommandsRun(t *testing.T) {
	s := open(t, Config{Root: newRoot(t)})
	ready := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		_, err := s.Exec(t.Context(), Command{Argv: Shell(stubborn), Stdout: onWrite(func() { close(ready) })})
		ended <- err
	}()
	<-ready
	begin := time.Now()
	closeNow(t, s)
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("Close took %v", took)
	}
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("the command ended with %v", err)
	}
	closeNow(t, s)
	if _, err := s.Exec(t.Context(), Command{Argv: []string{"true"}}); !errors.Is(err, ErrClosed) {
		t.Errorf("Exec after Close: %v", err)
	}
}

func TestSupervisorThatDiesIsReported(t *testing.T) {
	s := open(t, Config{Root: newRoot(t)})
	_, err := s.Exec(t.Context(), Command{Argv: []string{"sleep", "1000"}, Stdout: io.Discard, Stdin: onRead(func() {
		must(t, unix.Kill(s.PID(), unix.SIGKILL))
	})})
	if !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the command ended with %v", err)
	}
}

const (
	// victimRoot makes the test binary start a sandbox there, and wait to be
	// killed.
	victimRoot = "BAKERY_TEST_VICTIM_ROOT"
	// victimScript is what it runs instead, if set, before it ends.
	victimScript = "BAKERY_TEST_VICTIM_SCRIPT"
)

func TestMain(m *testing.M) {
	if root := os.Getenv(victimRoot); root != "" {
		err := beVictim(root, os.Getenv(victimScript))
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func beVictim(root, script string) error {
	ctx := context.Background()
	s, err := Start(ctx, Config{Root: root, Guard: true, ResolvConf: resolvConf})
	if err != nil {
		return err
	}
	if script == "" {
		fmt.Println(s.PID())
		script = stubborn
	}
	_, err = s.Exec(ctx, Command{Argv: Shell(script), Stdout: os.Stdout, Stderr: os.Stderr})
	return errors.Join(err, s.Close(ctx))
}

func TestGuestsDieWithAKilledParent(t *testing.T) {
	root := newRoot(t)
	victim := exec.Command("/proc/self/exe")
	victim.Env = append(os.Environ(), victimRoot+"="+root)
	out, err := victim.StdoutPipe()
	must(t, err)
	victim.Stderr = os.Stderr
	must(t, victim.Start())
	t.Cleanup(func() { _ = victim.Process.Kill() }) // also when the test fails early
	lines := bufio.NewScanner(out)
	lines.Scan()
	supervisor, err := strconv.Atoi(lines.Text())
	if err != nil {
		t.Fatalf("the victim said %q", lines.Text())
	}
	lines.Scan()
	if lines.Text() != "ready" {
		t.Fatalf("the guest said %q", lines.Text())
	}
	eventually(t, "all guests alive", func() bool { return len(members(t, root)) >= 5 })
	must(t, victim.Process.Kill())
	begin := time.Now()
	_ = victim.Wait() // killed
	eventually(t, "all guests dead", func() bool { return len(members(t, root)) == 0 })
	eventually(t, "the supervisor dead", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", supervisor))
		_, alive := parseStat(supervisor, stat) // a zombie is up to the host's init
		return err != nil || !alive
	})
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("guests outlived their parent by %v", took)
	}
}

func expect(status, want int) error {
	if status != want {
		return fmt.Errorf("status %d, want %d", status, want)
	}
	return nil
}

// onWrite calls a function at the first write.
func onWrite(f func()) io.Writer { return &trigger{f: f} }

// onRead calls a function at the first read, which then blocks.
func onRead(f func()) io.Reader { return &trigger{f: f} }

type trigger struct{ f func() }

func (t *trigger) Write(p []byte) (int, error) {
	if t.f != nil {
		t.f()
		t.f = nil
	}
	return len(p), nil
}

func (t *trigger) Read([]byte) (int, error) {
	t.f()
	select {}
}
