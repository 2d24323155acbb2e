package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"

	"github.com/spf13/cobra"

	"github.com/imagebakery/packer-plugin-bakery/internal/check"
)

func newSpecCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "spec",
		Short: "Check images with suite files, without Packer",
		Args:  noSuchCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSpecCheckCommand(), newSpecRunCommand(), newSpecLearnCommand(), newSpecConvertCommand())
	return cmd
}

// specChecked is what `bakery spec check --output json` writes.
type specChecked struct {
	Suites   []specSuite `json:"suites"`
	Mistakes []string    `json:"mistakes"`
	Warnings []string    `json:"warnings,omitempty"`
}

type specSuite struct {
	Name   string `json:"name"`
	File   string `json:"file"`
	Checks int    `json:"checks"`
}

func newSpecCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check FILE...",
		Short: "Say what is wrong with suite files and gossfiles",
		Long: `Read suite files, as one run would, and say all that is wrong with them, each
mistake with its file and line. Nothing is run. Files that end in .yaml or .yml,
and those given with --goss, are gossfiles.

Exit codes: 0 nothing is wrong, 1 there are mistakes, 2 wrong usage.`,
		Example: `  bakery spec check shop.spec.hcl common/*.spec.hcl`,
	}
	format := addOutputFlag(cmd)
	mode := addModeFlag(cmd)
	files := addSuiteFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := files.take(cmd, args); err != nil {
			return err
		}
		plan, errs := files.compile(check.Mode(*mode))
		result := specChecked{Suites: []specSuite{}, Mistakes: []string{}}
		for _, s := range plan.Suites {
			result.Suites = append(result.Suites, specSuite{Name: s.Name, File: s.File, Checks: len(s.Assertions)})
			result.Warnings = append(result.Warnings, s.Warnings...)
		}
		for _, err := range errs {
			result.Mistakes = append(result.Mistakes, err.Error())
		}
		if err := writeSpecChecked(cmd.OutOrStdout(), *format, result); err != nil {
			return err
		}
		switch len(errs) {
		case 0:
			return nil
		case 1:
			return errors.New("1 mistake")
		}
		return fmt.Errorf("%d mistakes", len(errs))
	}
	return cmd
}

func writeSpecChecked(out io.Writer, format outputFormat, result specChecked) error {
	if format == outputJSON {
		return writeJSON(out, result)
	}
	if len(result.Mistakes) == 0 {
		rows := make([][]string, len(result.Suites))
		for i, s := range result.Suites {
			rows[i] = []string{s.Name, s.File, fmt.Sprint(s.Checks)}
		}
		if err := writeTable(out, []string{"SUITE", "FILE", "CHECKS"}, rows); err != nil {
			return err
		}
	}
	lines := slices.Clone(result.Mistakes)
	for _, warning := range result.Warnings {
		lines = append(lines, "Warning: "+warning)
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}

func newSpecRunCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run {--root DIR | --here} SUITE...",
		Short: "Check an image or this machine",
		Long: `Run suite files. Files that end in .yaml or .yml, and those given with --goss, are
gossfiles, which are read as they are.

With --root the image is a folder or the place where a disk is mounted: its own
programs run in it, in a sandbox that ends with the run, and nothing of it is
taken for booted. This needs root.

With --here it is this machine. Whether it is booted is found out; what is not
plainly booted is offline.

Exit codes: 0 all checks passed, 1 some failed or could not be decided, 2 wrong
usage, suites with mistakes included.`,
		Example: `  bakery spec run --root /mnt base.spec.hcl
  bakery spec run --root /mnt --goss goss/goss.yaml --vars goss/vars.yaml
  bakery spec run --here reports/deferred.json`,
	}
	var o specRun
	format := addOutputFlag(cmd)
	mode := addModeFlag(cmd)
	cmd.Flags().StringVar(&o.root, "root", "", "folder in which the image is mounted")
	cmd.Flags().BoolVar(&o.here, "here", false, "check this machine")
	cmd.Flags().StringVar(&o.junit, "junit", "", "file for the results as JUnit XML")
	cmd.Flags().StringVar(&o.json, "json", "", "file for the results as JSON")
	cmd.Flags().StringVar(&o.tap, "tap", "", "file for the results in the Test Anything Protocol")
	cmd.Flags().StringVar(&o.deferred, "deferred", "", "file for the checks that are left to a booted run")
	files := addSuiteFlags(cmd)
	failOn := cmd.Flags().String("fail-on", check.Low.String(), "least severity that counts: low, medium, high or critical")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := files.take(cmd, args); err != nil {
			return err
		}
		o.mode, o.format = check.Mode(*mode), *format
		var err error
		if o.failOn, err = check.ParseSeverity(*failOn); err != nil {
			return usageError{fmt.Errorf("--fail-on %q %w", *failOn, err)}
		}
		return o.run(cmd, files)
	}
	return cmd
}

