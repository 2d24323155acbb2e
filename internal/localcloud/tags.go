package localcloud

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits from "Tag restrictions" in the EC2 user guide.
const (
	maxTags     = 50
	maxTagKey   = 128 // characters
	maxTagValue = 256 // characters
)

type tagParam struct {
	Key   string
	Value *string
}

type tagSpecification struct {
	ResourceType string
	Tag          []tagParam
}

// tagging is embedded in the parameters of every request that creates.
type tagging struct {
	TagSpecification []tagSpecification
}

// tags returns the tags for each kind of resource that the request makes. A
// specification for another kind is an error.
func (p tagging) tags(makes ...kind) (map[kind]map[string]string, error) {
	all := map[kind]map[string]string{}
	for _, spec := range p.TagSpecification {
		k := kind(spec.ResourceType)
		if spec.ResourceType == "" {
			return nil, errorf("InvalidParameterValue", "Tag specification resource type must have a value")
		}
		if !slices.Contains(makes, k) {
			return nil, errorf("InvalidParameterValue", "'%s' is not a valid taggable resource type for this operation.", spec.ResourceType)
		}
		if all[k] != nil {
			return nil, errorf("InvalidParameterValue", "Multiple tag specifications with the same resource type '%s'", spec.ResourceType)
		}
		if len(spec.Tag) == 0 {
			return nil, errorf("InvalidParameterValue", "Tag specification must have at least one tag")
		}
		tags, err := checkTags(spec.Tag)
		if err != nil {
			return nil, err
		}
		all[k] = tags
	}
	return all, nil
}

