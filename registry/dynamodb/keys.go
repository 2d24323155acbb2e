package dynamodb

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// item is an item, or its key, as DynamoDB has it.
type item = map[string]types.AttributeValue

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

// key is the primary key of an item.
type key struct{ pk, sk string }

func (k key) item() item { return item{"pk": text(k.pk), "sk": text(k.sk)} }

// with returns the item of k with a record.
func (k key) with(record string) item {
	i := k.item()
	i["record"] = text(record)
	return i
}

var formatKey = key{"registry", "format"}

// factPrefix is how the sort keys of facts begin.
const factPrefix = "fact#"

// escape keeps parts of a key apart.
var escape = strings.NewReplacer("%", "%25", "#", "%23")

func join(kind string, parts ...string) string {
	for _, part := range parts {
		kind += "#" + escape.Replace(part)
	}
	return kind
}

func imageKey(id string) key { return key{join("image", id), "image"} }

func factKey(image, kind, id string) key { return key{join("image", image), join("fact", kind, id)} }

func artifactKey(ref registry.Ref) key {
	return key{join("artifact", ref.ID), join(escape.Replace(ref.Cloud), ref.Region)}
}

// channelHash names a channel in keys, which have a greatest length.
func channelHash(line registry.Line, name string) (string, error) {
	data, err := json.Marshal([]any{line, name})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

func packagesKey(digest string) key { return key{join("packages", digest), "list"} }

func leaseKey(of string) key { return key{join("lease", of), "lease"} }

func channelKey(hash string) key { return key{join("channel", hash), "channel"} }

func historyOf(image string) string {
	if image == "" {
		return "history"
	}
	return join("history", image)
}

// epoch makes milliseconds since 1970 positive for every time from year 1 on,
// which Go's zero time is in.
const epoch = 100_000_000_000_000

// age orders images: by when they were baked, then by id. CreatedAt is never
// negative once epoch is added, so that digits sort as numbers do.
func age(img registry.Image) string {
	return fmt.Sprintf("%018d#%s", img.CreatedAt.UnixMilli()+epoch, img.ID)
}

// indexes are the partitions that list img.
func indexes(img registry.Image) []string {
	list := []string{
		indexOf(registry.Filter{}), indexOf(registry.Filter{Application: img.Application}),
		indexOf(registry.Filter{Layer: img.Layer}), indexOf(registry.Filter{Application: img.Application, Layer: img.Layer}),
	}
	if img.Bake.Key != "" {
		list = append(list, indexOf(registry.Filter{BakeKey: img.Bake.Key}))
	}
	if img.Parent != "" {
		list = append(list, indexOf(registry.Filter{Parent: img.Parent}))
	}
	if img.ParentImage.ID != "" {
		list = append(list, indexOf(registry.Filter{ParentImage: img.ParentImage}))
	}
	return list
}

// indexOf is the partition that lists, beside others perhaps, every image that
// f lets through.
func indexOf(f registry.Filter) string {
	switch {
	case f.BakeKey != "":
		return join("index#bake-key", f.BakeKey)
	case f.Parent != "":
		return join("index#parent", f.Parent)
	case f.ParentImage.ID != "":
		return join("index#parent-image", f.ParentImage.ID)
	case f.Application != "" && f.Layer != "":
		return join("index#line", f.Application, f.Layer)
	case f.Application != "":
		return join("index#application", f.Application)
	case f.Layer != "":
		return join("index#layer", f.Layer)
	}
	return "index#all"
}
