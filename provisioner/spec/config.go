//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type Config,Goss

package spec

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/packer-plugin-sdk/common"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"github.com/hashicorp/packer-plugin-sdk/template/config"
	"github.com/hashicorp/packer-plugin-sdk/template/interpolate"
	"github.com/zclconf/go-cty/cty"

	"github.com/imagebakery/packer-plugin-bakery/internal/check"
)

// Config is the configuration of the provisioner. Beside these options it takes
// any number of check blocks.
type Config struct {
	common.PackerConfig `mapstructure:",squash"`
	check.Blocks        `mapstructure:",squash"`

	// Suite files (`*.spec.hcl`) whose checks run along with the blocks here,
	// relative to the directory that Packer runs in. A `deferred` file of an
	// earlier run is a suite too.
	Suite []string `mapstructure:"suite"`
	// Values of variables that the suite files declare.
	Vars map[string]string `mapstructure:"vars"`
	// Suites of goss, read as they are, without goss: see
	// [Gossfiles](#gossfiles).
	Goss []Goss `mapstructure:"goss"`
	// `offline`: the image is mounted and nothing of it runs. `booted`: it runs.
	// `auto`, the default: find out; what is not plainly booted is offline.
	Mode string `mapstructure:"mode"`
	// File for the results as JUnit XML, on the build host. It is also written
	// when checks fail. May contain template functions such as
	// `{{ build_name }}`.
	JUnit string `mapstructure:"junit"`
	// File for the results as JSON, as for `junit`.
	JSON string `mapstructure:"json"`
	// File for the results in the Test Anything Protocol, as for `junit`.
	TAP string `mapstructure:"tap"`
	// File for the checks with `requires = "boot"` that an offline run has left
	// to a booted one, which takes it as a `suite`. May contain template
	// functions.
	Deferred string `mapstructure:"deferred"`
	// The least severity of a check that fails the build: `low` (the default,
	// so that every check does), `medium`, `high` or `critical`. Others are
	// reported only.
	FailOn string `mapstructure:"fail_on"`
	// `fail`, the default, or `warn`: checks that fail are reported and do not
	// fail the build. The image then does not count as tested. Checks that
	// could not be decided fail the build all the same.
	OnFailure string `mapstructure:"on_failure"`
	// The command that starts a shell which reads a script from its standard
	// input, `/bin/sh -s` by default. When the communicator's user is not root,
	// `sudo -n /bin/sh -s` lets the checks see everything.
	ExecuteCommand string `mapstructure:"execute_command"`

	ctx    interpolate.Context
	mode   check.Mode
	failOn check.Severity
	suites []check.Suite
	owners map[string]string // of the names of suites: whose each is
}

// prepare decodes and validates the configuration. All that is wrong with it
// and with its suite files comes in one error.
func (c *Config) prepare(raws ...any) (*check.Plan, error) {
	// Decode replaces the values in raws.
	fromHCL := isHCL(raws)
	err := config.Decode(c, &config.DecodeOpts{
		PluginType: "bakery-spec",
		// Checks may contain {{ }} of their own, as in docker's --format. The
		// options for which it means something are rendered below.
		Interpolate:        !fromHCL,
		InterpolateContext: &c.ctx,
	}, raws...)
	if err != nil {
		return nil, err
	}
	if fromHCL {
		c.ctx.BuildName, c.ctx.BuildType = c.PackerBuildName, c.PackerBuilderType
		c.ctx.CorePackerVersionString, c.ctx.UserVariables = c.PackerCoreVersion, c.PackerUserVars
	}
	var errs *packersdk.MultiError
	problem := func(err error) { errs = packersdk.MultiErrorAppend(errs, err) }

	if c.mode, err = check.ParseMode(known(c.Mode)); err != nil {
		problem(fmt.Errorf("mode: %w", err))
	}
	c.failOn = check.Low
	if text := known(c.FailOn); text != "" {
		if c.failOn, err = check.ParseSeverity(text); err != nil {
			problem(fmt.Errorf("fail_on: %q %w", text, err))
		}
	}
	switch known(c.OnFailure) {
	case "", "fail", "warn":
	default:
		problem(fmt.Errorf("on_failure: %q is not fail or warn", c.OnFailure))
	}
	if c.ExecuteCommand == "" {
		c.ExecuteCommand = "/bin/sh -s"
	}
	for name, file := range map[string]*string{"junit": &c.JUnit, "json": &c.JSON, "tap": &c.TAP, "deferred": &c.Deferred} {
		rendered, err := interpolate.Render(*file, &c.ctx)
		if err != nil {
			problem(fmt.Errorf("%s: %q: %w", name, *file, err))
			continue
		}
		*file = rendered
	}

	partial := c.readSuites(problem)
	partial = c.readGoss(problem) || partial
	plan, problems := check.Compile(c.suites, c.mode, time.Now())
	plan.Partial = plan.Partial || partial
	for _, err := range problems {
		problem(err)
	}
	if errs != nil {
		return nil, errs
	}
	return plan, nil
}

// readSuites gathers the blocks and the suite files. It tells whether the name
// of a file is not known yet.
func (c *Config) readSuites(problem func(error)) (partial bool) {
	inline := c.Blocks.Suite(inlineName)
	if len(inline.Entries) > 0 || len(inline.Waivers) > 0 || len(c.Suite)+len(c.Goss) == 0 {
		c.suites = append(c.suites, inline)
	}
	var files []string
	for _, file := range c.Suite {
		if check.IsUnknown(file) {
			partial = true
			continue
		}
		files = append(files, file)
	}
	for _, value := range c.Vars {
		partial = partial || check.IsUnknown(value)
	}
	c.owners = map[string]string{inlineName: "the template's own checks"}
	suites, errs := check.ReadSuites(files, c.Vars, c.owners)
	for _, err := range errs {
		problem(fmt.Errorf("suite: %w", err))
	}
	for _, s := range suites {
		c.owners[s.Name] = strconv.Quote(s.File)
	}
	c.suites = append(c.suites, suites...)
	return partial
}

// inlineName is the name of the suite of the template's own blocks.
const inlineName = "inline"

// known is a value without Packer's mark for one that is not known yet.
func known(value string) string {
	if check.IsUnknown(value) {
		return ""
	}
	return strings.TrimSpace(value)
}

// isHCL tells whether the configuration comes from an HCL2 template.
func isHCL(raws []any) bool {
	for _, raw := range raws {
		if _, ok := raw.(cty.Value); ok {
			return true
		}
	}
	return false
}
