package localcloud

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/imagebakery/packer-plugin-bakery/internal/diskimage"
	"github.com/imagebakery/packer-plugin-bakery/internal/run"
)

// Errors of the calls below that a program may want to tell apart.
var (
	ErrNoImage       = errors.New("the local cloud has no such image")
	ErrImageInUse    = errors.New("the image is in use")
	ErrDuplicateName = errors.New("an image of that name exists")
)

// importedRoot is the root device of imported images, as Amazon's own have it.
const importedRoot = "/dev/xvda"

// Image is an image as people look at it.
type Image struct {
	ID           string            `json:"id"`
	Name         string            `json:"name"`
	Region       string            `json:"region"`
	Description  string            `json:"description,omitempty"`
	Architecture string            `json:"architecture"`
	BootMode     string            `json:"boot_mode,omitempty"`
	State        string            `json:"state"`
	Snapshot     string            `json:"snapshot"` // of the root device
	Size         int64             `json:"size"`     // of the root device, in bytes
	Used         int64             `json:"used"`     // of that, in bytes, what holds data
	Created      time.Time         `json:"created"`
	Tags         map[string]string `json:"tags,omitempty"`
}

// ImportInput says what to make an image of.
type ImportInput struct {
	Source       string // a raw or qcow2 disk image, a block device, or a folder with a root file system
	Name         string // "" is a name read off the disk
	Description  string
	Region       string // "" is the host's
	Architecture string // "" is what the disk says
	BootMode     string // "" is what the disk says
	Size         int64  // in bytes, 0 is as large as the source; EBS counts whole GiB
	Tags         map[string]string
}

// Import makes an image of a disk or a folder, with its architecture and boot
// mode read off it. The image is available when Import returns.
func (c *Cloud) Import(ctx context.Context, in ImportInput) (Image, error) {
	in.Region = cmp.Or(in.Region, c.region)
	im, err := c.importDisk(ctx, in)
	if err != nil {
		return Image{}, fmt.Errorf("import %s: %w", in.Source, err)
	}
	return im, nil
}

