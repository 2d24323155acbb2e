package spec

import (
	"fmt"
	"strings"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/imagebakery/packer-plugin-bakery/internal/check"
)

// show tells people what a run found.
func show(ui packersdk.Ui, report *check.Report, failOn check.Severity) {
	for _, warning := range report.Warnings {
		ui.Error("Warning: " + warning)
	}
	for _, suite := range report.Suites {
		for _, r := range suite.Results {
			switch r.Outcome {
			case check.Failed, check.Errored:
				lines := r.Details()
				if r.Severity < failOn {
					lines += fmt.Sprintf("\n  severity: %s, below fail_on", r.Severity)
				}
				ui.Error(lines)
			case check.Waived:
				ui.Say(fmt.Sprintf("waived %s: %s", r.ID(), r.Note))
			case check.Deferred:
				ui.Say(fmt.Sprintf("deferred %s: needs a booted system", r.ID()))
			}
		}
	}
	for _, suite := range report.Suites {
		ui.Say(suite.Summary())
	}
	ui.Say(report.Summary())
}

// checksOf says how many checks a plan has.
func checksOf(plan *check.Plan) string {
	if plan.NeedsFacts() {
		return "as many checks as apply to it"
	}
	return check.CountChecks(plan.Len())
}

// suiteNames lists the suites of a plan with more than the template's own.
func suiteNames(plan *check.Plan) string {
	var names []string
	for _, s := range plan.Suites {
		if s.File != "" {
			names = append(names, s.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " (suites: " + strings.Join(names, ", ") + ")"
}
