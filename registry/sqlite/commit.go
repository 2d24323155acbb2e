package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// Commit implements [registry.Store].
func (s *Store) Commit(ctx context.Context, c registry.Change) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return s.wrap("record", err)
	}
	defer tx.Rollback()
	if err := write(ctx, tx, c); err != nil {
		return s.wrap("record", err)
	}
	return s.wrap("record", tx.Commit())
}

func write(ctx context.Context, tx *sql.Tx, c registry.Change) error {
	for image, revision := range c.Seen {
		if err := wantSeen(ctx, tx, image, revision); err != nil {
			return err
		}
	}
	if c.Packages != nil {
		if err := putPackages(ctx, tx, *c.Packages); err != nil {
			return fmt.Errorf("packages: %w", err)
		}
	}
	if c.Image != nil {
		if err := putImage(ctx, tx, *c.Image); err != nil {
			return err
		}
	}
	for _, r := range c.Results {
		if err := putFact(ctx, tx, insertResult, r.ID, r.Image, r); err != nil {
			return fmt.Errorf("test result of %s: %w", r.Suite, err)
		}
	}
	for _, m := range c.Marks {
		if err := putFact(ctx, tx, insertMark, m.ID, m.Image, m); err != nil {
			return fmt.Errorf("mark %s: %w", m.Kind, err)
		}
	}
	if c.Channel != nil {
		if err := moveChannel(ctx, tx, *c.Channel); err != nil {
			return fmt.Errorf("channel %s of %s: %w", c.Channel.Name, c.Channel.Line, err)
		}
	}
	if c.Lease != nil {
		if err := putLease(ctx, tx, *c.Lease); err != nil {
			return fmt.Errorf("lease %s: %w", c.Lease.Key, err)
		}
	}
	for _, e := range c.Events {
		if err := putFact(ctx, tx, insertEvent, e.ID, e.Image, e); err != nil {
			return fmt.Errorf("event %s: %w", e.Op, err)
		}
	}
	return nil
}

func putImage(ctx context.Context, tx *sql.Tx, img registry.Image) error {
	if err := wantImage(ctx, tx, img.ID); err == nil {
		return fmt.Errorf("image %s %w", img.ID, registry.ErrExists)
	} else if !errors.Is(err, registry.ErrNotFound) {
		return err
	}
	if img.Packages != "" {
		if _, err := listOf(ctx, tx, img.Packages); err != nil {
			return err
		}
	}
	record, err := encode(img)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO images
		(id, application, layer, created_at, parent, parent_cloud, parent_region, parent_image, bake_key, record)
		VALUES (?, ?, ?, ?, nullif(?, ''), nullif(?, ''), nullif(?, ''), nullif(?, ''), nullif(?, ''), ?)`,
		img.ID, img.Application, img.Layer, img.CreatedAt.UnixMilli(), img.Parent,
		img.ParentImage.Cloud, img.ParentImage.Region, img.ParentImage.ID, img.Bake.Key, record)
	if err != nil {
		return err
	}
	for _, a := range img.Artifacts {
		var owner string
		err := tx.QueryRowContext(ctx, `SELECT image FROM artifacts WHERE image_id = ? AND region = ? AND cloud = ?`,
			a.ID, a.Region, a.Cloud).Scan(&owner)
		switch {
		case err == nil:
			return fmt.Errorf("%s %w, as an artifact of %s", a.Ref, registry.ErrExists, owner)
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO artifacts (image_id, region, cloud, image) VALUES (?, ?, ?, ?)`,
			a.ID, a.Region, a.Cloud, img.ID)
		if err != nil {
			return err
		}
	}
	return nil
}

// Facts that are there already were sent again.
const (
	insertResult = `INSERT INTO results (id, image, record) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING`
	insertMark   = `INSERT INTO marks (id, image, record) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING`
	insertEvent  = `INSERT INTO events (id, image, record) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING`
)

// putFact appends a record to one of the tables that only grow.
func putFact(ctx context.Context, tx *sql.Tx, insert, id, image string, fact any) error {
	if err := wantImage(ctx, tx, image); err != nil {
		return err
	}
	record, err := encode(fact)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, insert, id, image, record)
	return err
}

func moveChannel(ctx context.Context, tx *sql.Tx, c registry.Channel) error {
	if err := wantImage(ctx, tx, c.Image); err != nil {
		return err
	}
	line, err := encode(c.Line)
	if err != nil {
		return err
	}
	var stored int64
	err = tx.QueryRowContext(ctx, `SELECT revision FROM channels WHERE line = ? AND name = ?`, line, c.Name).Scan(&stored)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if c.Revision != stored+1 {
		return fmt.Errorf("it is at revision %d, not %d: %w", stored, c.Revision-1, registry.ErrConflict)
	}
	record, err := encode(c)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO channels (line, name, image, revision, record) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (line, name) DO UPDATE SET image = excluded.image, revision = excluded.revision, record = excluded.record`,
		line, c.Name, c.Image, c.Revision, record)
	return err
}

// wantSeen returns registry.ErrConflict when the facts of an image are at another
// revision: there are never fewer of them.
func wantSeen(ctx context.Context, tx *sql.Tx, image string, revision int64) error {
	var now int64
	err := tx.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM results WHERE image = ?1) + (SELECT count(*) FROM marks WHERE image = ?1)`,
		image).Scan(&now)
	if err == nil && now != revision {
		return fmt.Errorf("what is recorded about image %s: %w", image, registry.ErrConflict)
	}
	return err
}

// wantImage returns registry.ErrNotFound when there is no image with that id.
func wantImage(ctx context.Context, tx *sql.Tx, id string) error {
	var found string
	err := tx.QueryRowContext(ctx, `SELECT id FROM images WHERE id = ?`, id).Scan(&found)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("image %s: %w", id, registry.ErrNotFound)
	}
	return err
}
