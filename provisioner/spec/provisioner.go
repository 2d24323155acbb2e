// Package spec is the provisioner bakery-spec: it checks an image before it
// becomes one.
package spec

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/hashicorp/hcl/v2/hcldec"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/imagebakery/packer-plugin-bakery/internal/check"
	"github.com/imagebakery/packer-plugin-bakery/internal/handoff"
	"github.com/imagebakery/packer-plugin-bakery/version"
)

// Provisioner runs checks in the image of a build.
type Provisioner struct {
	config Config
	plan   *check.Plan
}

var _ packersdk.Provisioner = (*Provisioner)(nil)

// ConfigSpec describes the configuration to Packer.
func (p *Provisioner) ConfigSpec() hcldec.ObjectSpec { return p.config.FlatMapstructure().HCL2Spec() }

// Prepare validates the configuration. Packer calls it for a second time, with
// the values that it did not know before.
func (p *Provisioner) Prepare(raws ...any) error {
	p.config, p.plan = Config{}, nil
	plan, err := p.config.prepare(raws...)
	if err != nil {
		return err
	}
	p.plan = plan
	return nil
}

// Provision runs the checks. It returns an error when a check of at least
// fail_on failed or could not be decided.
func (p *Provisioner) Provision(ctx context.Context, ui packersdk.Ui, comm packersdk.Communicator, data map[string]any) error {
	if p.plan == nil {
		return errors.New("bakery-spec: Provision was called before Prepare")
	}
	hidden, err := covered(data)
	if err != nil {
		return err
	}
	// What an earlier run has left must not be taken for the result of this one.
	for _, file := range []string{p.config.JUnit, p.config.JSON, p.config.TAP, p.config.Deferred} {
		if err := os.Remove(file); file != "" && err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the report of an earlier run: %w", err)
		}
	}
	ui.Say(fmt.Sprintf("Checking the image: %s%s", checksOf(p.plan), suiteNames(p.plan)))
	report, err := check.Run(ctx, p.plan, check.Target{
		Shell:   shell{comm: comm, command: p.config.ExecuteCommand},
		Mode:    p.config.mode,
		Mounted: mounted(data),
		Covered: hidden,
		Progress: func(what string) {
			ui.Say("Still checking: " + what)
		},
	})
	if report == nil {
		return err
	}
	// A refused run has a report too: of what could not be decided, and why.
	refused := err != nil
	ui.Say(fmt.Sprintf("The image is %s: %s", report.Mode, report.ModeReason))
	show(ui, report, p.config.failOn)

	var errs *packersdk.MultiError
	if err := p.write(report); err != nil {
		errs = packersdk.MultiErrorAppend(errs, err)
	}
	if err := p.handOver(report, data); err != nil {
		ui.Error(fmt.Sprintf("Warning: the results are not handed over to bakery-lineage: %v", err))
	}
	if err := p.handOverPackages(ctx, comm, data); err != nil {
		ui.Say(fmt.Sprintf("What is installed is not handed over to bakery-lineage: %v", err))
	}
	if !refused {
		err = p.verdict(ui, report)
	}
	switch {
	case errs == nil:
		return err
	case err != nil:
		return packersdk.MultiErrorAppend(errs, err)
	}
	return errs
}

// verdict is the error of the run, as on_failure has it.
func (p *Provisioner) verdict(ui packersdk.Ui, report *check.Report) error {
	err := report.Err(p.config.failOn)
	var failure *check.Failure
	if p.config.OnFailure == "warn" && errors.As(err, &failure) && failure.OnlyFailed {
		ui.Error("Warning: the build goes on, because on_failure is warn; the image does not count as tested")
		return nil
	}
	return err
}

// mounted tells whether the builder has mounted the image in a chroot. Such a
// builder has a mount path and no connection, which any other has.
func mounted(data map[string]any) bool {
	path, _ := data["MountPath"].(string)
	connection, _ := data["ConnType"].(string)
	return path != "" && connection == ""
}

// covered are the files of the builder's sandbox that lie over the image's own.
func covered(data map[string]any) ([]check.Covered, error) {
	text, _ := data[handoff.CoveredKey].(string)
	files, err := handoff.DecodeCovered(text)
	if err != nil {
		return nil, fmt.Errorf("see the image without the builder's files: %w", err)
	}
	list := make([]check.Covered, len(files))
	for i, f := range files {
		list[i] = check.Covered{Path: f.Path, SHA256: f.SHA256, Under: f.Under}
	}
	return list, nil
}

// write writes the report's files.
func (p *Provisioner) write(report *check.Report) error {
	var errs *packersdk.MultiError
	for _, file := range []struct {
		option, name string
		save         func(string) error
	}{
		{"junit", p.config.JUnit, report.SaveJUnit}, {"json", p.config.JSON, report.SaveJSON},
		{"tap", p.config.TAP, report.SaveTAP}, {"deferred", p.config.Deferred, report.SaveDeferred},
	} {
		if file.name == "" {
			continue
		}
		if err := file.save(file.name); err != nil {
			errs = packersdk.MultiErrorAppend(errs, fmt.Errorf("%s: %w", file.option, err))
		}
	}
	if errs != nil {
		return errs
	}
	return nil
}

// handOver leaves the results where bakery-lineage finds them. A suite of which
// nothing was decided has no result.
func (p *Provisioner) handOver(report *check.Report, data map[string]any) error {
	bakeID, _ := data[handoff.BakeIDKey].(string)
	build := handoff.ThisBuild(p.config.PackerBuildName)
	earlier, err := build.Results(bakeID)
	if err != nil {
		return err
	}
	for _, suite := range report.Suites {
		outcome, decided := suite.Outcome(p.config.failOn)
		if !decided {
			continue
		}
		result := handoff.Result{
			BakeID: bakeID, Suite: distinctName(suite, earlier), SuiteDigest: suite.Digest, Mode: string(report.Mode), Outcome: string(outcome),
			Tool: "bakery-spec " + version.PluginVersion.FormattedVersion(), Started: report.Started, Seconds: report.Took.Seconds(),
		}
		for _, r := range suite.Results {
			c := handoff.Check{ID: r.ID(), Outcome: string(r.Outcome)}
			if r.Outcome != check.Passed {
				c.Message = r.Message()
			}
			result.Checks = append(result.Checks, c)
		}
		if err := build.Put(result); err != nil {
			return err
		}
	}
	return nil
}

// distinctName is the name under which a suite's results are recorded. Blocks of
// a second provisioner of the build make another suite than those of the first;
// the same blocks, run again, make the same.
func distinctName(suite check.SuiteReport, earlier []handoff.Result) string {
	digests := map[string]string{}
	for _, r := range earlier {
		digests[r.Suite] = r.SuiteDigest
	}
	name := suite.Name
	for n := 2; ; n++ {
		if before, taken := digests[name]; !taken || before == suite.Digest || suite.File != "" {
			return name
		}
		name = fmt.Sprintf("%s-%d", suite.Name, n)
	}
}
