package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/imagebakery/packer-plugin-bakery/internal/localcloud"
)

// latencyRow is a line of `bakery local latency --output json`, in seconds.
type latencyRow struct {
	Action    string  `json:"action,omitempty"` // without: any other
	Answer    float64 `json:"answer"`
	Settle    float64 `json:"settle"`
	PerGiB    float64 `json:"settle_per_gib,omitempty"`
	Published string  `json:"published,omitempty"`
	Assumed   string  `json:"assumed,omitempty"`
}

func newLocalLatency() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "latency",
		Short: "Show the delays of --latency aws, and what each rests on",
		Long: `Shows how long the local cloud takes with --latency aws: until a call is answered,
and from then until the resource is ready. What is published is named with its
source; all else is assumed, and nothing was measured against AWS.`,
		Example: `  bakery local latency`,
		Args:    exactArgs(0),
	}
	output := addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *output == outputJSON {
			var rows []latencyRow
			for _, d := range localcloud.AWSDelays() {
				rows = append(rows, latencyRow{
					Action: d.Action, Answer: d.Answer.Seconds(), Settle: d.Settle.Seconds(), PerGiB: d.PerGiB.Seconds(),
					Published: d.Published, Assumed: d.Assumed,
				})
			}
			return writeJSON(cmd.OutOrStdout(), rows)
		}
		var rows [][]string
		for _, d := range localcloud.AWSDelays() {
			action, settle := d.Action, short(d.Settle)
			if action == "" {
				action = "any other"
			}
			if d.PerGiB > 0 {
				settle += fmt.Sprintf(" + %s/GiB", short(d.PerGiB))
			}
			rows = append(rows, []string{action, short(d.Answer), settle, d.Basis()})
		}
		return writeTable(cmd.OutOrStdout(), []string{"ACTION", "ANSWER", "SETTLED AFTER", "BASIS"}, rows)
	}
	return cmd
}

// short writes a duration as people do: 150 ms, 3 s.
func short(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%g s", d.Seconds())
}
