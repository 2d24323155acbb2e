package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// newDecisionCommands returns the commands that record a decision about an
// image.
func newDecisionCommands() []*cobra.Command {
	return []*cobra.Command{
		newPromoteCommand(), newDemoteCommand(), newDeprecateCommand(), newRevokeCommand(),
		newRetireCommand(), newHoldCommand(), newRestoreCommand(),
	}
}

// decided is what these commands write as JSON.
type decided struct {
	Image    registry.View   `json:"image"`              // as it is afterwards
	Affected []registry.View `json:"affected,omitempty"` // what was baked from it, as it was before
	DryRun   bool            `json:"dry_run,omitempty"`  // nothing was recorded
}

// decision is a command on one image. Its flags are those that all of them
// have, and its own.
type decision struct {
	cmd    *cobra.Command
	spec   string
	reason string
	output *outputFormat
}

func newDecision(cmd *cobra.Command, reason string) *decision {
	d := &decision{cmd: cmd}
	cmd.Args = exactArgs(1)
	d.output = addOutputFlag(cmd)
	addRegistryFlag(cmd.Flags(), &d.spec)
	cmd.Flags().StringVar(&d.reason, "reason", "", reason)
	return d
}

// on makes the command do decide to the image that it names, and write how the
// image stands then.
func (d *decision) on(check func() error, decide func(ctx context.Context, reg *registry.Registry, view registry.View) error) {
	d.cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		if check != nil {
			if err := check(); err != nil {
				return usageError{err}
			}
		}
		return changeRegistry(ctx, d.spec, func(reg *registry.Registry) error {
			view, err := resolve(ctx, reg, args[0])
			if err != nil {
				return err
			}
			if err := decide(ctx, reg, view); err != nil {
				return err
			}
			return d.write(ctx, reg, view.ID, nil)
		})
	}
}

// write says how the image stands now.
func (d *decision) write(ctx context.Context, reg *registry.Registry, id string, affected []registry.View) error {
	view, err := reg.Resolve(ctx, id)
	if err != nil {
		return err
	}
	out := d.cmd.OutOrStdout()
	if *d.output == outputJSON {
		return writeJSON(out, decided{Image: view, Affected: affected})
	}
	return writeStanding(out, view)
}

func writeStanding(w io.Writer, view registry.View) error {
	also := ""
	if view.Held != nil {
		also += ", held"
	}
	if view.Revoked == nil && !view.RevokeAt.IsZero() {
		also += ", to be revoked " + when(view.RevokeAt)
	}
	_, err := fmt.Fprintf(w, "%s is %s%s: %s\n", view.Image, statusOf(view.State), also, view.Reason)
	return err
}

func (d *decision) needReason() error {
	if strings.TrimSpace(d.reason) == "" {
		return errors.New("--reason is missing: say why, for those who will find the image like this")
	}
	return nil
}

func newPromoteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "promote IMAGE --channel CHANNEL",
		Short: "Make an image the head of a channel of its line",
		Long: `Make an image the head of a channel, such as stable, of its line: of the images
of the same application, layer, environment, release and architecture. The image
must be tested and usable.

When someone else moves the channel at the same moment, one of both is refused.`,
		Example: `  bakery promote ami-0123456789abcdef0 --channel stable`,
	}
	var channel, expect string
	d := newDecision(cmd, "why, for the history")
	cmd.Flags().StringVar(&channel, "channel", "", "channel to move (required)")
	cmd.Flags().StringVar(&expect, "replaces", "", "refuse when the head of the channel is another image than this; \"none\" for a channel without head")
	d.on(func() error { return needChannel(channel) }, func(ctx context.Context, reg *registry.Registry, view registry.View) error {
		head, err := reg.Channel(ctx, view.Line(), channel)
		if err != nil && !errors.Is(err, registry.ErrNotFound) {
			return err
		}
		if err := checkHead(ctx, reg, head, expect); err != nil {
			return fmt.Errorf("promote %s to %s: %w", view.Image, channel, err)
		}
		_, err = reg.Promote(ctx, view.ID, channel, head.Revision, d.reason)
		if errors.Is(err, registry.ErrConflict) {
			return fmt.Errorf("%w; look at 'bakery images ls --channel %s' and decide again", err, channel)
		}
		return err
	})
	return cmd
}

// checkHead compares the head of a channel with the image that it is expected
// to be, if any is.
func checkHead(ctx context.Context, reg *registry.Registry, head registry.Channel, expect string) error {
	if expect == "" {
		return nil
	}
	var now string
	if head.Image != "" {
		view, err := reg.Resolve(ctx, head.Image)
		if err != nil {
			return err
		}
		if view.Heads(head.Name) {
			now = view.ID
		}
	}
	if expect == "none" {
		if now == "" {
			return nil
		}
		return fmt.Errorf("the channel has a head, %s: %w", now, registry.ErrConflict)
	}
	want, err := resolve(ctx, reg, expect)
	if err != nil {
		return fmt.Errorf("--replaces: %w", err)
	}
	if want.ID != now {
		return fmt.Errorf("the head of the channel is %s, not %s: %w", orDash(now), want.Image, registry.ErrConflict)
	}
	return nil
}

