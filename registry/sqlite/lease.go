package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

var _ registry.Leaser = (*Store)(nil)

// Lease implements [registry.Leaser].
func (s *Store) Lease(ctx context.Context, key string) (registry.Lease, error) {
	return one[registry.Lease](ctx, s, "lease "+key, `SELECT record FROM leases WHERE key = ?`, key)
}

func putLease(ctx context.Context, tx *sql.Tx, l registry.Lease) error {
	var stored int64
	err := tx.QueryRowContext(ctx, `SELECT revision FROM leases WHERE key = ?`, l.Key).Scan(&stored)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if l.Revision != stored+1 {
		return fmt.Errorf("it is at revision %d, not %d: %w", stored, l.Revision-1, registry.ErrConflict)
	}
	record, err := encode(l)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO leases (key, revision, record) VALUES (?, ?, ?)
		ON CONFLICT (key) DO UPDATE SET revision = excluded.revision, record = excluded.record`, l.Key, l.Revision, record)
	return err
}
