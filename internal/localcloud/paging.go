package localcloud

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
)

// paging is embedded in the parameters of every Describe call that has pages.
type paging struct {
	MaxResults *int64
	NextToken  string
}

// next is embedded in the answers to them.
type next struct {
	NextToken string `xml:"nextToken,omitempty"`
}

// pageMax is the most items that EC2 gives at once when asked for more.
const pageMax = 1000

// cursor is what a NextToken holds: where the page ended, by the key of its
// last item, so that items made or removed between two pages move none across
// the border; and which question it belongs to.
type cursor struct {
	After string `json:"a"`
	Query string `json:"q"`
}

// selectPage applies filters and paging to all, which is sorted by key, and
// puts the token of the next page into out. ids are the resources asked for by
// name, which EC2 allows only without paging.
func selectPage[T any](q *call, all []T, f filters[T], filter filtering, page paging, out *next, ids []string, key func(T) string) ([]T, error) {
	if page.MaxResults != nil && len(ids) > 0 {
		return nil, errorf("InvalidParameterCombination", "The parameter %s cannot be used with the parameter maxResults", q.idParameter())
	}
	if page.MaxResults != nil && *page.MaxResults < q.pageMin() {
		return nil, errorf("InvalidParameterValue", "Value ( %d ) for parameter maxResults is invalid. Expecting a value greater than or equal to %d.", *page.MaxResults, q.pageMin())
	}
	matches, err := f.compile(filter.Filter)
	if err != nil {
		return nil, err
	}
	from := cursor{Query: digest(q.action, q.region, filter)}
	if page.NextToken != "" {
		at, err := parseCursor(page.NextToken)
		if err != nil || at.Query != from.Query {
			return nil, errorf("InvalidNextToken", "The token '%s' is invalid or belongs to another request", page.NextToken)
		}
		from = at
	}
	items := make([]T, 0)
	for _, item := range all {
		if (page.NextToken == "" || key(item) > from.After) && matches(item) {
			items = append(items, item)
		}
	}
	if page.MaxResults == nil && page.NextToken == "" {
		return items, nil
	}
	limit := pageMax
	if page.MaxResults != nil {
		limit = int(min(*page.MaxResults, pageMax))
	}
	if len(items) <= limit {
		return items, nil
	}
	from.After = key(items[limit-1])
	doc, err := json.Marshal(from)
	if err != nil {
		return nil, err
	}
	out.NextToken = base64.RawURLEncoding.EncodeToString(doc)
	return slices.Clip(items[:limit]), nil
}

func parseCursor(token string) (cursor, error) {
	var c cursor
	doc, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(doc, &c)
}

// digest is short for values that must be the same again.
func digest(values ...any) string {
	h := sha256.New()
	enc := json.NewEncoder(h)
	for _, v := range values {
		if err := enc.Encode(v); err != nil {
			panic("localcloud: digest of " + err.Error())
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}
