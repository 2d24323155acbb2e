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
