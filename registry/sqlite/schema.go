package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// applicationID marks a database file as a registry ("BAKY"), so that no other
// program's database is taken for one.
const applicationID = 0x42414b59

// migrations bring a database from the version of their index to the next.
// They are never changed once released; a new version is appended.
//
// Records are kept whole, as JSON; the columns beside them are what scans and
// rules need.
var migrations = []string{`
CREATE TABLE images (
	id            TEXT PRIMARY KEY,
	application   TEXT NOT NULL,
	layer         TEXT NOT NULL,
	created_at    INTEGER NOT NULL, -- milliseconds since 1970
	parent        TEXT,             -- id of an image
	parent_cloud  TEXT,
	parent_region TEXT,
	parent_image  TEXT,             -- the cloud's id of the parent
	record        TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX images_newest ON images (created_at DESC, id DESC);
CREATE INDEX images_of_application ON images (application, created_at DESC, id DESC);
CREATE INDEX images_of_layer ON images (layer, created_at DESC, id DESC);
CREATE INDEX images_of_application_and_layer ON images (application, layer, created_at DESC, id DESC);
CREATE INDEX images_of_parent ON images (parent) WHERE parent IS NOT NULL;
CREATE INDEX images_of_parent_image ON images (parent_image) WHERE parent_image IS NOT NULL;

CREATE TABLE artifacts (
	image_id TEXT NOT NULL, -- the cloud's id
	region   TEXT NOT NULL,
	cloud    TEXT NOT NULL,
	image    TEXT NOT NULL REFERENCES images (id),
	PRIMARY KEY (image_id, region, cloud)
) STRICT, WITHOUT ROWID;

CREATE TABLE results (
	id     TEXT PRIMARY KEY,
	image  TEXT NOT NULL REFERENCES images (id),
	record TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX results_of_image ON results (image, id);

CREATE TABLE marks (
	id     TEXT PRIMARY KEY,
	image  TEXT NOT NULL REFERENCES images (id),
	record TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX marks_of_image ON marks (image, id);

CREATE TABLE channels (
	line     TEXT NOT NULL, -- as JSON
	name     TEXT NOT NULL,
	image    TEXT NOT NULL REFERENCES images (id),
	revision INTEGER NOT NULL,
	record   TEXT NOT NULL,
	PRIMARY KEY (line, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX channels_of_image ON channels (image);

CREATE TABLE events (
	id     TEXT PRIMARY KEY,
	image  TEXT NOT NULL REFERENCES images (id),
	record TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX events_of_image ON events (image, id);
`, `
-- A list of packages is kept once for all images that have exactly these, and a
-- package once for all lists that it is in.
CREATE TABLE package_lists (
	id      INTEGER PRIMARY KEY,
	digest  TEXT NOT NULL UNIQUE,
	distro  TEXT NOT NULL,
	release TEXT NOT NULL
) STRICT;

CREATE TABLE packages (
	id      INTEGER PRIMARY KEY,
	name    TEXT NOT NULL,
	version TEXT NOT NULL,
	arch    TEXT NOT NULL,
	type    TEXT NOT NULL,
	source  TEXT NOT NULL,
	UNIQUE (name, version, arch, type, source)
) STRICT;

CREATE TABLE package_entries (
	list    INTEGER NOT NULL REFERENCES package_lists (id),
	package INTEGER NOT NULL REFERENCES packages (id),
	PRIMARY KEY (list, package)
) STRICT, WITHOUT ROWID;
`, `
ALTER TABLE images ADD COLUMN bake_key TEXT; -- as in the record, for those registered before too
UPDATE images SET bake_key = json_extract(record, '$.bake.key');
CREATE INDEX images_of_bake_key ON images (bake_key) WHERE bake_key IS NOT NULL;

CREATE TABLE leases (
	key      TEXT PRIMARY KEY,
	revision INTEGER NOT NULL,
	record   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
`}

// prepare checks that db is a registry that this release understands, and
// brings it up to date unless it is only read.
func (s *Store) prepare(ctx context.Context) error {
	app, version, err := identity(ctx, s.db)
	if err != nil {
		return err
	}
	switch {
	case app == 0 && version == 0:
		// A new file, or some database that never said what it is.
		var tables int
		if err := s.db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables); err != nil {
			return err
		}
		if tables > 0 {
			return errForeign
		}
		if s.readOnly {
			return errEmpty
		}
	case app != applicationID:
		return errForeign
	case version > len(migrations):
		return fmt.Errorf("it has format %d, written by a later release; this one knows up to %d", version, len(migrations))
	case version == len(migrations):
		return nil
	case s.readOnly:
		writable, err := Open(ctx, s.path)
		if err != nil {
			return fmt.Errorf("it has the older format %d and cannot be brought up to date: %w", version, err)
		}
		return writable.Close()
	}
	return s.migrate(ctx)
}

func identity(ctx context.Context, q interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}) (app, version int, err error) {
	if err := q.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&app); err != nil {
		return 0, 0, err
	}
	err = q.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version)
	return app, version, err
}

func (s *Store) migrate(ctx context.Context) error {
	if err := s.useWAL(ctx); err != nil {
		return err
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	// Another process may have migrated while this one waited for the lock.
	_, version, err := identity(ctx, tx)
	if err != nil {
		return err
	}
	for ; version < len(migrations); version++ {
		if _, err := tx.ExecContext(ctx, migrations[version]); err != nil {
			return fmt.Errorf("bring it to format %d: %w", version+1, err)
		}
		if _, err := tx.ExecContext(ctx, fmt.Sprintf(`PRAGMA user_version = %d`, version+1)); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf(`PRAGMA application_id = %d`, applicationID)); err != nil {
		return err
	}
	return tx.Commit()
}

// useWAL lets readers and a writer work at the same time; the file remembers
// it. SQLite does not wait for a lock here as it does elsewhere, so that
// processes that make a registry together must try again.
func (s *Store) useWAL(ctx context.Context) error {
	deadline := time.Now().Add(busyTimeout)
	for {
		var mode string
		err := s.db.QueryRowContext(ctx, `PRAGMA journal_mode = WAL`).Scan(&mode)
		if err == nil && mode != "wal" {
			return fmt.Errorf("its file system cannot share it between processes (journal mode %s)", mode)
		}
		if !isBusy(err) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}
