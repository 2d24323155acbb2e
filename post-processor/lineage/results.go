package lineage

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/imagebakery/packer-plugin-bakery/internal/handoff"
	"github.com/imagebakery/packer-plugin-bakery/internal/junit"
	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// results are what bakery-spec has handed over for a bake, and what the reports
// say that the template names.
func (p *PostProcessor) results(ui packersdk.Ui, build handoff.Build, bake registry.Bake) ([]registry.TestResult, error) {
	handed, err := build.Results(bake.ID)
	if err != nil {
		return nil, err
	}
	var results []registry.TestResult
	for _, one := range handed {
		result, decided, err := testResult(one)
		if err != nil {
			return nil, err
		}
		if !decided {
			ui.Say(fmt.Sprintf("Suite %s decided nothing in this bake: all its checks are put off. It is not recorded.", result.Title()))
			continue
		}
		results = append(results, result)
	}
	for _, path := range p.config.JUnit {
		reported, err := readReport(path, bake.StartedAt)
		if err != nil {
			return nil, fmt.Errorf("junit: %w", err)
		}
		results = append(results, reported...)
	}
	var notPassed []string
	for _, result := range results {
		if result.Outcome != registry.Passed {
			notPassed = append(notPassed, fmt.Sprintf("%s ended as %s", result.Title(), result.Outcome))
		}
	}
	switch {
	case p.config.RequireTests && len(results) == 0:
		return nil, errors.New("require_tests is set and no test result was handed over; add a bakery-spec provisioner to the build")
	case p.config.RequireTests && len(notPassed) > 0:
		return nil, fmt.Errorf("require_tests is set and suite %s", strings.Join(notPassed, ", suite "))
	}
	return results, nil
}

// readReport reads a JUnit report of tests of a bake that began at the given
// time, which may be unknown.
func readReport(path string, began time.Time) ([]registry.TestResult, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	// What a build before this one has left there tells of another image.
	if info.ModTime().Before(began) {
		return nil, fmt.Errorf("%s is of %s, before the bake began: it is no report of this image",
			path, info.ModTime().Format(time.RFC3339))
	}
	return junit.Results(path, "")
}

// testResult puts what bakery-spec handed over into the registry's words.
// decided is false when no check of the suite was decided in this run, all of
// them being put off: then there is no result to record.
func testResult(r handoff.Result) (result registry.TestResult, decided bool, err error) {
	result = registry.TestResult{
		Suite: r.Suite, SuiteDigest: r.SuiteDigest, Mode: r.Mode, Outcome: registry.Outcome(r.Outcome),
		Tool: r.Tool, StartedAt: r.Started, Seconds: r.Seconds,
	}
	for _, check := range r.Checks {
		switch check.Outcome {
		case "passed":
			result.Counts.Passed++
		case "failed":
			result.Counts.Failed++
		case "error":
			result.Counts.Errors++
		case "deferred", "waived":
			result.Counts.Skipped++
		default:
			return registry.TestResult{}, false, fmt.Errorf("suite %s: check %s ended as %q, which is none of passed, failed, error, deferred, waived",
				r.Suite, check.ID, check.Outcome)
		}
		if check.Outcome == "failed" || check.Outcome == "error" {
			result.Problems = append(result.Problems, registry.Problem{
				Check: check.ID, Outcome: registry.Outcome(check.Outcome), Message: check.Message,
			})
		}
	}
	c := result.Counts
	return result, result.Outcome != registry.Passed || c.Passed+c.Failed+c.Errors > 0, nil
}
