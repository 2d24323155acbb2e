package lineage

import (
	"fmt"

	"github.com/imagebakery/packer-plugin-bakery/internal/handoff"
	"github.com/imagebakery/packer-plugin-bakery/registry"
)

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
