package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/imagebakery/packer-plugin-bakery/internal/stores"
	"github.com/imagebakery/packer-plugin-bakery/registry"
)

func newImagesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "images",
		Short: "The registry: images, their lineage and their tests",
		Long: `The registry: images, what they were baked from, how their tests went.

An IMAGE is named by its id in the registry, by its id in the cloud
(ami-0123456789abcdef0), or by both and where it is (aws/us-east-1/ami-…).`,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var spec string
	addRegistryFlag(cmd.PersistentFlags(), &spec)
	cmd.AddCommand(
		newImagesLsCommand(&spec), newImagesShowCommand(&spec), newImagesTreeCommand(&spec),
		newImagesQueryCommand(&spec), newImagesOutdatedCommand(&spec),
		newImagesDiffCommand(&spec), newImagesPackagesCommand(&spec), newImagesSBOMCommand(&spec),
		newImagesRegisterCommand(&spec), newImagesRecordTestCommand(&spec),
	)
	return cmd
}

// addRegistryFlag adds the flag --registry to flags.
func addRegistryFlag(flags interface {
	StringVar(p *string, name, value, usage string)
}, spec *string) {
	flags.StringVar(spec, "registry", "",
		"registry to use: sqlite:PATH, dynamodb://TABLE?region=R or ec2tags://?region=R (default $BAKERY_REGISTRY, else registry.db in the suite's folder)")
}

// readRegistry runs read on the registry that spec names. A registry that does
// not exist yet is one without images: read is not called, and none is.
func readRegistry(ctx context.Context, spec string, read func(*registry.Registry) error, none func() error) error {
	if _, err := stores.Resolve(spec); err != nil {
		return usageError{err}
	}
	store, err := stores.OpenForReading(ctx, spec)
	if errors.Is(err, registry.ErrNoRegistry) && none != nil {
		return none()
	}
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // it was only read
	return read(registry.New(store))
}

// writeRegistry runs write on the registry that spec names, made when it does
// not exist.
func writeRegistry(ctx context.Context, spec string, write func(*registry.Registry) error) error {
	if _, err := stores.Resolve(spec); err != nil {
		return usageError{err}
	}
	store, err := stores.Open(ctx, spec)
	if err != nil {
		return err
	}
	err = write(registry.New(store, registry.As(stores.Actor())))
	return errors.Join(err, store.Close())
}

// lookInto runs look on a registry that must exist.
func lookInto(ctx context.Context, spec string, look func(*registry.Registry) error) error {
	return readRegistry(ctx, spec, look, nil)
}

// changeRegistry runs change on a registry that must exist: what it changes is
// in there.
func changeRegistry(ctx context.Context, spec string, change func(*registry.Registry) error) error {
	if err := lookInto(ctx, spec, func(*registry.Registry) error { return nil }); err != nil {
		return err
	}
	return writeRegistry(ctx, spec, change)
}

