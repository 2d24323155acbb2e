//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type Config,ReuseConfig,BlockDevice,SourceFilter,DeregistrationProtection

package chroot

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/packer-plugin-sdk/common"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"github.com/hashicorp/packer-plugin-sdk/template/config"
	"github.com/hashicorp/packer-plugin-sdk/template/interpolate"

	"github.com/imagebakery/packer-plugin-bakery/internal/access"
)

// Config is the configuration of bakery-chroot. It accepts templates that were
// written for amazon-chroot.
type Config struct {
	common.PackerConfig `mapstructure:",squash"`
	access.Config       `mapstructure:",squash"`
	ReuseConfig         `mapstructure:",squash"`

	// The image to start from, such as `ami-0123456789abcdef0` or
	// `data.bakery-ancestor.base.id`. One of `source_ami`, `source_ami_filter` and
	// `from_scratch` must be set.
	SourceAMI string `mapstructure:"source_ami" required:"false"`
	// Finds the image to start from. With `source_ami`, that image must fit the
	// filter. See [Source filter](#source-filter).
	SourceFilter SourceFilter `mapstructure:"source_ami_filter" required:"false"`
	// Start from an empty volume. `pre_mount_commands` must then put a
	// partition table and a file system on it; `root_volume_size`,
	// `root_device_name`, and `ami_block_device_mappings` are required. Defaults
	// to `false`.
	FromScratch bool `mapstructure:"from_scratch" required:"false"`

	// The name of the image, unique in the account and region: 3 to 128
	// letters, digits, and `( ) [ ] . / - ' @ _` or spaces. The template
	// function `clean_resource_name` makes a fitting name of any text.
	AMIName string `mapstructure:"ami_name" required:"true"`
	// What the image is described as. May use the
	// [source variables](#source-variables).
	AMIDescription string `mapstructure:"ami_description" required:"false"`
	// The architecture: `x86_64`, `arm64`, `i386`. Defaults to that of the
	// source, and for `from_scratch` to `x86_64`.
	Architecture string `mapstructure:"ami_architecture" required:"false"`
	// The virtualization type, `hvm` or `paravirtual`. Defaults to that of the
	// source, and for `from_scratch` to `hvm`.
	VirtualizationType string `mapstructure:"ami_virtualization_type" required:"false"`
	// How instances of the image boot: `legacy-bios`, `uefi` or
	// `uefi-preferred`. Defaults to that of the source.
	BootMode string `mapstructure:"boot_mode" required:"false"`
	// The UEFI variable store, in base64. Defaults to that of the source.
	UEFIData string `mapstructure:"uefi_data" required:"false"`
	// `v2.0` gives instances a NitroTPM; needs a `boot_mode` of `uefi`.
	// Defaults to that of the source.
	TPMSupport string `mapstructure:"tpm_support" required:"false"`
	// `v2.0` makes instances of the image accept IMDSv2 only. Defaults to that
	// of the source.
	IMDSSupport string `mapstructure:"imds_support" required:"false"`
	// Whether instances use enhanced networking by the Elastic Network
	// Adapter. Defaults to that of the source, and for `from_scratch` to `true`.
	ENASupport config.Trilean `mapstructure:"ena_support" required:"false"`
	// Whether instances use enhanced networking by the Intel 82599 virtual
	// function. Defaults to that of the source.
	SRIOVSupport config.Trilean `mapstructure:"sriov_support" required:"false"`
	// Tags of the image and of its snapshots. They are part of the calls that
	// create these. May use the [source variables](#source-variables).
	Tags map[string]string `mapstructure:"tags" required:"false"`
	// The same as [`tags`](#tags) as a block with `key` and `value`, for
	// `dynamic` blocks.
	Tag config.KeyValues `mapstructure:"tag" required:"false"`
	// Tags of the snapshots, which override those of `tags`.
	SnapshotTags map[string]string `mapstructure:"snapshot_tags" required:"false"`
	// The same as [`snapshot_tags`](#snapshot_tags) as a block.
	SnapshotTag config.KeyValues `mapstructure:"snapshot_tag" required:"false"`
	// The block devices of the image, instead of those of the source. The entry
	// of the root device gets the snapshot of this bake. See
	// [Block devices](#block-devices).
	AMIMappings []BlockDevice `mapstructure:"ami_block_device_mappings" required:"false"`
	// The name of the image's root device, such as `/dev/xvda`. Needs
	// `ami_block_device_mappings` with an entry of that name. Defaults to that
	// of the source.
	RootDeviceName string `mapstructure:"root_device_name" required:"false"`
	// Marketplace product codes to add to the image.
	ProductCodes []string `mapstructure:"ami_product_codes" required:"false"`
	// Do not compare what the image is billed as with the source. Without it an
	// image of which EC2 has lost that it is, say, Red Hat Enterprise Linux is
	// removed and the bake fails. Defaults to `false`.
	SkipBillingCheck bool `mapstructure:"skip_billing_check" required:"false"`
	// Take the name from an image of the account that has it, once the new image
	// is good. See [Replacing an image](#replacing-an-image). Packer's `-force`
	// sets it. Defaults to `false`.
	ForceDeregister bool `mapstructure:"force_deregister" required:"false"`
	// Delete the snapshots of the image that was replaced, unless another image
	// uses them. Goes with `force_deregister`. Defaults to `false`.
	ForceDeleteSnapshot bool `mapstructure:"force_delete_snapshot" required:"false"`
	// Stop before the snapshot, and make no image: for trying a template out.
	// Defaults to `false`.
	SkipCreateAMI bool `mapstructure:"skip_create_ami" required:"false"`

	// Regions to copy the image to. The copies are made in parallel, with the
	// same tags and permissions.
	Regions []string `mapstructure:"ami_regions" required:"false"`
	// Whether to encrypt the image and its copies. `true` encrypts the volume
	// that is baked on, so that nothing is copied for it unless the image has
	// further unencrypted snapshots. `false` asks for an image that is not
	// encrypted, which goes only when the source is not. Defaults to what the
	// source is.
	EncryptBoot config.Trilean `mapstructure:"encrypt_boot" required:"false"`
	// The KMS key of the image in `region`: an id, an ARN, or `alias/NAME`. Needs
	// `encrypt_boot`. Defaults to the account's key for EBS.
	KMSKeyID string `mapstructure:"kms_key_id" required:"false"`
	// The KMS key of each region of `ami_regions`; `""` is that region's default
	// key. When it is set, every region must be in it. Needs `encrypt_boot`. An
	// entry for `region` itself wins over `kms_key_id`.
	RegionKMSKeyIDs map[string]string `mapstructure:"region_kms_key_ids" required:"false"`
	// Keep only the copies in `ami_regions`, and no image in the region of the
	// bake. Defaults to `false`.
	SkipSaveBuildRegion bool `mapstructure:"skip_save_build_region" required:"false"`
	// The time in which copies shall be complete, in minutes: 15 to 2880 in steps
	// of 15. AWS takes a price for it. Without it they take as long as they take.
	CopyMinutes int64 `mapstructure:"snapshot_copy_duration_minutes" required:"false"`

	// Accounts that may launch the image.
	Users []string `mapstructure:"ami_users" required:"false"`
	// Groups that may launch the image; `all`, the only one, makes it public.
	Groups []string `mapstructure:"ami_groups" required:"false"`
	// ARNs of organizations that may launch the image.
	OrgARNs []string `mapstructure:"ami_org_arns" required:"false"`
	// ARNs of organizational units that may launch the image.
	OUARNs []string `mapstructure:"ami_ou_arns" required:"false"`
	// Accounts that may make volumes of the image's snapshots.
	SnapshotUsers []string `mapstructure:"snapshot_users" required:"false"`
	// Groups that may make volumes of the image's snapshots; `all` is the only
	// one.
	SnapshotGroups []string `mapstructure:"snapshot_groups" required:"false"`
	// When the image is deprecated, such as `2031-01-31T00:00:00Z`: at most ten
	// years ahead, two for a public image.
	DeprecateAt string `mapstructure:"deprecate_at" required:"false"`
	// How long after the bake the image is deprecated: a number of hours, days,
	// weeks or years, such as `90d`, `12h`, `6w`, `2y`.
	DeprecateAfter string `mapstructure:"deprecate_after" required:"false"`
	// Protects the image from being deregistered. See
	// [Deregistration protection](#deregistration-protection).
	Protection DeregistrationProtection `mapstructure:"deregistration_protection" required:"false"`

	// The size of the root volume and of the image's root device in GiB.
	// Defaults to that of the source, and cannot be smaller.
	RootVolumeSize int `mapstructure:"root_volume_size" required:"false"`
	// The type of the root volume and of the image's root device: `gp3`, `gp2`,
	// `io2`, `io1`, `st1`, `sc1` or `standard`. Defaults to that of the source,
	// and for `from_scratch` to `gp3`.
	RootVolumeType string `mapstructure:"root_volume_type" required:"false"`
	// I/O operations per second of the root volume and of the image's root
	// device, for `gp3`, `io1` and `io2`. Defaults to that of the source.
	RootVolumeIOPS int `mapstructure:"root_volume_iops" required:"false"`
	// Throughput of the root volume and of the image's root device in MiB/s, for
	// `gp3`. Defaults to that of the source.
	RootVolumeThroughput int `mapstructure:"root_volume_throughput" required:"false"`
	// Tags of the volume on which the image is baked. May use the
	// [source variables](#source-variables).
	RootVolumeTags map[string]string `mapstructure:"root_volume_tags" required:"false"`
	// The same as [`root_volume_tags`](#root_volume_tags) as a block.
	RootVolumeTag config.KeyValues `mapstructure:"root_volume_tag" required:"false"`
	// Whether to encrypt the root volume, and with it the image. Defaults to
	// what the source's snapshot is.
	RootVolumeEncryptBoot config.Trilean `mapstructure:"root_volume_encrypt_boot" required:"false"`
	// The KMS key to encrypt the root volume with. Defaults to the account's
	// key for EBS.
	RootVolumeKMSKeyID string `mapstructure:"root_volume_kms_key_id" required:"false"`

	// The device name to attach the volume under, such as `/dev/sdf`. Without
	// it a free name is chosen.
	DevicePath string `mapstructure:"device_path" required:"false"`
	// The block device of the attached volume, with or without the `p` that
	// comes before the number of a partition. Without it the device is found by
	// the volume's id.
	NVMEDevicePath string `mapstructure:"nvme_device_path" required:"false"`
	// The partition to mount: its number, `0` for a file system without
	// partitions, its label, or its UUID; or the name of a volume of LVM. Without
	// it the root is found by partition type, label and size. See
	// [Roots in LVM](#roots-in-lvm).
	MountPartition string `mapstructure:"mount_partition" required:"false"`
	// Options for `mount`, without `-o`. An XFS root gets `nouuid` by itself.
	MountOptions []string `mapstructure:"mount_options" required:"false"`
	// The folder of the host to mount the root in, with `{{.Device}}` for the
	// name of its block device. Defaults to one of its own for each bake.
	// Available as `build.MountPath`.
	MountPath string `mapstructure:"mount_path" required:"false"`
	// Commands of the host that run before the mount, with `{{.Device}}` for
	// the block device: the name that it was attached under where the host has
	// it, so that `{{.Device}}1` is its first partition.
	PreMountCommands []string `mapstructure:"pre_mount_commands" required:"false"`
	// Commands of the host that run after the mount, with `{{.Device}}` and
	// `{{.MountPath}}`.
	PostMountCommands []string `mapstructure:"post_mount_commands" required:"false"`
	// How to run commands of the host, with `{{.Command}}` for the command:
	// `sudo {{.Command}}`. Commands of the guest are not wrapped.
	CommandWrapper string `mapstructure:"command_wrapper" required:"false"`
	// What to mount inside the image while it is provisioned, as lists of type,
	// source and target; a type of `bind` binds a folder of the host. Nothing
	// of it shows on the host. Defaults to `/proc`, `/sys`, `/dev`, `/dev/pts`,
	// and private folders for `/run` and `/dev/shm`.
	ChrootMounts [][]string `mapstructure:"chroot_mounts" required:"false"`
	// Files of the host to show inside the image while it is provisioned.
	// Afterwards the image has what it had. Defaults to `/etc/resolv.conf`, and
	// for `from_scratch` to none.
	CopyFiles []string `mapstructure:"copy_files" required:"false"`

	ctx     interpolate.Context
	written json.RawMessage // the options that decide what the image is like
}

