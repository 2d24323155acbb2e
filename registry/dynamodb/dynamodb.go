// Package dynamodb keeps a registry in one DynamoDB table: the store for teams
// and for build hosts that come and go.
//
// Every rule of the registry is a condition of the transaction that writes: an
// image or an artifact is registered once, a channel moves from the revision
// that was read, a fact needs its image. All reads are strongly consistent.
//
// # The table
//
// Items have the keys pk and sk and, where they hold something, a record as
// JSON:
//
//	pk                   sk                    what
//	image#ID             image                 an image
//	image#ID             fact#result#ID        a test result of it
//	image#ID             fact#mark#ID          a mark of it
//	image#ID             fact#channel#HASH     a channel that it is the head of
//	channel#HASH         channel               a channel; the hash is of line and name
//	lease#KEY            lease                 who does what is done once
//	artifact#IMAGE-ID    CLOUD#REGION          which image has this artifact
//	packages#DIGEST      list                  a list of packages, compressed
//	index#…              CREATED-AT#ID         an image in the order of its age
//	history#ID, history  EVENT-ID              events of one change, of an image and of all
//	registry             format                the version of this layout
//
// Indexes are items rather than secondary indexes, since those are only
// eventually consistent.
package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// ErrNoTable means that there is no such table. It is not [registry.ErrNoRegistry], which
// readers may take for a registry without images: who names a table has one, and
// has mistyped its name or its region.
var ErrNoTable = errors.New("there is no such table in that region and account; 'bakery registry init' makes one")

// format is the version of the layout of the table.
const format = 1

// A throttled or broken call is made this often, with at most this long between
// two: a table that cannot be reached shall be known within seconds.
const (
	maxAttempts = 6
	maxBackoff  = 2 * time.Second
)

// Place is a table, and where it is.
type Place struct {
	Table    string
	Region   string
	Endpoint string // replaces AWS's own; empty is that
}

