// Package stores opens the registry that a string names.
package stores

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/user"
	"slices"
	"strings"

	"github.com/imagebakery/packer-plugin-bakery/internal/home"
	"github.com/imagebakery/packer-plugin-bakery/internal/localcloud"
	"github.com/imagebakery/packer-plugin-bakery/registry"
	"github.com/imagebakery/packer-plugin-bakery/registry/dynamodb"
	"github.com/imagebakery/packer-plugin-bakery/registry/ec2tags"
	"github.com/imagebakery/packer-plugin-bakery/registry/sqlite"
)

const (
	// Env is the variable that names the registry to use by default.
	Env = "BAKERY_REGISTRY"

	// ActorEnv is the variable that names whom records are written as.
	ActorEnv = "BAKERY_ACTOR"
)

// kinds are the kinds of registry, as their strings begin, with how each is
// written.
var kinds = map[string]string{
	sqliteScheme:   "sqlite:PATH",
	dynamodbScheme: "dynamodb://TABLE?region=REGION",
	ec2tagsScheme:  "ec2tags://?region=REGION",
}

const (
	sqliteScheme   = "sqlite:"
	dynamodbScheme = "dynamodb:"
	ec2tagsScheme  = "ec2tags:"
)

// Resolve returns the registry that spec stands for: spec itself, else
// $BAKERY_REGISTRY, else a SQLite file in the suite's folder. It returns an
// error when that names no kind of registry that exists.
func Resolve(spec string) (string, error) {
	if spec == "" {
		spec = os.Getenv(Env)
	}
	if spec == "" {
		path, err := home.Path("registry.db")
		if err != nil {
			return "", err
		}
		return sqliteScheme + path, nil
	}
	if path, ok := strings.CutPrefix(spec, sqliteScheme); ok {
		if path == "" {
			return "", fmt.Errorf("registry %q names no file; write %s", spec, kinds[sqliteScheme])
		}
		return spec, nil
	}
	if strings.HasPrefix(spec, dynamodbScheme) {
		place, err := dynamodb.Parse(spec)
		if err != nil {
			return "", err
		}
		return place.String(), nil
	}
	if strings.HasPrefix(spec, ec2tagsScheme) {
		place, err := ec2tags.Parse(spec)
		if err != nil {
			return "", err
		}
		return place.String(), nil
	}
	return "", fmt.Errorf("registry %q is of no known kind; write %s", spec,
		strings.Join(slices.Sorted(maps.Values(kinds)), " or "))
}

// Open opens the registry that spec stands for, as [Resolve] has it, and makes
// it when it does not exist. A DynamoDB table is not made: [Init] does that. It
// returns registry.ErrNoRegistry when there is none.
func Open(ctx context.Context, spec string) (registry.Store, error) {
	return open(ctx, spec)
}

// OpenForReading opens the registry that spec stands for without changing
// anything. It returns registry.ErrNoRegistry when it does not exist, and
// dynamodb.ErrNoTable for a table.
func OpenForReading(ctx context.Context, spec string) (registry.Store, error) {
	return open(ctx, spec, sqlite.ReadOnly())
}

// Check tells whether [Open] would open or make the registry that spec stands
// for, as far as this machine knows: it makes nothing and contacts no service.
func Check(ctx context.Context, spec string) error {
	spec, err := Resolve(spec)
	if err != nil || !strings.HasPrefix(spec, sqliteScheme) {
		return err
	}
	store, err := OpenForReading(ctx, spec)
	if errors.Is(err, registry.ErrNoRegistry) {
		return nil
	}
	if err != nil {
		return err
	}
	return store.Close()
}

func open(ctx context.Context, spec string, opts ...sqlite.Option) (registry.Store, error) {
	spec, err := Resolve(spec)
	if err != nil {
		return nil, err
	}
	// An interface that holds a nil pointer is not nil.
	if path, ok := strings.CutPrefix(spec, sqliteScheme); ok {
		store, err := sqlite.Open(ctx, path, opts...)
		if err != nil {
			return nil, err
		}
		return store, nil
	}
	if strings.HasPrefix(spec, ec2tagsScheme) {
		return openTags(ctx, spec)
	}
	place, err := dynamodb.Parse(spec)
	if err != nil {
		return nil, err
	}
	store, err := dynamodb.Open(ctx, place)
	if err != nil {
		return nil, err
	}
	return store, nil
}

// openTags opens a registry in the tags of images, of the local cloud too.
func openTags(ctx context.Context, spec string) (registry.Store, error) {
	place, err := ec2tags.Parse(spec)
	if err != nil {
		return nil, err
	}
	var opts []ec2tags.Option
	if place.Cloud == ec2tags.Local && place.Endpoint == "" {
		local, err := localcloud.Open(ctx, "", localcloud.OptionsFromEnv()...)
		if err != nil {
			return nil, fmt.Errorf("open registry %s: %w", place, err)
		}
		opts = append(opts, ec2tags.WithTransport(local.Transport(), local.Close))
	}
	store, err := ec2tags.Open(ctx, place, opts...)
	if err != nil {
		return nil, err
	}
	return store, nil
}

// Init makes the registry that spec stands for and returns its name. created is
// false when it exists already.
func Init(ctx context.Context, spec string) (name string, created bool, err error) {
	if name, err = Resolve(spec); err != nil {
		return "", false, err
	}
	if strings.HasPrefix(name, dynamodbScheme) {
		place, err := dynamodb.Parse(name)
		if err != nil {
			return "", false, err
		}
		created, err := dynamodb.Init(ctx, place)
		return name, created, err
	}
	// In tags there is nothing to be made.
	store, err := OpenForReading(ctx, name)
	if errors.Is(err, registry.ErrNoRegistry) {
		created = true
		store, err = Open(ctx, name)
	}
	if err != nil {
		return "", false, err
	}
	return name, created, store.Close()
}

// Actor returns whom records are written as: $BAKERY_ACTOR, else user@host.
func Actor() string {
	if actor := os.Getenv(ActorEnv); actor != "" {
		return actor
	}
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name
}
