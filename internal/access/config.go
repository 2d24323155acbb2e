// Package access holds the options with which a template names its cloud, and
// the way from there to a client of it. Builder, data source and post-processor
// share them.
//
//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type AssumeRole,Polling,VaultEngine
package access

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/home"
	"github.com/imagebakery/packer-plugin-bakery/internal/journal"
	"github.com/imagebakery/packer-plugin-bakery/internal/pace"
	"github.com/imagebakery/packer-plugin-bakery/internal/region"
	"github.com/imagebakery/packer-plugin-bakery/internal/together"
)

// The clouds that the option cloud can name.
const (
	AWS   = "aws"
	Local = "local"
)

// CloudEnv is the variable that sets the default of the option cloud.
const CloudEnv = "BAKERY_CLOUD"

// Config is squashed into the configuration of every component that works in a
// cloud.
type Config struct {
	// The cloud to work in: `aws`, or `local`, the EC2 on this machine's files
	// and loop devices. Everything else means the same in both. Defaults to the
	// environment variable `BAKERY_CLOUD`, else `aws`.
	Cloud string `mapstructure:"cloud" required:"false"`
	// The region to work in, such as `us-east-1`. Defaults to `AWS_REGION`,
	// `AWS_DEFAULT_REGION`, the profile's region, then the region of the
	// instance that runs Packer; on the local cloud to `us-east-1`.
	Region string `mapstructure:"region" required:"false"`
	// The access key. Without it credentials come from the environment, the
	// shared credentials file, or the instance's role, as for the AWS command
	// line.
	AccessKey string `mapstructure:"access_key" required:"false"`
	// The secret key that belongs to `access_key`.
	SecretKey string `mapstructure:"secret_key" required:"false"`
	// The session token of temporary credentials.
	Token string `mapstructure:"token" required:"false"`
	// The profile to use of the shared configuration and credentials files. Where
	// `access_key` is set too, only the profile's region and endpoints count.
	Profile string `mapstructure:"profile" required:"false"`
	// The credentials file to read instead of `~/.aws/credentials`. May begin
	// with `~/`.
	SharedCredentialsFile string `mapstructure:"shared_credentials_file" required:"false"`
	// A role to assume with the credentials found. See
	// [Assume role](#assume-role).
	AssumeRole AssumeRole `mapstructure:"assume_role" required:"false"`
	// Take the credentials from the AWS secrets engine of HashiCorp Vault. See
	// [Vault](#vault).
	VaultEngine VaultEngine `mapstructure:"vault_aws_engine" required:"false"`
	// The code of a multi-factor device, for a `profile` whose role wants one.
	MFACode string `mapstructure:"mfa_code" required:"false"`
	// Do not ask EC2 at the start whether the credentials work and permit what
	// the build is about to do. Defaults to `false`.
	SkipCredsValidation bool `mapstructure:"skip_credential_validation" required:"false"`
	// Take neither credentials nor region from the instance metadata service.
	// Which instance the host is is still asked for where a build has to know it.
	// Defaults to `false`.
	SkipMetadataAPICheck bool `mapstructure:"skip_metadata_api_check" required:"false"`
	// When AWS refuses a call and gives the reason in code only, ask it to decode
	// the reason. Needs the permission `sts:DecodeAuthorizationMessage`. Defaults
	// to `false`.
	DecodeAuthZMessages bool `mapstructure:"decode_authorization_messages" required:"false"`
	// An endpoint to use instead of EC2's own, such as
	// `https://ec2.example.com`.
	CustomEndpointEC2 string `mapstructure:"custom_endpoint_ec2" required:"false"`
	// Accept any TLS certificate of the endpoint. Defaults to `false`.
	InsecureSkipTLSVerify bool `mapstructure:"insecure_skip_tls_verify" required:"false"`
	// How often a call is repeated that was throttled or got no answer, with
	// growing delays between. Defaults to `10` for calls without an answer;
	// throttled ones are then repeated until they are accepted.
	MaxRetries int `mapstructure:"max_retries" required:"false"`
	// Accept regions that this release does not know. Defaults to `false`.
	SkipRegionValidation bool `mapstructure:"skip_region_validation" required:"false"`
	// How often states are asked for. Without it waits look after a quarter of a
	// second, then ever less often up to once in five seconds, and soon, because
	// how long each has taken on this host is remembered, when it is likely to be
	// over. See [Polling](#polling).
	Polling Polling `mapstructure:"aws_polling" required:"false"`

	watch     func(call, region string)
	transport http.RoundTripper
}

