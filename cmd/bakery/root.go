package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/imagebakery/packer-plugin-bakery/version"
)

// usageError is a command line that cannot be carried out as it stands.
type usageError struct{ error }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "bakery",
		Short: "Look after baked machine images: the local cloud, the registry, cleaning up",
		Long: `bakery is the companion of the Packer plugin of the same name.

  bakery local    the local cloud: EC2 and EBS on this machine's files
  bakery images   the registry: images, their lineage and their tests
  bakery registry make a registry, copy one to another
  bakery promote, demote, deprecate, revoke, retire, hold, restore
                  decisions about an image, recorded in the registry
  bakery outdated what to bake again, in the order to do it in
  bakery test     record the tests of an image from a JUnit report
  bakery spec     suite files: validate them, run them without Packer
  bakery reap     remove what crashed bakes left behind

Set BAKERY_LOG=1 to see what is done on the way.
Exit codes: 0 done, 1 could not be done, 2 wrong usage, 130 interrupted.`,
		Version:       version.PluginVersion.FormattedVersion(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noSuchCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see '%s --help'", err, cmd.CommandPath())}
	})
	root.AddCommand(newLocalCommand(), newImagesCommand(), newReapCommand(), newSpecCommand())
	root.AddCommand(newRegistryCommand(), newTestCommand(), newOutdatedCommand())
	root.AddCommand(newDecisionCommands()...)
	return root
}

// noSuchCommand refuses words that no subcommand of a group has claimed.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usageError{fmt.Errorf("%q is no command of '%s'; see '%s --help'", args[0], cmd.CommandPath(), cmd.CommandPath())}
}

// exactArgs wants n arguments, named as in the command's usage line.
func exactArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return usageError{fmt.Errorf("'%s' takes %d argument(s), got %d; see '%s --help'",
			cmd.UseLine(), n, len(args), cmd.CommandPath())}
	}
}
