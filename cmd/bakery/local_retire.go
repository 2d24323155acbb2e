package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/imagebakery/packer-plugin-bakery/internal/access"
	"github.com/imagebakery/packer-plugin-bakery/internal/localcloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/stores"
	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// retireLocal records that a copy of an image in the local cloud is gone, in
// the default registry, if there is one and it knows the image. takeBack undoes
// that. An image that is held is refused, unless force is set.
func retireLocal(ctx context.Context, im localcloud.Image, force bool) (takeBack func(context.Context) error, err error) {
	nothing := func(context.Context) error { return nil }
	ref := registry.Ref{Cloud: access.Local, Region: im.Region, ID: im.ID}

	var view registry.View
	err = lookInto(ctx, "", func(reg *registry.Registry) (err error) {
		view, err = reg.Resolve(ctx, ref.String())
		return err
	})
	switch {
	case errors.Is(err, registry.ErrNoRegistry), errors.Is(err, registry.ErrNotFound):
		return nothing, nil
	case err != nil:
		return nil, fmt.Errorf("remove %s: it must be recorded that the image is gone (%s= names the registry): %w", im.ID, stores.Env, err)
	case view.Held != nil && !force:
		return nil, fmt.Errorf("remove %s: %s is held: %s; 'bakery restore %s --mark held' ends that, or --force removes it all the same",
			im.ID, view.Image, view.Held.Reason, im.ID)
	}
	if _, there := view.There(ref.Cloud, ref.Region, ""); !there || view.Retired != nil {
		return nothing, nil
	}
	var mark registry.Mark
	err = writeRegistry(ctx, "", func(reg *registry.Registry) (err error) {
		mark, err = reg.Mark(ctx, registry.Mark{
			Image: view.ID, Kind: registry.MarkRetired, Artifact: ref, Reason: "removed from the local cloud",
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("remove %s: %w", im.ID, err)
	}
	return func(ctx context.Context) error {
		return writeRegistry(ctx, "", func(reg *registry.Registry) error {
			return reg.Unmark(ctx, mark, "it was not removed")
		})
	}, nil
}
