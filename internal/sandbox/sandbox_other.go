//go:build !linux

package sandbox

import (
	"context"
	"errors"
	"runtime"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

// Sandbox exists on Linux only.
type Sandbox struct{}

var errNotLinux = errors.New("a sandbox needs Linux's namespaces; this is " + runtime.GOOS)

// Start fails: there are no sandboxes here.
func Start(context.Context, Config) (*Sandbox, error) { return nil, errNotLinux }

// Exec fails as Start does.
func (*Sandbox) Exec(context.Context, Command) (int, error) { return -1, errNotLinux }

// Communicator returns nil; Start never returns a Sandbox to call it on.
func (*Sandbox) Communicator() packersdk.Communicator { return nil }

// PID returns 0.
func (*Sandbox) PID() int { return 0 }

// Covered returns nothing.
func (*Sandbox) Covered() []Covered { return nil }

// Root returns nothing.
func (*Sandbox) Root() string { return "" }

// Close does nothing.
func (*Sandbox) Close(context.Context) error { return nil }
