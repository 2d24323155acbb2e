package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/imagebakery/packer-plugin-bakery/internal/access"
	"github.com/imagebakery/packer-plugin-bakery/internal/home"
	"github.com/imagebakery/packer-plugin-bakery/internal/localcloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/loop"
	"github.com/imagebakery/packer-plugin-bakery/internal/treediff"
	"github.com/imagebakery/packer-plugin-bakery/internal/volume"
	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// compareFiles compares the root disks of two images of the local cloud.
func compareFiles(ctx context.Context, before, after registry.Image) (changes []treediff.Change, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("compare the files: it needs root, to mount the disks of the images")
	}
	parent, err := home.Dir()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(parent, "diff-")
	if err != nil {
		return nil, fmt.Errorf("compare the files: %w", err)
	}
	// Never through a mount that could not be taken away.
	defer func() { err = errors.Join(err, removeEmptied(dir)) }()

	err = withLocalCloud(ctx, func(cloud *localcloud.Cloud) error {
		return withRoot(ctx, cloud, before, filepath.Join(dir, "before"), func(old string) error {
			return withRoot(ctx, cloud, after, filepath.Join(dir, "after"), func(now string) (err error) {
				changes, err = treediff.Compare(ctx, old, now)
				return err
			})
		})
	})
	if err != nil {
		return nil, fmt.Errorf("compare the files of %s and %s: %w", before, after, err)
	}
	return changes, nil
}

// withRoot mounts a copy of the root disk of an image, read-only, for as long as
// do takes.
func withRoot(ctx context.Context, cloud *localcloud.Cloud, img registry.Image, place string, do func(root string) error) (err error) {
	copies := localCopies(img)
	if len(copies) == 0 {
		return fmt.Errorf("%s is not in the local cloud", img)
	}
	// Whatever ends ctx, what is mounted must be unmounted.
	undoing := context.WithoutCancel(ctx)
	disk := place + ".disk"
	_, err = cloud.Export(ctx, localcloud.ExportInput{Image: copies[0].ID, Region: copies[0].Region, File: disk})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(disk)) }()
	device, err := loop.Attach(disk, loop.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, device.Detach()) }()
	mounted, err := volume.Mount(ctx, volume.MountOptions{Device: device.Path, Target: place, Options: []string{"ro"}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mounted.Unmount(undoing)) }()
	return do(mounted.Target)
}

func localCopies(img registry.Image) []registry.Artifact {
	var copies []registry.Artifact
	for _, a := range img.Artifacts {
		if a.Cloud == access.Local {
			copies = append(copies, a)
		}
	}
	return copies
}

// removeEmptied removes a folder whose disks and mount points were removed.
func removeEmptied(dir string) error {
	if err := os.Remove(dir); err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	return nil
}
