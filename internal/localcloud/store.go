package localcloud

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"time"

	_ "modernc.org/sqlite" // the database/sql driver "sqlite"
)

// schemaVersion is what PRAGMA user_version says of a store that this code can
// read. A store of another version is refused, never guessed at.
const schemaVersion = 1

// A resource is a JSON document under its id; only what must be unique or is
// looked up by has a column. gone is set for an image that was deregistered:
// EC2 still tells those from ids that never were.
const schema = `
CREATE TABLE resource (
	id      TEXT PRIMARY KEY,
	kind    TEXT NOT NULL,
	region  TEXT NOT NULL,
	name    TEXT,
	gone    INTEGER NOT NULL DEFAULT 0,
	created INTEGER NOT NULL,
	doc     TEXT NOT NULL
) STRICT;
CREATE INDEX resource_by_kind ON resource (kind, region, created, id);
CREATE UNIQUE INDEX image_name ON resource (region, name) WHERE kind = 'image' AND gone = 0;
CREATE TABLE tag (
	resource TEXT NOT NULL,
	region   TEXT NOT NULL,
	key      TEXT NOT NULL,
	value    TEXT NOT NULL,
	PRIMARY KEY (resource, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX tag_by_region ON tag (region);
CREATE TABLE token (
	region   TEXT NOT NULL,
	action   TEXT NOT NULL,
	token    TEXT NOT NULL,
	digest   TEXT NOT NULL,
	resource TEXT NOT NULL,
	created  INTEGER NOT NULL,
	PRIMARY KEY (region, action, token)
) STRICT, WITHOUT ROWID;
CREATE TABLE setting (
	region TEXT NOT NULL,
	name   TEXT NOT NULL,
	value  TEXT NOT NULL,
	PRIMARY KEY (region, name)
) STRICT, WITHOUT ROWID;`

// store is the database. Readers and the one writer of this process have
// handles of their own, so that a reader never waits for a writer.
type store struct {
	readers, writer *sql.DB
}

// openStore opens or makes the database. The caller holds the store's lock:
// SQLite's change to WAL mode and the schema are not for two at once.
func openStore(ctx context.Context, path string) (*store, error) {
	open := func(mode string, conns int) (*sql.DB, error) {
		query := url.Values{"_txlock": {mode}, "_pragma": {
			// Longer than any write transaction takes, all writers queued.
			"busy_timeout(60000)",
			"journal_mode(WAL)",
			// What was acknowledged survives power loss, not only SIGKILL.
			"synchronous(FULL)",
		}}
		db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: query.Encode()}).String())
		if err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(conns)
		return db, nil
	}
	writer, err := open("immediate", 1)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	readers, err := open("deferred", max(2, runtime.NumCPU()))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), writer.Close())
	}
	s := &store{readers: readers, writer: writer}
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), s.Close())
	}
	return s, nil
}

func (s *store) migrate(ctx context.Context) error {
	return s.write(ctx, func(t *tx) error {
		var version int
		if err := t.QueryRowContext(t.ctx, "PRAGMA user_version").Scan(&version); err != nil {
			return err
		}
		switch version {
		case schemaVersion:
			return nil
		case 0:
			if _, err := t.ExecContext(t.ctx, schema); err != nil {
				return err
			}
			_, err := t.ExecContext(t.ctx, fmt.Sprintf("PRAGMA user_version = %d", schemaVersion))
			return err
		}
		return fmt.Errorf("the store has schema version %d, this program knows %d; use the program that made it", version, schemaVersion)
	})
}

// Close ends all connections.
func (s *store) Close() error { return errors.Join(s.readers.Close(), s.writer.Close()) }

// tx is a transaction: a stable view of the store, and for a writer the right
// to change it.
type tx struct {
	*sql.Tx
	ctx context.Context
}

func (s *store) read(ctx context.Context, fn func(*tx) error) error {
	return inTx(ctx, s.readers, &sql.TxOptions{ReadOnly: true}, fn)
}

// write runs fn in a transaction that no other process writes beside. When fn
// or the commit fails nothing of it has happened.
func (s *store) write(ctx context.Context, fn func(*tx) error) error {
	return inTx(ctx, s.writer, nil, fn)
}

func inTx(ctx context.Context, db *sql.DB, opts *sql.TxOptions, fn func(*tx) error) error {
	sqlTx, err := db.BeginTx(ctx, opts)
	if err != nil {
		return err
	}
	defer func() { _ = sqlTx.Rollback() }() // a no-op once committed
	if err := fn(&tx{Tx: sqlTx, ctx: ctx}); err != nil {
		return err
	}
	return sqlTx.Commit()
}

