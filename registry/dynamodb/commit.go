package dynamodb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// maxItems is how many items a transaction of DynamoDB can have.
const maxItems = 100

// packSize is how large the events of one change are together in one item,
// which can have 400 KB.
const packSize = 256 << 10

// Commit implements [registry.Store]. A change of more than about 80 results and
// marks cannot be stored at once; it is refused with [registry.ErrUnsupported].
func (s *Store) Commit(ctx context.Context, c registry.Change) error {
	t := &transaction{table: s.place.Table, images: map[string]*touched{}}
	if err := s.compose(ctx, t, c); err != nil {
		return s.wrap("record in", err)
	}
	t.touch()
	return s.wrap("record in", s.send(ctx, t))
}

// transaction is what is written at once. Each item can say what it means when
// its condition does not hold.
type transaction struct {
	table  string
	items  []types.TransactWriteItem
	broken []error             // by item: what its condition stands for
	images map[string]*touched // the items of images
	lists  []string            // digests of the lists of packages that are made here
}

// touched is what a transaction does to the item of an image: there can be one
// operation only on an item.
type touched struct {
	record string // of an image that is made here
	facts  int    // that are added
	seen   *int64 // revision that its facts must have
}

func (t *transaction) add(item types.TransactWriteItem, broken error) {
	t.items = append(t.items, item)
	t.broken = append(t.broken, broken)
}

// put writes an item, under a condition unless that is empty.
func (t *transaction) put(i item, condition string, values item, broken error) {
	put := &types.Put{TableName: &t.table, Item: i, ExpressionAttributeValues: values}
	if condition != "" {
		put.ConditionExpression = &condition
	}
	t.add(types.TransactWriteItem{Put: put}, broken)
}

const absent = "attribute_not_exists(pk)"

// append writes a record that is left as it is when it is there already.
func (t *transaction) append(k key, record string) {
	t.add(types.TransactWriteItem{Update: &types.Update{
		TableName: &t.table, Key: k.item(),
		UpdateExpression:          aws.String("SET #record = if_not_exists(#record, :record)"),
		ExpressionAttributeNames:  map[string]string{"#record": "record"},
		ExpressionAttributeValues: item{":record": text(record)},
	}}, nil)
}

// want makes the transaction fail when an image does not exist.
func (t *transaction) want(image string) *touched {
	if t.images[image] == nil {
		t.images[image] = &touched{}
	}
	return t.images[image]
}

// touch writes what is done to the items of images, before all else: what does
// not exist is the first thing to know. Their attribute facts grows with every
// fact that is sent.
func (t *transaction) touch() {
	items, broken := t.items, t.broken
	t.items, t.broken = nil, nil
	number := func(n int64) types.AttributeValue {
		return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
	}
	for _, id := range slices.Sorted(maps.Keys(t.images)) {
		image := t.images[id]
		if image.record != "" {
			i := imageKey(id).with(image.record)
			i["facts"] = number(int64(image.facts))
			t.put(i, absent, nil, fmt.Errorf("image %s %w", id, registry.ErrExists))
			continue
		}
		condition, why := "attribute_exists(pk)", fmt.Errorf("image %s: %w", id, registry.ErrNotFound)
		names, values := map[string]string{}, item{}
		if image.seen != nil {
			condition, why = "#facts = :seen", fmt.Errorf("what is recorded about image %s: %w", id, registry.ErrConflict)
			names["#facts"], values[":seen"] = "facts", number(*image.seen)
		}
		if image.facts == 0 {
			check := &types.ConditionCheck{TableName: &t.table, Key: imageKey(id).item(), ConditionExpression: &condition}
			if image.seen != nil {
				check.ExpressionAttributeNames, check.ExpressionAttributeValues = names, values
			}
			t.add(types.TransactWriteItem{ConditionCheck: check}, why)
			continue
		}
		names["#facts"], values[":more"] = "facts", number(int64(image.facts))
		t.add(types.TransactWriteItem{Update: &types.Update{
			TableName: &t.table, Key: imageKey(id).item(), ConditionExpression: &condition,
			UpdateExpression:         aws.String("ADD #facts :more"),
			ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		}}, why)
	}
	t.items, t.broken = append(t.items, items...), append(t.broken, broken...)
}

func (s *Store) compose(ctx context.Context, t *transaction, c registry.Change) error {
	if c.Packages != nil {
		if err := t.packages(*c.Packages); err != nil {
			return err
		}
	}
	if c.Image != nil {
		if err := t.image(*c.Image); err != nil {
			return err
		}
	}
	for image, revision := range c.Seen {
		t.want(image).seen = &revision
	}
	for _, r := range c.Results {
		if err := t.fact(r.Image, "result", r.ID, r); err != nil {
			return err
		}
	}
	for _, m := range c.Marks {
		if err := t.fact(m.Image, "mark", m.ID, m); err != nil {
			return err
		}
	}
	if c.Channel != nil {
		if err := s.channel(ctx, t, *c.Channel); err != nil {
			return err
		}
	}
	if c.Lease != nil {
		if err := t.lease(*c.Lease); err != nil {
			return err
		}
	}
	return t.events(c.Events)
}

