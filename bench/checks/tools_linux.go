package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The tools that are compared.
const (
	bakery       = "bakery-spec"
	goss         = "goss"
	gossUploaded = "goss, uploaded"
	serverspec   = "Serverspec"
)

// The places that an image is checked in.
const (
	inChroot = "chroot"
	overSSH  = "ssh"
)

// toolsFor are the tools that can check in a place, in the order of the tables.
func toolsFor(place string, withServerspec bool) []string {
	tools := []string{bakery, goss}
	if place == overSSH {
		tools = append(tools, gossUploaded)
	}
	if withServerspec {
		tools = append(tools, serverspec)
	}
	return tools
}

// argv is the command that checks the image of w with a tool, and the suite
// whose files begin with base.
func (w *world) argv(tool, place, base string) []string {
	if tool == serverspec {
		return []string{w.serverspec, "--no-color", base + "_" + place + "_spec.rb"}
	}
	if place == inChroot {
		if tool == bakery {
			return []string{w.bakery, "spec", "run", "--root", w.root, base + ".spec.hcl"}
		}
		return []string{"chroot", w.root, gossInImage, "-g", "/root/" + filepath.Base(base) + ".yaml", "validate"}
	}
	suiteFile := base + ".yaml"
	if tool == bakery {
		suiteFile = base + ".spec.hcl"
	}
	argv := []string{w.self, clientWord, tool, w.ssh.address(), w.ssh.key, suiteFile}
	if tool == gossUploaded {
		argv = append(argv, w.goss)
	}
	return argv
}

// outcome is what a tool found, and how long that took.
type outcome struct {
	passed, failed int
	good           bool // the tool's own verdict: its exit status
	took           time.Duration
	sent           int // bytes, where the tool's client says so
	said           string
}

// check lets a tool check the image once.
func (w *world) check(ctx context.Context, tool, place, base string) (outcome, error) {
	argv := w.argv(tool, place, base)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = w.dir
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "BAKERY_") || strings.HasPrefix(kv, "GOSS_") || strings.HasPrefix(kv, "PACKER_") || strings.HasPrefix(kv, "SPEC_OPTS=")
	}), "BAKERY_HOME="+filepath.Join(w.dir, "home"), "PACKER_RUN_UUID=bench")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	// What is checked in a sandbox wants time to leave it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	began := time.Now()
	err := cmd.Run()
	o := outcome{took: time.Since(began), good: err == nil, said: out.String()}
	if ctx.Err() != nil {
		return outcome{}, context.Cause(ctx)
	}
	var ok bool
	if o.passed, o.failed, ok = verdicts(tool, o.said); !ok {
		return outcome{}, fmt.Errorf("%s: no verdicts; it ended with %s:\n%s", strings.Join(argv, " "), cmd.ProcessState, o.said)
	}
	for line := range strings.Lines(o.said) {
		if n, found := strings.CutPrefix(line, sentPrefix); found {
			o.sent, _ = strconv.Atoi(strings.TrimSpace(n))
		}
	}
	return o, nil
}

var (
	bakerySummary     = regexp.MustCompile(`(?m)(\d+) checks? in [^:\n]+: (?:(\d+) passed)?(?:, )?(?:(\d+) failed)?$`)
	gossSummary       = regexp.MustCompile(`Count: (\d+), Failed: (\d+), Skipped: (\d+)`)
	serverspecSummary = regexp.MustCompile(`(?m)^(\d+) examples?, (\d+) failures?$`)
)

// verdicts reads from what a tool says how many checks have passed and failed.
// ok is false when it says nothing of the kind, or that some were left out.
func verdicts(tool, said string) (passed, failed int, ok bool) {
	number := func(text string) int {
		n, _ := strconv.Atoi(text) // digits, or nothing
		return n
	}
	var all, bad, left int
	switch tool {
	case bakery:
		m := bakerySummary.FindAllStringSubmatch(said, -1)
		if m == nil {
			return 0, 0, false
		}
		last := m[len(m)-1]
		all, bad = number(last[1]), number(last[3])
		left = all - bad - number(last[2])
	case goss, gossUploaded:
		m := gossSummary.FindStringSubmatch(said)
		if m == nil {
			return 0, 0, false
		}
		all, bad, left = number(m[1]), number(m[2]), number(m[3])
	default:
		m := serverspecSummary.FindStringSubmatch(said)
		if m == nil {
			return 0, 0, false
		}
		all, bad = number(m[1]), number(m[2])
	}
	return all - bad, bad, left == 0
}

// expect is an error when a tool's verdicts are not those that are right.
func (o outcome) expect(passed, failed int) error {
	if o.passed == passed && o.failed == failed && o.good == (failed == 0) {
		return nil
	}
	return fmt.Errorf("%d checks passed and %d failed, not %d and %d (its exit status says good: %v):\n%.4000s", o.passed, o.failed, passed, failed, o.good, o.said)
}
