package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"maps"
	"math"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/imagebakery/packer-plugin-bakery/internal/localcloud"
)

func newLocalCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "local",
		Short: "The local cloud: EC2 and EBS on this machine's files",
		Long: `The local cloud is an EC2 that runs on this Linux machine, as root: volumes are
sparse files behind loop devices. Bakes with cloud = "local" use it without any
server; "bakery local serve" offers it to other clients.

It is kept in the folder "local" under $BAKERY_HOME.`,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newLocalImport(), newLocalList(), newLocalExport(), newLocalRemove(), newLocalServe(), newLocalLatency())
	return cmd
}

// withLocalCloud opens the local cloud for as long as do takes.
func withLocalCloud(ctx context.Context, do func(*localcloud.Cloud) error, opts ...localcloud.Option) error {
	cloud, err := localcloud.Open(ctx, "", opts...)
	if err != nil {
		return err
	}
	return errors.Join(do(cloud), cloud.Close())
}

func newLocalImport() *cobra.Command {
	var in localcloud.ImportInput
	var size string
	var tags []string
	cmd := &cobra.Command{
		Use:   "import FILE|FOLDER",
		Short: "Make an image of a disk or of a root file system",
		Long: `Makes an image of a raw or qcow2 disk image, or of a folder that holds a root
file system, such as debootstrap makes. Name, architecture and boot mode are
read off the disk unless they are given. Prints the id of the image.`,
		Example: `  debootstrap bookworm /tmp/bookworm && bakery local import /tmp/bookworm
  bakery local import debian-12-genericcloud-amd64.qcow2 --tag application=foundation --tag release=bookworm`,
		Args: exactArgs(1),
	}
	output := addOutputFlag(cmd)
	flags := cmd.Flags()
	flags.StringVar(&in.Name, "name", "", "name of the image (default: read off the disk, such as debian-12-x86_64)")
	flags.StringVar(&in.Description, "description", "", "description of the image")
	flags.StringVar(&in.Architecture, "architecture", "", "x86_64, arm64 or i386 (default: read off the disk)")
	flags.StringVar(&in.BootMode, "boot-mode", "", "legacy-bios, uefi or uefi-preferred (default: read off the disk)")
	flags.StringVar(&size, "size", "", "size of the disk in GiB, or with a unit (default: as large as the source)")
	flags.StringArrayVar(&tags, "tag", nil, "tag of the image as KEY=VALUE; may be repeated")
	flags.StringVar(&in.Region, "region", localcloud.DefaultRegion, "region that the image is to be in")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in.Source = args[0]
		if size != "" {
			n, err := parseSize(size)
			if err != nil {
				return usageError{err}
			}
			in.Size = n
		}
		var err error
		if in.Tags, err = parseTags(tags); err != nil {
			return usageError{err}
		}
		return withLocalCloud(cmd.Context(), func(cloud *localcloud.Cloud) error {
			done := working(cmd, "Importing "+in.Source)
			im, err := cloud.Import(cmd.Context(), in)
			done()
			if err != nil {
				return err
			}
			if *output == outputJSON {
				return writeJSON(cmd.OutOrStdout(), im)
			}
			// What it is, for the reader; the id alone, for scripts.
			_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "Imported %s: %s, %s, %s of %s used\n", im.Name, im.Architecture,
				cmp.Or(im.BootMode, "no boot loader"), humanize.IBytes(uint64(im.Used)), humanize.IBytes(uint64(im.Size)))
			_, err = fmt.Fprintln(cmd.OutOrStdout(), im.ID)
			return err
		})
	}
	return cmd
}

// listRemedy adds to an error about an image that there is none, where to look.
func listRemedy(err error) error {
	if errors.Is(err, localcloud.ErrNoImage) {
		return fmt.Errorf("%w; 'bakery local ls' has the ids and names of all", err)
	}
	return err
}

// parseSize reads a size; a bare number is of GiB, as everywhere in EC2.
func parseSize(s string) (int64, error) {
	unit := s
	if strings.Trim(s, "0123456789") == "" {
		unit += "GiB"
	}
	n, err := humanize.ParseBytes(unit)
	if err != nil || n == 0 || n > math.MaxInt64 {
		return 0, fmt.Errorf("--size %q is no size such as 8 or 8GiB", s)
	}
	return int64(n), nil
}

func parseTags(args []string) (map[string]string, error) {
	tags := map[string]string{}
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if _, twice := tags[key]; !ok || key == "" || twice {
			return nil, fmt.Errorf("--tag %q is not KEY=VALUE with a key of its own", arg)
		}
		tags[key] = value
	}
	return tags, nil
}

