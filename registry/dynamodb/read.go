package dynamodb

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// Pages of a scan: the first is small, since most callers stop at the first
// image that fits. 100 is what DynamoDB reads in one call.
const (
	firstPage = 16
	nextPages = 100
)

// parallel is how many queries run at once.
const parallel = 8

// Image implements [registry.Store].
func (s *Store) Image(ctx context.Context, id string) (registry.Image, error) {
	img, err := read[registry.Image](ctx, s, imageKey(id))
	if err != nil {
		return registry.Image{}, s.wrap("read image "+id+" of", err)
	}
	return img, nil
}

// Channel implements [registry.Store].
func (s *Store) Channel(ctx context.Context, line registry.Line, name string) (registry.Channel, error) {
	hash, err := channelHash(line, name)
	if err != nil {
		return registry.Channel{}, err
	}
	c, err := s.readChannel(ctx, hash)
	return c, s.wrap(fmt.Sprintf("read channel %s of %s of", name, line), err)
}

func (s *Store) readChannel(ctx context.Context, hash string) (registry.Channel, error) {
	return read[registry.Channel](ctx, s, channelKey(hash))
}

// read returns the record of one item, or registry.ErrNotFound.
func read[T any](ctx context.Context, s *Store, k key) (record T, err error) {
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.place.Table, Key: k.item(), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return record, err
	}
	if out.Item == nil {
		return record, registry.ErrNotFound
	}
	return decode[T](out.Item)
}

func decode[T any](i item) (record T, err error) {
	if err := json.Unmarshal([]byte(attribute(i, "record")), &record); err != nil {
		return record, fmt.Errorf("the record of %s %s cannot be read: %w", attribute(i, "pk"), attribute(i, "sk"), err)
	}
	return record, nil
}

// number returns the whole number of an attribute, 0 for none.
func number(i item, name string) (int64, error) {
	n, ok := i[name].(*types.AttributeValueMemberN)
	if !ok {
		return 0, nil
	}
	return strconv.ParseInt(n.Value, 10, 64)
}

// attribute returns the text of an attribute, "" for none.
func attribute(i item, name string) string {
	if s, ok := i[name].(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

// Images implements [registry.Store].
func (s *Store) Images(ctx context.Context, f registry.Filter) iter.Seq2[registry.Image, error] {
	pages := s.listed(ctx, f)
	if f.Artifact.ID != "" {
		pages = s.having(ctx, f.Artifact)
	}
	return func(yield func(registry.Image, error) bool) {
		for page, err := range pages {
			var images []registry.Image
			if err == nil {
				images, err = s.load(ctx, page)
			}
			if err != nil {
				yield(registry.Image{}, s.wrap("read images of", err))
				return
			}
			for _, img := range images {
				if f.Lets(img) && !yield(img, nil) {
					return
				}
			}
		}
	}
}

// listed yields the ids of an index, page by page, newest first.
func (s *Store) listed(ctx context.Context, f registry.Filter) iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) {
		for items, err := range s.query(ctx, indexOf(f), false, firstPage) {
			ids := make([]string, len(items))
			for n, i := range items {
				ids[n] = attribute(i, "image")
			}
			if !yield(ids, err) || err != nil {
				return
			}
		}
	}
}

// having yields the ids of the images that have an artifact with the id of ref:
// one page, since that is one for each cloud and region at most.
func (s *Store) having(ctx context.Context, ref registry.Ref) iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) {
		ids := map[string]bool{}
		for items, err := range s.query(ctx, artifactKey(ref).pk, true, nextPages) {
			if err != nil {
				yield(nil, err)
				return
			}
			for _, i := range items {
				ids[attribute(i, "image")] = true
			}
		}
		for chunk := range slices.Chunk(slices.Sorted(maps.Keys(ids)), nextPages) {
			if !yield(chunk, nil) {
				return
			}
		}
	}
}

// query yields the items of a partition, page by page, in the order of their
// sort keys or against it.
func (s *Store) query(ctx context.Context, pk string, forward bool, first int32) iter.Seq2[[]item, error] {
	condition, values := "pk = :pk", item{":pk": text(pk)}
	return func(yield func([]item, error) bool) {
		var from item
		for limit := first; ; limit = nextPages {
			out, err := s.client.Query(ctx, &dynamodb.QueryInput{
				TableName: &s.place.Table, KeyConditionExpression: &condition, ExpressionAttributeValues: values,
				ConsistentRead: aws.Bool(true), ScanIndexForward: &forward, Limit: &limit, ExclusiveStartKey: from,
			})
			if err != nil {
				yield(nil, err)
				return
			}
			if len(out.Items) > 0 && !yield(out.Items, nil) || len(out.LastEvaluatedKey) == 0 {
				return
			}
			from = out.LastEvaluatedKey
		}
	}
}