// UseTransport makes clients of c send their requests to transport, which must
// not be closed before them, instead of to a local cloud that each opens.
func (c *Config) UseTransport(transport http.RoundTripper) { c.transport = transport }

// Watch makes clients of c tell of each call that they make, from several
// goroutines: its service and name, such as "ec2:CreateVolume", and its region.
func (c *Config) Watch(watch func(call, region string)) { c.watch = watch }

// AssumeRole is the role to take on.
type AssumeRole struct {
	// The ARN of the role to assume.
	RoleARN string `mapstructure:"role_arn" required:"false"`
	// How long the role's credentials shall last, in seconds.
	DurationSeconds int `mapstructure:"duration_seconds" required:"false"`
	// The external id that the role's trust policy asks for.
	ExternalID string `mapstructure:"external_id" required:"false"`
	// A policy, in JSON, that restricts the role's permissions further.
	Policy string `mapstructure:"policy" required:"false"`
	// ARNs of policies that restrict the role's permissions further.
	PolicyARNs []string `mapstructure:"policy_arns" required:"false"`
	// The name of the session, as CloudTrail shows it.
	SessionName string `mapstructure:"session_name" required:"false"`
	// Tags of the session.
	Tags map[string]string `mapstructure:"tags" required:"false"`
	// Keys of the tags that pass on to further sessions.
	TransitiveTagKeys []string `mapstructure:"transitive_tag_keys" required:"false"`
}

// VaultEngine names credentials that HashiCorp Vault makes.
type VaultEngine struct {
	// The name of the role in Vault.
	Name string `mapstructure:"name" required:"false"`
	// The path that the secrets engine is mounted at. Defaults to `aws`.
	EngineName string `mapstructure:"engine_name" required:"false"`
	// The ARN of the role to assume, for roles of the type `assumed_role` that
	// allow several.
	RoleARN string `mapstructure:"role_arn" required:"false"`
	// How long the credentials shall last, such as `3600s`. Goes with `role_arn`.
	TTL string `mapstructure:"ttl" required:"false"`
}

// Polling says how often states are asked for.
type Polling struct {
	// Seconds between two looks. The environment variable
	// `AWS_POLL_DELAY_SECONDS` sets the default; where only
	// `AWS_TIMEOUT_SECONDS` is set, it is 2.
	DelaySeconds int `mapstructure:"delay_seconds" required:"false"`
	// Looks before a wait is given up; without it a wait lasts as long as it
	// takes. The environment variable `AWS_MAX_ATTEMPTS` sets the default, else
	// `AWS_TIMEOUT_SECONDS`, which is as many looks as fit into that time.
	MaxAttempts int `mapstructure:"max_attempts" required:"false"`
}

// regionForm is what every region name of AWS looks like.
var regionForm = regexp.MustCompile(`^[a-z]{2,3}(-[a-z]+)+-[0-9]+$`)

