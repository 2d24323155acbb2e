package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

func newImagesQueryCommand(spec *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "query 'KEY=VALUE&KEY=VALUE…'",
		Short: "Find the newest tested image with the given attributes",
		Long: `Find the newest tested image with the given attributes, as bakery-ancestor does.

The keys are application, layer, environment, release, arch, owner, version,
kernel, cloud, region, account, status (built, tested or promoted, or exactly
any other), channel, suite, package, exclude, max_age, tested_within and
revoke_margin. Any other key is a label; not.LABEL excludes a value of one. Keys
that begin with ancestor. are about an image that it was baked from, at any depth.
Versions and labels can be compared: version__gte=1.4, and with __gt, __lte, __lt,
__ne. As in a URL, %26 stands for &, %2B for +, and + for a space.

When nothing matches, the exit code is 1 and the nearest miss is named.`,
		Example: `  bakery images query 'application=myapp&release=precise&virtualization_type=hvm&environment=prod'
  bakery images query 'layer=base&kernel__gte=6.1' --explain
  bakery images query 'application=base&cloud=aws&region=eu-west-1' --id
  bakery images query 'layer=application&package=openssl < 3.0.14&status=built' --all
  bakery images query 'application=shop&ancestor.application=base&ancestor.version__gte=1.4'`,
		Args: exactArgs(1),
	}
	output := addOutputFlag(cmd)
	all := cmd.Flags().Bool("all", false, "list all that match, the newest first")
	id := cmd.Flags().Bool("id", false, "print only its id in the cloud, for scripts")
	explain := cmd.Flags().Bool("explain", false, "also say which images were considered, and what each lacked (to stderr)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		query, err := registry.ParseQuery(args[0])
		if err != nil {
			if !strings.Contains(args[0], "=") {
				err = fmt.Errorf("%w; write KEY=VALUE, such as 'application=%s'", err, args[0])
			}
			return usageError{err}
		}
		if *id && (*all || *output == outputJSON) {
			return usageError{errors.New("--id prints one id; leave out --all and --output json")}
		}
		if *all && *explain {
			return usageError{errors.New("--explain is about one image; leave out --all")}
		}
		if query.AtLeast == "" && query.Status == "" {
			query.AtLeast = registry.StatusTested
		}
		ctx := cmd.Context()
		return lookInto(ctx, *spec, func(reg *registry.Registry) error {
			views := []registry.View{}
			if *all {
				for view, err := range reg.Select(ctx, query) {
					if err != nil {
						return err
					}
					views = append(views, view)
				}
			} else {
				found, err := reg.Find(ctx, query)
				var miss *registry.NoMatchError
				switch {
				case *explain && err == nil:
					_, _ = fmt.Fprintln(cmd.ErrOrStderr(), found.Explain())
				case *explain && errors.As(err, &miss):
					_, _ = fmt.Fprintln(cmd.ErrOrStderr(), miss.Explain())
				}
				if err != nil {
					return err
				}
				if *output == outputJSON {
					return writeJSON(cmd.OutOrStdout(), found.View)
				}
				if *id {
					return writeID(cmd.OutOrStdout(), query, found.View)
				}
				views = append(views, found.View)
			}
			if *output == outputJSON {
				return writeJSON(cmd.OutOrStdout(), views)
			}
			return writeImages(cmd.OutOrStdout(), views)
		})
	}
	return cmd
}

// writeID writes the id of an image in the cloud: where the query says, else in
// the first of its regions.
func writeID(w io.Writer, query registry.Query, view registry.View) error {
	id := firstID(view.Image)
	if there, ok := view.There(query.Cloud, query.Region, query.Account); ok {
		id = there.ID
	}
	_, err := fmt.Fprintln(w, id)
	return err
}

// newOutdatedCommand is 'images outdated' where one looks for it first.
func newOutdatedCommand() *cobra.Command {
	var spec string
	cmd := newImagesOutdatedCommand(&spec)
	addRegistryFlag(cmd.Flags(), &spec)
	return cmd
}

func newImagesOutdatedCommand(spec *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "outdated",
		Short: "List what to bake again, in the order to do it in",
		Long: `List what to bake again: the newest image of each line that is revoked, or whose
ancestor is no longer the newest tested one of its line, or is to be baked again
itself.

Images of one round can be baked at once, when the rounds before it are done.`,
		Example: `  bakery outdated
  bakery outdated --output json | jq -r '.[] | select(.round == 1) | .application'`,
		Args: exactArgs(0),
	}
	output := addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		list := []registry.Outdated{}
		err := readRegistry(cmd.Context(), *spec, func(reg *registry.Registry) (err error) {
			list, err = reg.Outdated(cmd.Context())
			return err
		}, func() error { return nil })
		if err != nil {
			return err
		}
		if *output == outputJSON {
			return writeJSON(cmd.OutOrStdout(), list)
		}
		rows := make([][]string, len(list))
		for i, o := range list {
			from := ""
			if o.From != nil {
				from = o.From.String()
			}
			rows[i] = []string{fmt.Sprint(o.Round), o.Application, o.Version, o.Layer, statusOf(o.State), imageIDs(o.Image), from, o.Why}
		}
		return writeTable(cmd.OutOrStdout(), []string{"ROUND", "APPLICATION", "VERSION", "LAYER", "STATUS", "IMAGE", "BAKE FROM", "WHY"}, rows)
	}
	return cmd
}
