//go:build !linux

package volume

import (
	"context"
	"errors"
)

var errUnsupported = errors.New("volumes can be mounted on Linux only")

type state struct{}

// FindDevice always fails: volumes can be mounted on Linux only.
func FindDevice(context.Context, string, string) (string, error) { return "", errUnsupported }

// Mount always fails: volumes can be mounted on Linux only.
func Mount(context.Context, MountOptions) (*Mounted, error) { return nil, errUnsupported }

// CheckTarget always fails: volumes can be mounted on Linux only.
func CheckTarget(string) error { return errUnsupported }

// Unmount always fails: volumes can be mounted on Linux only.
func (*Mounted) Unmount(context.Context) error { return errUnsupported }

// Unmount always fails: volumes can be mounted on Linux only.
func Unmount(context.Context, string) error { return errUnsupported }

// DetachLoops always fails: volumes can be mounted on Linux only.
func DetachLoops(string) error { return errUnsupported }
