package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/imagebakery/packer-plugin-bakery/version"
)

// about is what `bakery version` says of the program.
type about struct {
	Version string `json:"version"` // semantic version; of a development build with -dev
	Go      string `json:"go"`
	System  string `json:"system"` // as in linux/amd64
}

func newVersionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Say which version this is",
		Example: `  bakery version --output json`,
		Args:    exactArgs(0),
	}
	output := addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		this := about{version.PluginVersion.String(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
		if *output == outputJSON {
			return writeJSON(cmd.OutOrStdout(), this)
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "bakery %s, built with %s for %s\n", this.Version, this.Go, this.System)
		return err
	}
	return cmd
}
