package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// Pages of a scan: the first is small, since most callers stop at the first
// image that fits; no connection is held between pages.
const (
	firstPage = 16
	nextPages = 512
)

// Image implements [registry.Store].
func (s *Store) Image(ctx context.Context, id string) (registry.Image, error) {
	return one[registry.Image](ctx, s, "image "+id, `SELECT record FROM images WHERE id = ?`, id)
}

// Channel implements [registry.Store].
func (s *Store) Channel(ctx context.Context, line registry.Line, name string) (registry.Channel, error) {
	key, err := encode(line)
	if err != nil {
		return registry.Channel{}, s.wrap("read channel "+name, err)
	}
	return one[registry.Channel](ctx, s, fmt.Sprintf("channel %s of %s", name, line),
		`SELECT record FROM channels WHERE line = ? AND name = ?`, key, name)
}

func one[T any](ctx context.Context, s *Store, what, query string, args ...any) (T, error) {
	var record string
	err := s.db.QueryRowContext(ctx, query, args...).Scan(&record)
	if errors.Is(err, sql.ErrNoRows) {
		var none T
		return none, fmt.Errorf("%s: %w", what, registry.ErrNotFound)
	}
	if err != nil {
		var none T
		return none, s.wrap("read "+what, err)
	}
	v, err := decode[T](record)
	return v, s.wrap("read "+what, err)
}

// Images implements [registry.Store].
func (s *Store) Images(ctx context.Context, f registry.Filter) iter.Seq2[registry.Image, error] {
	where, args := conditions(f)
	query := `SELECT created_at, id, record FROM images WHERE ` + where +
		` AND (created_at, id) < (?, ?) ORDER BY created_at DESC, id DESC LIMIT ?`
	return func(yield func(registry.Image, error) bool) {
		// Beyond every image: no id sorts after this.
		at, id, limit := int64(math.MaxInt64), "\U0010ffff", firstPage
		for {
			page, err := s.page(ctx, query, append(slices.Clip(args), at, id, limit))
			if err != nil {
				yield(registry.Image{}, s.wrap("read images", err))
				return
			}
			for _, row := range page {
				img, err := decode[registry.Image](row.record)
				if !yield(img, s.wrap("read image "+row.id, err)) || err != nil {
					return
				}
				at, id = row.at, row.id
			}
			if len(page) < limit {
				return
			}
			limit = nextPages
		}
	}
}

// conditions returns f in SQL.
func conditions(f registry.Filter) (where string, args []any) {
	terms := []string{"true"}
	add := func(term string, values ...any) {
		terms = append(terms, term)
		args = append(args, values...)
	}
	if f.Application != "" {
		add("application = ?", f.Application)
	}
	if f.Layer != "" {
		add("layer = ?", f.Layer)
	}
	if f.BakeKey != "" {
		add("bake_key = ?", f.BakeKey)
	}
	if f.Parent != "" {
		add("parent = ?", f.Parent)
	}
	if f.ParentImage != (registry.Ref{}) {
		add("parent_image = ?", f.ParentImage.ID)
		if f.ParentImage.Cloud != "" {
			add("parent_cloud = ?", f.ParentImage.Cloud)
		}
		if f.ParentImage.Region != "" {
			add("parent_region = ?", f.ParentImage.Region)
		}
	}
	if f.Artifact != (registry.Ref{}) {
		in := "image_id = ?"
		values := []any{f.Artifact.ID}
		if f.Artifact.Cloud != "" {
			in, values = in+" AND cloud = ?", append(values, f.Artifact.Cloud)
		}
		if f.Artifact.Region != "" {
			in, values = in+" AND region = ?", append(values, f.Artifact.Region)
		}
		add("id IN (SELECT image FROM artifacts WHERE "+in+")", values...)
	}
	return strings.Join(terms, " AND "), args
}

type imageRow struct {
	at         int64
	id, record string
}

func (s *Store) page(ctx context.Context, query string, args []any) ([]imageRow, error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var page []imageRow
	for rows.Next() {
		var row imageRow
		if err := rows.Scan(&row.at, &row.id, &row.record); err != nil {
			return nil, err
		}
		page = append(page, row)
	}
	return page, rows.Err()
}

// Facts implements [registry.Store].
func (s *Store) Facts(ctx context.Context, ids ...string) (map[string]registry.Facts, error) {
	facts := map[string]registry.Facts{}
	list, err := json.Marshal(ids)
	if err != nil || len(ids) == 0 {
		return facts, err
	}
	// One statement sees one moment.
	rows, err := s.db.QueryContext(ctx, `
		WITH wanted AS (SELECT value AS image FROM json_each(?))
		SELECT 'result' AS kind, image, id, record FROM results WHERE image IN wanted
		UNION ALL SELECT 'mark', image, id, record FROM marks WHERE image IN wanted
		UNION ALL SELECT 'channel', image, name, record FROM channels WHERE image IN wanted
		ORDER BY id`, string(list))
	if err != nil {
		return nil, s.wrap("read facts", err)
	}
	defer rows.Close()
	for rows.Next() {
		var kind, image, id, record string
		if err := rows.Scan(&kind, &image, &id, &record); err != nil {
			return nil, s.wrap("read facts", err)
		}
		f := facts[image]
		switch kind {
		case "result":
			f.Results, err = appendRecord(f.Results, record)
		case "mark":
			f.Marks, err = appendRecord(f.Marks, record)
		case "channel":
			f.Channels, err = appendRecord(f.Channels, record)
		}
		if err != nil {
			return nil, s.wrap("read "+kind+" "+id, err)
		}
		f.Revision = int64(len(f.Results) + len(f.Marks))
		facts[image] = f
	}
	return facts, s.wrap("read facts", rows.Err())
}

func appendRecord[T any](list []T, record string) ([]T, error) {
	v, err := decode[T](record)
	return append(list, v), err
}

// Events implements [registry.Store].
func (s *Store) Events(ctx context.Context, image string) iter.Seq2[registry.Event, error] {
	query := `SELECT 0, id, record FROM events WHERE id > ? ORDER BY id LIMIT ?`
	args := func(after string) []any { return []any{after, nextPages} }
	if image != "" {
		query = `SELECT 0, id, record FROM events WHERE image = ? AND id > ? ORDER BY id LIMIT ?`
		args = func(after string) []any { return []any{image, after, nextPages} }
	}
	return func(yield func(registry.Event, error) bool) {
		after := ""
		for {
			page, err := s.page(ctx, query, args(after))
			if err != nil {
				yield(registry.Event{}, s.wrap("read events", err))
				return
			}
			for _, row := range page {
				event, err := decode[registry.Event](row.record)
				if !yield(event, s.wrap("read event "+row.id, err)) || err != nil {
					return
				}
				after = row.id
			}
			if len(page) < nextPages {
				return
			}
		}
	}
}
