//go:build !linux

package loop

import "errors"

var errUnsupported = errors.New("loop devices exist on Linux only")

// Attach always fails: loop devices exist on Linux only.
func Attach(string, Options) (Device, error) { return Device{}, errUnsupported }

// Detach always fails: loop devices exist on Linux only.
func (Device) Detach() error { return errUnsupported }

// Release always fails: loop devices exist on Linux only.
func (Device) Release() error { return errUnsupported }

// Sync always fails: loop devices exist on Linux only.
func (Device) Sync() error { return errUnsupported }

// Resize always fails: loop devices exist on Linux only.
func (Device) Resize() (Device, error) { return Device{}, errUnsupported }

// List always fails: loop devices exist on Linux only.
func List() ([]Device, error) { return nil, errUnsupported }

// Find always fails: loop devices exist on Linux only.
func Find(string) ([]Device, error) { return nil, errUnsupported }
