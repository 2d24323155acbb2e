// Package stores opens the registry that a string names.
package stores

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"strings"

	"github.com/imagebakery/packer-plugin-bakery/internal/home"
	"github.com/imagebakery/packer-plugin-bakery/registry"
	"github.com/imagebakery/packer-plugin-bakery/registry/sqlite"
)

const (
	// Env is the variable that names the registry to use by default.
	Env = "BAKERY_REGISTRY"

	// ActorEnv is the variable that names whom records are written as.
	ActorEnv = "BAKERY_ACTOR"
)

// schemes are the kinds of registry, as their strings begin.
var schemes = []string{"sqlite:"}

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
		return "sqlite:" + path, nil
	}
	for _, scheme := range schemes {
		if rest, ok := strings.CutPrefix(spec, scheme); ok {
			if rest == "" {
				return "", fmt.Errorf("registry %q names no file; write sqlite:PATH", spec)
			}
			return spec, nil
		}
	}
	return "", fmt.Errorf("registry %q is of no known kind; write sqlite:PATH", spec)
}

// Open opens the registry that spec stands for, as [Resolve] has it, and makes
// it when it does not exist.
func Open(ctx context.Context, spec string) (registry.Store, error) {
	return open(ctx, spec)
}

// OpenForReading opens the registry that spec stands for without changing
// anything. It returns registry.ErrNoRegistry when it does not exist.
func OpenForReading(ctx context.Context, spec string) (registry.Store, error) {
	return open(ctx, spec, sqlite.ReadOnly())
}

func open(ctx context.Context, spec string, opts ...sqlite.Option) (registry.Store, error) {
	spec, err := Resolve(spec)
	if err != nil {
		return nil, err
	}
	store, err := sqlite.Open(ctx, strings.TrimPrefix(spec, "sqlite:"), opts...)
	if err != nil {
		return nil, err
	}
	return store, nil
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
