package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

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
	for _, tool := range []string{"sh", "cat", "stat", "id", "head", "sleep", "unshare", "mount", "setsid", "echo", "ls", "find", "grep"} {
		ts.Check(os.Symlink("busybox", filepath.Join(root, "bin", tool)))
	}
	ts.Check(os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0:root:/root:/bin/sh\nbaker:x:1234:1234::/:/bin/sh\n"), 0o644))
	ts.Check(os.WriteFile(filepath.Join(root, "etc/group"), []byte("root:x:0:\nbaker:x:1234:\n"), 0o644))
}

// writeHereSuite makes a folder, which becomes the script's $HERE, and writes a
// suite that looks for secrets on this machine, in that folder alone. It is not in
// /tmp, where tests that run at the same time put what looks like secrets.
func writeHereSuite(ts *testscript.TestScript, _ bool, args []string) {
	here, err := os.MkdirTemp("/var/tmp", "bakery-here-")
	ts.Check(err)
	ts.Defer(func() { ts.Check(os.RemoveAll(here)) })
	ts.Setenv("HERE", here)
	var except []string
	for dir := here; dir != "/"; dir = filepath.Dir(dir) {
		entries, err := os.ReadDir(filepath.Dir(dir))
		ts.Check(err)
		for _, e := range entries {
			if path := filepath.Join(filepath.Dir(dir), e.Name()); path != dir {
				except = append(except, strconv.Quote(path))
			}
		}
	}
	text := "hygiene {\n  rules  = [\"secrets\", \"private-keys\"]\n  except = [" + strings.Join(except, ", ") + "]\n}\n"
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o644))
}

// plantKey writes a file with a key of AWS, which is put together here.
func plantKey(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte("# the shop's\nAWS_KEY="+"AKIA"+"QYLPMN5HHHFPZAM2\n"), 0o600))
}
