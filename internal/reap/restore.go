package reap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/journal"
)

// original is what it takes to register an image again: everything but its id.
type original struct {
	Spec         cloud.ImageSpec   `json:"spec"`
	Permissions  cloud.Permissions `json:"permissions"`
	ProductCodes []string          `json:"product_codes,omitempty"`
	DeprecateAt  time.Time         `json:"deprecate_at,omitzero"`
}

// Replacing returns the entry for an image of the account that a bake is about
// to deregister because it wants its name. Undoing the entry registers the
// image again, under a new id, from its snapshots, which therefore stay until
// the bake has ended well.
func Replacing(ctx context.Context, client *cloud.Client, img cloud.Image) (journal.Entry, error) {
	who, err := client.ImagePermissions(ctx, img.ID)
	if err != nil {
		return journal.Entry{}, err
	}
	uefi := ""
	if img.Virtualization == "hvm" {
		if uefi, err = client.UEFIData(ctx, img.ID); err != nil {
			return journal.Entry{}, err
		}
	}
	spec := img.Spec(uefi)
	spec.Tags = maps.Clone(spec.Tags)
	// These are AWS's to set.
	maps.DeleteFunc(spec.Tags, func(key, _ string) bool { return strings.HasPrefix(key, "aws:") })
	data, err := json.Marshal(original{
		Spec: spec, Permissions: who, ProductCodes: img.ProductCodes, DeprecateAt: img.DeprecateAt,
	})
	if err != nil {
		return journal.Entry{}, fmt.Errorf("note what image %s is: %w", img.ID, err)
	}
	return journal.Entry{Kind: journal.Replaced, ID: img.ID, Region: img.Region, Data: data}, nil
}

// restore registers an image again that was deregistered for a bake which did
// not end well. It returns the new id, or nothing when the image is still there.
func restore(ctx context.Context, client *cloud.Client, entry journal.Entry) (string, error) {
	switch _, err := client.Image(ctx, entry.ID); {
	case err == nil:
		return "", nil
	case !errors.Is(err, cloud.ErrNotFound):
		return "", err
	}
	var was original
	if err := json.Unmarshal(entry.Data, &was); err != nil {
		return "", fmt.Errorf("read what the image was: %w", err)
	}
	id, err := client.RegisterImage(ctx, was.Spec, OwnerTag)
	if errors.Is(err, cloud.ErrDuplicateName) {
		// Restored already by an attempt that did not come to its end, or the
		// name is somebody else's by now.
		there, lookErr := client.ImageNamed(ctx, was.Spec.Name)
		if lookErr != nil || there.Tags[OwnerTag] != was.Spec.Tags[OwnerTag] {
			return "", errors.Join(err, lookErr)
		}
		id, err = there.ID, nil
	}
	if err != nil {
		return "", err
	}
	if _, err := client.WaitImage(ctx, id); err != nil {
		return "", err
	}
	if err := client.ShareImage(ctx, id, was.Permissions); err != nil {
		return "", err
	}
	if err := client.AddProductCodes(ctx, id, was.ProductCodes); err != nil {
		return "", err
	}
	if was.DeprecateAt.After(time.Now().Add(time.Minute)) {
		return id, client.DeprecateImage(ctx, id, was.DeprecateAt)
	}
	return id, nil
}