// BlockDevice is one block device of the image.
type BlockDevice struct {
	// The name that instances know the device by, such as `/dev/sdb`.
	DeviceName string `mapstructure:"device_name" required:"true"`
	// An instance store volume, `ephemeral0` to `ephemeral23`, instead of an EBS
	// volume.
	VirtualName string `mapstructure:"virtual_name" required:"false"`
	// Leave out a device that the source has. Defaults to `false`.
	NoDevice bool `mapstructure:"no_device" required:"false"`
	// The snapshot to make the volume from. Without it the volume is empty.
	SnapshotID string `mapstructure:"snapshot_id" required:"false"`
	// The size in GiB. Required without `snapshot_id`, except for the root.
	VolumeSize int `mapstructure:"volume_size" required:"false"`
	// The volume type: `gp3`, `gp2`, `io2`, `io1`, `st1`, `sc1` or `standard`.
	VolumeType string `mapstructure:"volume_type" required:"false"`
	// I/O operations per second: 3,000 to 80,000 for `gp3`; required for `io1`
	// (100 to 64,000) and `io2` (100 to 256,000).
	IOPS int `mapstructure:"iops" required:"false"`
	// Throughput in MiB/s, for `gp3`: 125 to 2,000, and at most a quarter of the
	// IOPS.
	Throughput int `mapstructure:"throughput" required:"false"`
	// Whether the volume is encrypted. Goes without `snapshot_id` only. Of the
	// root device it means the same as `root_volume_encrypt_boot`.
	Encrypted config.Trilean `mapstructure:"encrypted" required:"false"`
	// The KMS key to encrypt the volume with.
	KMSKeyID string `mapstructure:"kms_key_id" required:"false"`
	// Whether the volume goes with its instance. Defaults to `false`.
	DeleteOnTermination bool `mapstructure:"delete_on_termination" required:"false"`
}

