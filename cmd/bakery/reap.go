package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/imagebakery/packer-plugin-bakery/internal/access"
	"github.com/imagebakery/packer-plugin-bakery/internal/home"
	"github.com/imagebakery/packer-plugin-bakery/internal/journal"
	"github.com/imagebakery/packer-plugin-bakery/internal/reap"
)

// reaped is what `bakery reap --output json` writes.
type reaped struct {
	DryRun  bool             `json:"dry_run"` // removed is what would be
	Bakes   int              `json:"bakes"`
	Removed []reapedResource `json:"removed"`
}

type reapedResource struct {
	Kind     string    `json:"kind"`
	ID       string    `json:"id"`
	Region   string    `json:"region,omitempty"` // of what was found in a region
	Bake     string    `json:"bake,omitempty"`
	LastSeen time.Time `json:"last_seen,omitzero"`
}

// reapOptions are the flags of `bakery reap`.
type reapOptions struct {
	cloud   string
	regions []string
	minAge  time.Duration
	kept    bool
	dryRun  bool
}

func newReapCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reap",
		Short: "Remove what crashed bakes left behind",
		Long: `Remove the mounts, volumes, snapshots and images of bakes that were killed on
this host before they could clean up. Bakes that are running are left alone.

The next bake of the host does the same by itself.

With --region, also what bakes of other hosts have left in that region of the
account. Everything that a bake creates carries a tag with the time of its last
sign of life, which running bakes renew every five minutes: what was silent for
--min-age is removed. Finished images, and what something else than a bake made,
are never touched. See first what would be removed with --dry-run.`,
		Example: `  bakery reap
  bakery reap --region eu-west-1 --min-age 3h --dry-run`,
		Args: exactArgs(0),
	}
	format := addOutputFlag(cmd)
	o := new(reapOptions)
	flags := cmd.Flags()
	flags.BoolVar(&o.kept, "kept", false, "also bakes that -on-error=abort has kept for a look")
	flags.BoolVar(&o.dryRun, "dry-run", false, "show what would be removed, and remove nothing")
	flags.StringSliceVar(&o.regions, "region", nil, "also what bakes of other hosts have left in this region (repeatable)")
	flags.StringVar(&o.cloud, "cloud", "", "where --region is: aws or local (default $"+access.CloudEnv+", else aws)")
	flags.DurationVar(&o.minAge, "min-age", time.Hour, "with --region: how long a bake has to be silent, at least "+reap.MinAge.String())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.minAge < reap.MinAge {
			return usageError{fmt.Errorf("--min-age is %v; a running bake may be silent for nearly %v, so write at least that", o.minAge, reap.MinAge)}
		}
		done := working(cmd, "Looking for what is left behind")
		result, err := o.reap(cmd.Context())
		done()
		return errors.Join(writeReaped(cmd, *format, result), err)
	}
	return cmd
}

func (o *reapOptions) reap(ctx context.Context) (reaped, error) {
	result := reaped{DryRun: o.dryRun, Removed: []reapedResource{}}
	dir, err := home.Path("journal")
	if err != nil {
		return result, err
	}
	add := func(kind journal.Kind, id string) {
		result.Removed = append(result.Removed, reapedResource{Kind: string(kind), ID: id})
	}
	if o.dryRun {
		result.Bakes, err = reap.List(dir, o.kept, add)
	} else {
		result.Bakes, err = reap.Orphans(ctx, dir, o.kept, access.Connect, add)
	}
	errs := []error{err}
	here, err := bakesOfHost(dir)
	errs = append(errs, err)
	if err != nil {
		return result, errors.Join(errs...)
	}
	for _, region := range o.regions {
		if err := o.reapRegion(ctx, region, here, &result); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", region, err))
		}
	}
	return result, errors.Join(errs...)
}

// reapRegion removes what bakes of other hosts have left in a region.
func (o *reapOptions) reapRegion(ctx context.Context, region string, here []string, result *reaped) error {
	config := access.Config{Cloud: o.cloud, Region: region}
	if err := errors.Join(config.Prepare()...); err != nil {
		return usageError{err}
	}
	client, err := config.Client(ctx, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	found, err := reap.Abandoned(ctx, client, o.minAge, o.kept, func(bake string) bool { return slices.Contains(here, bake) })
	if err != nil {
		return err
	}
	bakes := map[string]bool{}
	add := func(l reap.Leftover) {
		bakes[l.Bake] = true
		result.Removed = append(result.Removed, reapedResource{string(l.Kind), l.ID, l.Region, l.Bake, l.LastSeen})
	}
	if o.dryRun {
		for _, l := range found {
			add(l)
		}
	} else {
		err = reap.Remove(ctx, client, found, add)
	}
	result.Bakes += len(bakes)
	return err
}

// bakesOfHost are the bakes that have a journal here: they run, are kept, or
// are undone by way of it.
func bakesOfHost(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		id, _, _ := strings.Cut(e.Name(), ".")
		ids = append(ids, id)
	}
	return ids, nil
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
		seen := ""
		if !r.LastSeen.IsZero() {
			seen = r.LastSeen.Format(time.RFC3339)
		}
		rows[i] = []string{r.Kind, r.ID, r.Region, r.Bake, seen}
	}
	head := "REMOVED"
	if result.DryRun {
		head = "TO REMOVE"
	}
	return writeTable(out, []string{head, "ID", "REGION", "BAKE", "LAST SEEN"}, rows)
}
