package chroot

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/packer-plugin-sdk/template/interpolate"

	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
)

// findSource returns the image that the template names or filters.
func (c *Config) findSource(ctx context.Context, client *cloud.Client) (cloud.Image, error) {
	if c.SourceAMI != "" && !c.SourceFilter.set() {
		return client.Image(ctx, c.SourceAMI)
	}
	filters := make(map[string][]string, len(c.SourceFilter.Filters)+1)
	for name, value := range c.SourceFilter.Filters {
		filters[name] = []string{value}
	}
	if c.SourceAMI != "" {
		filters["image-id"] = []string{c.SourceAMI}
	}
	images, err := client.Images(ctx, cloud.ImageQuery{
		Filters: filters, Owners: c.SourceFilter.Owners, IncludeDeprecated: c.SourceFilter.IncludeDeprecated,
	})
	if err != nil {
		return cloud.Image{}, err
	}
	switch {
	case len(images) == 0 && c.SourceAMI != "":
		return cloud.Image{}, fmt.Errorf("source_ami %s does not fit source_ami_filter, or is not in %s", c.SourceAMI, client.Region())
	case len(images) == 0:
		return cloud.Image{}, fmt.Errorf("source_ami_filter matches no image of %s in %s",
			strings.Join(c.SourceFilter.Owners, ", "), client.Region())
	case len(images) > 1 && !c.SourceFilter.MostRecent:
		return cloud.Image{}, fmt.Errorf("source_ami_filter matches %d images, among them %s and %s; "+
			"narrow it, or set most_recent = true", len(images), images[0].ID, images[1].ID)
	}
	// Equal times are told apart by the id, so that the choice is always the same.
	return slices.MaxFunc(images, func(x, y cloud.Image) int {
		if order := x.CreatedAt.Compare(y.CreatedAt); order != 0 {
			return order
		}
		return strings.Compare(x.ID, y.ID)
	}), nil
}

// buildInfo is what templates may use of the source.
type buildInfo struct {
	BuildRegion           string
	SourceAMI             string
	SourceAMIName         string
	SourceAMICreationDate string
	SourceAMIOwner        string
	SourceAMIOwnerName    string
	SourceAMITags         map[string]string
}

func (b *bake) buildInfo() buildInfo {
	info := buildInfo{BuildRegion: b.client.Region(), SourceAMITags: b.source.Tags}
	if b.source.ID != "" {
		info.SourceAMI, info.SourceAMIName = b.source.ID, b.source.Name
		info.SourceAMICreationDate = b.source.CreatedAt.Format("2006-01-02T15:04:05.000Z")
		info.SourceAMIOwner, info.SourceAMIOwnerName = b.source.Owner, b.source.OwnerAlias
	}
	return info
}

// render fills in an option that may use what is known of the source.
func (b *bake) render(option, text string) (string, error) {
	ictx := b.config.ctx
	ictx.Data = b.buildInfo()
	out, err := interpolate.Render(text, &ictx)
	if err != nil {
		return "", fmt.Errorf("%s: %w", option, err)
	}
	return out, nil
}

// renderTags fills in the keys and values of an option of tags.
func (b *bake) renderTags(option string, tags map[string]string) (map[string]string, error) {
	out := make(map[string]string, len(tags))
	for key, value := range tags {
		k, err := b.render(option, key)
		if err != nil {
			return nil, err
		}
		v, err := b.render(option+"."+key, value)
		if err != nil {
			return nil, err
		}
		out[k] = v
	}
	return out, nil
}
