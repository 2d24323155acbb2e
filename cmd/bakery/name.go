package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// resolve returns the image that a person has named.
func resolve(ctx context.Context, reg *registry.Registry, name string) (registry.View, error) {
	view, err := reg.Resolve(ctx, name)
	return view, withRemedy(ctx, reg, name, err)
}

// withRemedy adds to an error about an image that is not found how to find it:
// people write the name of an application, or the image's name in the cloud,
// where an id is wanted. Any other error is returned as it is.
func withRemedy(ctx context.Context, reg *registry.Registry, name string, err error) error {
	if !errors.Is(err, registry.ErrNotFound) {
		return err
	}
	for view, readErr := range reg.Select(ctx, registry.Query{}) {
		if readErr != nil {
			break
		}
		if view.Application == name {
			return fmt.Errorf("%w; %s is an application: its newest image is %s, and 'bakery images ls --application %s' lists all",
				err, name, firstID(view.Image), name)
		}
		for _, a := range view.Artifacts {
			if a.Name == name {
				return fmt.Errorf("%w; it is the name of %s: write that", err, a.ID)
			}
		}
	}
	return fmt.Errorf("%w; 'bakery images ls' has the ids of all", err)
}

// firstID returns an id of an image by which people know it.
func firstID(img registry.Image) string {
	if len(img.Artifacts) > 0 {
		return img.Artifacts[0].ID
	}
	return img.ID
}