func newLocalList() *cobra.Command {
	var region string
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the images of the local cloud",
		Example: `  bakery local ls --region us-east-1`,
		Args:    exactArgs(0),
	}
	output := addOutputFlag(cmd)
	cmd.Flags().StringVar(&region, "region", "", "only images of this region (default: all)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withLocalCloud(cmd.Context(), func(cloud *localcloud.Cloud) error {
			images, err := cloud.List(cmd.Context(), region)
			if err != nil {
				return err
			}
			if *output == outputJSON {
				if images == nil {
					images = []localcloud.Image{}
				}
				return writeJSON(cmd.OutOrStdout(), images)
			}
			var rows [][]string
			for _, im := range images {
				rows = append(rows, []string{
					im.ID, im.Name, im.Region, im.Architecture, im.BootMode, im.State,
					humanize.IBytes(uint64(im.Size)), humanize.IBytes(uint64(im.Used)), im.Created.Local().Format(time.DateTime), tagList(im.Tags),
				})
			}
			return writeTable(cmd.OutOrStdout(), []string{"IMAGE", "NAME", "REGION", "ARCH", "BOOT", "STATE", "SIZE", "USED", "CREATED", "TAGS"}, rows)
		})
	}
	return cmd
}

// tagList lists the tags that a person gave. The suite's own, a dozen for each
// image, are what `bakery images show` has in words; JSON has them all.
func tagList(tags map[string]string) string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if !strings.HasPrefix(key, "bakery:") {
			all = append(all, key+"="+tags[key])
		}
	}
	return strings.Join(all, ",")
}

func newLocalExport() *cobra.Command {
	var in localcloud.ExportInput
	cmd := &cobra.Command{
		Use:   "export IMAGE FILE",
		Short: "Write the root disk of an image to a file",
		Long: `Writes the root disk of an image, named by id or by name, to a file: raw and
sparse, or as qcow2, for which qemu-img must be installed.`,
		Example: `  bakery local export ami-0123456789abcdef0 shop.raw
  bakery local export shop-1.4.2-1795251049 shop.qcow2 --format qcow2`,
		Args: exactArgs(2),
	}
	output := addOutputFlag(cmd)
	cmd.Flags().StringVar(&in.Format, "format", "raw", "raw or qcow2")
	cmd.Flags().StringVar(&in.Region, "region", "", "region of the image, where its name is in several")
	cmd.Flags().BoolVar(&in.Replace, "force", false, "replace the file if it exists")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in.Image, in.File = args[0], args[1]
		return withLocalCloud(cmd.Context(), func(cloud *localcloud.Cloud) error {
			done := working(cmd, "Exporting "+in.Image)
			im, err := cloud.Export(cmd.Context(), in)
			done()
			if errors.Is(err, os.ErrExist) {
				err = fmt.Errorf("%w; --force replaces it", err)
			}
			err = listRemedy(err)
			if err != nil {
				return err
			}
			if *output == outputJSON {
				return writeJSON(cmd.OutOrStdout(), im)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "Exported %s (%s) to %s\n", im.ID, im.Name, in.File)
			return err
		})
	}
	return cmd
}

func newLocalRemove() *cobra.Command {
	var region string
	var force bool
	cmd := &cobra.Command{
		Use:   "rm IMAGE",
		Short: "Deregister an image and delete its snapshots",
		Long: `Deregisters an image, named by id or by name, and deletes those of its snapshots
that no other image has. An image that a volume was made of, or that is
protected or held, is removed only with --force.

The registry (that of $BAKERY_REGISTRY, else the default one, if it exists)
records that the image is gone, so that bakery-ancestor does not return it.`,
		Example: `  bakery local rm ami-0123456789abcdef0`,
		Args:    exactArgs(1),
	}
	output := addOutputFlag(cmd)
	cmd.Flags().StringVar(&region, "region", "", "region of the image, where its name is in several")
	cmd.Flags().BoolVar(&force, "force", false, "also when the image is in use or protected")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		return withLocalCloud(ctx, func(cloud *localcloud.Cloud) error {
			im, err := cloud.Find(ctx, args[0], region)
			if err != nil {
				return fmt.Errorf("remove: %w", listRemedy(err))
			}
			// The record comes first: an image that is marked and still there
			// does no harm, one that is gone and not marked would be found.
			takeBack, err := retireLocal(ctx, im, force)
			if err != nil {
				return err
			}
			im, err = cloud.Remove(ctx, im.ID, im.Region, force)
			if err != nil {
				err = errors.Join(err, takeBack(context.WithoutCancel(ctx)))
			}
			if errors.Is(err, localcloud.ErrImageInUse) {
				err = fmt.Errorf("%w; --force removes it all the same", err)
			}
			if err != nil {
				return err
			}
			if *output == outputJSON {
				return writeJSON(cmd.OutOrStdout(), im)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "Removed %s (%s)\n", im.ID, im.Name)
			return err
		})
	}
	return cmd
}

