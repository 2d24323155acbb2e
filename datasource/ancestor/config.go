//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type Config,Ancestor,DatasourceOutput

package ancestor

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/hashicorp/packer-plugin-sdk/common"

	"github.com/imagebakery/packer-plugin-bakery/internal/access"
	"github.com/imagebakery/packer-plugin-bakery/internal/stores"
	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// defaultRevokeMargin is time enough to bake from an image and to replace what
// was baked.
const defaultRevokeMargin = "24h"

// What on_empty can be.
const (
	emptyError = "error"
	emptyNull  = "null"
)

// Config is the configuration of bakery-ancestor.
type Config struct {
	common.PackerConfig `mapstructure:",squash"`

	// The cloud that the image must be in: `aws` or `local`. Defaults to the
	// environment variable `BAKERY_CLOUD`, else `aws`.
	Cloud string `mapstructure:"cloud" required:"false"`
	// The region that the image must be in. Defaults to `AWS_REGION`,
	// `AWS_DEFAULT_REGION`, the profile's region, then the region of the
	// instance that runs Packer; on the local cloud to `us-east-1`.
	Region string `mapstructure:"region" required:"false"`
	// The id of the account that must own the image. Any, without it.
	Account string `mapstructure:"account" required:"false"`

	// The application of the image: what it is an image of, such as `base` or
	// `shop`. Either this or `layer` must be set.
	Application string `mapstructure:"application" required:"false"`
	// The layer of the image: `foundation`, `base`, `application`, or one of
	// your own.
	Layer string `mapstructure:"layer" required:"false"`
	// A condition on the version of the image, such as `"1.4.2"`,
	// `">= 1.4, < 2"` or `"~> 1.4"`. Versions are ordered as [semantic
	// versions](#versions), unless the condition begins with `deb:` or `rpm:`.
	Version string `mapstructure:"version" required:"false"`
	// The release of the operating system, such as `bookworm`.
	Release string `mapstructure:"release" required:"false"`
	// The architecture: `x86_64` or `arm64`; `amd64` and `aarch64` mean the
	// same.
	Arch string `mapstructure:"arch" required:"false"`
	// The environment that the image is for, such as `prod`.
	Environment string `mapstructure:"environment" required:"false"`
	// A condition on the label `kernel` of the image, such as `"= 3.19.7"`.
	// Versions are ordered [as dpkg does](#versions), unless the condition
	// begins with `rpm:` or `semver:`.
	Kernel string `mapstructure:"kernel" required:"false"`
	// Who must own the image: a team or a person.
	Owner string `mapstructure:"owner" required:"false"`
	// Labels that the image must have, with these values.
	Labels map[string]string `mapstructure:"labels" required:"false"`
	// Labels that the image must have, with conditions on the versions that they
	// hold, such as `{ docker = ">= 27.1" }`. Versions are ordered [as dpkg
	// does](#versions), unless a condition begins with `rpm:`, `apk:` or
	// `semver:`.
	LabelVersions map[string]string `mapstructure:"label_versions" required:"false"`
	// Conditions on what is installed, all of which must hold: `"openssl"`,
	// `"openssl >= 3.0.14"`, `"linux-image-amd64 >= 6.1, < 6.2"`, or `"!telnetd"`
	// for what must not be. Versions are in the order of the package's own system,
	// and every installed version of the package must meet them. An image whose
	// packages are not recorded meets none.
	Packages []string `mapstructure:"packages" required:"false"`

	// How far the image must have come: `built` (registered, tested or not),
	// `tested` (the newest result of every suite passed) or `promoted` (head of
	// a channel). Defaults to `tested`. Images that are revoked, have a revoked
	// ancestor, are retired, deprecated, or failed a test are never returned.
	Status string `mapstructure:"status" required:"false"`
	// The channel that the image must be the head of, such as `stable`.
	Channel string `mapstructure:"channel" required:"false"`
	// Suites that the image must have passed, by name.
	Suites []string `mapstructure:"suites" required:"false"`
	// How long ago the tests may have been run, such as `168h`: the newest result
	// of each of `suites`, or of every suite without that.
	TestedWithin string `mapstructure:"tested_within" required:"false"`
	// Conditions on an image that this one was baked from, at any depth. All
	// conditions of one block must be met by the same ancestor. The block may be
	// repeated. See [ancestors](#ancestors).
	Ancestors []Ancestor `mapstructure:"ancestor" required:"false"`
	// Labels that the image must not have with these values, such as
	// `{ quarantine = "true" }`.
	ExcludeLabels map[string]string `mapstructure:"exclude_labels" required:"false"`
	// Images, by their id in the cloud or in the registry, that must be neither
	// the result nor among its ancestors.
	Exclude []string `mapstructure:"exclude" required:"false"`
	// How long ago the image may have been baked, such as `720h`.
	MaxAge string `mapstructure:"max_age" required:"false"`
	// How long the image must stay usable, such as `72h`: an image whose
	// scheduled revocation, or that of an ancestor, begins to count within this
	// time is not returned. Defaults to `24h`; `0s` leaves scheduled
	// revocations alone. What is revoked already is never returned.
	RevokeMargin string `mapstructure:"revoke_margin" required:"false"`
	// What to do when no image matches: `error` fails the build, before
	// anything is created; `null` makes `id` null and `found` false, so that
	// the template can name another image. Defaults to `error`. A registry that
	// cannot be read is always an error.
	OnEmpty string `mapstructure:"on_empty" required:"false"`

	// The registry to look in: `sqlite:PATH`, `dynamodb://TABLE?region=REGION` or
	// `ec2tags://?region=REGION`. Defaults to the environment variable
	// `BAKERY_REGISTRY`, else to the file `registry.db` in the
	// suite's folder (`BAKERY_HOME`, else `~/.local/share/bakery`).
	Registry string `mapstructure:"registry" required:"false"`
}

