package chroot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	registryimage "github.com/hashicorp/packer-plugin-sdk/packer/registry/image"

	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/handoff"
	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// Artifact is the image of a bake. Its id is "region:ami", one for each region,
// separated by commas, as amazon-ebs and amazon-chroot have it.
type Artifact struct {
	bake   handoff.Bake
	listed string              // what it has installed, encoded
	made   map[string][]string // snapshots by region that are the image's alone
	client func(ctx context.Context) (*cloud.Client, error)
	data   any            // generated_data
	held   *registry.Held // until the image is registered; nil for none
}

var _ packersdk.Artifact = (*Artifact)(nil)

func (b *bake) artifact() *Artifact {
	made := map[string][]string{}
	var images []handoff.Image
	for _, t := range b.targets {
		made[t.region()] = t.snapshots
		images = append(images, handoff.Image{Region: t.region(), ID: t.image.ID, Snapshots: t.image.Snapshots()})
	}
	slices.SortFunc(images, func(x, y handoff.Image) int { return strings.Compare(x.Region, y.Region) })
	return &Artifact{
		held:   b.equal.held,
		made:   made,
		listed: b.packages,
		data:   b.state.Get("generated_data"),
		client: func(ctx context.Context) (*cloud.Client, error) {
			return b.config.Client(ctx, b.reportWait)
		},
		bake: handoff.Bake{
			ID: b.id, Cloud: b.config.Cloud, Region: b.client.Region(), Account: b.account,
			SourceImage: b.source.ID, SourceName: b.source.Name, ImageName: b.image.Name,
			Architecture: b.image.Architecture, BootMode: b.image.BootMode, Virtual: b.image.Virtualization,
			Key: b.equal.key, Lease: b.equal.token(), Registry: b.equal.name,
			Tags:   b.image.Tags,
			Images: images, Steps: b.took, StartedUnix: b.started.Unix(), FinishedUnix: time.Now().Unix(),
		},
	}
}

// BuilderId implements [packersdk.Artifact].
func (a *Artifact) BuilderId() string { return BuilderID }

// Files implements [packersdk.Artifact]: an image has none.
func (a *Artifact) Files() []string { return nil }

// Id implements [packersdk.Artifact].
func (a *Artifact) Id() string {
	ids := make([]string, len(a.bake.Images))
	for i, img := range a.bake.Images {
		ids[i] = img.Region + ":" + img.ID
	}
	return strings.Join(ids, ",")
}

// String implements [packersdk.Artifact].
func (a *Artifact) String() string {
	var text strings.Builder
	where := ""
	if a.bake.Cloud != "aws" {
		where = " of the " + a.bake.Cloud + " cloud"
	}
	done := "were created"
	if a.bake.Reused != "" {
		done = "exist already and are used again"
	}
	fmt.Fprintf(&text, "Images%s %s:\n", where, done)
	for _, img := range a.bake.Images {
		fmt.Fprintf(&text, "%s: %s\n", img.Region, img.ID)
	}
	return text.String()
}

// State implements [packersdk.Artifact].
func (a *Artifact) State(name string) any {
	switch name {
	case "generated_data":
		return a.data
	case handoff.StateKey:
		return a.bake.State()
	case handoff.PackagesKey:
		return a.listed
	case registryimage.ArtifactStateURI:
		return a.registryImages()
	default:
		return nil
	}
}

// registryImages describes the artifact to HCP Packer.
func (a *Artifact) registryImages() []*registryimage.Image {
	var images []*registryimage.Image
	for _, img := range a.bake.Images {
		images = append(images, &registryimage.Image{
			ImageID: img.ID, ProviderName: "aws", ProviderRegion: img.Region, SourceImageID: a.bake.SourceImage,
			Labels: map[string]string{"architecture": a.bake.Architecture, "source_ami_name": a.bake.SourceName},
		})
	}
	return images
}

// Destroy implements [packersdk.Artifact]: it deregisters the image everywhere
// and deletes its snapshots. An image that existed before stays: it is not this
// build's to destroy.
func (a *Artifact) Destroy() error {
	if a.bake.Reused != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	if a.held != nil {
		defer a.held.Release(ctx) //nolint:errcheck // others wait until the lease runs out, no more
	}
	client, err := a.client(ctx)
	if err != nil {
		return fmt.Errorf("destroy %s: %w", a.Id(), err)
	}
	defer client.Close()
	var errs []error
	for _, img := range a.bake.Images {
		there := client.InRegion(img.Region)
		if err := there.DeregisterImage(ctx, img.ID); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", img.Region, err))
			continue
		}
		for _, snap := range a.made[img.Region] {
			errs = append(errs, there.DeleteSnapshot(ctx, snap))
		}
	}
	return errors.Join(errs...)
}
