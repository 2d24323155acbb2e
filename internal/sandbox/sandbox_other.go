//go:build !linux

package sandbox

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
)

// Sandbox exists on Linux only.
type Sandbox struct{}

var errNotLinux = errors.New("a sandbox needs Linux's namespaces; this is " + runtime.GOOS)

// Start fails: there are no sandboxes here.
func Start(context.Context, Config) (*Sandbox, error) { return nil, errNotLinux }

// Exec fails as Start does.
func (*Sandbox) Exec(context.Context, Command) (int, error) { return -1, errNotLinux }

// Process is nothing here.
type Process struct{}

// Begin fails as Start does.
func (*Sandbox) Begin(context.Context, Command) (*Process, error) { return nil, errNotLinux }

// Wait fails as Start does.
func (*Process) Wait(context.Context) (int, error) { return -1, errNotLinux }

// Shell returns nothing.
func Shell(string) []string { return nil }

// Upload fails as Start does.
func (*Sandbox) Upload(string, io.Reader, *os.FileInfo) error { return errNotLinux }

// UploadDir fails as Start does.
func (*Sandbox) UploadDir(string, string, []string) error { return errNotLinux }

// Download fails as Start does.
func (*Sandbox) Download(string, io.Writer) error { return errNotLinux }

// DownloadDir fails as Start does.
func (*Sandbox) DownloadDir(string, string, []string) error { return errNotLinux }

// PID returns 0.
func (*Sandbox) PID() int { return 0 }

// Covered returns nothing.
func (*Sandbox) Covered() []Covered { return nil }

// Root returns nothing.
func (*Sandbox) Root() string { return "" }

// Close does nothing.
func (*Sandbox) Close(context.Context) error { return nil }
