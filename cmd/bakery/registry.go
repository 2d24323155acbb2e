package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/imagebakery/packer-plugin-bakery/internal/stores"
	"github.com/imagebakery/packer-plugin-bakery/registry"
)

func newRegistryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "registry",
		Short: "Registries themselves: make one, copy one",
		Args:  noSuchCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRegistryInitCommand(), newRegistryCopyCommand())
	return cmd
}

func newRegistryInitCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init [REGISTRY]",
		Short: "Make a registry: a DynamoDB table or a file",
		Long: `Make the registry REGISTRY, sqlite:PATH or dynamodb://TABLE?region=REGION, or the
default one. One that exists is left as it is, and so is one in tags, in which
there is nothing to make.

A table is billed per request, protected against deletion, and backed up
continuously. That needs the permissions dynamodb:CreateTable, DescribeTable,
TagResource, UpdateContinuousBackups, GetItem, PutItem and Scan; using it needs
GetItem, BatchGetItem, Query, PutItem, UpdateItem, DeleteItem and
ConditionCheckItem.`,
		Example: `  bakery registry init 'dynamodb://images?region=eu-west-1'`,
		Args:    upToOneArg,
	}
	output := addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		spec, err := stores.Resolve(append(args, "")[0])
		if err != nil {
			return usageError{err}
		}
		name, created, err := stores.Init(cmd.Context(), spec)
		if err != nil {
			return err
		}
		if *output == outputJSON {
			return writeJSON(cmd.OutOrStdout(), struct {
				Registry string `json:"registry"`
				Created  bool   `json:"created"`
			}{name, created})
		}
		verb := "Made"
		if !created {
			verb = "Was there before:"
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", verb, name)
		return err
	}
	return cmd
}

func newRegistryCopyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "copy FROM TO",
		Short: "Copy all that one registry holds to another",
		Long: `Copy all that one registry holds to another, which must exist: images, results,
marks, channels and history. What TO has already stays; a copy that was
interrupted is finished by the next. A channel that both have moved is refused.`,
		Example: `  bakery registry init 'dynamodb://images?region=eu-west-1'
  bakery registry copy sqlite:registry.db 'dynamodb://images?region=eu-west-1'`,
		Args: exactArgs(2),
	}
	output := addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		var specs [2]string
		for n := range specs {
			if specs[n], err = stores.Resolve(args[n]); err != nil || args[n] == "" {
				return usageError{errors.Join(err, emptyArgument(args[n]))}
			}
		}
		if specs[0] == specs[1] {
			return usageError{fmt.Errorf("%s is FROM and TO", specs[0])}
		}
		ctx := cmd.Context()
		from, err := stores.OpenForReading(ctx, specs[0])
		if err != nil {
			return err
		}
		defer from.Close() //nolint:errcheck // it was only read
		// A missing one is not made: a wrong name would become a registry.
		check, err := stores.OpenForReading(ctx, specs[1])
		if err != nil {
			return fmt.Errorf("%w; 'bakery registry init' makes it", err)
		}
		if err := check.Close(); err != nil {
			return err
		}
		to, err := stores.Open(ctx, specs[1])
		if err != nil {
			return err
		}
		done := working(cmd, fmt.Sprintf("Copying %s to %s", specs[0], specs[1]))
		copied, err := registry.Copy(ctx, to, from)
		done()
		if err = errors.Join(err, to.Close()); err != nil {
			return err
		}
		if *output == outputJSON {
			return writeJSON(cmd.OutOrStdout(), copied)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "Copied %d images, %d results, %d marks, %d channels and %d events to %s\n",
			copied.Images, copied.Results, copied.Marks, copied.Channels, copied.Events, specs[1])
		return err
	}
	return cmd
}

func emptyArgument(s string) error {
	if s == "" {
		return errors.New("a registry is named by an empty text")
	}
	return nil
}