// addVarFlag adds a flag for the values of variables.
func addVarFlag(cmd *cobra.Command) *map[string]string {
	vars := map[string]string{}
	cmd.Flags().StringToStringVar(&vars, "var", nil, "value of a variable of the suites, as NAME=VALUE; may be given several times")
	return &vars
}

// specMode is the value of a --mode flag.
type specMode check.Mode

func addModeFlag(cmd *cobra.Command) *specMode {
	mode := specMode(check.Auto)
	cmd.Flags().Var(&mode, "mode", "whether the image runs: auto, offline or booted")
	return &mode
}

func (m *specMode) String() string { return string(*m) }
func (m *specMode) Type() string   { return "auto|offline|booted" }

func (m *specMode) Set(value string) error {
	mode, err := check.ParseMode(value)
	if err == nil {
		*m = specMode(mode)
	}
	return err
}

// specRun are the options of bakery spec run.
type specRun struct {
	root     string
	here     bool
	junit    string
	json     string
	tap      string
	deferred string
	mode     check.Mode
	failOn   check.Severity
	format   outputFormat
}

// valid says what is wrong with the options that name an image.
func (o specRun) valid() error {
	if (o.root != "") == o.here {
		return usageError{errors.New("say what to check: --root DIR or --here, one of the two")}
	}
	if o.root == "" {
		return nil
	}
	if o.mode == check.Booted {
		return usageError{errors.New("--mode booted is wrong with --root: nothing of a mounted image runs; use --here on the booted system")}
	}
	if st, err := os.Stat(o.root); err != nil {
		return usageError{fmt.Errorf("--root: %w", err)}
	} else if !st.IsDir() {
		return usageError{fmt.Errorf("--root %q is not a folder; mount the disk and name where", o.root)}
	}
	return nil
}

// runGCPercent lets the memory of a run, a few megabytes for hundreds of checks, grow
// to five times of what is in use.
const runGCPercent = 400

// run checks the image and reports what was found.
func (o specRun) run(cmd *cobra.Command, files *specFiles) (err error) {
	if err := o.valid(); err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		// What a run makes is small and stays until its end, which is soon.
		debug.SetGCPercent(runGCPercent)
	}
	ctx := cmd.Context()
	// A sandbox takes as long to start as a suite to read.
	inside := o.entering(ctx)
	plan, errs := files.compile(o.mode)
	shell, leave, enterErr := inside()
	if enterErr == nil {
		defer func() { err = errors.Join(err, leave()) }()
	}
	if len(errs) > 0 {
		return usageError{errors.Join(errs...)}
	}
	if enterErr != nil {
		return enterErr
	}
	report, err := check.Run(ctx, plan, check.Target{
		Shell: shell, Mode: o.mode, Mounted: o.root != "",
		Progress: func(what string) { cmd.PrintErrln(what) },
	})
	if report == nil {
		return err
	}
	// A run that was refused has a report too, and its error says why.
	refusal := err
	if err := o.report(cmd.OutOrStdout(), report); err != nil {
		return err
	}
	for _, save := range []struct {
		flag, file string
		to         func(string) error
	}{{"junit", o.junit, report.SaveJUnit}, {"json", o.json, report.SaveJSON}, {"tap", o.tap, report.SaveTAP}, {"deferred", o.deferred, report.SaveDeferred}} {
		if save.file == "" {
			continue
		}
		if err := save.to(save.file); err != nil {
			return errors.Join(refusal, fmt.Errorf("--%s: %w", save.flag, err))
		}
	}
	if refusal != nil {
		return refusal
	}
	return tally(report, o.failOn)
}

// tally is the error of a run: the results themselves have been shown.
func tally(report *check.Report, failOn check.Severity) error {
	failure, bad := errors.AsType[*check.Failure](report.Err(failOn))
	if !bad {
		return nil
	}
	failed := 0
	for _, r := range failure.Bad {
		if r.Outcome == check.Failed {
			failed++
		}
	}
	if failure.OnlyFailed {
		return fmt.Errorf("%d of %s failed", failed, check.CountChecks(failure.Total))
	}
	return fmt.Errorf("of %s, %d failed and %d could not be decided", check.CountChecks(failure.Total), failed, len(failure.Bad)-failed)
}

// report shows what a run has found.
func (o specRun) report(out io.Writer, report *check.Report) error {
	if o.format == outputJSON {
		return report.WriteJSON(out)
	}
	lines := []string{fmt.Sprintf("The image is %s: %s", report.Mode, report.ModeReason)}
	for _, warning := range report.Warnings {
		lines = append(lines, "Warning: "+warning)
	}
	for _, suite := range report.Suites {
		for _, r := range suite.Results {
			switch r.Outcome {
			case check.Failed, check.Errored:
				lines = append(lines, r.Details())
			case check.Waived:
				lines = append(lines, fmt.Sprintf("waived %s: %s", r.ID(), r.Note))
			case check.Deferred:
				lines = append(lines, fmt.Sprintf("deferred %s: needs a booted system", r.ID()))
			}
		}
	}
	for _, suite := range report.Suites {
		lines = append(lines, suite.Summary())
	}
	for _, line := range append(lines, report.Summary()) {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}