// tableName is what DynamoDB takes for a name of a table. It is compiled when it is
// needed: each start of a program would wait for it.
var tableName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_.-]{3,255}$`) })

// Parse reads dynamodb://TABLE?region=REGION, with an optional endpoint=URL.
func Parse(s string) (Place, error) {
	const want = "write dynamodb://TABLE?region=REGION"
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "dynamodb" || u.User != nil || u.Path != "" || u.Fragment != "" {
		return Place{}, fmt.Errorf("registry %q is no DynamoDB table; %s", s, want)
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Place{}, fmt.Errorf("registry %q: %w; %s", s, err, want)
	}
	p := Place{Table: u.Host, Region: values.Get("region"), Endpoint: values.Get("endpoint")}
	values.Del("region")
	values.Del("endpoint")
	endpoint, err := url.Parse(p.Endpoint)
	switch {
	case len(values) > 0:
		return Place{}, fmt.Errorf("registry %q has options other than region and endpoint; %s", s, want)
	case !tableName().MatchString(p.Table):
		return Place{}, fmt.Errorf("registry %q: %q is no name of a table: 3 to 255 letters, digits, and _ . -", s, p.Table)
	case p.Region == "":
		return Place{}, fmt.Errorf("registry %q names no region; %s", s, want)
	case p.Endpoint != "" && (err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https"):
		return Place{}, fmt.Errorf("registry %q: the endpoint %q is no http or https URL", s, p.Endpoint)
	}
	return p, nil
}

// String returns p as [Parse] reads it.
func (p Place) String() string {
	q := url.Values{"region": {p.Region}}
	if p.Endpoint != "" {
		q.Set("endpoint", p.Endpoint)
	}
	return "dynamodb://" + p.Table + "?" + q.Encode()
}

// Store is a [registry.Store] in a table.
type Store struct {
	place  Place
	client *dynamodb.Client
}

var _ registry.Store = (*Store)(nil)

// Open opens the registry in a table that [Init] has made, with the credentials
// that AWS's own tools would find. It returns ErrNoTable when there is no such
// table.
func Open(ctx context.Context, place Place) (*Store, error) {
	s, err := connect(ctx, place)
	if err != nil {
		return nil, err
	}
	found, err := s.format(ctx)
	switch {
	case err != nil:
		return nil, s.wrap("open", err)
	case found == 0:
		return nil, s.wrap("open", errors.New("the table is no registry; 'bakery registry init' makes one, in a table of its own"))
	case found > format:
		return nil, s.wrap("open", fmt.Errorf("it has format %d, written by a later release; this one knows up to %d", found, format))
	}
	return s, nil
}

func connect(ctx context.Context, place Place) (*Store, error) {
	retryer := func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = maxAttempts, maxBackoff })
	}
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(place.Region), config.WithRetryer(retryer))
	if err != nil {
		return nil, fmt.Errorf("open registry %s: read the AWS configuration: %w", place, err)
	}
	client := dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) {
		if place.Endpoint != "" {
			o.BaseEndpoint = &place.Endpoint
		}
	})
	return &Store{place: place, client: client}, nil
}

// format returns the version of the layout; 0 when the table says none.
func (s *Store) format(ctx context.Context) (int, error) {
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.place.Table, Key: formatKey.item(), ConsistentRead: aws.Bool(true),
	})
	if err != nil || out.Item == nil {
		return 0, err
	}
	n, ok := out.Item["version"].(*types.AttributeValueMemberN)
	if !ok {
		return 0, errors.New("the item of the format has no version")
	}
	return strconv.Atoi(n.Value)
}

// activation bounds how long a new table may take until it can be used.
const activation = 5 * time.Minute

// Init makes the table: billed per request, encrypted, protected against
// deletion, with continuous backups of the last 35 days. created is false when
// it is a registry already. A table of another kind is refused.
func Init(ctx context.Context, place Place) (created bool, err error) {
	s, err := connect(ctx, place)
	if err != nil {
		return false, err
	}
	key := func(name string, kind types.KeyType) types.KeySchemaElement {
		return types.KeySchemaElement{AttributeName: &name, KeyType: kind}
	}
	text := func(name string) types.AttributeDefinition {
		return types.AttributeDefinition{AttributeName: &name, AttributeType: types.ScalarAttributeTypeS}
	}
	_, err = s.client.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: &place.Table, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions:      []types.AttributeDefinition{text("pk"), text("sk")},
		KeySchema:                 []types.KeySchemaElement{key("pk", types.KeyTypeHash), key("sk", types.KeyTypeRange)},
		DeletionProtectionEnabled: aws.Bool(true),
		Tags:                      []types.Tag{{Key: aws.String("bakery"), Value: aws.String("registry")}},
	})
	var exists *types.ResourceInUseException
	if err != nil && !errors.As(err, &exists) {
		return false, s.wrap("make", err)
	}
	created = err == nil
	waiter := dynamodb.NewTableExistsWaiter(s.client, func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = time.Second, 10*time.Second
	})
	if err := waiter.Wait(ctx, &dynamodb.DescribeTableInput{TableName: &place.Table}, activation); err != nil {
		return created, s.wrap("wait for the new table of", err)
	}
	found, err := s.format(ctx)
	switch {
	case err != nil:
		return created, s.wrap("look into", err)
	case found > format:
		return false, s.wrap("make", fmt.Errorf("it exists with format %d, written by a later release", found))
	case found > 0:
		return false, nil
	case !created:
		if err := s.wantEmpty(ctx); err != nil {
			return false, s.wrap("make", err)
		}
	}
	// An earlier call may have ended here: what follows is done again.
	_, err = s.client.UpdateContinuousBackups(ctx, &dynamodb.UpdateContinuousBackupsInput{
		TableName:                        &place.Table,
		PointInTimeRecoverySpecification: &types.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: aws.Bool(true)},
	})
	if err != nil {
		return created, s.wrap("turn on the backups of", err)
	}
	item := formatKey.item()
	item["version"] = &types.AttributeValueMemberN{Value: strconv.Itoa(format)}
	if _, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &place.Table, Item: item}); err != nil {
		return created, s.wrap("make", err)
	}
	return true, nil
}

func (s *Store) wantEmpty(ctx context.Context) error {
	out, err := s.client.Scan(ctx, &dynamodb.ScanInput{TableName: &s.place.Table, Limit: aws.Int32(1), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return err
	}
	if len(out.Items) > 0 {
		return errors.New("the table exists and holds something else")
	}
	return nil
}

// Close implements [registry.Store].
func (s *Store) Close() error { return nil }

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
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		return ErrNoTable
	}
	if api, answered := errors.AsType[smithy.APIError](err); answered {
		switch api.ErrorCode() {
		case "AccessDeniedException":
			return fmt.Errorf("these credentials may not do that: %w", err)
		case "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException":
			return fmt.Errorf("the credentials are not valid, or the clock of this machine is wrong: %w", err)
		}
		return err
	}
	var sent *smithy.OperationError
	if errors.As(err, &sent) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("it cannot be reached, or there are no credentials for it: %w", err)
	}
	return err
}
