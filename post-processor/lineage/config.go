//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type Config

package lineage

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/packer-plugin-sdk/common"
	"github.com/hashicorp/packer-plugin-sdk/template/config"

	"github.com/imagebakery/packer-plugin-bakery/internal/access"
	"github.com/imagebakery/packer-plugin-bakery/internal/stores"
)

// Config is the configuration of bakery-lineage.
type Config struct {
	common.PackerConfig `mapstructure:",squash"`
	access.Config       `mapstructure:",squash"`

	// What the image is an image of, such as `base` or `shop`.
	Application string `mapstructure:"application" required:"true"`
	// The version of the image. Any text; write it in the order of your
	// package system, or as a semantic version, and bakery-ancestor can
	// compare it.
	Version string `mapstructure:"version" required:"true"`
	// The layer of the image: `foundation` (the bare operating system), `base`
	// (your platform), `application`, or one of your own.
	Layer string `mapstructure:"layer" required:"true"`
	// The environment that the image is for, such as `prod`.
	Environment string `mapstructure:"environment" required:"false"`
	// The release of the operating system, such as `bookworm`. Defaults to that
	// of the image that this one was baked from, when the registry knows it.
	Release string `mapstructure:"release" required:"false"`
	// The architecture: `x86_64` or `arm64`; `amd64` and `aarch64` mean the
	// same. Defaults to what the builder says, else to that of the image that
	// this one was baked from.
	Arch string `mapstructure:"arch" required:"false"`
	// Who owns the image: a team or a person.
	Owner string `mapstructure:"owner" required:"false"`
	// Anything else to look the image up by. The label `kernel` is what
	// bakery-ancestor's option `kernel` looks at.
	Labels map[string]string `mapstructure:"labels" required:"false"`

	// The image that this one was baked from: its id in the cloud, such as
	// `ami-0123456789abcdef0`, or in the registry. Defaults to what the builder
	// says. The registry need not know it.
	Parent string `mapstructure:"parent" required:"false"`
	// Fail, and register nothing, when no test result was handed over by
	// bakery-spec or when one did not pass. Defaults to `false`: the image is
	// registered with the status `built` or `rejected`, which bakery-ancestor
	// does not return unless it is asked for.
	RequireTests bool `mapstructure:"require_tests" required:"false"`

	// Write a bill of materials of the image to this file, in CycloneDX's JSON:
	// the installed packages with their package URLs, and the image's ancestors.
	// What is installed is known of images that bakery-chroot has baked, and of
	// others when a bakery-spec provisioner ran; otherwise this is an error, and
	// nothing is registered.
	SBOM string `mapstructure:"sbom" required:"false"`

	// JUnit reports to record as test results, beside those of bakery-spec: of a
	// job that has launched the image, for example. A suite of a report is a suite
	// of the image. See [Tests of other tools](#tests-of-other-tools).
	JUnit []string `mapstructure:"junit" required:"false"`
	// Write a file of [properties](#properties) for the jobs that come after this
	// build, in the form that Jenkins reads.
	Properties string `mapstructure:"properties" required:"false"`
	// A parameter of AWS Systems Manager to hold the id of the image, in each of
	// its regions, such as `/images/shop/latest`. Launch templates refer to it as
	// `resolve:ssm:/images/shop/latest`. See [Parameters](#parameters).
	SSMParameter string `mapstructure:"ssm_parameter" required:"false"`

	// Write [tags](#tags) to the image and its snapshots, in every region.
	// Defaults to `true` in the clouds `aws` and `local`; images elsewhere get
	// none.
	WriteTags config.Trilean `mapstructure:"write_tags" required:"false"`
	// In whose words the tags are: any of `bakery`, `aminator` and `pinterest`.
	// Defaults to `["bakery"]`.
	TagStyles []string `mapstructure:"tag_styles" required:"false"`

	// The registry to register in: `sqlite:PATH`,
	// `dynamodb://TABLE?region=REGION` or `ec2tags://?region=REGION`. Defaults to the environment variable
	// `BAKERY_REGISTRY`, else to the file `registry.db` in the
	// suite's folder (`BAKERY_HOME`, else `~/.local/share/bakery`). A file is
	// made when it does not exist.
	Registry string `mapstructure:"registry" required:"false"`
}

// unknown stands for a value that Packer knows only when the build runs.
const unknown = "<unknown>"

// parameterName is what Systems Manager takes for the name of a parameter, in
// up to 15 levels ("PutParameter" in its API reference).
var parameterName = regexp.MustCompile(`^(/?[A-Za-z0-9_.-]+|(/[A-Za-z0-9_.-]+){1,15})$`)

// prepare sets defaults and returns every mistake in c.
func (c *Config) prepare() []error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	for _, option := range []struct{ name, value, example string }{
		{"application", c.Application, "shop"}, {"version", c.Version, "1.4.2"}, {"layer", c.Layer, "application"},
	} {
		if strings.TrimSpace(option.value) == "" {
			wrong("%s is not set; say what the image is, such as %s = %q", option.name, option.name, option.example)
		}
	}
	if len(c.TagStyles) == 0 {
		c.TagStyles = []string{styleBakery}
	}
	for i, style := range c.TagStyles {
		if _, known := styles[style]; !known && style != unknown {
			wrong("tag_styles[%d] is %q; write one of %s", i, style, strings.Join(slices.Sorted(maps.Keys(styles)), ", "))
		}
	}
	for i, path := range c.JUnit {
		if path == "" {
			wrong("junit[%d] is empty; name a report", i)
		}
	}
	if name := c.SSMParameter; name != "" && !strings.Contains(name, unknown) && !parameterName.MatchString(name) {
		wrong("ssm_parameter is %q; write a name such as /images/shop/latest, of letters, digits and _ . - /", name)
	}
	for _, key := range slices.Sorted(maps.Keys(c.Labels)) {
		if key == "" {
			wrong("labels has an entry without a name, with the value %q", c.Labels[key])
		}
	}

	// Prepare would take the default for what the template says.
	named := c.Cloud
	errs = append(errs, c.Config.Prepare()...)
	c.Cloud = named

	if err := c.checkRegistry(); err != nil {
		errs = append(errs, err)
	}
	return errs
}

// patience is how long a registry may take to answer before the bake.
const patience = 30 * time.Second

// checkRegistry finds out before the bake whether its image can be registered,
// as far as this machine knows: packer validate may run where no service can be
// reached.
func (c *Config) checkRegistry() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return stores.Check(ctx, c.Registry)
}