// Prepare sets defaults and returns every mistake in c. It asks no network.
func (c *Config) Prepare() []error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if c.Cloud == "" {
		c.Cloud = os.Getenv(CloudEnv)
	}
	if c.Cloud == "" {
		c.Cloud = AWS
	}
	if !slices.Contains([]string{AWS, Local}, c.Cloud) {
		wrong("cloud is %q; write %q or %q", c.Cloud, AWS, Local)
	}
	if c.Region == "" && c.Cloud == Local {
		c.Region = region.Default
	}
	if err := CheckRegion("region", c.Region, c.SkipRegionValidation); err != nil {
		errs = append(errs, err)
	}
	switch {
	case c.AccessKey != "" && c.SecretKey == "":
		wrong("access_key is set without secret_key; set both, or neither to take credentials from the environment")
	case c.AccessKey == "" && c.SecretKey != "":
		wrong("secret_key is set without access_key; set both, or neither to take credentials from the environment")
	}
	if c.MaxRetries < 0 {
		wrong("max_retries is %d; write 0 for the default, or how often to repeat a call", c.MaxRetries)
	}
	if c.AssumeRole.RoleARN == "" && c.AssumeRole.set() {
		wrong("assume_role has no role_arn; name the role to assume")
	}
	errs = append(errs, c.VaultEngine.prepare(c)...)
	errs = append(errs, c.Polling.prepare()...)
	return errs
}

// CheckRegion returns what is wrong with a region named by an option, or nil.
// An empty name is right: it is found out later.
func CheckRegion(option, name string, anyName bool) error {
	switch {
	case name == "", region.Known(name):
		return nil
	case !regionForm.MatchString(name):
		return fmt.Errorf("%s is %q, which is no name of a region; did you mean %q?", option, name, region.Nearest(name))
	case !anyName:
		return fmt.Errorf("%s is %q, which is not a region that this release knows; did you mean %q? "+
			"If it is newer, set skip_region_validation = true", option, name, region.Nearest(name))
	}
	return nil
}

func (r AssumeRole) set() bool {
	return r.DurationSeconds != 0 || r.ExternalID != "" || r.Policy != "" || r.SessionName != "" ||
		len(r.PolicyARNs)+len(r.Tags)+len(r.TransitiveTagKeys) > 0
}

// timeoutDelay is the delay in seconds between looks that amazon-chroot takes
// AWS_TIMEOUT_SECONDS to mean where nothing says how often to look.
const timeoutDelay = 2

func (p *Polling) prepare() []error {
	var errs []error
	fromEnv := func(value *int, name string) {
		text := os.Getenv(name)
		if *value != 0 || text == "" {
			return
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("environment variable %s is %q; write a whole number, or unset it", name, text))
			return
		}
		*value = n
	}
	fromEnv(&p.DelaySeconds, "AWS_POLL_DELAY_SECONDS")
	fromEnv(&p.MaxAttempts, "AWS_MAX_ATTEMPTS")
	if p.MaxAttempts == 0 {
		timeout := 0
		fromEnv(&timeout, "AWS_TIMEOUT_SECONDS")
		if timeout < 0 {
			errs = append(errs, fmt.Errorf("environment variable AWS_TIMEOUT_SECONDS is %d; write how many seconds to wait, or unset it", timeout))
		}
		if timeout > 0 && p.DelaySeconds == 0 {
			p.DelaySeconds = timeoutDelay
		}
		if timeout > 0 && p.DelaySeconds > 0 {
			p.MaxAttempts = max(1, timeout/p.DelaySeconds)
		}
	}
	if p.DelaySeconds < 0 {
		errs = append(errs, fmt.Errorf("aws_polling.delay_seconds is %d; write how many seconds to wait between two looks", p.DelaySeconds))
	}
	if p.MaxAttempts < 0 {
		errs = append(errs, fmt.Errorf("aws_polling.max_attempts is %d; write how often to look", p.MaxAttempts))
	}
	return errs
}

// WaitReport hears of long waits: what is waited for, the state it was last
// seen in, and for how long that has been going on.
type WaitReport func(what, state string, waited time.Duration)