func newImagesLsCommand(spec *string) *cobra.Command {
	var (
		query           registry.Query
		labels          []string
		packages        []string
		version, status string
		limit           int
	)
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List images, the newest first",
		Example: `  bakery images ls --application shop
  bakery images ls --layer base --version '>= 1.4' --status tested --output json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usageError{fmt.Errorf("'bakery images ls' takes flags only: write --application %s, or see 'bakery images ls --help'", args[0])}
		},
	}
	output := addOutputFlag(cmd)
	flags := cmd.Flags()
	flags.StringVar(&query.Application, "application", "", "only images of this application")
	flags.StringVar(&query.Layer, "layer", "", "only images of this layer")
	flags.StringVar(&query.Environment, "environment", "", "only images for this environment")
	flags.StringVar(&query.Release, "release", "", "only images of this release of the operating system")
	flags.StringVar(&query.Arch, "arch", "", "only images of this architecture")
	flags.StringVar(&version, "version", "", "only versions that meet this condition, such as '>= 1.4, < 2'")
	flags.StringArrayVar(&labels, "label", nil, "only images with this label, NAME=VALUE; may be repeated")
	flags.StringArrayVar(&packages, "package", nil, "only images with this package, such as 'openssl >= 3.0.14', or without: '!telnetd'; may be repeated")
	flags.StringVar(&status, "status", "", "only images of this status: "+statusNames())
	flags.StringVar(&query.Channel, "channel", "", "only the heads of this channel")
	flags.IntVar(&limit, "limit", 0, "no more than this many (0: all)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var err error
		if query.Labels, err = parseLabels(labels); err != nil {
			return usageError{err}
		}
		if version != "" {
			if query.Version, err = registry.ParseConstraint(version, registry.Semver); err != nil {
				return usageError{fmt.Errorf("--version: %w", err)}
			}
		}
		for _, text := range packages {
			condition, err := registry.ParsePackageCondition(text)
			if err != nil {
				return usageError{fmt.Errorf("--package: %w", err)}
			}
			query.Packages = append(query.Packages, condition)
		}
		if status != "" && !slices.Contains(registry.Statuses(), registry.Status(status)) {
			return usageError{fmt.Errorf("--status is %q; want one of %s", status, statusNames())}
		}
		query.Status = registry.Status(status)
		views := []registry.View{}
		err = readRegistry(cmd.Context(), *spec, func(reg *registry.Registry) error {
			for view, err := range reg.Select(cmd.Context(), query) {
				if err != nil {
					return err
				}
				if views = append(views, view); len(views) == limit {
					return nil
				}
			}
			return nil
		}, func() error { return nil })
		if err != nil {
			return err
		}
		if *output == outputJSON {
			return writeJSON(cmd.OutOrStdout(), views)
		}
		return writeImages(cmd.OutOrStdout(), views)
	}
	return cmd
}

func writeImages(w io.Writer, views []registry.View) error {
	rows := make([][]string, len(views))
	for i, v := range views {
		rows[i] = []string{
			v.ID, v.Application, v.Version, v.Layer, v.Release, v.Arch, statusOf(v.State), imageIDs(v.Image), ago(v.CreatedAt),
		}
	}
	return writeTable(w, []string{"ID", "APPLICATION", "VERSION", "LAYER", "RELEASE", "ARCH", "STATUS", "IMAGE", "AGE"}, rows)
}

// statusOf returns the status with the channels of a promoted image.
func statusOf(s registry.State) string {
	if s.Status == registry.StatusPromoted {
		return string(s.Status) + " " + strings.Join(s.Channels, ",")
	}
	return string(s.Status)
}

// imageIDs returns the cloud's id of an image, and in how many more regions it
// is.
func imageIDs(img registry.Image) string {
	if len(img.Artifacts) == 0 {
		return ""
	}
	if more := len(img.Artifacts) - 1; more > 0 {
		return fmt.Sprintf("%s +%d", img.Artifacts[0].ID, more)
	}
	return img.Artifacts[0].ID
}

// ago returns how long ago t was in its largest unit: 3d.
func ago(t time.Time) string {
	switch age := time.Since(t); {
	case age < time.Minute:
		return fmt.Sprintf("%ds", max(0, int(age.Seconds())))
	case age < time.Hour:
		return fmt.Sprintf("%dm", int(age.Minutes()))
	case age < 48*time.Hour:
		return fmt.Sprintf("%dh", int(age.Hours()))
	default:
		return fmt.Sprintf("%dd", int(age.Hours()/24))
	}
}

func statusNames() string {
	var names []string
	for _, s := range registry.Statuses() {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

// parseLabels reads NAME=VALUE pairs.
func parseLabels(pairs []string) (map[string]string, error) {
	labels := map[string]string{}
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--label is %q; want NAME=VALUE", pair)
		}
		if old, twice := labels[name]; twice && old != value {
			return nil, fmt.Errorf("--label %s is given twice, as %q and %q", name, old, value)
		}
		labels[name] = value
	}
	return labels, nil
}