// Ancestor is what an image that the wanted one was baked from must be.
type Ancestor struct {
	// The application of the ancestor.
	Application string `mapstructure:"application" required:"false"`
	// The layer of the ancestor.
	Layer string `mapstructure:"layer" required:"false"`
	// A condition on its version.
	Version string `mapstructure:"version" required:"false"`
	// The release of its operating system.
	Release string `mapstructure:"release" required:"false"`
	// Labels that it must have, with these values.
	Labels map[string]string `mapstructure:"labels" required:"false"`
	// Conditions on what it has installed.
	Packages []string `mapstructure:"packages" required:"false"`
	// How far it must have come and still be: `built`, `tested` or `promoted`.
	// Without it, it may be deprecated or retired; a revoked one lets no image
	// through in any case.
	Status string `mapstructure:"status" required:"false"`
	// The channel that it must be the head of.
	Channel string `mapstructure:"channel" required:"false"`
	// Suites that it must have passed, by name.
	Suites []string `mapstructure:"suites" required:"false"`
}

// query returns what a asks, with every mistake in a.
func (a Ancestor) query() (registry.Query, []error) {
	var errs []error
	q := registry.Query{
		Application: a.Application, Layer: a.Layer, Release: a.Release, Labels: a.Labels,
		AtLeast: registry.Status(a.Status), Channel: a.Channel, Suites: a.Suites,
	}
	var err error
	if a.Version != "" {
		if q.Version, err = registry.ParseConstraint(a.Version, registry.Semver); err != nil {
			errs = append(errs, fmt.Errorf("ancestor: version: %w", err))
		}
	}
	var wrong []error
	q.Packages, wrong = conditions(a.Packages)
	for _, err := range wrong {
		errs = append(errs, fmt.Errorf("ancestor: packages: %w", err))
	}
	return q, errs
}

// conditions reads conditions on packages and returns every mistake in them.
func conditions(texts []string) (list []registry.PackageCondition, errs []error) {
	for _, text := range texts {
		c, err := registry.ParsePackageCondition(text)
		if err != nil {
			errs = append(errs, err)
		}
		list = append(list, c)
	}
	return list, errs
}

// DatasourceOutput is what bakery-ancestor returns.
type DatasourceOutput struct {
	// Whether an image matches. Always `true`, unless `on_empty` is `null`.
	Found bool `mapstructure:"found"`
	// The id of the image in the wanted region, such as
	// `ami-0123456789abcdef0`: the `source_ami` of a builder. Null when no
	// image matches and `on_empty` is `null`.
	ID string `mapstructure:"id"`
	// The name of the image in the cloud.
	Name string `mapstructure:"name"`
	// The cloud that the image is in.
	Cloud string `mapstructure:"cloud"`
	// The region that the image is in.
	Region string `mapstructure:"region"`
	// The id of the account that owns the image.
	Account string `mapstructure:"account"`
	// The snapshots that the image is made of.
	Snapshots []string `mapstructure:"snapshots"`
	// The tags of the image in the cloud, as they were when it was registered.
	Tags map[string]string `mapstructure:"tags"`
	// The id of the image in the registry.
	RegistryID string `mapstructure:"registry_id"`
	// The application of the image.
	Application string `mapstructure:"application"`
	// The version of the image.
	Version string `mapstructure:"version"`
	// The layer of the image.
	Layer string `mapstructure:"layer"`
	// The environment that the image is for.
	Environment string `mapstructure:"environment"`
	// The release of the operating system.
	Release string `mapstructure:"release"`
	// The architecture, as EC2 has it.
	Arch string `mapstructure:"arch"`
	// Who owns the image: a team or a person.
	Owner string `mapstructure:"owner"`
	// The labels of the image.
	Labels map[string]string `mapstructure:"labels"`
	// When the image was baked, as RFC 3339.
	CreatedAt string `mapstructure:"created_at"`
	// The status of the image: `built`, `tested` or `promoted`.
	Status string `mapstructure:"status"`
	// When a scheduled revocation, of the image or of an ancestor, begins to
	// count, as RFC 3339; empty when none is scheduled.
	RevokeAt string `mapstructure:"revoke_at"`
	// The channels that the image is the head of.
	Channels []string `mapstructure:"channels"`
	// The suites that were run against the image, and how the newest run of
	// each ended: `passed`. A suite that was run offline and booted is there
	// twice, as `NAME (offline)` and `NAME (booted)`.
	Tests map[string]string `mapstructure:"tests"`
	// The ids of the images that this one was baked from, nearest first, up to
	// the foundation; in the wanted region where they are there.
	Lineage []string `mapstructure:"lineage"`
	// Which images were considered, newest first, and the first thing that each
	// lacked: a line for each.
	Explain string `mapstructure:"explain"`
}

