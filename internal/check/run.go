package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

// Shell starts a shell of the image, as with `/bin/sh -s`, gives it a script
// and copies what the shell prints. It returns the shell's exit status.
type Shell interface {
	RunScript(ctx context.Context, script io.Reader, stdout, stderr io.Writer) (int, error)
}

// Target is the image that is checked.
type Target struct {
	Shell Shell
	Mode  Mode
	// Mounted is set when it is known that the image is mounted in a chroot.
	Mounted bool
	// Covered are files of the builder that lie over the image's own.
	Covered []Covered
	// Progress, when set, is told from time to time what a long run is doing.
	Progress func(what string)
}

// scriptTimeout bounds the script without its commands, which have timeouts of
// their own.
const scriptTimeout = 5 * time.Minute

// Run decides the assertions of p. With an error, nothing was decided; a report
// that comes with one tells which assertions were to blame.
func Run(ctx context.Context, p *Plan, t Target) (*Report, error) {
	if p.Partial {
		return nil, fmt.Errorf("run checks: a value of them is still unknown: it contains %s", Unknown)
	}
	if p.Len() == 0 && !p.needsFacts {
		return nil, errors.New("run checks: there are none")
	}
	report := &Report{Started: time.Now()}
	defer func() { report.Took = time.Since(report.Started) }()

	if err := report.chooseMode(ctx, t); err != nil {
		return nil, err
	}
	if p.needsFacts {
		facts, err := probeFacts(ctx, t, report.Mode)
		if err != nil {
			return nil, fmt.Errorf("run checks: %w", err)
		}
		if p, err = p.resolve(facts); err != nil {
			return nil, fmt.Errorf("run checks: %w", err)
		}
	}
	if report.Mode == Offline {
		if refused := p.refused(); len(refused) > 0 {
			report.refuse(p)
			return report, errors.Join(p.Refusals()...)
		}
	}
	f, err := read(ctx, p, t, report.Mode, all)
	if err != nil {
		return nil, err
	}
	report.OS = f.osName()
	for _, s := range p.Suites {
		report.Warnings = append(report.Warnings, s.Warnings...)
		suite := SuiteReport{Name: s.Name, File: s.File, Digest: s.Digest, Inapplicable: s.Inapplicable}
		for _, a := range s.Assertions {
			suite.Results = append(suite.Results, p.decideOne(a, f, report.Mode))
		}
		report.Suites = append(report.Suites, suite)
	}
	if report.Mode == Booted {
		if err := report.retry(ctx, p, t); err != nil {
			return nil, err
		}
	}
	report.Warnings = append(append(report.Warnings, f.warnings...), p.idleWaivers(report)...)
	report.OS = printable(report.OS)
	return report, nil
}

func (p *Plan) decideOne(a *Assertion, f *facts, mode Mode) Result {
	result := Result{Assertion: a}
	if a.waits(mode) {
		result.Outcome = Deferred
		return result
	}
	v := a.decide(f)
	result.Outcome, result.Actual = v.outcome, printable(v.actual)
	if r := f.commands[a.command()]; r != nil {
		result.Took = r.took
	}
	switch w, ok := p.waiver(a); {
	case result.Outcome != Failed:
	case ok:
		result.Outcome = Waived
		result.Note = w.note()
	case a.finds != nil:
		p.waiveStrikes(&result, f)
	}
	return result
}

// actualLimit is how much of what was found is shown.
const actualLimit = 1000

