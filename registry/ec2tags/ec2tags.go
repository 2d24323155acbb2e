// Package ec2tags keeps a registry in the tags of the images themselves: a
// registry for those who want no infrastructure beside EC2.
//
// It keeps facts only: images, results of tests and marks. Each fact is a tag of
// its own, so that writers who come at once do not overwrite each other, and what
// a reader sees is the union of all tags of all copies of an image.
//
// # What it cannot promise
//
// EC2 has no call that writes a tag on a condition, and what was written can be
// read only after a while. So this store refuses with [registry.ErrUnsupported]
// what would need more:
//
//   - channels, which move by compare-and-set;
//   - lists of packages, for which tags have no room;
//   - what does not fit into the 24 tags of 256 characters that it takes of the 50
//     that an image can have.
//
// What a change was decided on is looked at once more just before it is written,
// and not in one go with it. It keeps no history of events, no list of the checks that failed, and no record
// of an image that was deregistered everywhere: its tags are gone with it, and
// the lineage of what was baked from it ends at its id. Of two registrations of
// one image at the same moment the last counts, and both are told that they were
// made.
//
// # The tags
//
//	bakery:id, application, version, layer, environment, release, arch, owner
//	bakery:parent          id of the image that it was baked from
//	bakery:record          version of this layout, times, the parent in its cloud, the bake
//	bakery:digests         bake key and digest of the packages
//	bakery:l/LABEL         a label
//	bakery:t/ID            a test result
//	bakery:m/ID            a mark
//
// An image without bakery:record is not registered.
package ec2tags

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// Clouds whose images can be a registry.
const (
	AWS   = "aws"
	Local = "local" // EC2 over files: the caller brings the way to it, see WithTransport
)

// Place is where the images are whose tags are the registry.
type Place struct {
	Cloud    string   // AWS or Local
	Regions  []string // sorted; one at least
	Endpoint string   // replaces AWS's own; empty is that
}

