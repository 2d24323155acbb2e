package check

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"
)

// local runs scripts with a shell of this machine.
type local struct {
	argv []string
	uid  int // 0 is that of the test
}

func (l local) RunScript(ctx context.Context, script io.Reader, stdout, stderr io.Writer) (int, error) {
	cmd := exec.CommandContext(ctx, l.argv[0], l.argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = script, stdout, stderr
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.WaitDelay = 10 * time.Second
	confine(cmd, l.uid)
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// shells are the shells that an image may have as /bin/sh.
var shells = map[string][]string{
	"dash":    {"dash", "-s"},
	"bash":    {"bash", "-s"},
	"busybox": {"busybox", "sh", "-s"},
}

// onEachShell runs a test with each shell that this machine has.
func onEachShell(t *testing.T, test func(t *testing.T, shell local)) {
	for name, argv := range shells {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(argv[0]); err != nil {
				t.Skipf("needs %s: %v", argv[0], err)
			}
			test(t, local{argv: argv})
		})
	}
}

// runText runs the text of a suite and returns its results by id.
func runText(t *testing.T, target Target, text string) (map[string]Result, *Report) {
	t.Helper()
	report, err := Run(t.Context(), mustCompile(t, Auto, text), target)
	if err != nil {
		t.Fatal(err)
	}
	results := map[string]Result{}
	for _, s := range report.Suites {
		for _, r := range s.Results {
			results[r.ID()] = r
		}
	}
	return results, report
}

// expect compares the outcomes of results.
func expect(t *testing.T, results map[string]Result, want map[string]Outcome) {
	t.Helper()
	for id, outcome := range want {
		r, ok := results[id]
		if !ok {
			t.Errorf("no result for %s", id)
		} else if r.Outcome != outcome {
			t.Errorf("%s: %s (%s), want %s", id, r.Outcome, r.Message(), outcome)
		}
	}
	for id, r := range results {
		if _, ok := want[id]; !ok {
			t.Errorf("unexpected result %s: %s", id, r.Outcome)
		}
	}
}

func writeTestFile(t *testing.T, name, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
}
