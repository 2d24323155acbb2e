package bakekey

import (
	"fmt"
	"os"
	"strings"
)

// Caller returns how the Packer that has started this process was called. Packer
// does not tell its plugins; the kernel does.
func Caller() (Call, error) {
	parent := fmt.Sprintf("/proc/%d/", os.Getppid())
	cmdline, err := os.ReadFile(parent + "cmdline")
	if err != nil {
		return Call{}, fmt.Errorf("%w: %w", ErrNoCall, err)
	}
	dir, err := os.Readlink(parent + "cwd")
	if err != nil {
		return Call{}, fmt.Errorf("%w: %w", ErrNoCall, err)
	}
	return ParseCall(strings.Split(strings.TrimSuffix(string(cmdline), "\x00"), "\x00"), dir)
}