// record is a resource as the store keeps it. The methods are those of the
// documents in volumes.go, snapshots.go and images.go.
type record interface {
	meta() recordMeta
}

type recordMeta struct {
	id      string
	kind    kind
	region  string
	name    string // unique per region where the kind has names
	created time.Time
}

// get reads one resource of a region; sql.ErrNoRows says that there is none.
func get[T any](t *tx, region, id string) (*T, error) {
	var doc string
	err := t.QueryRowContext(t.ctx, "SELECT doc FROM resource WHERE id = ? AND region = ? AND gone = 0", id, region).Scan(&doc)
	if err != nil {
		return nil, err
	}
	v := new(T)
	if err := json.Unmarshal([]byte(doc), v); err != nil {
		return nil, fmt.Errorf("read %s from the store: %w", id, err)
	}
	return v, nil
}

// find is get with EC2's errors for ids that cannot be and ids that are not.
func find[T any](t *tx, k kind, region, id string) (*T, error) {
	if err := checkID(k, id); err != nil {
		return nil, err
	}
	v, err := get[T](t, region, id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNotFound(k, id)
	}
	return v, err
}

// list reads all resources of a kind in a region, oldest first; region "" is
// all of them.
func list[T any](t *tx, k kind, region string) ([]*T, error) {
	rows, err := t.QueryContext(t.ctx,
		"SELECT id, doc FROM resource WHERE kind = ? AND (region = ? OR ? = '') AND gone = 0 ORDER BY created, id", k, region, region)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var all []*T
	for rows.Next() {
		var id, doc string
		if err := rows.Scan(&id, &doc); err != nil {
			return nil, err
		}
		v := new(T)
		if err := json.Unmarshal([]byte(doc), v); err != nil {
			return nil, fmt.Errorf("read %s from the store: %w", id, err)
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// put adds a resource or replaces what is stored of it.
func (t *tx) put(r record) error {
	doc, err := json.Marshal(r)
	if err != nil {
		return err
	}
	m := r.meta()
	_, err = t.ExecContext(t.ctx, `INSERT INTO resource (id, kind, region, name, created, doc) VALUES (?, ?, ?, NULLIF(?, ''), ?, ?)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, doc = excluded.doc`,
		m.id, m.kind, m.region, m.name, m.created.UnixMicro(), string(doc))
	return err
}

// drop removes a resource and its tags.
func (t *tx) drop(id string) error {
	if _, err := t.ExecContext(t.ctx, "DELETE FROM tag WHERE resource = ?", id); err != nil {
		return err
	}
	_, err := t.ExecContext(t.ctx, "DELETE FROM resource WHERE id = ?", id)
	return err
}

// setting reads a region's setting, "" when it was never set.
func (t *tx) setting(region, name string) (string, error) {
	var value string
	err := t.QueryRowContext(t.ctx, "SELECT value FROM setting WHERE region = ? AND name = ?", region, name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, err
}

func (t *tx) set(region, name, value string) error {
	_, err := t.ExecContext(t.ctx, "INSERT INTO setting (region, name, value) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", region, name, value)
	return err
}

// claimed returns the resource that an earlier request with the same client
// token made, "" when there is none. The same token with other parameters is
// an error, as in EC2; digest stands for the parameters.
func (t *tx) claimed(q *call, token, digest string) (string, error) {
	if token == "" {
		return "", nil
	}
	var before, resource string
	err := t.QueryRowContext(t.ctx, `SELECT token.digest, token.resource FROM token JOIN resource ON resource.id = token.resource
		WHERE token.region = ? AND token.action = ? AND token.token = ?`, q.region, q.action, token).Scan(&before, &resource)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", nil
	case err != nil:
		return "", err
	case before != digest:
		return "", errorf("IdempotentParameterMismatch", "The client token '%s' has been used before with different parameters.", token)
	}
	return resource, nil
}

// claim remembers which resource a client token made.
func (t *tx) claim(q *call, token, digest, resource string) error {
	if token == "" {
		return nil
	}
	_, err := t.ExecContext(t.ctx, "INSERT OR REPLACE INTO token (region, action, token, digest, resource, created) VALUES (?, ?, ?, ?, ?, ?)",
		q.region, q.action, token, digest, resource, q.now.UnixMicro())
	return err
}
