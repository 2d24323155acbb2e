package cloud

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/imagebakery/packer-plugin-bakery/internal/pace"
	"github.com/imagebakery/packer-plugin-bakery/internal/together"
	"github.com/imagebakery/packer-plugin-bakery/version"
)

// Config says which account and region to work in and how to get there. The
// zero value asks the environment, as the AWS command line would.
type Config struct {
	Region                string
	AccessKey             string
	SecretKey             string
	SessionToken          string
	Profile               string
	SharedCredentialsFile string
	AssumeRole            *AssumeRole

	EndpointEC2           string // replaces EC2's endpoint; empty is AWS's own
	InsecureSkipTLSVerify bool   // for an endpoint with a certificate of its own
	MaxRetries            int    // of a throttled or broken call; 0 is 10 of a broken one, and no limit for a throttled one
	Polling               Polling
	MFACode               string // for a profile whose role wants a second factor
	SkipMetadata          bool   // take neither credentials nor region from instance metadata

	// Pace remembers how long waits took, so that they are looked after at the
	// right time; nil remembers nothing.
	Pace *pace.Memory

	// Desk is where processes of this host that wait ask together; nil: each asks
	// for itself.
	Desk *together.Desk

	// Transport answers the requests instead of the network: the local cloud.
	Transport http.RoundTripper

	// OnWait, when set, hears of a wait every few seconds: what is waited for
	// and the state it was last seen in.
	OnWait func(what, state string, waited time.Duration)

	// OnCall, when set, hears of every call before it is made: its service and
	// name, such as "ec2:CreateVolume", and its region. Calls are made from
	// several goroutines.
	OnCall func(call, region string)
}

// AssumeRole is the role to take on with the credentials found.
type AssumeRole struct {
	ARN               string
	SessionName       string
	ExternalID        string
	Policy            string
	PolicyARNs        []string
	Duration          time.Duration
	Tags              map[string]string
	TransitiveTagKeys []string
}

// Client works in one region of one account. It is safe for concurrent use.
type Client struct {
	cfg    Config
	aws    aws.Config
	region string
	ec2    *ec2.Client
	sts    *sts.Client
}

// New returns a client for cfg. It reads the environment and credential files
// but asks AWS nothing, except for the region when none is configured: that is
// then the one of the instance this host is.
func New(ctx context.Context, cfg Config) (*Client, error) {
	awsCfg, err := load(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("read the AWS configuration: %w", err)
	}
	if cfg.OnCall != nil {
		awsCfg.APIOptions = append(awsCfg.APIOptions, tellCalls(cfg.OnCall))
	}
	if awsCfg.Region == "" && cfg.SkipMetadata {
		return nil, errors.New("no region is set (option region, AWS_REGION, or a profile), and it may not be taken from instance metadata")
	}
	if awsCfg.Region == "" {
		host, err := readHost(ctx, awsCfg)
		if err != nil {
			return nil, fmt.Errorf("no region is set (option region, AWS_REGION, or a profile), "+
				"and this host is no EC2 instance to take it from: %w", err)
		}
		awsCfg.Region = host.Region
	}
	if role := cfg.AssumeRole; role != nil {
		awsCfg.Credentials = aws.NewCredentialsCache(assume(awsCfg, *role))
	}
	return (&Client{cfg: cfg, aws: awsCfg}).InRegion(awsCfg.Region), nil
}

// load finds out region and credentials. With a transport of our own the
// environment and files of AWS's tools have no say: they are for another cloud.
func load(ctx context.Context, cfg Config) (aws.Config, error) {
	retryer := func() aws.Retryer { return newRetryer(cfg) }
	static := credentials.NewStaticCredentialsProvider(cfg.AccessKey, cfg.SecretKey, cfg.SessionToken)
	if cfg.Transport != nil {
		return aws.Config{
			Region: cfg.Region, Credentials: static, HTTPClient: httpClient(cfg), Retryer: retryer,
			APIOptions: []func(*middleware.Stack) error{countFailures},
		}, nil
	}
	opts := []func(*config.LoadOptions) error{
		config.WithRegion(cfg.Region),
		config.WithHTTPClient(httpClient(cfg)),
		config.WithRetryer(retryer),
		config.WithAPIOptions([]func(*middleware.Stack) error{countFailures}),
		config.WithAppID("packer-plugin-bakery/" + version.Version),
	}
	if cfg.Profile != "" {
		opts = append(opts, config.WithSharedConfigProfile(cfg.Profile))
	}
	if cfg.SharedCredentialsFile != "" {
		opts = append(opts, config.WithSharedCredentialsFiles([]string{cfg.SharedCredentialsFile}))
	}
	if cfg.AccessKey != "" {
		opts = append(opts, config.WithCredentialsProvider(static))
	}
	if cfg.MFACode != "" {
		opts = append(opts, config.WithAssumeRoleCredentialOptions(func(o *stscreds.AssumeRoleOptions) {
			o.TokenProvider = func() (string, error) { return cfg.MFACode, nil }
		}))
	}
	if cfg.SkipMetadata {
		opts = append(opts, config.WithEC2IMDSClientEnableState(imds.ClientDisabled))
	}
	loaded, err := config.LoadDefaultConfig(ctx, opts...)
	// How often calls are repeated is for the retryer to say. AWS_MAX_ATTEMPTS,
	// which means how often to look to who comes from amazon-chroot, would limit
	// how often a throttled call is repeated.
	loaded.RetryMaxAttempts = 0
	return loaded, err
}

