package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/imagebakery/packer-plugin-bakery/internal/serverspec"
)

func newSpecConvertCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "convert FILE_spec.rb",
		Short: "Turn a Serverspec file into a suite file",
		Long: `Turn a Serverspec file into a suite file: describe blocks about files, packages,
services, users, groups, commands, ports, processes, hosts, cron jobs, interfaces,
mounts, kernel modules and parameters, and SELinux; with it and its, should,
is_expected and expect, conditions on os[:family], and loops over lists of words.

What only a booted system can answer, such as be_running, gets requires = "boot".
What cannot be turned stays as a comment, with its line and the reason.

Exit codes: 0 all of it was turned, 1 something was not, 2 wrong usage.`,
		Example: `  bakery spec convert spec/base_spec.rb --out base.spec.hcl
  bakery spec check base.spec.hcl`,
		Args: exactArgs(1),
	}
	var file string
	cmd.Flags().StringVar(&file, "out", "", "file to write to (default: the terminal)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		source, err := os.ReadFile(args[0])
		if err != nil {
			return err
		}
		suite := serverspec.Convert(filepath.Base(args[0]), string(source))
		if file != "" {
			err = os.WriteFile(file, []byte(suite.Text), 0o644)
		} else {
			_, err = fmt.Fprint(cmd.OutOrStdout(), suite.Text)
		}
		if err != nil {
			return err
		}
		for _, left := range suite.Left {
			cmd.PrintErrf("%s:%d: %s\n", args[0], left.Line, left.Why)
		}
		if parts := len(suite.Left); parts > 0 {
			return fmt.Errorf("%s: not all of it was converted: what was not is in comments (%d)", args[0], parts)
		}
		if suite.Blocks == 0 {
			return fmt.Errorf("%s: there is no check in it", args[0])
		}
		return nil
	}
	return cmd
}