// DeregistrationProtection protects an image from being deregistered.
type DeregistrationProtection struct {
	// Whether the image is protected. Defaults to `false`.
	Enabled bool `mapstructure:"enabled" required:"false"`
	// Whether it stays protected for a day after the protection was switched
	// off; this turns `enabled` on. Defaults to `false`.
	WithCooldown bool `mapstructure:"with_cooldown" required:"false"`
}

// SourceFilter finds the image to start from.
type SourceFilter struct {
	// Filters, as the EC2 call DescribeImages has them.
	Filters map[string]string `mapstructure:"filters" required:"false"`
	// Account ids, or `self`, `amazon`, `aws-marketplace`. Required without
	// `source_ami`: anybody's image could match.
	Owners []string `mapstructure:"owners" required:"true"`
	// Take the newest of several matches instead of refusing them. Defaults to
	// `false`.
	MostRecent bool `mapstructure:"most_recent" required:"false"`
	// Also find deprecated images. Defaults to `false`.
	IncludeDeprecated bool `mapstructure:"include_deprecated" required:"false"`
}

func (f SourceFilter) set() bool {
	return len(f.Filters) > 0 || len(f.Owners) > 0 || f.MostRecent || f.IncludeDeprecated
}

// unknown stands for a value that Packer knows only when the build runs, such
// as one of a data source.
const unknown = "<unknown>"

