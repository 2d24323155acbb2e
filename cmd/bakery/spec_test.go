package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
)

// status runs a command and wants it to exit with a status: status 2 bakery spec.
func status(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got, err = exit.ExitCode(), nil
	}
	ts.Check(err)
	if got != want {
		ts.Fatalf("%q exited with %d, want %d", args[1:], got, want)
	}
}

// makeRoot makes a root file system of busybox, with a user baker.
func makeRoot(ts *testscript.TestScript, _ bool, args []string) {
	root := ts.MkAbs(args[0])
	busybox, err := exec.LookPath("busybox")
	ts.Check(err)
	for _, dir := range []string{"bin", "etc", "lib"} {
		ts.Check(os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	binary, err := os.ReadFile(busybox)
	ts.Check(err)
	ts.Check(os.WriteFile(filepath.Join(root, "bin/busybox"), binary, 0o755))
	for _, tool := range []string{"sh", "cat", "stat", "id", "head", "sleep", "unshare", "mount", "setsid", "echo", "ls"} {
		ts.Check(os.Symlink("busybox", filepath.Join(root, "bin", tool)))
	}
	ts.Check(os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0:root:/root:/bin/sh\nbaker:x:1234:1234::/:/bin/sh\n"), 0o644))
	ts.Check(os.WriteFile(filepath.Join(root, "etc/group"), []byte("root:x:0:\nbaker:x:1234:\n"), 0o644))
}
