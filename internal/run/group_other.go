//go:build !unix

package run

import "os/exec"

// ownGroup does nothing: process groups are a Unix notion, and nothing that the
// suite does on other systems starts long-lived commands.
func ownGroup(*exec.Cmd) {}