// nameRunes are what RegisterImage accepts in Name, by the EC2 API reference.
const nameRunes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789()[] ./'@_-"

var (
	nameForm = regexp.MustCompile(`^[` + regexp.QuoteMeta(nameRunes) + `]{3,128}$`)
	imageID  = regexp.MustCompile(`^ami-([0-9a-f]{8}|[0-9a-f]{17})$`)

	// atRunTime are the options that may use what is known only of the source.
	atRunTime = []string{
		"ami_description", "tags", "tag", "snapshot_tags", "snapshot_tag", "root_volume_tags", "root_volume_tag",
		"command_wrapper", "mount_path", "pre_mount_commands", "post_mount_commands",
	}
)

// prepare decodes raws, sets defaults and gathers every mistake.
func (c *Config) prepare(raws ...any) error {
	c.ctx.Funcs = map[string]any{"clean_resource_name": cleanName}
	// Before Decode, which fills in what raws holds.
	written, err := writtenOptions(slices.Clone(raws)...)
	if err != nil {
		return err
	}
	c.written = written
	err = config.Decode(c, &config.DecodeOpts{
		PluginType:         BuilderID,
		Interpolate:        true,
		InterpolateContext: &c.ctx,
		InterpolateFilter:  &interpolate.RenderFilter{Exclude: atRunTime},
	}, raws...)
	if err != nil {
		return err
	}
	var all *packersdk.MultiError
	add := func(errs ...error) {
		for _, err := range errs {
			if err != nil {
				all = packersdk.MultiErrorAppend(all, err)
			}
		}
	}
	add(c.Config.Prepare()...)
	packersdk.LogSecretFilter.Set(c.Secrets()...)
	add(c.prepareSource()...)
	add(c.prepareImage()...)
	if c.RootDeviceName != "" {
		add(c.encryptRoot(c.RootDeviceName))
	}
	add(c.prepareRegions()...)
	add(c.prepareSharing()...)
	add(c.prepareDeprecation(time.Now())...)
	add(c.prepareRoot()...)
	add(c.prepareHost()...)
	add(c.prepareReuse()...)
	for _, kv := range []struct {
		pairs config.KeyValues
		into  *map[string]string
		name  string
	}{
		{c.Tag, &c.Tags, "tag"}, {c.SnapshotTag, &c.SnapshotTags, "snapshot_tag"},
		{c.RootVolumeTag, &c.RootVolumeTags, "root_volume_tag"},
	} {
		for _, err := range kv.pairs.CopyOn(kv.into) {
			add(fmt.Errorf("%s: %w", kv.name, err))
		}
	}
	if all != nil && len(all.Errors) > 0 {
		return all
	}
	return nil
}

