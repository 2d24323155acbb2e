package main

import (
	"context"
	"io"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/internal/check"
	hostrun "github.com/imagebakery/packer-plugin-bakery/internal/run"
	"github.com/imagebakery/packer-plugin-bakery/internal/sandbox"
)

// leaveTimeout is how long a sandbox has to end after the run, also when that
// was interrupted.
const leaveTimeout = time.Minute

// shellArgv starts a shell that reads a script from its standard input.
var shellArgv = []string{"/bin/sh", "-s"}

// enter returns a shell of what is checked, and what to call when all is done.
func (o specRun) enter(ctx context.Context) (check.Shell, func() error, error) {
	if o.here {
		return hereShell{}, func() error { return nil }, nil
	}
	box, err := sandbox.Start(ctx, sandbox.Config{Root: o.root})
	if err != nil {
		return nil, nil, err
	}
	leave := func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
		defer cancel()
		return box.Close(ctx)
	}
	return rootShell{box}, leave, nil
}

// entering begins to enter, and returns what waits for the end of that.
func (o specRun) entering(ctx context.Context) func() (check.Shell, func() error, error) {
	var (
		shell check.Shell
		leave func() error
		err   error
		done  = make(chan struct{})
	)
	go func() {
		defer close(done)
		shell, leave, err = o.enter(ctx)
	}()
	return func() (check.Shell, func() error, error) {
		<-done
		return shell, leave, err
	}
}

// hereShell starts shells of this machine.
type hereShell struct{}

// RunScript runs a script in a process group of its own.
func (hereShell) RunScript(ctx context.Context, script io.Reader, stdout, stderr io.Writer) (int, error) {
	err := hostrun.Command{Argv: shellArgv, Stdin: script, Stdout: stdout, Stderr: stderr}.Run(ctx)
	if status := hostrun.ExitCode(err); status > 0 && ctx.Err() == nil {
		return status, nil
	}
	return 0, err
}

// rootShell starts shells of an image in a sandbox.
type rootShell struct{ box *sandbox.Sandbox }

// RunScript runs a script with the image's shell.
func (s rootShell) RunScript(ctx context.Context, script io.Reader, stdout, stderr io.Writer) (int, error) {
	return s.box.Exec(ctx, sandbox.Command{Argv: shellArgv, Stdin: script, Stdout: stdout, Stderr: stderr})
}
