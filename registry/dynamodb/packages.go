package dynamodb

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// maxPacked is how large a compressed list of packages can be: what an item can
// have, 400 KB, but for its keys. 20,000 packages take half of it.
const maxPacked = 380 << 10

// maxUnpacked bounds what is made of a compressed list.
const maxUnpacked = 64 << 20

// packages adds a list of packages, which is left as it is when it is there
// already. Its digest says that it is the same.
func (t *transaction) packages(list registry.PackageList) error {
	packed, err := compress(list.Sorted())
	if err != nil {
		return err
	}
	if len(packed) > maxPacked {
		return fmt.Errorf("a list of %d packages has %d bytes, more than the %d that an item of DynamoDB can have: %w",
			len(list.Packages), len(packed), maxPacked, registry.ErrUnsupported)
	}
	digest := list.Digest()
	t.lists = append(t.lists, digest)
	t.add(types.TransactWriteItem{Update: &types.Update{
		TableName: &t.table, Key: packagesKey(digest).item(),
		UpdateExpression:          aws.String("SET #packed = if_not_exists(#packed, :packed)"),
		ExpressionAttributeNames:  map[string]string{"#packed": "packed"},
		ExpressionAttributeValues: item{":packed": &types.AttributeValueMemberB{Value: packed}},
	}}, nil)
	return nil
}

// wantPackages makes the transaction fail when a list of packages does not
// exist.
func (t *transaction) wantPackages(digest string) {
	if digest == "" || slices.Contains(t.lists, digest) {
		return
	}
	t.add(types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
		TableName: &t.table, Key: packagesKey(digest).item(), ConditionExpression: aws.String("attribute_exists(pk)"),
	}}, fmt.Errorf("packages %s: %w", digest, registry.ErrNotFound))
}

func compress(list registry.PackageList) ([]byte, error) {
	var packed bytes.Buffer
	zip, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	err = errors.Join(json.NewEncoder(zip).Encode(list), zip.Close())
	return packed.Bytes(), err
}

func decompress(packed []byte) (list registry.PackageList, err error) {
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return list, err
	}
	data, err := io.ReadAll(io.LimitReader(zip, maxUnpacked))
	if err != nil {
		return list, err
	}
	return list, json.Unmarshal(data, &list)
}

// Packages implements [registry.Store].
func (s *Store) Packages(ctx context.Context, digest string, names ...string) (registry.PackageList, error) {
	list, err := s.readPackages(ctx, digest)
	if err != nil {
		return registry.PackageList{}, s.wrap("read packages "+digest+" of", err)
	}
	if len(names) > 0 {
		list.Packages = slices.DeleteFunc(list.Packages, func(p registry.Package) bool { return !slices.Contains(names, p.Name) })
	}
	return list, nil
}

func (s *Store) readPackages(ctx context.Context, digest string) (registry.PackageList, error) {
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.place.Table, Key: packagesKey(digest).item(), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return registry.PackageList{}, err
	}
	if out.Item == nil {
		return registry.PackageList{}, registry.ErrNotFound
	}
	packed, ok := out.Item["packed"].(*types.AttributeValueMemberB)
	if !ok {
		return registry.PackageList{}, errors.New("the item has no packages")
	}
	list, err := decompress(packed.Value)
	if err != nil {
		return registry.PackageList{}, fmt.Errorf("it cannot be read: %w", err)
	}
	return list, nil
}
