package ec2tags

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// copied is an image in one region, as EC2 has it.
type copied struct {
	registry.Artifact
	tags map[string]string // of the registry, all others are the artifact's
}

// pageSize is how many images EC2 describes at once, and maxValues how many
// values a filter can have.
const (
	pageSize  = 1000
	maxValues = 200
)

// describe returns the copies in one region that have a tag with one of the
// given values, or at all.
func (s *Store) describe(ctx context.Context, region, key string, values ...string) ([]copied, error) {
	filter := types.Filter{Name: aws.String("tag-key"), Values: []string{key}}
	if len(values) > 0 {
		filter = types.Filter{Name: aws.String("tag:" + key), Values: escapeFilters(values)}
	}
	pages := ec2.NewDescribeImagesPaginator(s.clients[region], &ec2.DescribeImagesInput{
		Filters: []types.Filter{filter}, Owners: []string{"self"}, MaxResults: aws.Int32(pageSize),
		IncludeDeprecated: aws.Bool(true), IncludeDisabled: aws.Bool(true),
	})
	var found []copied
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, img := range page.Images {
			found = append(found, s.copied(region, img))
		}
	}
	return found, nil
}

// escapeFilters takes the meaning from the wildcards of EC2's filters.
func escapeFilters(values []string) []string {
	wildcards := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`)
	escaped := make([]string, len(values))
	for i, v := range values {
		escaped[i] = wildcards.Replace(v)
	}
	return escaped
}

// at returns the copy with an id of EC2; ok is false when there is none.
func (s *Store) at(ctx context.Context, region, id string) (c copied, ok bool, err error) {
	out, err := s.clients[region].DescribeImages(ctx, &ec2.DescribeImagesInput{
		ImageIds: []string{id}, IncludeDeprecated: aws.Bool(true), IncludeDisabled: aws.Bool(true),
	})
	if err != nil {
		if api, answered := errors.AsType[smithy.APIError](err); answered && strings.HasPrefix(api.ErrorCode(), "InvalidAMIID.") {
			return copied{}, false, nil
		}
		return copied{}, false, err
	}
	if len(out.Images) == 0 {
		return copied{}, false, nil
	}
	return s.copied(region, out.Images[0]), true, nil
}

func (s *Store) copied(region string, img types.Image) copied {
	c := copied{tags: map[string]string{}, Artifact: registry.Artifact{
		Ref:     registry.Ref{Cloud: s.place.Cloud, Region: region, ID: aws.ToString(img.ImageId)},
		Account: aws.ToString(img.OwnerId), Name: aws.ToString(img.Name),
	}}
	for _, m := range img.BlockDeviceMappings {
		if m.Ebs != nil && m.Ebs.SnapshotId != nil {
			c.Snapshots = append(c.Snapshots, *m.Ebs.SnapshotId)
		}
	}
	for _, tag := range img.Tags {
		key, value := aws.ToString(tag.Key), aws.ToString(tag.Value)
		if strings.HasPrefix(key, prefix) {
			c.tags[key] = value
			continue
		}
		if c.Tags == nil {
			c.Tags = map[string]string{}
		}
		c.Tags[key] = value
	}
	return c
}

// registered returns the copies in all regions that are registered and have a
// tag with one of the given values, or at all, by the id of their image.
func (s *Store) registered(ctx context.Context, key string, values ...string) (map[string][]copied, error) {
	found := map[string][]copied{}
	for _, region := range s.place.Regions {
		list, err := s.describe(ctx, region, key, values...)
		if err != nil {
			return nil, err
		}
		for _, c := range list {
			if _, ok := c.tags[keyRecord]; ok {
				found[c.tags[keyID]] = append(found[c.tags[keyID]], c)
			}
		}
	}
	return found, nil
}

// byID returns the copies of the images with the given ids.
func (s *Store) byID(ctx context.Context, ids ...string) (map[string][]copied, error) {
	all := map[string][]copied{}
	for chunk := range slices.Chunk(ids, maxValues) {
		found, err := s.registered(ctx, keyID, chunk...)
		if err != nil {
			return nil, err
		}
		maps.Copy(all, found)
	}
	return all, nil
}

// whole puts an image together from its copies, the first of which says what it
// is.
func whole(copies []copied) (registry.Image, error) {
	slices.SortFunc(copies, func(a, b copied) int { return cmp.Compare(a.String(), b.String()) })
	img, err := parseImage(copies[0].tags)
	if err != nil {
		return img, fmt.Errorf("image %s: %w", copies[0].Ref, err)
	}
	for _, c := range copies {
		img.Artifacts = append(img.Artifacts, c.Artifact)
	}
	return img, nil
}

// union are the tags of all copies. A fact that was written to some of them only
// counts all the same.
func union(copies []copied) map[string]string {
	tags := map[string]string{}
	for _, c := range copies {
		maps.Copy(tags, c.tags)
	}
	return tags
}

// Image implements [registry.Store].
func (s *Store) Image(ctx context.Context, id string) (registry.Image, error) {
	found, err := s.byID(ctx, id)
	if err == nil && len(found[id]) == 0 {
		err = registry.ErrNotFound
	}
	if err != nil {
		return registry.Image{}, s.wrap("read image "+id+" of", err)
	}
	img, err := whole(found[id])
	return img, s.wrap("read", err)
}

// Images implements [registry.Store]. EC2 gives no order, so that all images are
// read before the first is yielded.
func (s *Store) Images(ctx context.Context, f registry.Filter) iter.Seq2[registry.Image, error] {
	return func(yield func(registry.Image, error) bool) {
		images, err := s.images(ctx, f)
		if err != nil {
			yield(registry.Image{}, s.wrap("read images of", err))
			return
		}
		for _, img := range images {
			if !yield(img, nil) {
				return
			}
		}
	}
}

func (s *Store) images(ctx context.Context, f registry.Filter) ([]registry.Image, error) {
	found, err := s.scan(ctx, f)
	if err != nil {
		return nil, err
	}
	var images []registry.Image
	for _, copies := range found {
		img, err := whole(copies)
		if err != nil {
			return nil, err
		}
		if f.Lets(img) {
			images = append(images, img)
		}
	}
	slices.SortFunc(images, func(a, b registry.Image) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
	})
	return images, nil
}

// scan asks EC2 for what f may let through.
func (s *Store) scan(ctx context.Context, f registry.Filter) (map[string][]copied, error) {
	switch {
	case f.Artifact.ID != "":
		return s.having(ctx, f.Artifact)
	case f.Parent != "":
		return s.registered(ctx, keyParent, f.Parent)
	case f.Application != "":
		return s.registered(ctx, keyApplication, f.Application)
	case f.Layer != "":
		return s.registered(ctx, keyLayer, f.Layer)
	}
	return s.registered(ctx, keyRecord)
}

// having returns the images that have an artifact, with all of their copies.
func (s *Store) having(ctx context.Context, ref registry.Ref) (map[string][]copied, error) {
	if ref.Cloud != "" && ref.Cloud != s.place.Cloud {
		return nil, nil
	}
	var ids []string
	for _, region := range s.place.Regions {
		if ref.Region != "" && ref.Region != region {
			continue
		}
		c, ok, err := s.at(ctx, region, ref.ID)
		if err != nil {
			return nil, err
		}
		if _, registered := c.tags[keyRecord]; ok && registered {
			ids = append(ids, c.tags[keyID])
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	return s.byID(ctx, ids...)
}

// Facts implements [registry.Store].
func (s *Store) Facts(ctx context.Context, ids ...string) (map[string]registry.Facts, error) {
	facts := map[string]registry.Facts{}
	if len(ids) == 0 {
		return facts, ctx.Err()
	}
	found, err := s.byID(ctx, ids...)
	if err != nil {
		return nil, s.wrap("read facts of", err)
	}
	for id, copies := range found {
		f, err := parseFacts(id, union(copies))
		if err != nil {
			return nil, s.wrap("read facts of", fmt.Errorf("image %s: %w", copies[0].Ref, err))
		}
		if len(f.Results)+len(f.Marks) > 0 {
			facts[id] = f
		}
	}
	return facts, nil
}

// Packages implements [registry.Store]: there are none.
func (s *Store) Packages(_ context.Context, digest string, _ ...string) (registry.PackageList, error) {
	return registry.PackageList{}, s.wrap("read packages "+digest+" of", fmt.Errorf("tags have no room for them: %w", registry.ErrNotFound))
}

// Channel implements [registry.Store]: there are none.
func (s *Store) Channel(ctx context.Context, _ registry.Line, name string) (registry.Channel, error) {
	if err := ctx.Err(); err != nil {
		return registry.Channel{}, err
	}
	return registry.Channel{}, s.wrap("read channel "+name+" of", registry.ErrNotFound)
}

// Events implements [registry.Store]: there is no history.
func (s *Store) Events(context.Context, string) iter.Seq2[registry.Event, error] {
	return func(func(registry.Event, error) bool) {}
}
