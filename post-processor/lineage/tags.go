package lineage

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/imagebakery/packer-plugin-bakery/internal/access"
	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/stores"
	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// tagPrefix sets the suite's tags apart from a template's own, and lets a
// policy of AWS name them all.
const tagPrefix = "bakery:"

// tagged is what tags are made of.
type tagged struct {
	registry.Image
	ancestors []registry.Image // nearest first
}

// styleBakery is the style of tags that is written without being asked for.
const styleBakery = "bakery"

// styles make the tags of an image: the facts about it that do not change. Its
// status is no such fact.
var styles = map[string]func(tagged) map[string]string{
	styleBakery: func(t tagged) map[string]string {
		return map[string]string{
			tagPrefix + "id": t.ID, tagPrefix + "application": t.Application, tagPrefix + "version": t.Version,
			tagPrefix + "layer": t.Layer, tagPrefix + "environment": t.Environment, tagPrefix + "release": t.Release,
			tagPrefix + "arch": t.Arch, tagPrefix + "owner": t.Owner,
			tagPrefix + "parent": t.Parent, tagPrefix + "parent-image": t.ParentImage.ID,
		}
	},
	// As Netflix's Aminator has them, and what reads its images: appversion is
	// name-version-release, where the version may bring the release with it.
	"aminator": func(t tagged) map[string]string {
		tags := map[string]string{
			"appversion": t.Application + "-" + t.Version, "creator": stores.Actor(),
		}
		if !t.CreatedAt.IsZero() {
			tags["creation_time"] = t.CreatedAt.UTC().Format("2006-01-02 15:04:05 UTC")
		}
		if len(t.ancestors) > 0 {
			tags["base_ami_version"] = t.ancestors[0].Application + "-" + t.ancestors[0].Version
		}
		return tags
	},
	// As in Pinterest's image registry, which finds images by them.
	"pinterest": func(t tagged) map[string]string {
		return map[string]string{
			"application": t.Application, "version": t.Version, "environment": t.Environment, "release": t.Release,
			"owner": t.Owner, "ancestor": t.ParentImage.ID,
		}
	},
}

// tagsOf returns the tags of an image in the given styles, without empty ones.
func tagsOf(img tagged, wanted []string) map[string]string {
	tags := map[string]string{}
	for _, style := range wanted {
		maps.Copy(tags, styles[style](img))
	}
	maps.DeleteFunc(tags, func(_, value string) bool { return value == "" })
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
func writeTags(ctx context.Context, client *cloud.Client, img registry.Image, styles []string, ancestors []registry.Image) error {
	tags := tagsOf(tagged{img, ancestors}, styles)
	for _, a := range img.Artifacts {
		if err := client.InRegion(a.Region).Tag(ctx, tags, append([]string{a.ID}, a.Snapshots...)...); err != nil {
			return fmt.Errorf("tag %s: %w; set write_tags = false to go without tags", a.Ref, err)
		}
	}
	return nil
}
