package check

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A check of a booted run is tried again until it holds, as long as it may.
func TestRetry(t *testing.T) {
	dir := t.TempDir()
	late, never := filepath.Join(dir, "late"), filepath.Join(dir, "never")
	// The command itself makes what the next attempt finds.
	plan := mustCompile(t, Auto, `
file "`+late+`" { retry = "1m" }
command "test -e `+late+` || { touch `+late+`; exit 7; }" {
  exit_status = 0
  retry       = "1m"
}
file "`+never+`" { retry = "1s" }
file "`+dir+`/once" {}
`)
	report, err := Run(t.Context(), plan, Target{Shell: local{argv: []string{"sh", "-s"}}, Mode: Booted})
	if err != nil {
		t.Fatal(err)
	}
	results := report.Suites[0].Results
	for i, want := range []Outcome{Passed, Passed, Failed, Failed} {
		if results[i].Outcome != want {
			t.Errorf("%s: %s, want %s", results[i].ID(), results[i].Outcome, want)
		}
	}
	if results[0].Attempts < 2 || results[2].Attempts < 2 || results[3].Attempts != 0 {
		t.Errorf("attempts %d, %d, %d", results[0].Attempts, results[2].Attempts, results[3].Attempts)
	}
	if report.Took < time.Second {
		t.Errorf("took %v, want the second that one check may take", report.Took)
	}
}

func TestRetryIsCancelled(t *testing.T) {
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, os.ErrDeadlineExceeded)
	defer cancel()
	plan := mustCompile(t, Auto, `file "`+t.TempDir()+`/never" { retry = "1h" }`)
	_, err := Run(ctx, plan, Target{Shell: local{argv: []string{"sh", "-s"}}, Mode: Booted})
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v, want that it was cancelled", err)
	}
}

// Offline nothing changes, so nothing is tried again.
func TestRetryOffline(t *testing.T) {
	plan := mustCompile(t, Auto, `file "`+t.TempDir()+`/never" { retry = "1h" }`)
	report, err := Run(t.Context(), plan, Target{Shell: local{argv: []string{"sh", "-s"}}, Mounted: true})
	if err != nil || report.Counts()[Failed] != 1 {
		t.Errorf("%v: %v", report, err)
	}
}