// prepare sets defaults and returns the query, with every mistake in c.
func (c *Config) prepare() (registry.Query, []error) {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	c.Region = cmp.Or(c.Region, c.regionOfEnvironment())
	where := access.Config{Cloud: c.Cloud, Region: c.Region}
	errs = append(errs, where.Prepare()...)
	c.Cloud, c.Region = where.Cloud, where.Region

	q := registry.Query{
		Application: c.Application, Layer: c.Layer, Environment: c.Environment, Release: c.Release,
		Arch: c.Arch, Owner: c.Owner, Labels: c.Labels, ExcludeLabels: c.ExcludeLabels, Channel: c.Channel, Suites: c.Suites, Exclude: c.Exclude,
		AtLeast: registry.Status(cmp.Or(c.Status, string(registry.StatusTested))),
		Cloud:   c.Cloud, Region: c.Region, Account: c.Account,
	}
	if c.Application == "" && c.Layer == "" {
		wrong("neither application nor layer is set; say which image to look for, such as application = \"base\"")
	}
	if !slices.Contains(registry.Levels(), q.AtLeast) {
		wrong("status is %q; write one of %q", c.Status, registry.Levels())
	}
	var err error
	if c.Version != "" {
		if q.Version, err = registry.ParseConstraint(c.Version, registry.Semver); err != nil {
			wrong("version: %w", err)
		}
	}
	q.LabelVersions = map[string]registry.Constraint{}
	if c.Kernel != "" {
		if q.LabelVersions["kernel"], err = registry.ParseConstraint(c.Kernel, registry.Deb); err != nil {
			wrong("kernel: %w", err)
		}
	}
	for _, label := range slices.Sorted(maps.Keys(c.LabelVersions)) {
		if label == "kernel" && c.Kernel != "" {
			wrong("kernel and label_versions are both about the label kernel; leave out one")
		}
		if q.LabelVersions[label], err = registry.ParseConstraint(c.LabelVersions[label], registry.Deb); err != nil {
			wrong("label_versions: %s: %w", label, err)
		}
	}
	var mistakes []error
	q.Packages, mistakes = conditions(c.Packages)
	for _, err := range mistakes {
		wrong("packages: %w", err)
	}
	for _, a := range c.Ancestors {
		asked, mistakes := a.query()
		q.Ancestors, errs = append(q.Ancestors, asked), append(errs, mistakes...)
		if err := (registry.Query{Ancestors: []registry.Query{asked}}).Validate(); err != nil {
			errs = append(errs, err)
		}
	}
	for _, option := range []struct {
		name, value string
		into        *time.Duration
	}{{"max_age", c.MaxAge, &q.MaxAge}, {"tested_within", c.TestedWithin, &q.TestedWithin}} {
		if option.value == "" {
			continue
		}
		*option.into, err = time.ParseDuration(option.value)
		if err == nil && *option.into <= 0 {
			err = errors.New("it is not positive")
		}
		if err != nil {
			wrong("%s is %q; write a duration such as 720h: %w", option.name, option.value, err)
		}
	}
	if q.RevokeMargin, err = time.ParseDuration(cmp.Or(c.RevokeMargin, defaultRevokeMargin)); err != nil || q.RevokeMargin < 0 {
		wrong("revoke_margin is %q; write a duration such as 24h, or 0s for none", c.RevokeMargin)
	}
	if !slices.Contains([]string{"", emptyError, emptyNull}, c.OnEmpty) {
		wrong("on_empty is %q; write %s or %s", c.OnEmpty, emptyError, emptyNull)
	}
	if _, err := stores.Resolve(c.Registry); err != nil {
		errs = append(errs, err)
	}
	return q, errs
}

// regionOfEnvironment returns the region that the environment names. It says
// nothing of the local cloud, whose builder does not ask it either.
func (c *Config) regionOfEnvironment() string {
	if cmp.Or(c.Cloud, os.Getenv(access.CloudEnv)) == access.Local {
		return ""
	}
	return cmp.Or(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"))
}
