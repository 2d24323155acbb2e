package dynamodb

import (
	"context"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

var _ registry.Leaser = (*Store)(nil)

// Lease implements [registry.Leaser].
func (s *Store) Lease(ctx context.Context, of string) (registry.Lease, error) {
	l, err := read[registry.Lease](ctx, s, leaseKey(of))
	return l, s.wrap("read lease "+of+" of", err)
}

// lease writes a lease from the revision before its own.
func (t *transaction) lease(l registry.Lease) error {
	record, err := encode(l)
	if err != nil {
		return err
	}
	conflict := fmt.Errorf("lease %s: it is not at revision %d: %w", l.Key, l.Revision-1, registry.ErrConflict)
	i := leaseKey(l.Key).with(record)
	i["revision"] = &types.AttributeValueMemberN{Value: strconv.FormatInt(l.Revision, 10)}
	if l.Revision == 1 {
		t.put(i, absent, nil, conflict)
		return nil
	}
	before := &types.AttributeValueMemberN{Value: strconv.FormatInt(l.Revision-1, 10)}
	t.put(i, "revision = :before", item{":before": before}, conflict)
	return nil
}
