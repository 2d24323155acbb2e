package cloud

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Tag sets tags on resources, replacing the values of keys that are there.
func (c *Client) Tag(ctx context.Context, tags map[string]string, resources ...string) error {
	if len(tags) == 0 || len(resources) == 0 {
		return nil
	}
	_, err := c.ec2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: resources, Tags: tagList(tags)})
	return apiError("CreateTags", strings.Join(resources, " "), err)
}

// Resource is something that carries tags.
type Resource struct {
	ID   string
	Type string            // as EC2 calls it: image, snapshot, volume, …
	Tags map[string]string // of those that were asked for
}

// Tagged returns the account's resources in the region that carry any of the
// tags, with the values of these, sorted by id.
func (c *Client) Tagged(ctx context.Context, keys ...string) ([]Resource, error) {
	byID := map[string]Resource{}
	pages := ec2.NewDescribeTagsPaginator(c.ec2, &ec2.DescribeTagsInput{Filters: filters(map[string][]string{"key": keys})})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, apiError("DescribeTags", strings.Join(keys, " "), err)
		}
		for _, tag := range page.Tags {
			id := aws.ToString(tag.ResourceId)
			if _, seen := byID[id]; !seen {
				byID[id] = Resource{ID: id, Type: string(tag.ResourceType), Tags: map[string]string{}}
			}
			byID[id].Tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
		}
	}
	return slices.SortedFunc(maps.Values(byID), func(x, y Resource) int { return strings.Compare(x.ID, y.ID) }), nil
}

// tagList returns tags in the order of their keys, so that equal requests are
// equal byte for byte and client tokens hold.
func tagList(tags map[string]string) []types.Tag {
	list := make([]types.Tag, 0, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, types.Tag{Key: aws.String(key), Value: aws.String(tags[key])})
	}
	return list
}

func tagMap(list []types.Tag) map[string]string {
	tags := make(map[string]string, len(list))
	for _, tag := range list {
		tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	return tags
}

// tagSpec makes the tags part of a creating call. Resources without tags are
// left out: EC2 refuses an empty specification.
func tagSpec(kinds map[types.ResourceType]map[string]string) []types.TagSpecification {
	var spec []types.TagSpecification
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		if len(kinds[kind]) > 0 {
			spec = append(spec, types.TagSpecification{ResourceType: kind, Tags: tagList(kinds[kind])})
		}
	}
	return spec
}

// filters makes EC2 filters of names and the values wanted.
func filters(want map[string][]string) []types.Filter {
	var list []types.Filter
	for _, name := range slices.Sorted(maps.Keys(want)) {
		list = append(list, types.Filter{Name: aws.String(name), Values: want[name]})
	}
	return list
}
