package ec2tags

import (
	"context"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// fake is EC2 in one region, in which every image exists: the conformance suite
// chooses ids, which no real EC2 lets it.
type fake struct {
	mu   sync.Mutex
	tags map[string]map[string]string // by image
	most int                          // how many tags an image had at once
	hide int                          // how many looks a new tag is hidden from
	seen map[string]int               // how many looks there were at an image since it was tagged
}

func newFake() *fake { return &fake{tags: map[string]map[string]string{}, seen: map[string]int{}} }

func (f *fake) DescribeImages(ctx context.Context, in *ec2.DescribeImagesInput, _ ...func(*ec2.Options)) (*ec2.DescribeImagesOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ids := in.ImageIds
	for id, tags := range f.tags {
		if len(in.Filters) > 0 && matches(in.Filters[0], tags) {
			ids = append(ids, id)
		}
	}
	out := &ec2.DescribeImagesOutput{}
	for _, id := range ids {
		img := types.Image{ImageId: aws.String(id)}
		if f.seen[id]++; f.seen[id] > f.hide {
			for key, value := range f.tags[id] {
				img.Tags = append(img.Tags, types.Tag{Key: aws.String(key), Value: aws.String(value)})
			}
		}
		out.Images = append(out.Images, img)
	}
	return out, nil
}

// matches does what EC2's filters do: * and ? are wildcards unless a backslash is
// before them.
func matches(filter types.Filter, tags map[string]string) bool {
	if aws.ToString(filter.Name) == "tag-key" {
		_, ok := tags[filter.Values[0]]
		return ok
	}
	value, ok := tags[strings.TrimPrefix(aws.ToString(filter.Name), "tag:")]
	return ok && slices.ContainsFunc(filter.Values, func(pattern string) bool {
		found, err := path.Match(strings.ReplaceAll(pattern, "[", `\[`), value)
		return err == nil && found
	})
}

func (f *fake) CreateTags(ctx context.Context, in *ec2.CreateTagsInput, _ ...func(*ec2.Options)) (*ec2.CreateTagsOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range in.Resources {
		if f.tags[id] == nil {
			f.tags[id] = map[string]string{}
		}
		for _, tag := range in.Tags {
			f.tags[id][*tag.Key] = *tag.Value
		}
		f.most, f.seen[id] = max(f.most, len(f.tags[id])), 0
	}
	return &ec2.CreateTagsOutput{}, ctx.Err()
}

func (f *fake) DeleteTags(ctx context.Context, in *ec2.DeleteTagsInput, _ ...func(*ec2.Options)) (*ec2.DeleteTagsOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range in.Resources {
		for _, tag := range in.Tags {
			delete(f.tags[id], *tag.Key)
		}
	}
	return &ec2.DeleteTagsOutput{}, ctx.Err()
}
