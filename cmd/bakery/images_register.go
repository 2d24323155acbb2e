package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/imagebakery/packer-plugin-bakery/internal/access"
	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/junit"
	"github.com/imagebakery/packer-plugin-bakery/registry"
)

func newImagesRegisterCommand(spec *string) *cobra.Command {
	var (
		img           registry.Image
		where         access.Config
		id, parent    string
		labels        []string
		report, suite string
		output        *outputFormat
	)
	cmd := &cobra.Command{
		Use:   "register",
		Short: "Register an image that was not baked here, such as a vendor's foundation",
		Long: `Register an image that was not baked here, such as a vendor's foundation.

The image must exist: its name, architecture, snapshots and age are read from
its cloud. It is untested until a test result is recorded, here with --junit or
later with 'bakery images record-test'.`,
		Example: `  bakery images register --cloud local --image ami-0123456789abcdef0 \
    --application debian --layer foundation --version 12.8 --release bookworm`,
		Args: exactArgs(0),
	}
	output = addOutputFlag(cmd)
	flags := cmd.Flags()
	flags.StringVar(&id, "image", "", "id of the image in the cloud (required)")
	flags.StringVar(&where.Cloud, "cloud", "", "cloud that it is in: aws or local (default $BAKERY_CLOUD, else aws)")
	flags.StringVar(&where.Region, "region", "", "region that it is in")
	flags.StringVar(&where.Profile, "profile", "", "profile of the AWS configuration to use")
	flags.StringVar(&img.Application, "application", "", "what it is an image of (required)")
	flags.StringVar(&img.Version, "version", "", "its version (required)")
	flags.StringVar(&img.Layer, "layer", "", "its layer: foundation, base, application, … (required)")
	flags.StringVar(&img.Environment, "environment", "", "environment that it is for")
	flags.StringVar(&img.Release, "release", "", "release of its operating system")
	flags.StringVar(&img.Arch, "arch", "", "its architecture (default: what its cloud says)")
	flags.StringVar(&img.Owner, "owner", "", "who owns it: a team or a person")
	flags.StringArrayVar(&labels, "label", nil, "a label, NAME=VALUE; may be repeated")
	flags.StringVar(&parent, "parent", "", "image that it was baked from")
	flags.StringVar(&report, "junit", "", "JUnit report to record as its test result")
	flags.StringVar(&suite, "suite", "", "name of the suite of --junit (default: the names in the report)")

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		var wrong []error
		for _, flag := range []struct{ name, value string }{
			{"image", id}, {"application", img.Application}, {"version", img.Version}, {"layer", img.Layer},
		} {
			if flag.value == "" {
				wrong = append(wrong, fmt.Errorf("--%s is missing", flag.name))
			}
		}
		var err error
		if img.Labels, err = parseLabels(labels); err != nil {
			wrong = append(wrong, err)
		}
		if suite != "" && report == "" {
			wrong = append(wrong, errors.New("--suite names the suite of a report; give it with --junit"))
		}
		if wrong = append(wrong, where.Prepare()...); len(wrong) > 0 {
			return usageError{errors.Join(wrong...)}
		}
		var results []registry.TestResult
		if report != "" {
			if results, err = readReport(report, suite); err != nil {
				return err
			}
		}
		if err := describe(ctx, &where, id, &img); err != nil {
			return err
		}
		return writeRegistry(ctx, *spec, func(reg *registry.Registry) error {
			if parent != "" {
				if img, err = reg.Link(ctx, img, parent); err != nil {
					return err
				}
			}
			registered, created, err := reg.Register(ctx, img, results...)
			if err != nil {
				return err
			}
			view, err := reg.Resolve(ctx, registered.ID)
			if err != nil {
				return err
			}
			if *output == outputJSON {
				return writeJSON(cmd.OutOrStdout(), view)
			}
			verb := "Registered"
			if !created {
				verb = "Was registered before:"
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s as %s, %s: %s\n", verb, view.Image, view.ID, statusOf(view.State), view.Reason)
			return err
		})
	}
	return cmd
}

// describe reads from its cloud what is known of the image.
func describe(ctx context.Context, where *access.Config, id string, img *registry.Image) error {
	client, err := where.Client(ctx, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	found, err := client.Image(ctx, id)
	if errors.Is(err, cloud.ErrNotFound) {
		return fmt.Errorf("register %s: there is no such image in region %s of cloud %s", id, client.Region(), where.Cloud)
	}
	if err != nil {
		return fmt.Errorf("register %s: %w", id, err)
	}
	if found.State != "available" {
		return fmt.Errorf("register %s: it is %s, not available", id, found.State)
	}
	img.Arch = cmp.Or(img.Arch, found.Architecture)
	img.CreatedAt = found.CreatedAt
	img.Artifacts = []registry.Artifact{{
		Ref:     registry.Ref{Cloud: where.Cloud, Region: client.Region(), ID: id},
		Account: found.Owner, Name: found.Name, Snapshots: found.Snapshots(), Tags: found.Tags,
	}}
	return nil
}

// newTestCommand has 'images record-test' under a name of its own, for jobs that
// only do that.
func newTestCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test",
		Short: "Tests of an image: record them",
		Args:  noSuchCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var spec string
	record := newImagesRecordTestCommand(&spec)
	record.Use = "record IMAGE --junit FILE"
	record.Example = "  bakery test record ami-0123456789abcdef0 --junit reports/smoke.xml --suite smoke"
	addRegistryFlag(record.Flags(), &spec)
	cmd.AddCommand(record)
	return cmd
}

func newImagesRecordTestCommand(spec *string) *cobra.Command {
	var report, suite string
	cmd := &cobra.Command{
		Use:   "record-test IMAGE --junit FILE",
		Short: "Record the tests of an image from a JUnit report",
		Long: `Record the tests of an image from a JUnit report: of a job that has launched it,
for example. An image is tested when the newest result of each of its suites
passed.

The exit code says whether the result was recorded, not whether the tests
passed.`,
		Example: `  bakery images record-test ami-0123456789abcdef0 --junit reports/smoke.xml --suite smoke`,
		Args:    exactArgs(1),
	}
	output := addOutputFlag(cmd)
	cmd.Flags().StringVar(&report, "junit", "", "JUnit report to read (required)")
	cmd.Flags().StringVar(&suite, "suite", "", "record all of it as this suite (default: the names in the report)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		if report == "" {
			return usageError{errors.New("--junit is missing")}
		}
		results, err := readReport(report, suite)
		if err != nil {
			return err
		}
		return changeRegistry(ctx, *spec, func(reg *registry.Registry) error {
			view, err := resolve(ctx, reg, args[0])
			if err != nil {
				return err
			}
			if err := reg.RecordResults(ctx, view.ID, results...); err != nil {
				return err
			}
			if view, err = reg.Resolve(ctx, view.ID); err != nil {
				return err
			}
			if *output == outputJSON {
				return writeJSON(cmd.OutOrStdout(), view)
			}
			for _, r := range results {
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "Recorded suite %s: %s, %d of %d checks passed\n",
					r.Suite, r.Outcome, r.Counts.Passed, r.Counts.Total()); err != nil {
					return err
				}
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is %s: %s\n", view.Image, statusOf(view.State), view.Reason)
			return err
		})
	}
	return cmd
}

// readReport reads a JUnit report as test results: one, when suite names it,
// else one for each suite of the report.
func readReport(path, suite string) ([]registry.TestResult, error) {
	results, err := junit.Results(path, suite)
	if errors.Is(err, junit.ErrNoName) {
		return nil, fmt.Errorf("%w; name it with --suite", err)
	}
	return results, err
}