// Client returns a client for the cloud that c names. Close it when done.
// Call Prepare first.
func (c *Config) Client(ctx context.Context, report WaitReport) (*cloud.Client, error) {
	cfg := cloud.Config{
		Region:    c.Region,
		AccessKey: c.AccessKey, SecretKey: c.SecretKey, SessionToken: c.Token,
		Profile: c.Profile, SharedCredentialsFile: inHome(c.SharedCredentialsFile),
		EndpointEC2: c.CustomEndpointEC2, InsecureSkipTLSVerify: c.InsecureSkipTLSVerify,
		MaxRetries: c.MaxRetries,
		Polling:    cloud.Polling{Delay: time.Duration(c.Polling.DelaySeconds) * time.Second, MaxAttempts: c.Polling.MaxAttempts},
		OnWait:     report,
		OnCall:     c.watch,
		MFACode:    c.MFACode, SkipMetadata: c.SkipMetadataAPICheck,
	}
	if file, err := home.Path("pace.json"); err == nil {
		cfg.Pace = pace.Open(file)
	}
	if dir, err := home.Path("asking"); err == nil {
		cfg.Desk = together.Open(dir)
	}
	if c.VaultEngine.set() && c.Cloud != Local {
		found, err := c.VaultEngine.read(ctx)
		if err != nil {
			return nil, err
		}
		packersdk.LogSecretFilter.Set(found.SecretKey)
		if found.SecurityToken != "" {
			packersdk.LogSecretFilter.Set(found.SecurityToken)
		}
		cfg.AccessKey, cfg.SecretKey, cfg.SessionToken = found.AccessKey, found.SecretKey, found.SecurityToken
	}
	if role := c.AssumeRole; role.RoleARN != "" {
		cfg.AssumeRole = &cloud.AssumeRole{
			ARN: role.RoleARN, SessionName: role.SessionName, ExternalID: role.ExternalID, Policy: role.Policy,
			PolicyARNs: role.PolicyARNs, Duration: time.Duration(role.DurationSeconds) * time.Second,
			Tags: role.Tags, TransitiveTagKeys: role.TransitiveTagKeys,
		}
	}
	if c.Cloud == Local {
		if cfg.Transport = c.transport; cfg.Transport == nil {
			transport, err := openLocal(ctx, c.Region)
			if err != nil {
				return nil, err
			}
			cfg.Transport = transport
		}
		// Whoever can write the files is the account: any key does.
		cfg.AccessKey, cfg.SecretKey, cfg.SessionToken, cfg.Profile = "local", "local", "", ""
		cfg.SharedCredentialsFile, cfg.EndpointEC2, cfg.AssumeRole = "", "", nil
	}
	return cloud.New(ctx, cfg)
}

// inHome puts the home of the user in the place of a leading ~, as a shell does.
func inHome(path string) string {
	rest, found := strings.CutPrefix(path, "~/")
	if dir, err := os.UserHomeDir(); found && err == nil {
		return filepath.Join(dir, rest)
	}
	return path
}

// WithoutSecrets returns what it takes to reach the same cloud later, when the
// environment or the files of AWS's tools hold the credentials.
func (c Config) WithoutSecrets() Config {
	c.AccessKey, c.SecretKey, c.Token, c.MFACode = "", "", "", ""
	return c
}

// Connect makes a client from the header of a journal.
func Connect(ctx context.Context, header journal.Header) (*cloud.Client, error) {
	return new(Config).Connect(ctx, header)
}

// Connect is the function of that name, with the transport of c.
func (c *Config) Connect(ctx context.Context, header journal.Header) (*cloud.Client, error) {
	other := Config{transport: c.transport}
	if err := json.Unmarshal(header.Access, &other); err != nil {
		return nil, fmt.Errorf("read how to reach the cloud of bake %s: %w", header.Bake, err)
	}
	other.Region = header.Region
	return other.Client(ctx, nil)
}

// Secrets returns the values of c that must not reach a log.
func (c *Config) Secrets() []string {
	return slices.DeleteFunc([]string{c.SecretKey, c.Token}, func(s string) bool { return strings.TrimSpace(s) == "" })
}