func (c *Cloud) importDisk(ctx context.Context, in ImportInput) (Image, error) {
	q := &call{ctx: ctx, region: in.Region, action: "RegisterImage", now: c.now()}
	if err := c.checkImport(q, in); err != nil {
		return Image{}, err
	}
	ws, err := c.files.workspace(ctx)
	if err != nil {
		return Image{}, err
	}
	defer ws.remove()
	facts, err := diskimage.Build(ctx, in.Source, ws.path("snapshot"), diskimage.Options{
		Size: in.Size, Architecture: in.Architecture, BootMode: in.BootMode,
	})
	if err != nil {
		return Image{}, err
	}
	q.now = c.now() // to pack a large folder takes its time
	s := &snapshot{
		ID: newID(kindSnapshot), Region: in.Region, Volume: copiedVolume, Size: (facts.Size + gib - 1) / gib,
		Description: "Imported from " + filepath.Base(in.Source), Created: q.now, Completed: q.now, Synced: true, Boot: c.boot,
	}
	if s.Bytes, err = allocated(ws.path("snapshot")); err != nil {
		return Image{}, err
	}
	im := &image{
		ID: newID(kindImage), Region: in.Region, Name: cmp.Or(in.Name, facts.Name), Description: in.Description,
		Architecture: facts.Architecture, Virt: "hvm", BootMode: facts.BootMode, ENA: true, RootDevice: importedRoot,
		Mappings: []mapping{{Device: importedRoot, EBS: &mappingEBS{
			Snapshot: s.ID, Size: s.Size, Type: "gp3", IOPS: volumeTypes["gp3"].baseIOPS, Throughput: volumeTypes["gp3"].minMiBps, DeleteOnTermination: true,
		}}},
		Created: q.now, Available: q.now, Protection: protectionOff,
	}
	err = c.store.write(ctx, func(t *tx) error {
		if err := nameFree(t, in.Region, im.Name); err != nil {
			return err
		}
		if err := ws.release(ws.path("snapshot"), c.files.snapshot(s.ID)); err != nil {
			return err
		}
		for _, r := range []record{s, im} {
			if err := t.put(r); err != nil {
				return err
			}
			if err := t.tag(in.Region, r.meta().id, in.Tags); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		_ = c.discard(c.files.snapshot(s.ID)) // no row knows it; Reclaim would find it too
		return Image{}, plainError(err)
	}
	return im.summary(q.now, in.Tags, map[string]*snapshot{s.ID: s}), nil
}

// checkImport finds what can be found wrong before a disk is read.
func (c *Cloud) checkImport(q *call, in ImportInput) error {
	if _, ok := regions[in.Region]; !ok {
		return fmt.Errorf("region %q is none of AWS's", in.Region)
	}
	var params []tagParam
	for key, value := range in.Tags {
		params = append(params, tagParam{key, &value})
	}
	if _, err := checkTags(params); err != nil {
		return plainError(err)
	}
	if err := checkDescription(in.Description); err != nil {
		return plainError(err)
	}
	if in.Name == "" {
		return nil
	}
	if err := checkImageName(in.Name); err != nil {
		return plainError(err)
	}
	return plainError(c.store.read(q.ctx, func(t *tx) error { return nameFree(t, in.Region, in.Name) }))
}

// plainError words an API's error for somebody who has not called an API.
func plainError(err error) error {
	api, ok := errors.AsType[*apiError](err)
	switch {
	case !ok:
		return err
	case api.Code == "InvalidAMIName.Duplicate":
		return fmt.Errorf("%w: %s; give another name", ErrDuplicateName, api.Message)
	}
	return errors.New(api.Message)
}

func (im *image) summary(now time.Time, tags map[string]string, snapshots map[string]*snapshot) Image {
	out := Image{
		ID: im.ID, Name: im.Name, Region: im.Region, Description: im.Description, Architecture: im.Architecture,
		BootMode: im.BootMode, State: im.state(now), Created: im.Created, Tags: tags,
	}
	if root := im.root(); root != nil && root.EBS != nil {
		out.Snapshot, out.Size = root.EBS.Snapshot, root.EBS.Size*gib
		if s := snapshots[out.Snapshot]; s != nil {
			out.Used = s.Bytes
		}
	}
	return out
}

// List returns the images of a region, or of all with region "", oldest first.
func (c *Cloud) List(ctx context.Context, region string) ([]Image, error) {
	var all []Image
	err := c.store.read(ctx, func(t *tx) error {
		images, err := list[image](t, kindImage, region)
		if err != nil {
			return err
		}
		snapshots, err := list[snapshot](t, kindSnapshot, region)
		if err != nil {
			return err
		}
		byID := map[string]*snapshot{}
		for _, s := range snapshots {
			byID[s.ID] = s
		}
		tags := map[string]map[string]map[string]string{}
		for _, im := range images {
			if tags[im.Region] == nil {
				if tags[im.Region], err = t.tags(im.Region); err != nil {
					return err
				}
			}
			all = append(all, im.summary(c.now(), tags[im.Region][im.ID], byID))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	return all, nil
}

// Find returns the image with an id or a name; region "" looks in all. It
// fails with ErrNoImage, and when a name is that of several.
func (c *Cloud) Find(ctx context.Context, idOrName, region string) (Image, error) {
	all, err := c.List(ctx, region)
	if err != nil {
		return Image{}, err
	}
	all = slices.DeleteFunc(all, func(im Image) bool { return im.ID != idOrName && im.Name != idOrName })
	switch len(all) {
	case 0:
		return Image{}, fmt.Errorf("%w: %s", ErrNoImage, idOrName)
	case 1:
		return all[0], nil
	}
	var ids []string
	for _, im := range all {
		ids = append(ids, im.ID+" in "+im.Region)
	}
	return Image{}, fmt.Errorf("the name %s is that of %s: say which by its id", idOrName, strings.Join(ids, ", "))
}

// ExportInput says where the disk of an image goes.
type ExportInput struct {
	Image   string // id or name
	Region  string // "" looks in all
	File    string
	Format  string // raw, sparse, or qcow2, which needs qemu-img; "" is raw
	Replace bool   // a file that exists
}

// Export writes the root disk of an image to a file. The file appears when it
// is complete.
func (c *Cloud) Export(ctx context.Context, in ExportInput) (Image, error) {
	im, err := c.Find(ctx, in.Image, in.Region)
	if err == nil {
		err = c.export(ctx, im, in)
	}
	if err != nil {
		return Image{}, fmt.Errorf("export %s: %w", in.Image, err)
	}
	return im, nil
}

func (c *Cloud) export(ctx context.Context, im Image, in ExportInput) (err error) {
	format := cmp.Or(in.Format, "raw")
	if format != "raw" && format != "qcow2" {
		return fmt.Errorf("format %q is not one of raw, qcow2", in.Format)
	}
	if im.State != "available" || im.Snapshot == "" {
		return fmt.Errorf("the image is %s", im.State)
	}
	if _, err := os.Lstat(in.File); err == nil && !in.Replace {
		return fmt.Errorf("%s: %w", in.File, fs.ErrExist)
	}
	part := in.File + "." + uuid.NewString()[:8] + ".part"
	defer func() {
		if err != nil {
			_ = os.Remove(part) // it may not have been made
		}
	}()
	from := c.files.snapshot(im.Snapshot)
	if format == "raw" {
		info, err := os.Stat(from)
		if err != nil {
			return err
		}
		if _, err := copyFile(ctx, from, part, info.Size()); err != nil {
			return err
		}
	} else if err := run.Run(ctx, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", from, part); err != nil {
		return fmt.Errorf("convert to qcow2 (qemu-img is in the package qemu-utils): %w", err)
	}
	if err := syncFile(part); err != nil {
		return err
	}
	return os.Rename(part, in.File)
}

// Remove deregisters an image and deletes its snapshots, except those that
// another image has too. It fails with ErrImageInUse while a volume made of it
// exists or the image is protected, unless force is set.
func (c *Cloud) Remove(ctx context.Context, idOrName, region string, force bool) (Image, error) {
	im, err := c.Find(ctx, idOrName, region)
	if err != nil {
		return Image{}, fmt.Errorf("remove: %w", err)
	}
	var unused []string
	err = c.store.write(ctx, func(t *tx) error {
		stored, err := findImage(t, im.Region, im.ID)
		if err != nil {
			return err
		}
		if !force {
			if err := c.unused(t, stored); err != nil {
				return err
			}
		}
		if err := t.deregister(im.ID); err != nil {
			return err
		}
		for _, id := range stored.snapshots() {
			users, err := imagesOf(t, im.Region, id)
			if err != nil {
				return err
			}
			if len(users) > 0 {
				continue
			}
			if err := t.drop(id); err != nil {
				return err
			}
			unused = append(unused, id)
		}
		return nil
	})
	if err != nil {
		return Image{}, fmt.Errorf("remove %s: %w", idOrName, plainError(err))
	}
	for _, id := range unused {
		if err := c.discard(c.files.snapshot(id)); err != nil {
			return Image{}, fmt.Errorf("remove %s: %w", idOrName, err)
		}
	}
	return im, nil
}

// unused is ErrImageInUse when something speaks against the removal of an image.
func (c *Cloud) unused(t *tx, im *image) error {
	if im.protected(c.now()) {
		return fmt.Errorf("%w: it has deregistration protection: %s", ErrImageInUse, im.Protection)
	}
	volumes, err := list[volume](t, kindVolume, im.Region)
	if err != nil {
		return err
	}
	for _, v := range volumes {
		if v.Deleted.IsZero() && slices.Contains(im.snapshots(), v.Snapshot) {
			return fmt.Errorf("%w: volume %s was made of it", ErrImageInUse, v.ID)
		}
	}
	return nil
}
