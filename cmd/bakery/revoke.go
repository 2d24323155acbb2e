package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

func newRevokeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke IMAGE --reason REASON",
		Short: "Forbid to use an image and all that was baked from it",
		Long: `Forbid to use an image and all that was baked from it, now or later. The images
that this reaches are listed first; --dry-run lists them and records nothing.

It counts from its moment on, for every reader, also for images that are baked
from it or registered in between. 'bakery images outdated' tells what to bake
again, 'bakery restore' takes the revocation back.`,
		Example: `  bakery revoke ami-0123456789abcdef0 --reason CVE-2026-1234 --dry-run
  bakery revoke ami-0123456789abcdef0 --reason CVE-2026-1234 --at +72h`,
	}
	d := newDecision(cmd, "why (required)")
	at := addAtFlag(cmd)
	dryRun := cmd.Flags().Bool("dry-run", false, "only list what would be revoked")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, out := cmd.Context(), cmd.OutOrStdout()
		wrong := at.check()
		if !*dryRun {
			wrong = errors.Join(d.needReason(), wrong)
		}
		if wrong != nil {
			return usageError{wrong}
		}
		open := changeRegistry
		if *dryRun {
			open = lookInto
		}
		return open(ctx, d.spec, func(reg *registry.Registry) error {
			tree, err := reg.Descendants(ctx, args[0])
			if err != nil {
				return withRemedy(ctx, reg, args[0], err)
			}
			affected := tree.Below()
			if *d.output == outputJSON && *dryRun {
				return writeJSON(out, decided{Image: tree.View, Affected: affected, DryRun: true})
			}
			if *d.output != outputJSON {
				if err := writeReach(cmd, tree, len(affected)); err != nil || *dryRun {
					return err
				}
			}
			if err := mark(ctx, reg, tree.View, registry.MarkRevoked, d.reason, at.time); err != nil {
				return err
			}
			return d.write(ctx, reg, tree.ID, affected)
		})
	}
	return cmd
}

// writeReach lists what a revocation reaches.
func writeReach(cmd *cobra.Command, tree registry.Tree, below int) error {
	out := cmd.OutOrStdout()
	title := fmt.Sprintf("This revokes %s and the %d image(s) that were baked from it:", tree.Image, below)
	if below == 0 {
		title = fmt.Sprintf("This revokes %s; nothing was baked from it:", tree.Image)
	}
	if _, err := fmt.Fprintln(out, title); err != nil {
		return err
	}
	return writeTree(out, []registry.Tree{tree})
}

// restorable are the marks that restore can take back. Promotions are taken back
// by demote.
var restorable = []registry.MarkKind{
	registry.MarkRevoked, registry.MarkDeprecated, registry.MarkRetired, registry.MarkHeld,
}

func newRestoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore IMAGE",
		Short: "Take back that an image was revoked or deprecated",
		Long: `Take back that an image was revoked or deprecated, scheduled marks included; with
--mark, another mark. What the image has from an ancestor is taken back there.
The history keeps both.`,
		Example: `  bakery restore ami-0123456789abcdef0 --reason 'was a false alarm'
  bakery restore ami-0123456789abcdef0 --mark held`,
	}
	d := newDecision(cmd, "why, for the history")
	kinds := cmd.Flags().StringSlice("mark", []string{"revoked", "deprecated"}, "marks to take back: revoked, deprecated, retired, held")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		for _, kind := range *kinds {
			if !slices.Contains(restorable, registry.MarkKind(kind)) {
				return usageError{fmt.Errorf("--mark is %q; want one of %v", kind, restorable)}
			}
		}
		ctx := cmd.Context()
		return changeRegistry(ctx, d.spec, func(reg *registry.Registry) error {
			view, err := resolve(ctx, reg, args[0])
			if err != nil {
				return err
			}
			taken := 0
			for _, kind := range *kinds {
				n, err := reg.Clear(ctx, view.ID, registry.MarkKind(kind), d.reason)
				if err != nil {
					return err
				}
				taken += n
			}
			if taken == 0 {
				return fmt.Errorf("restore %s: no mark %s stands on it: it is %s: %s",
					view.Image, strings.Join(*kinds, " or "), view.Status, view.Reason)
			}
			return d.write(ctx, reg, view.ID, nil)
		})
	}
	return cmd
}