// load reads images by id, newest first.
func (s *Store) load(ctx context.Context, ids []string) ([]registry.Image, error) {
	keys := make([]item, len(ids))
	for n, id := range ids {
		keys[n] = imageKey(id).item()
	}
	var images []registry.Image
	for pause := firstPause; len(keys) > 0; pause = min(2*pause, lastPause) {
		out, err := s.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
			RequestItems: map[string]types.KeysAndAttributes{s.place.Table: {Keys: keys, ConsistentRead: aws.Bool(true)}},
		})
		if err != nil {
			return nil, err
		}
		for _, i := range out.Responses[s.place.Table] {
			img, err := decode[registry.Image](i)
			if err != nil {
				return nil, err
			}
			images = append(images, img)
		}
		// What one call could not hold, or was throttled.
		if keys = out.UnprocessedKeys[s.place.Table].Keys; len(keys) == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
	if len(images) != len(ids) {
		return nil, fmt.Errorf("%d of %d images that are listed are missing: the table is damaged", len(ids)-len(images), len(ids))
	}
	slices.SortFunc(images, func(a, b registry.Image) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
	})
	return images, nil
}

// Facts implements [registry.Store].
func (s *Store) Facts(ctx context.Context, ids ...string) (map[string]registry.Facts, error) {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	found := make([]registry.Facts, len(ids))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for n, id := range ids {
		group.Go(func() (err error) {
			found[n], err = s.factsOf(ctx, id)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, s.wrap("read facts of", err)
	}
	facts := map[string]registry.Facts{}
	for n, id := range ids {
		if f := found[n]; len(f.Results)+len(f.Marks)+len(f.Channels) > 0 {
			facts[id] = f
		}
	}
	return facts, nil
}

func (s *Store) factsOf(ctx context.Context, id string) (registry.Facts, error) {
	var f registry.Facts
	// Backwards, from the item of the image to the facts: one that comes while
	// they are read is not in the revision.
	for items, err := range s.query(ctx, imageKey(id).pk, false, nextPages) {
		if err != nil {
			return f, err
		}
		for _, i := range items {
			if attribute(i, "sk") == imageKey(id).sk {
				f.Revision, err = number(i, "facts")
				if err != nil {
					return f, err
				}
				continue
			}
			kind, _, _ := strings.Cut(strings.TrimPrefix(attribute(i, "sk"), factPrefix), "#")
			switch kind {
			case "result":
				f.Results, err = appendRecord(f.Results, i)
			case "mark":
				f.Marks, err = appendRecord(f.Marks, i)
			case "channel":
				f.Channels, err = appendRecord(f.Channels, i)
			default:
				err = errors.New("a fact is of the unknown kind " + kind)
			}
			if err != nil {
				return f, err
			}
		}
	}
	slices.Reverse(f.Results)
	slices.Reverse(f.Marks)
	slices.SortFunc(f.Channels, func(a, b registry.Channel) int { return cmp.Compare(a.Name, b.Name) })
	return f, nil
}

func appendRecord[T any](list []T, i item) ([]T, error) {
	record, err := decode[T](i)
	return append(list, record), err
}

// Events implements [registry.Store]. Packs come in the order of their first
// events: what is older than that of the next pack is complete.
func (s *Store) Events(ctx context.Context, image string) iter.Seq2[registry.Event, error] {
	return func(yield func(registry.Event, error) bool) {
		var waiting []registry.Event
		flush := func(before string) bool {
			slices.SortFunc(waiting, byID)
			waiting = slices.CompactFunc(waiting, func(a, b registry.Event) bool { return a.ID == b.ID })
			for len(waiting) > 0 && (before == "" || waiting[0].ID < before) {
				if !yield(waiting[0], nil) {
					return false
				}
				waiting = waiting[1:]
			}
			return true
		}
		for items, err := range s.query(ctx, historyOf(image), true, nextPages) {
			for _, i := range items {
				var pack []registry.Event
				if pack, err = decode[[]registry.Event](i); err != nil {
					break
				}
				if !flush(attribute(i, "sk")) {
					return
				}
				waiting = append(waiting, pack...)
			}
			if err != nil {
				yield(registry.Event{}, s.wrap("read events of", err))
				return
			}
		}
		flush("")
	}
}

func byID(a, b registry.Event) int { return cmp.Compare(a.ID, b.ID) }
