//go:build !linux

package bakekey

import (
	"fmt"
	"runtime"
)

// Caller returns how the Packer that has started this process was called. That
// is known on Linux only, where bakes run.
func Caller() (Call, error) {
	return Call{}, fmt.Errorf("%w on %s", ErrNoCall, runtime.GOOS)
}