func orDash(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func needChannel(channel string) error {
	if channel == "" {
		return errors.New("--channel is missing; name one, such as --channel stable")
	}
	return nil
}

func newDemoteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demote IMAGE --channel CHANNEL",
		Short: "Take an image out of a channel that it is the head of",
		Long: `Take an image out of a channel that it is the head of. The channel has no head
then: nothing is found in it until an image is promoted to it. To go back to an
earlier image, promote that one instead.`,
		Example: `  bakery demote ami-0123456789abcdef0 --channel stable --reason "breaks logins"`,
	}
	var channel string
	d := newDecision(cmd, "why, for the history")
	cmd.Flags().StringVar(&channel, "channel", "", "channel to leave (required)")
	d.on(func() error { return needChannel(channel) }, func(ctx context.Context, reg *registry.Registry, view registry.View) error {
		return reg.Demote(ctx, view.ID, channel, d.reason)
	})
	return cmd
}

func newDeprecateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deprecate IMAGE",
		Short: "Say that an image was replaced: bakery-ancestor does not return it",
		Long: `Say that an image was replaced by something newer. bakery-ancestor does not
return it from then on. What was baked from it is not touched.`,
		Example: `  bakery deprecate ami-0123456789abcdef0 --reason "replaced by 1.5" --at +72h`,
	}
	d := newDecision(cmd, "why, such as what replaces it")
	at := addAtFlag(cmd)
	d.on(at.check, func(ctx context.Context, reg *registry.Registry, view registry.View) error {
		return mark(ctx, reg, view, registry.MarkDeprecated, d.reason, at.time)
	})
	return cmd
}

func newRetireCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "retire IMAGE",
		Short: "Record that an image is gone from its cloud",
		Long: `Record that an image is gone from its cloud, in all regions. The record stays, so
that the lineage of what was baked from it does not dangle. Nothing is removed
from the cloud.`,
		Example: `  bakery retire ami-0123456789abcdef0 --reason "deregistered by hand"`,
	}
	d := newDecision(cmd, "why, for the history")
	d.on(nil, func(ctx context.Context, reg *registry.Registry, view registry.View) error {
		if view.Held != nil {
			return fmt.Errorf("retire %s: it is held: %s; end that first: bakery restore --mark held", view.Image, view.Held.Reason)
		}
		return mark(ctx, reg, view, registry.MarkRetired, d.reason, time.Time{})
	})
	return cmd
}

func newHoldCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hold IMAGE",
		Short: "Protect an image from cleaning up",
		Long: `Protect an image from cleaning up: 'bakery local rm' and 'bakery retire' refuse it.
'bakery restore --mark held' ends that.`,
		Example: `  bakery hold ami-0123456789abcdef0 --reason "evidence of OPS-1234"`,
	}
	d := newDecision(cmd, "why (required)")
	d.on(d.needReason, func(ctx context.Context, reg *registry.Registry, view registry.View) error {
		return mark(ctx, reg, view, registry.MarkHeld, d.reason, time.Time{})
	})
	return cmd
}

func mark(ctx context.Context, reg *registry.Registry, view registry.View, kind registry.MarkKind, reason string, at time.Time) error {
	_, err := reg.Mark(ctx, registry.Mark{Image: view.ID, Kind: kind, Reason: reason, EffectiveAt: at})
	return err
}

// atFlag is the flag --at: when a mark begins to count.
type atFlag struct {
	text string
	time time.Time
}

func addAtFlag(cmd *cobra.Command) *atFlag {
	at := &atFlag{}
	cmd.Flags().StringVar(&at.text, "at", "",
		"when it begins to count: 2026-03-01T12:00:00Z, 2026-03-01 (its first moment, UTC) or +72h from now (default: at once)")
	return at
}

// check reads the flag.
func (a *atFlag) check() error {
	if a.text == "" {
		return nil
	}
	now := time.Now()
	if after, ok := strings.CutPrefix(a.text, "+"); ok {
		d, err := time.ParseDuration(after)
		if err != nil || d <= 0 {
			return fmt.Errorf("--at is %q; after the + write a duration such as 72h", a.text)
		}
		a.time = now.Add(d)
		return nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, a.text); err == nil {
			if t.Before(now) {
				return fmt.Errorf("--at %s is past; leave it out, and it counts at once", a.text)
			}
			a.time = t
			return nil
		}
	}
	return fmt.Errorf("--at is %q; write 2026-03-01T12:00:00Z, 2026-03-01 or +72h", a.text)
}
