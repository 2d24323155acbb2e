package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/imagebakery/packer-plugin-bakery/internal/check"
	"github.com/imagebakery/packer-plugin-bakery/internal/goss"
)

// specFiles are what a run reads its checks from.
type specFiles struct {
	suites []string
	vars   *map[string]string // of suite files

	goss       []string
	gossVars   string
	gossInline string
	deferBoot  bool
	network    string
	onVacuous  string
}

// addSuiteFlags adds the flags that say how checks are read.
func addSuiteFlags(cmd *cobra.Command) *specFiles {
	f := &specFiles{vars: addVarFlag(cmd)}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.goss, "goss", nil, "gossfile to read as well; may be given several times")
	flags.StringVar(&f.gossVars, "vars", "", "file with the variables of gossfiles, as goss takes it")
	flags.StringVar(&f.gossInline, "vars-inline", "", "variables of gossfiles as JSON or YAML; they win over those of --vars")
	flags.BoolVar(&f.deferBoot, "defer-boot", false, "leave what only a booted system can answer in gossfiles to a booted run")
	flags.StringVar(&f.network, "network", "", "builder: what gossfiles ask of the network is asked of this machine's, as goss does")
	flags.StringVar(&f.onVacuous, "on-vacuous", "fail", "what asserts nothing in gossfiles: fail or warn")
	return f
}

// take takes the arguments of the command. Files of YAML can only be gossfiles.
func (f *specFiles) take(cmd *cobra.Command, args []string) error {
	for _, arg := range args {
		if slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(arg)) {
			f.goss = append(f.goss, arg)
		} else {
			f.suites = append(f.suites, arg)
		}
	}
	switch {
	case len(f.suites)+len(f.goss) == 0:
		return usageError{fmt.Errorf("'%s' takes suite files or --goss FILE, got none; see '%s --help'", cmd.CommandPath(), cmd.CommandPath())}
	case f.onVacuous != "fail" && f.onVacuous != "warn":
		return usageError{fmt.Errorf("--on-vacuous %q is not fail or warn", f.onVacuous)}
	case f.network != "" && f.network != "builder":
		return usageError{fmt.Errorf("--network %q is not builder", f.network)}
	case len(f.goss) == 0 && (f.gossVars != "" || f.gossInline != "" || f.deferBoot):
		return usageError{errors.New("--vars, --vars-inline and --defer-boot are about gossfiles; name one with --goss, or set variables of suite files with --var")}
	}
	return nil
}

// compile reads the files and makes them ready to run. The plan is never nil.
func (f *specFiles) compile(mode check.Mode) (*check.Plan, []error) {
	var gossfiles []goss.File
	for _, file := range f.goss {
		gossfiles = append(gossfiles, goss.File{Path: file, Options: goss.Options{
			VarsFile: f.gossVars, VarsInline: f.gossInline, DeferBoot: f.deferBoot, WarnVacuous: f.onVacuous == "warn", BuilderNetwork: f.network == "builder",
		}})
	}
	owners := map[string]string{}
	fromGoss, errs := goss.ReadAll(gossfiles, owners)
	suites, wrong := check.ReadSuites(f.suites, *f.vars, owners)
	errs = append(errs, wrong...)
	plan, wrong := check.Compile(append(suites, fromGoss...), mode, time.Now())
	return plan, append(errs, wrong...)
}
