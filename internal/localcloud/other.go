//go:build !linux

package localcloud

import (
	"context"
	"errors"
	"runtime"
	"time"
)

// The local cloud needs Linux's loop devices. Everything here is what keeps the
// package building; Open fails before any of it is reached.

var (
	errNodeExists = errors.New("the host has a device of that name")
	errNodesBusy  = errors.New("the device is in use")
	errNotLinux   = errors.New("the local cloud runs on Linux only, not on " + runtime.GOOS + "; use cloud = \"aws\" here")
)

func checkHost() error { return errNotLinux }

func bootID() (string, error) { return "", errNotLinux }

func bootTime() time.Time { return time.Unix(0, 0) }

func linkFile(string, string) error { return errNotLinux }

func copyFile(context.Context, string, string, int64) (bool, error) { return false, errNotLinux }

func copyStill(context.Context, string, string, int64) error { return errNotLinux }

func allocated(string) (int64, error) { return 0, errNotLinux }

func attachNodes(context.Context, string, string, []string) error { return errNotLinux }

func detachNodes(string, string, []string) error { return errNotLinux }

func growNodes(string) error { return errNotLinux }

func hasNodes(string) bool { return false }

func removeStrayNodes(string, func(string) bool) error { return errNotLinux }