var regionName = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-\d+$`)

// Parse reads ec2tags://?region=REGION,REGION or ec2tags://local?region=REGION,
// with an optional endpoint=URL.
func Parse(s string) (Place, error) {
	const want = "write ec2tags://?region=REGION, with all regions that images are in, separated by commas"
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "ec2tags" || u.User != nil || u.Path != "" || u.Fragment != "" || u.Opaque != "" {
		return Place{}, fmt.Errorf("registry %q is none in the tags of EC2; %s", s, want)
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Place{}, fmt.Errorf("registry %q: %w; %s", s, err, want)
	}
	p := Place{Cloud: u.Host, Endpoint: values.Get("endpoint")}
	if p.Cloud == "" {
		p.Cloud = AWS
	}
	for _, list := range values["region"] {
		p.Regions = append(p.Regions, strings.Split(list, ",")...)
	}
	slices.Sort(p.Regions)
	p.Regions = slices.Compact(p.Regions)
	values.Del("region")
	values.Del("endpoint")
	endpoint, err := url.Parse(p.Endpoint)
	switch {
	case len(values) > 0:
		return Place{}, fmt.Errorf("registry %q has options other than region and endpoint; %s", s, want)
	case p.Cloud != AWS && p.Cloud != Local:
		return Place{}, fmt.Errorf("registry %q: the cloud is %q, neither %s nor %s; %s", s, p.Cloud, AWS, Local, want)
	case len(p.Regions) == 0:
		return Place{}, fmt.Errorf("registry %q names no region; %s", s, want)
	case p.Endpoint != "" && (err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https"):
		return Place{}, fmt.Errorf("registry %q: the endpoint %q is no http or https URL", s, p.Endpoint)
	}
	for _, region := range p.Regions {
		if !regionName.MatchString(region) {
			return Place{}, fmt.Errorf("registry %q: %q is no name of a region; %s", s, region, want)
		}
	}
	return p, nil
}

// String returns p as [Parse] reads it.
func (p Place) String() string {
	host := p.Cloud
	if host == AWS {
		host = ""
	}
	s := "ec2tags://" + host + "?region=" + strings.Join(p.Regions, ",")
	if p.Endpoint != "" {
		s += "&endpoint=" + url.QueryEscape(p.Endpoint)
	}
	return s
}

// api is what is called of EC2.
type api interface {
	ec2.DescribeImagesAPIClient
	CreateTags(ctx context.Context, in *ec2.CreateTagsInput, opts ...func(*ec2.Options)) (*ec2.CreateTagsOutput, error)
	DeleteTags(ctx context.Context, in *ec2.DeleteTagsInput, opts ...func(*ec2.Options)) (*ec2.DeleteTagsOutput, error)
}

// Store is a [registry.Store] in tags.
type Store struct {
	place   Place
	clients map[string]api // by region
	close   func() error
}

var _ registry.Store = (*Store)(nil)

// Option changes how a store is opened.
type Option func(*options)

type options struct {
	transport http.RoundTripper
	close     func() error
}

// WithTransport sends all requests to transport, which needs no credentials;
// closing, which may be nil, is called when the store is closed.
func WithTransport(transport http.RoundTripper, closing func() error) Option {
	return func(o *options) { o.transport, o.close = transport, closing }
}

// A throttled or broken call is made this often, with at most this long between
// two: an EC2 that cannot be reached shall be known within seconds.
const (
	maxAttempts = 6
	maxBackoff  = 2 * time.Second
)

// Open opens the registry in the tags of images, with the credentials that AWS's
// own tools would find. Nothing is called: there is nothing to make or to miss.
func Open(ctx context.Context, place Place, opts ...Option) (*Store, error) {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	if place.Cloud == Local && o.transport == nil && place.Endpoint == "" {
		return nil, fmt.Errorf("open registry %s: the local cloud cannot be reached from here", place)
	}
	retryer := func() aws.Retryer {
		return retry.NewStandard(func(r *retry.StandardOptions) { r.MaxAttempts, r.MaxBackoff = maxAttempts, maxBackoff })
	}
	cfg := aws.Config{Retryer: retryer, Credentials: credentials.NewStaticCredentialsProvider("local", "local", "")}
	if o.transport != nil {
		cfg.HTTPClient = &http.Client{Transport: o.transport}
	} else {
		var err error
		if cfg, err = config.LoadDefaultConfig(ctx, config.WithRegion(place.Regions[0]), config.WithRetryer(retryer)); err != nil {
			return nil, fmt.Errorf("open registry %s: read the AWS configuration: %w", place, err)
		}
	}
	s := &Store{place: place, clients: map[string]api{}, close: o.close}
	for _, region := range place.Regions {
		s.clients[region] = ec2.NewFromConfig(cfg, func(o *ec2.Options) {
			o.Region = region
			if place.Endpoint != "" {
				o.BaseEndpoint = &place.Endpoint
			}
		})
	}
	return s, nil
}

// Close implements [registry.Store].
func (s *Store) Close() error {
	if s.close == nil {
		return nil
	}
	return s.close()
}

// wrap says what was done to which registry when err happened. It returns nil
// for nil.
func (s *Store) wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s registry %s: %w", doing, s.place, explain(err))
}

// explain adds to AWS's words what they mean for the registry.
func explain(err error) error {
	if api, answered := errors.AsType[smithy.APIError](err); answered {
		switch api.ErrorCode() {
		case "UnauthorizedOperation", "AccessDenied", "AccessDeniedException":
			return fmt.Errorf("these credentials may not do that; it needs ec2:DescribeImages, CreateTags and DeleteTags: %w", err)
		case "AuthFailure", "InvalidClientTokenId", "ExpiredToken", "RequestExpired", "SignatureDoesNotMatch":
			return fmt.Errorf("the credentials are not valid, or the clock of this machine is wrong: %w", err)
		case "TagLimitExceeded":
			return fmt.Errorf("the image has 50 tags, more than which EC2 does not keep; remove some of your own: %w", err)
		}
		return err
	}
	var sent *smithy.OperationError
	if errors.As(err, &sent) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("EC2 cannot be reached, or there are no credentials for it: %w", err)
	}
	return err
}

// unsupported is what this store refuses.
func unsupported(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), registry.ErrUnsupported)
}