// printable makes one line that a terminal shows as it is of bytes of the image.
func printable(text string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(text, "\uFFFD") {
		switch {
		case b.Len() > actualLimit:
			return b.String() + "…"
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// refuse reports what cannot be decided offline, and nothing else: nothing ran.
func (r *Report) refuse(p *Plan) {
	for _, s := range p.Suites {
		suite := SuiteReport{Name: s.Name, File: s.File, Digest: s.Digest}
		for _, a := range s.Assertions {
			if a.class != ofFiles && !a.deferred {
				suite.Results = append(suite.Results, Result{Assertion: a, Outcome: Errored, Actual: a.refusal()})
			}
		}
		if len(suite.Results) > 0 {
			r.Suites = append(r.Suites, suite)
		}
	}
}

// chooseMode settles the mode of the run; auto asks the image when nothing else
// tells.
func (r *Report) chooseMode(ctx context.Context, t Target) error {
	switch {
	case t.Mode == Booted && t.Mounted:
		return errors.New(`mode = "booted" is wrong: the builder has mounted the image in a chroot, and nothing of it runs; write mode = "auto" or "offline"`)
	case t.Mode == Booted:
		r.Mode, r.ModeReason = Booted, `mode = "booted" is set`
	case t.Mounted:
		r.Mode, r.ModeReason = Offline, "it is mounted in a chroot"
	case t.Mode == Offline:
		r.Mode, r.ModeReason = Offline, `mode = "offline" is set`
	default:
		probing := func(frame) string { return "looking whether the image runs" }
		frames, _, err := execute(ctx, t, newProbe(newNonce()), scriptTimeout, probing)
		if err != nil {
			return fmt.Errorf("find out whether the image runs: %w", err)
		}
		r.Mode, r.ModeReason = detect(frames)
	}
	return nil
}

// read runs the script and gathers what it prints.
func read(ctx context.Context, p *Plan, t Target, mode Mode, wanted func(*Assertion) bool) (*facts, error) {
	return readNeeds(ctx, t, mode, p.needsOf(mode, wanted))
}

// readNeeds reads what n asks for.
func readNeeds(ctx context.Context, t Target, mode Mode, n *needs) (*facts, error) {
	n.cover(t.Covered)
	timeout := scriptTimeout
	for _, cmd := range n.commands {
		// A command is killed one or two seconds after its time.
		timeout += time.Duration(cmd.seconds+2) * time.Second
	}
	s := newScript(newNonce(), n, mode)
	frames, chatter, err := execute(ctx, t, s, timeout, func(fr frame) string { return doing(fr, n) })
	if err != nil {
		return nil, fmt.Errorf("run checks: %w", err)
	}
	f := newFacts(mode)
	f.chatter = chatter
	for _, fr := range frames {
		f.take(fr, n, s.batches)
	}
	f.uncover(n)
	if err := f.searchSecrets(ctx, t, n); err != nil {
		return nil, fmt.Errorf("run checks: %w", err)
	}
	return f, nil
}

// take hands a frame to the source that asked for it.
func (f *facts) take(fr frame, n *needs, batches [][]*pathNeed) {
	switch fr.tag {
	case "begin":
		f.root = fr.arg(0) == "0"
	case "os-release":
		f.os = parseOSRelease(string(fr.body))
	case "passwd", "group", "shadow", "nsswitch", "getent":
		f.readAccounts(fr)
	case "packages", "packages-interrupted":
		f.readPackages(fr)
	case "units", "units-denied", "unit-file", "instance", "initscripts", "runlevels", "rc", "machine-id", "running":
		f.readServices(fr, n)
	case "entries", "stat", "target", "content", "content-end", "contents", "contents-end", "digest", "digest-end",
		"caps-path", "caps", "caps-end", "xattr", "xattr-end":
		f.readFiles(fr, n, batches)
	case "links":
		f.readLinks(fr, batches)
	case "covered":
		f.readCovered(fr, n, batches)
	case "configs", "config", "config-text", "config-end":
		f.readConfigs(fr, n)
	case "hygiene", "hygiene-end":
		f.readHygiene(fr)
	case "candidates", "candidates-end", "owned":
		f.readSecrets(fr)
	case "processes", "process", "process-args":
		f.readProcesses(fr)
	case "isolation", "out", "err", "ran":
		f.readCommands(fr, n)
	}
}

// doing says what the script is at, after its latest frame.
func doing(latest frame, n *needs) string {
	if i, err := strconv.Atoi(latest.arg(0)); err == nil && latest.tag == "out" && i >= 0 && i < len(n.commands) {
		cmd := n.commands[i]
		return fmt.Sprintf("running the command %q for %v", shortSubject(cmp.Or(cmd.label, cmd.text)), time.Since(latest.at).Round(time.Second))
	}
	return "reading the image"
}

var errTerminal = errors.New("the communicator changes line ends, as a terminal does; set ssh_pty = false")

// progressInterval is how often a run says that it is alive.
const progressInterval = 10 * time.Second

// execute runs a script and returns the frames of both of its streams, and what
// it said on stderr outside of them.
func execute(ctx context.Context, t Target, s *script, timeout time.Duration, doing func(latest frame) string) ([]frame, string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the script did not end within %v", timeout))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	stdout, stderr := newFrameReader(s.nonce), newFrameReader(s.nonce)
	stdout.onCRLF = func() { stop(errTerminal) }
	if t.Progress != nil {
		end := every(progressInterval, func() { t.Progress(doing(stdout.latest())) })
		defer end()
	}
	status, err := t.Shell.RunScript(ctx, strings.NewReader(s.text()), stdout, stderr)
	if ctx.Err() != nil {
		return nil, "", context.Cause(ctx)
	}
	if err != nil {
		return nil, "", err
	}
	frames, errFrames := stdout.close(), stderr.close()
	var chatter strings.Builder
	chatter.Write(stderr.chatter)
	for _, fr := range errFrames {
		if fr.tag == "err-end" {
			chatter.Write(fr.body)
		}
	}
	said := strings.TrimSpace(chatter.String())
	if len(frames) == 0 || frames[len(frames)-1].tag != "done" {
		if said == "" {
			said = strings.TrimSpace(string(stdout.chatter))
		}
		if said != "" {
			said = fmt.Sprintf(": %q", said)
		}
		return nil, "", fmt.Errorf("the image's shell stopped before the end of the script, with exit status %d%s", status, said)
	}
	return append(frames, errFrames...), said, nil
}

// every calls do at an interval until stop is called.
func every(interval time.Duration, do func()) (stop func()) {
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				do()
			}
		}
	})
	return func() {
		close(done)
		running.Wait()
	}
}