func (t *transaction) image(img registry.Image) error {
	record, err := encode(img)
	if err != nil {
		return err
	}
	t.want(img.ID).record = record
	t.wantPackages(img.Packages)
	for _, a := range img.Artifacts {
		i := artifactKey(a.Ref).item()
		i["image"] = text(img.ID)
		t.put(i, absent, nil, fmt.Errorf("%s %w", a.Ref, registry.ErrExists))
	}
	for _, index := range indexes(img) {
		i := key{index, age(img)}.item()
		i["image"] = text(img.ID)
		t.put(i, "", nil, nil)
	}
	return nil
}

func (t *transaction) fact(image, kind, id string, fact any) error {
	record, err := encode(fact)
	if err != nil {
		return err
	}
	t.want(image).facts++
	t.append(factKey(image, kind, id), record)
	return nil
}

// channel moves a channel. Which image it leaves is read before; the condition
// on the revision makes sure that this is so when it is written.
func (s *Store) channel(ctx context.Context, t *transaction, c registry.Channel) error {
	record, err := encode(c)
	if err != nil {
		return err
	}
	hash, err := channelHash(c.Line, c.Name)
	if err != nil {
		return err
	}
	old, err := s.readChannel(ctx, hash)
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		return err
	}
	conflict := fmt.Errorf("channel %s of %s: it is not at revision %d: %w", c.Name, c.Line, c.Revision-1, registry.ErrConflict)
	if old.Revision != c.Revision-1 {
		return conflict
	}
	t.want(c.Image)
	i := channelKey(hash).with(record)
	i["revision"] = &types.AttributeValueMemberN{Value: strconv.FormatInt(c.Revision, 10)}
	if old.Revision == 0 {
		t.put(i, absent, nil, conflict)
	} else {
		before := &types.AttributeValueMemberN{Value: strconv.FormatInt(old.Revision, 10)}
		t.put(i, "revision = :before", item{":before": before}, conflict)
	}
	t.put(factKey(c.Image, "channel", hash).with(record), "", nil, nil)
	if old.Image != "" && old.Image != c.Image {
		t.add(types.TransactWriteItem{Delete: &types.Delete{
			TableName: &t.table, Key: factKey(old.Image, "channel", hash).item(),
		}}, nil)
	}
	return nil
}

// events appends the events of a change, packed into as few items as hold them,
// to the history of their images and of all. A pack is named by its first event.
func (t *transaction) events(events []registry.Event) error {
	histories := map[string][]registry.Event{}
	for _, e := range events {
		t.want(e.Image)
		for _, history := range []string{historyOf(e.Image), historyOf("")} {
			histories[history] = append(histories[history], e)
		}
	}
	for history, events := range histories {
		slices.SortFunc(events, byID)
		for len(events) > 0 {
			n, record, err := pack(events)
			if err != nil {
				return err
			}
			t.append(key{history, events[0].ID}, record)
			events = events[n:]
		}
	}
	return nil
}

// pack returns as many of the events as an item can hold, one at least.
func pack(events []registry.Event) (n int, record string, err error) {
	size := 0
	for n < len(events) {
		one, err := encode(events[n])
		if err != nil {
			return 0, "", err
		}
		if size += len(one) + 1; size > packSize && n > 0 {
			break
		}
		n++
	}
	record, err = encode(events[:n])
	return n, record, err
}

// Waits between attempts of a transaction that met another.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = time.Second
	patience   = 30 * time.Second
)

// send writes the transaction. One that meets another on the same item is sent
// again: what it demands is decided by then.
func (s *Store) send(ctx context.Context, t *transaction) error {
	if len(t.items) == 0 {
		return ctx.Err()
	}
	if len(t.items) > maxItems {
		return fmt.Errorf("a change of %d items is more than the %d that DynamoDB stores at once: %w", len(t.items), maxItems, registry.ErrUnsupported)
	}
	deadline := time.Now().Add(patience)
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		_, err := s.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: t.items})
		var canceled *types.TransactionCanceledException
		if !errors.As(err, &canceled) {
			return err
		}
		if broken := t.reason(canceled); broken != nil {
			return broken
		}
		if !met(canceled) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause/2 + rand.N(pause)): //nolint:gosec // it only spreads the attempts
		}
	}
}

// reason returns what the first condition that did not hold stands for.
func (t *transaction) reason(canceled *types.TransactionCanceledException) error {
	for n, r := range canceled.CancellationReasons {
		if aws.ToString(r.Code) == "ConditionalCheckFailed" && n < len(t.broken) && t.broken[n] != nil {
			return t.broken[n]
		}
	}
	return nil
}

// met reports whether a transaction was canceled only because of another, or of
// too many.
func met(canceled *types.TransactionCanceledException) bool {
	passing := []string{"", "None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
	return !slices.ContainsFunc(canceled.CancellationReasons, func(r types.CancellationReason) bool {
		return !slices.Contains(passing, aws.ToString(r.Code))
	})
}

func encode(record any) (string, error) {
	data, err := json.Marshal(record)
	return string(data), err
}
