package lineage

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// maxCopies is how many copies of copies are followed: as many as EC2's own
// ancestry of an image has.
const maxCopies = 50

// throughCopies finds the parent of an image whose parent is not registered, but
// is a copy of one that is, or of a copy of it. EC2 says what an image is a copy
// of. What cannot be looked at ends the search and is said: the image of another
// account, for example.
func throughCopies(ctx context.Context, ui packersdk.Ui, client *cloud.Client, reg *registry.Registry, img *registry.Image) error {
	if img.Parent != "" || img.ParentImage.ID == "" || img.ParentImage.Cloud != img.Artifacts[0].Cloud {
		return nil
	}
	at := img.ParentImage
	for range maxCopies {
		found, err := client.InRegion(at.Region).Image(ctx, at.ID)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			if !errors.Is(err, cloud.ErrNotFound) {
				ui.Say(fmt.Sprintf("Whether %s is a copy of an image in the registry is not known: %v", at, err))
			}
			return nil
		}
		if found.SourceImage == "" {
			return nil
		}
		at.Region, at.ID = cmp.Or(found.SourceRegion, at.Region), found.SourceImage
		known, err := reg.Resolve(ctx, at.String())
		switch {
		case err == nil:
			img.Parent = known.ID
			img.Release, img.Arch = cmp.Or(img.Release, known.Release), cmp.Or(img.Arch, known.Arch)
			return nil
		case !errors.Is(err, registry.ErrNotFound):
			return err
		}
	}
	return nil
}