// InRegion returns a client with the same credentials in another region.
func (c *Client) InRegion(region string) *Client {
	if region == c.region {
		return c
	}
	other := &Client{cfg: c.cfg, aws: c.aws.Copy(), region: region}
	other.aws.Region = region
	other.ec2 = ec2.NewFromConfig(other.aws, func(o *ec2.Options) {
		if c.cfg.EndpointEC2 != "" {
			o.BaseEndpoint = &c.cfg.EndpointEC2
		}
	})
	other.sts = sts.NewFromConfig(other.aws)
	return other
}

// Region returns the region that c works in.
func (c *Client) Region() string { return c.region }

// Account returns the id of the account that the credentials belong to.
func (c *Client) Account(ctx context.Context) (string, error) {
	out, err := c.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", apiError("GetCallerIdentity", "", err)
	}
	return aws.ToString(out.Account), nil
}

// Host is the EC2 instance that this host is.
type Host struct {
	InstanceID   string
	Region       string
	Zone         string
	Account      string
	Architecture string // as EC2 says it: x86_64, arm64
}

// Host asks the instance metadata service what this host is. It returns
// ErrNoInstance when there is no such service to ask.
func (c *Client) Host(ctx context.Context) (Host, error) { return readHost(ctx, c.aws) }

// metadataTimeout is enough for a link-local service that answers from memory;
// a host outside EC2 shall learn so quickly.
const metadataTimeout = 5 * time.Second

func readHost(ctx context.Context, cfg aws.Config) (Host, error) {
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	client := imds.NewFromConfig(cfg, func(o *imds.Options) {
		// What this host is has to be known, whatever AWS_EC2_METADATA_DISABLED
		// says of credentials and regions.
		o.ClientEnableState = imds.ClientEnabled
	})
	doc, err := client.GetInstanceIdentityDocument(ctx, nil)
	if err != nil {
		return Host{}, fmt.Errorf("%w: %w", ErrNoInstance, err)
	}
	return Host{
		InstanceID: doc.InstanceID, Region: doc.Region, Zone: doc.AvailabilityZone,
		Account: doc.AccountID, Architecture: doc.Architecture,
	}, nil
}

// callTimeout is how long a call may go without its answer before it is taken
// as lost. EC2 answers within seconds.
const callTimeout = time.Minute

func httpClient(cfg Config) aws.HTTPClient {
	if cfg.Transport != nil {
		return &http.Client{Transport: cfg.Transport, Timeout: callTimeout}
	}
	client := awshttp.NewBuildableClient().WithTimeout(callTimeout)
	if cfg.InsecureSkipTLSVerify {
		client = client.WithTransportOptions(func(t *http.Transport) {
			if t.TLSClientConfig == nil {
				t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
			}
			t.TLSClientConfig.InsecureSkipVerify = true
		})
	}
	return client
}

// tellCalls makes clients tell of each call, not of its repetitions.
func tellCalls(tell func(call, region string)) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("tellCalls",
			func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
				name := strings.ToLower(awsmiddleware.GetServiceID(ctx)) + ":" + awsmiddleware.GetOperationName(ctx)
				tell(name, awsmiddleware.GetRegion(ctx))
				return next.HandleInitialize(ctx, in)
			}), middleware.After)
	}
}

type noRateLimit struct{}

func (noRateLimit) GetToken(context.Context, uint) (func() error, error) {
	return func() error { return nil }, nil
}
func (noRateLimit) AddTokens(uint) error { return nil }

func assume(cfg aws.Config, role AssumeRole) aws.CredentialsProvider {
	return stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), role.ARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = role.SessionName
		o.Duration = role.Duration
		o.TransitiveTagKeys = role.TransitiveTagKeys
		if role.ExternalID != "" {
			o.ExternalID = &role.ExternalID
		}
		if role.Policy != "" {
			o.Policy = &role.Policy
		}
		for _, arn := range role.PolicyARNs {
			o.PolicyARNs = append(o.PolicyARNs, types.PolicyDescriptorType{Arn: aws.String(arn)})
		}
		for key, value := range role.Tags {
			o.Tags = append(o.Tags, types.Tag{Key: aws.String(key), Value: aws.String(value)})
		}
	})
}

// Close releases what the transport of the client holds. Clients of other
// regions made from this one share it.
func (c *Client) Close() error {
	if closer, ok := c.cfg.Transport.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}
