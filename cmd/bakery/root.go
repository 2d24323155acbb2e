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

Commands that a program may read take --output json. Set BAKERY_LOG=1 to see what
is done on the way.

Exit codes: 0 done, 1 could not be done, 2 wrong usage, 130 interrupted.`,
		Example: `  bakery local import disk.raw --name debian-12   a disk to start from
  bakery images tree                              what was baked from what
  bakery promote ami-0123456789abcdef0 --channel stable
  bakery revoke ami-0123456789abcdef0 --reason CVE-2026-1234 --dry-run
  bakery outdated                                 what to bake again`,
		Version:       version.PluginVersion.FormattedVersion(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noSuchCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see '%s --help'", err, cmd.CommandPath())}
	})
	for _, group := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"What there is:", []*cobra.Command{newImagesCommand(), newOutdatedCommand(), newRegistryCommand()}},
		{"What is decided about an image:", newDecisionCommands()},
		{"Tests:", []*cobra.Command{newSpecCommand(), newTestCommand()}},
		{"This machine:", []*cobra.Command{newLocalCommand(), newReapCommand()}},
	} {
		root.AddGroup(&cobra.Group{ID: group.title, Title: group.title})
		for _, command := range group.commands {
			command.GroupID = group.title
		}
		root.AddCommand(group.commands...)
	}
	root.AddCommand(newVersionCommand())
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

// upToOneArg wants one argument or none.
func upToOneArg(cmd *cobra.Command, args []string) error {
	if len(args) <= 1 {
		return nil
	}
	return usageError{fmt.Errorf("'%s' takes one argument at most, got %d; see '%s --help'", cmd.UseLine(), len(args), cmd.CommandPath())}
}