func (c *Config) prepareSource() []error {
	var errs []error
	if c.SourceAMI == "" && !c.SourceFilter.set() && !c.FromScratch {
		errs = append(errs, errors.New("nothing says what to start from; set source_ami, source_ami_filter, or from_scratch"))
	}
	if id := c.SourceAMI; id != "" && !strings.Contains(id, unknown) && !imageID.MatchString(id) {
		errs = append(errs, fmt.Errorf("source_ami is %q; write the id of an image, such as ami-0123456789abcdef0", id))
	}
	// Without owners anybody's image could match, unless one is named.
	if c.SourceFilter.set() && len(c.SourceFilter.Owners) == 0 && c.SourceAMI == "" && !c.FromScratch {
		errs = append(errs, errors.New(`source_ami_filter has no owners; name accounts whose images you trust, or "self"`))
	}
	if c.FromScratch {
		for option, missing := range map[string]bool{
			"root_volume_size":          c.RootVolumeSize == 0,
			"root_device_name":          c.RootDeviceName == "",
			"ami_block_device_mappings": len(c.AMIMappings) == 0,
			"pre_mount_commands":        len(c.PreMountCommands) == 0,
		} {
			if missing {
				errs = append(errs, fmt.Errorf("%s is required with from_scratch", option))
			}
		}
	}
	return errs
}

// warnings tell what is odd about the options, and what comes of it.
func (c *Config) warnings() []string {
	var list []string
	if c.FromScratch && (c.SourceAMI != "" || c.SourceFilter.set()) {
		list = append(list, "source_ami and source_ami_filter are not used: from_scratch is true")
	}
	if f := c.SourceFilter; f.set() && len(f.Filters) == 0 && c.SourceAMI == "" && !c.FromScratch {
		list = append(list, "source_ami_filter has no filters; every image of its owners fits")
	}
	return list
}

func (c *Config) prepareHost() []error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.CommandWrapper == "" {
		c.CommandWrapper = "{{.Command}}"
	}
	if !strings.Contains(c.CommandWrapper, ".Command") {
		wrong("command_wrapper is %q, which never runs the command; write {{.Command}} where it belongs", c.CommandWrapper)
	}
	for option, text := range map[string]string{"command_wrapper": c.CommandWrapper, "mount_path": c.MountPath} {
		if err := interpolate.Validate(text, &c.ctx); err != nil {
			wrong("%s: %w", option, err)
		}
	}
	if c.MountPath != "" && !strings.Contains(c.MountPath, unknown) && !path.IsAbs(c.MountPath) {
		wrong("mount_path is %q; write an absolute path", c.MountPath)
	}
	for i, m := range c.ChrootMounts {
		if len(m) != 3 {
			wrong("chroot_mounts[%d] has %d parts; write type, source and target: [\"bind\", \"/srv\", \"/srv\"]", i, len(m))
			continue
		}
		if !path.IsAbs(m[2]) {
			wrong("chroot_mounts[%d] has the target %q; write an absolute path", i, m[2])
		}
	}
	for i, file := range c.CopyFiles {
		if !path.IsAbs(file) {
			wrong("copy_files[%d] is %q; write an absolute path", i, file)
		}
	}
	return errs
}

// oneOf returns an error that names option when value is neither empty, nor
// unknown yet, nor allowed.
func oneOf(option, value string, allowed ...string) error {
	if value == "" || value == unknown || slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("%s is %q; write one of %s", option, value, strings.Join(allowed, ", "))
}

// cleanName replaces what an image's name cannot have with hyphens.
func cleanName(text string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(nameRunes, r) {
			return r
		}
		return '-'
	}, text)
}
