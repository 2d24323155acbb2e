package main

import (
	"context"
	"fmt"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// question is one that is asked of a registry, many times. Its answer is looked
// at: a wrong one is quick to give.
type question struct {
	name   string
	rounds int
	ask    func(ctx context.Context, reg *registry.Registry, w world, round int) error
}

var questions = []question{
	{"the newest tested image of a line", 500, newestTested},
	{"the same, with openssl >= 3.0.14", 500, newestWithPackage},
	{"an image by its id in the cloud, with its lineage of 20", 200, lineage},
	{"all that was baked from a foundation", 50, descendants},
	{"the newest 250 images with openssl < 3.0.14", 5, affected},
}

// application is a line that is asked for, another one in each round.
func application(round int) (name string, of int) {
	of = foundations + bases + (round*37)%(lines-foundations-bases)
	name, _, _ = line(of)
	return name, of
}

func newestTested(ctx context.Context, reg *registry.Registry, w world, round int) error {
	name, _ := application(round)
	found, err := reg.Find(ctx, registry.Query{
		Application: name, Release: "bookworm", AtLeast: registry.StatusTested, Cloud: "aws", Region: "us-east-1",
	})
	if err != nil {
		return err
	}
	if found.Application != name || !found.Tested || len(found.Lineage.Ancestors) != 2 {
		return fmt.Errorf("found %s, which is %s", found.Image, found.Status)
	}
	return nil
}

func newestWithPackage(ctx context.Context, reg *registry.Registry, w world, round int) error {
	condition, err := registry.ParsePackageCondition("openssl >= 3.0.14")
	if err != nil {
		return err
	}
	// Lines of the second half have it.
	name, _, _ := line(lines/2 + round%(lines/2))
	found, err := reg.Find(ctx, registry.Query{
		Application: name, AtLeast: registry.StatusTested, Packages: []registry.PackageCondition{condition},
	})
	if err != nil {
		return err
	}
	if found.Application != name {
		return fmt.Errorf("found %s", found.Image)
	}
	return nil
}

func lineage(ctx context.Context, reg *registry.Registry, w world, _ int) error {
	view, err := reg.Resolve(ctx, fmt.Sprintf("aws/us-east-1/ami-%017x", w.size-1))
	if err != nil {
		return err
	}
	if view.ID != w.deepest || len(view.Lineage.Ancestors) != depth {
		return fmt.Errorf("%s has %d ancestors, not %d", view.Image, len(view.Lineage.Ancestors), depth)
	}
	return nil
}

func descendants(ctx context.Context, reg *registry.Registry, w world, _ int) error {
	tree, err := reg.Descendants(ctx, w.foundation)
	if err != nil {
		return err
	}
	if got := len(tree.Below()); got != w.images {
		return fmt.Errorf("%d images were baked from %s, not %d", got, tree.Image, w.images)
	}
	return nil
}

// wanted is how many images affected lists.
const wanted = 250

func affected(ctx context.Context, reg *registry.Registry, _ world, _ int) error {
	condition, err := registry.ParsePackageCondition("openssl < 3.0.14")
	if err != nil {
		return err
	}
	count := 0
	for _, err := range reg.Select(ctx, registry.Query{Packages: []registry.PackageCondition{condition}}) {
		if err != nil {
			return err
		}
		if count++; count == wanted {
			return nil
		}
	}
	return fmt.Errorf("%d images have it, not %d", count, wanted)
}
