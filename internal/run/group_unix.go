//go:build unix

package run

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// ownGroup puts cmd into a process group of its own and makes cancellation kill
// the whole group: a shell's children must not outlive it.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
}
