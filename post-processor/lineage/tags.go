package lineage

import (
	"context"
	"fmt"
	"slices"

	"github.com/imagebakery/packer-plugin-bakery/internal/access"
	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// tagPrefix sets the suite's tags apart from a template's own, and lets a
// policy of AWS name them all.
const tagPrefix = "bakery:"

// tagsOf returns the tags for an image: the facts about it that do not change.
// Its status is no such fact.
func tagsOf(img registry.Image) map[string]string {
	tags := map[string]string{}
	for key, value := range map[string]string{
		"id": img.ID, "application": img.Application, "version": img.Version, "layer": img.Layer,
		"environment": img.Environment, "release": img.Release, "arch": img.Arch, "owner": img.Owner,
		"parent": img.Parent, "parent-image": img.ParentImage.ID,
	} {
		if value != "" {
			tags[tagPrefix+key] = value
		}
	}
	return tags
}

// taggable reports whether the suite can reach the images of a cloud.
func taggable(cloud string) bool { return slices.Contains([]string{access.AWS, access.Local}, cloud) }

// complete adds to artifacts what their cloud knows of them and the builder did
// not say. It returns an error when one of them does not exist.
func complete(ctx context.Context, client *cloud.Client, img *registry.Image) error {
	for i := range img.Artifacts {
		a := &img.Artifacts[i]
		if a.Name != "" {
			continue
		}
		found, err := client.InRegion(a.Region).Image(ctx, a.ID)
		if err != nil {
			return fmt.Errorf("look at %s: %w", a.Ref, err)
		}
		a.Account, a.Name, a.Snapshots, a.Tags = found.Owner, found.Name, found.Snapshots(), found.Tags
		if img.Arch == "" {
			img.Arch = found.Architecture
		}
		if img.CreatedAt.IsZero() {
			img.CreatedAt = found.CreatedAt
		}
	}
	return nil
}

// writeTags tags the image and its snapshots in every region.
func writeTags(ctx context.Context, client *cloud.Client, img registry.Image) error {
	tags := tagsOf(img)
	for _, a := range img.Artifacts {
		if err := client.InRegion(a.Region).Tag(ctx, tags, append([]string{a.ID}, a.Snapshots...)...); err != nil {
			return fmt.Errorf("tag %s: %w; set write_tags = false to go without tags", a.Ref, err)
		}
	}
	return nil
}
