package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/imagebakery/packer-plugin-bakery/internal/sbom"
	"github.com/imagebakery/packer-plugin-bakery/internal/treediff"
	"github.com/imagebakery/packer-plugin-bakery/registry"
	"github.com/imagebakery/packer-plugin-bakery/version"
)

// difference is what 'images diff' writes as JSON.
type difference struct {
	Image    registry.Image           `json:"image"`
	Against  registry.Image           `json:"against"`
	Packages []registry.PackageChange `json:"packages"`
	Files    []treediff.Change        `json:"files,omitempty"`
}

func newImagesDiffCommand(spec *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "diff IMAGE [OTHER]",
		Short: "Show how an image differs from its ancestor, or from another image",
		Long: `Show what IMAGE has, and OTHER has not, and the other way round: installed
packages and, with --files, files. Without OTHER it is compared with the image that
it was baked from.

--files mounts the disks of both, read-only; they must be in the local cloud, and
that needs root. Times of files do not count.`,
		Example: `  bakery images diff ami-0123456789abcdef0
  bakery images diff ami-0123456789abcdef0 ami-0fedcba9876543210 --files --output json`,
		Args: oneOrTwoArgs,
	}
	output := addOutputFlag(cmd)
	files := cmd.Flags().Bool("files", false, "compare the files, too")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		return lookInto(ctx, *spec, func(reg *registry.Registry) error {
			view, err := resolve(ctx, reg, args[0])
			if err != nil {
				return err
			}
			d := difference{Image: view.Image, Packages: []registry.PackageChange{}}
			if d.Against, err = against(ctx, reg, view, args[1:]); err != nil {
				return err
			}
			unknown := d.comparePackages(ctx, reg)
			if unknown != nil && !*files {
				return unknown
			}
			if *files {
				if d.Files, err = compareFiles(ctx, d.Against, d.Image); err != nil {
					return err
				}
			}
			if *output == outputJSON {
				return writeJSON(cmd.OutOrStdout(), d)
			}
			if unknown != nil {
				_, _ = fmt.Fprintln(cmd.ErrOrStderr(), unknown)
			}
			return d.write(cmd.OutOrStdout(), *files)
		})
	}
	return cmd
}

func oneOrTwoArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 2 {
		return nil
	}
	return exactArgs(1)(cmd, args)
}

// against returns what an image is compared with.
func against(ctx context.Context, reg *registry.Registry, view registry.View, other []string) (registry.Image, error) {
	if len(other) > 0 {
		named, err := reg.Resolve(ctx, other[0])
		return named.Image, err
	}
	if len(view.Lineage.Ancestors) > 0 {
		return view.Lineage.Ancestors[0], nil
	}
	return registry.Image{}, fmt.Errorf("compare %s: the image that it was baked from is not registered; name another image behind it", view.Image)
}

// comparePackages fills in what is different; it returns an error that wraps
// [registry.ErrNotFound] when the packages of one of both were not recorded.
func (d *difference) comparePackages(ctx context.Context, reg *registry.Registry) error {
	before, errBefore := reg.Packages(ctx, d.Against)
	after, errAfter := reg.Packages(ctx, d.Image)
	if err := errors.Join(errBefore, errAfter); err != nil {
		return err
	}
	d.Packages = registry.DiffPackages(before, after)
	return nil
}

func (d *difference) write(w io.Writer, files bool) error {
	counts := map[string]int{}
	rows := make([][]string, len(d.Packages))
	for i, c := range d.Packages {
		counts[c.Direction]++
		rows[i] = []string{c.Direction, c.Name, c.Arch, strings.Join(c.Before, " "), strings.Join(c.After, " ")}
	}
	var parts []string
	for _, direction := range []string{"added", "removed", "upgraded", "downgraded", "changed"} {
		if n := counts[direction]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, direction))
		}
	}
	if len(parts) == 0 {
		parts = append(parts, "no difference")
	}
	if _, err := fmt.Fprintf(w, "%s against %s: packages: %s\n", d.Image, d.Against, strings.Join(parts, ", ")); err != nil {
		return err
	}
	if len(rows) > 0 {
		if err := writeTable(w, []string{"PACKAGES", "NAME", "ARCH", "BEFORE", "AFTER"}, rows); err != nil {
			return err
		}
	}
	if !files {
		return nil
	}
	rows = make([][]string, len(d.Files))
	for i, c := range d.Files {
		rows[i] = []string{string(c.Kind), c.What, fmt.Sprint(c.Size), fmt.Sprintf("%q", c.Path)}
	}
	return writeTable(w, []string{"FILES", "WHAT", "BYTES", "PATH"}, rows)
}

func newImagesPackagesCommand(spec *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "packages IMAGE",
		Short:   "List what an image has installed",
		Example: `  bakery images packages ami-0123456789abcdef0`,
		Args:    exactArgs(1),
	}
	output := addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return lookInto(cmd.Context(), *spec, func(reg *registry.Registry) error {
			view, err := resolve(cmd.Context(), reg, args[0])
			if err != nil {
				return err
			}
			list, err := reg.Packages(cmd.Context(), view.Image)
			if err != nil {
				return err
			}
			if *output == outputJSON {
				return writeJSON(cmd.OutOrStdout(), list)
			}
			rows := make([][]string, len(list.Packages))
			for i, p := range list.Packages {
				rows[i] = []string{p.Name, p.Version, p.Arch, p.Source, p.Type}
			}
			return writeTable(cmd.OutOrStdout(), []string{"NAME", "VERSION", "ARCH", "SOURCE", "TYPE"}, rows)
		})
	}
	return cmd
}

func newImagesSBOMCommand(spec *string) *cobra.Command {
	return &cobra.Command{
		Use:   "sbom IMAGE",
		Short: "Write a bill of materials of an image, in CycloneDX's JSON",
		Long: `Write a bill of materials of an image to the standard output, in CycloneDX's JSON:
its packages, with the package URLs that scanners for vulnerabilities look up, and
the images that it was baked from.`,
		Example: `  bakery images sbom ami-0123456789abcdef0 > shop.cdx.json`,
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return lookInto(cmd.Context(), *spec, func(reg *registry.Registry) error {
				view, err := resolve(cmd.Context(), reg, args[0])
				if err != nil {
					return err
				}
				list, err := reg.Packages(cmd.Context(), view.Image)
				if err != nil {
					return err
				}
				return sbom.Write(cmd.OutOrStdout(), view.Image, view.Lineage.Ancestors, list, version.PluginVersion.FormattedVersion())
			})
		},
	}
}
