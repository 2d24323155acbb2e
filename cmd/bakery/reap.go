package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/imagebakery/packer-plugin-bakery/internal/access"
	"github.com/imagebakery/packer-plugin-bakery/internal/home"
	"github.com/imagebakery/packer-plugin-bakery/internal/journal"
	"github.com/imagebakery/packer-plugin-bakery/internal/reap"
)

// reaped is what `bakery reap --output json` writes.
type reaped struct {
	Bakes   int              `json:"bakes"`
	Removed []reapedResource `json:"removed"`
}

type reapedResource struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

func newReapCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reap",
		Short: "Remove what crashed bakes of this host left behind",
		Long: `Remove the mounts, volumes, snapshots and images of bakes that were killed on
this host before they could clean up. Bakes that are running are left alone.

The next bake of the host does the same by itself.`,
		Args: exactArgs(0),
	}
	format := addOutputFlag(cmd)
	kept := cmd.Flags().Bool("kept", false, "also bakes that -on-error=abort has kept for a look")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		dir, err := home.Path("journal")
		if err != nil {
			return err
		}
		result := reaped{Removed: []reapedResource{}}
		result.Bakes, err = reap.Orphans(cmd.Context(), dir, *kept, access.Connect, func(kind journal.Kind, id string) {
			result.Removed = append(result.Removed, reapedResource{string(kind), id})
		})
		if writeErr := writeReaped(cmd, *format, result); writeErr != nil {
			return writeErr
		}
		return err
	}
	return cmd
}

func writeReaped(cmd *cobra.Command, format outputFormat, result reaped) error {
	out := cmd.OutOrStdout()
	if format == outputJSON {
		return writeJSON(out, result)
	}
	if len(result.Removed) == 0 {
		_, err := fmt.Fprintf(out, "Nothing to remove (%d crashed bakes).\n", result.Bakes)
		return err
	}
	rows := make([][]string, len(result.Removed))
	for i, r := range result.Removed {
		rows[i] = []string{r.Kind, r.ID}
	}
	return writeTable(out, []string{"REMOVED", "ID"}, rows)
}