// checkTags holds the tags of one request against EC2's limits.
func checkTags(params []tagParam) (map[string]string, error) {
	tags := make(map[string]string, len(params))
	for _, p := range params {
		value := ""
		if p.Value != nil {
			value = *p.Value
		}
		switch _, twice := tags[p.Key]; {
		case p.Key == "":
			return nil, errorf("InvalidParameterValue", "Tag keys must have a value")
		case strings.HasPrefix(strings.ToLower(p.Key), "aws:"):
			return nil, errorf("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
		case utf8.RuneCountInString(p.Key) > maxTagKey:
			return nil, errorf("InvalidParameterValue", "Tag key exceeds the maximum length of %d characters", maxTagKey)
		case utf8.RuneCountInString(value) > maxTagValue:
			return nil, errorf("InvalidParameterValue", "Tag value exceeds the maximum length of %d characters", maxTagValue)
		case twice:
			return nil, errorf("InvalidParameterValue", "Duplicate tag key '%s' specified.", p.Key)
		}
		tags[p.Key] = value
	}
	if len(tags) > maxTags {
		return nil, errTooManyTags()
	}
	return tags, nil
}

func errTooManyTags() error {
	return errorf("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
}

// tag adds tags to a resource, over those it has with the same keys.
func (t *tx) tag(region, id string, tags map[string]string) error {
	for key, value := range tags {
		if _, err := t.ExecContext(t.ctx, "INSERT INTO tag (resource, region, key, value) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
			id, region, key, value); err != nil {
			return err
		}
	}
	var n int
	if err := t.QueryRowContext(t.ctx, "SELECT count(*) FROM tag WHERE resource = ?", id).Scan(&n); err != nil {
		return err
	}
	if n > maxTags {
		return errTooManyTags()
	}
	return nil
}

// tags reads all tags of a region, by resource; ids narrows it.
func (t *tx) tags(region string, ids ...string) (map[string]map[string]string, error) {
	query, args := "SELECT resource, key, value FROM tag WHERE region = ?", []any{region}
	if len(ids) > 0 && len(ids) <= 100 { // beyond that one scan is cheaper
		query += " AND resource IN (?" + strings.Repeat(", ?", len(ids)-1) + ")"
		for _, id := range ids {
			args = append(args, id)
		}
	}
	rows, err := t.QueryContext(t.ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	all := map[string]map[string]string{}
	for rows.Next() {
		var id, key, value string
		if err := rows.Scan(&id, &key, &value); err != nil {
			return nil, err
		}
		if all[id] == nil {
			all[id] = map[string]string{}
		}
		all[id][key] = value
	}
	return all, rows.Err()
}

type tagXML struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

func tagsXML(tags map[string]string) []tagXML {
	out := make([]tagXML, 0, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, tagXML{key, tags[key]})
	}
	return out
}

type tagsInput struct {
	ResourceID []string
	Tag        []tagParam
}

func (c *Cloud) createTags(q *call, in *tagsInput) (any, error) {
	if len(in.ResourceID) == 0 {
		return nil, errMissing("resourceIdSet")
	}
	if len(in.Tag) == 0 {
		return nil, errMissing("tagSet")
	}
	tags, err := checkTags(in.Tag)
	if err != nil {
		return nil, err
	}
	return returnTrue(), c.store.write(q.ctx, func(t *tx) error {
		for _, id := range in.ResourceID {
			if err := c.exists(t, q.region, id); err != nil {
				return err
			}
			if err := t.tag(q.region, id, tags); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *Cloud) deleteTags(q *call, in *tagsInput) (any, error) {
	if len(in.ResourceID) == 0 {
		return nil, errMissing("resourceIdSet")
	}
	for _, tag := range in.Tag {
		if strings.HasPrefix(strings.ToLower(tag.Key), "aws:") {
			return nil, errorf("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
		}
	}
	return returnTrue(), c.store.write(q.ctx, func(t *tx) error {
		for _, id := range in.ResourceID {
			if err := c.exists(t, q.region, id); err != nil {
				return err
			}
			if len(in.Tag) == 0 { // no tags named: all of them
				if _, err := t.ExecContext(t.ctx, "DELETE FROM tag WHERE resource = ?", id); err != nil {
					return err
				}
			}
			for _, tag := range in.Tag {
				// A value that is given must match, also the empty one; without one any does.
				if _, err := t.ExecContext(t.ctx, "DELETE FROM tag WHERE resource = ?1 AND key = ?2 AND (?3 IS NULL OR value = ?3)", id, tag.Key, tag.Value); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// exists returns EC2's error for an id that nothing in the region has.
func (c *Cloud) exists(t *tx, region, id string) error {
	k, err := kindOf(id)
	if err != nil {
		return err
	}
	if k == kindInstance {
		return c.checkInstance(region, id)
	}
	_, err = find[struct{}](t, k, region, id)
	return err
}

type describeTagsInput struct {
	filtering
	paging
}

type describedTag struct {
	ResourceID   string `xml:"resourceId"`
	ResourceType kind   `xml:"resourceType"`
	Key          string `xml:"key"`
	Value        string `xml:"value"`
}

type describeTagsOutput struct {
	reply
	Tags []describedTag `xml:"tagSet>item"`
	next
}

func (c *Cloud) describeTags(q *call, in *describeTagsInput) (any, error) {
	var all []describedTag
	err := c.store.read(q.ctx, func(t *tx) error {
		tags, err := t.tags(q.region)
		if err != nil {
			return err
		}
		for _, id := range slices.Sorted(maps.Keys(tags)) {
			k, err := kindOf(id)
			if err != nil {
				return err
			}
			for _, tag := range tagsXML(tags[id]) {
				all = append(all, describedTag{id, k, tag.Key, tag.Value})
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := &describeTagsOutput{}
	out.Tags, err = selectPage(q, all, describedTagFilters, in.filtering, in.paging, &out.next, nil,
		func(d describedTag) string { return d.ResourceID + "\x00" + d.Key })
	return out, err
}

var describedTagFilters = filters[describedTag]{
	fields: map[string]func(describedTag) []string{
		"key":           func(d describedTag) []string { return []string{d.Key} },
		"resource-id":   func(d describedTag) []string { return []string{d.ResourceID} },
		"resource-type": func(d describedTag) []string { return []string{string(d.ResourceType)} },
		"value":         func(d describedTag) []string { return []string{d.Value} },
		"tag-key":       func(d describedTag) []string { return []string{d.Key} },
	},
	tags: func(d describedTag) map[string]string { return map[string]string{d.Key: d.Value} },
}