func newLocalServe() *cobra.Command {
	var listen, region, latency, accessLog string
	var faults []string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the local cloud on loopback to other EC2 clients",
		Long: `Serves the EC2 API, STS GetCallerIdentity and the instance metadata on one
loopback address, for the aws command, the SDKs and Packer's own plugins, until
it is interrupted. Any access key is accepted and no signature is checked: every
user of this machine may do what the local cloud can, as root.

A fault is ACTION=KIND[:ARGUMENT][:COUNT[@FIRST]]:
  RegisterImage=error:InternalError:2   the first two answer InternalError
  CreateVolume=throttle:1@3             the third is throttled
  AttachVolume=late:5s                  each is answered 5 s late
  CreateSnapshot=lose:1                 the first is done, its answer is lost
  *=throttle:10                         any ten calls are throttled`,
		Example: `  bakery local serve
  bakery local serve --listen 127.0.0.1:0 --latency aws --fault 'CreateSnapshot=throttle:3'`,
		Args: exactArgs(0),
	}
	flags := cmd.Flags()
	flags.StringVar(&listen, "listen", "127.0.0.1:9800", "loopback address and port; port 0 is any that is free")
	flags.StringVar(&region, "region", localcloud.DefaultRegion, "region that the instance, this machine, runs in")
	flags.StringVar(&latency, "latency", "none", "none, or aws for delays like those of the real service")
	flags.StringArrayVar(&faults, "fault", nil, "make calls go wrong; may be repeated")
	flags.StringVar(&accessLog, "access-log", "", "append a line of JSON for each request to this file")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkLoopback(listen); err != nil {
			return usageError{err}
		}
		opts := []localcloud.Option{localcloud.WithRegion(region), localcloud.WithLatency(latency), localcloud.WithFaults(faults...)}
		if accessLog != "" {
			log, err := os.OpenFile(accessLog, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
			if err != nil {
				return fmt.Errorf("open the access log: %w", err)
			}
			defer log.Close()
			opts = append(opts, localcloud.WithAccessLog(log))
		}
		return withLocalCloud(cmd.Context(), func(cloud *localcloud.Cloud) error {
			return serve(cmd, cloud, listen, region)
		}, opts...)
	}
	return cmd
}

// checkLoopback refuses to listen where another machine could reach us.
func checkLoopback(listen string) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("--listen %q is not HOST:PORT, such as 127.0.0.1:9800", listen)
	}
	if addr, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !addr.IsLoopback()) {
		return fmt.Errorf("--listen %q is not on loopback: the local cloud checks no credentials, whoever can reach it is root here", listen)
	}
	return nil
}

// drain is how long requests that are being answered have when serving ends.
const drain = 10 * time.Second

func serve(cmd *cobra.Command, cloud *localcloud.Cloud, listen, region string) error {
	ctx := cmd.Context()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", listen, err)
	}
	server := &http.Server{
		Handler:           cloud.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(cmd.ErrOrStderr(), "bakery local serve: ", 0),
	}
	endpoint := "http://" + listener.Addr().String()
	if _, err := fmt.Fprintf(cmd.OutOrStdout(), `# The local cloud is at %[1]s until this command is interrupted.
# For the aws command and the SDKs:
export AWS_ENDPOINT_URL_EC2=%[1]s AWS_ENDPOINT_URL_STS=%[1]s
export AWS_EC2_METADATA_SERVICE_ENDPOINT=%[1]s
export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local AWS_REGION=%[2]s AWS_DEFAULT_REGION=%[2]s
# For Packer's amazon plugin, in the source block:
#   custom_endpoint_ec2 = "%[1]s"
#   region              = "%[2]s"
#   access_key          = "local"
#   secret_key          = "local"
`, endpoint, region); err != nil {
		return errors.Join(err, listener.Close())
	}

	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve the local cloud: %w", err)
	case <-ctx.Done():
	}
	graceful, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if err := server.Shutdown(graceful); err != nil {
		return fmt.Errorf("end serving: %w", errors.Join(err, server.Close()))
	}
	return nil
}
