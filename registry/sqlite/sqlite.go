// Package sqlite keeps a registry in one SQLite file: the store for one
// machine, and the default. Several processes may use the file at once; what
// was committed is on disk, whatever happens to the process or the machine
// afterwards. The file must not be on a network file system, where SQLite
// cannot lock it.
package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	sqlite "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// busyTimeout is how long a writer waits for another. Transactions take
// milliseconds; who holds the lock for so long is stuck.
const busyTimeout = 30 * time.Second

// connections is enough for the goroutines of one process to read while one of
// them writes.
const connections = 4

var (
	errForeign = errors.New("it is the database of another program")
	errEmpty   = fmt.Errorf("it is empty: %w", registry.ErrNoRegistry)
)

// Store is a [registry.Store] in a file.
type Store struct {
	db       *sql.DB
	path     string
	readOnly bool
}

var _ registry.Store = (*Store)(nil)

// Option changes how a store is opened.
type Option func(*Store)

// ReadOnly opens a store that refuses to write and creates nothing: a missing
// file is [registry.ErrNoRegistry].
func ReadOnly() Option { return func(s *Store) { s.readOnly = true } }

// Open opens the registry in the file at path. It creates the file, readable
// by its owner only, and the folders above it.
func Open(ctx context.Context, path string, opts ...Option) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	s := &Store{path: path}
	for _, opt := range opts {
		opt(s)
	}
	if err := s.open(ctx); err != nil {
		return nil, fmt.Errorf("open registry %s: %w", path, explain(err))
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	if err := s.createFile(); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", s.dsn())
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(connections)
	s.db = db
	if err := s.prepare(ctx); err != nil {
		return errors.Join(err, db.Close())
	}
	return nil
}

// createFile makes the file before SQLite would, with its owner's permissions:
// the write-ahead log takes them over.
func (s *Store) createFile() error {
	info, err := os.Stat(s.path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return errors.New("it is no file")
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case s.readOnly:
		return fmt.Errorf("%w: nothing was registered there yet", registry.ErrNoRegistry)
	}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return file.Close()
}

// dsn names the file and how its connections behave. Writers take the lock
// when they begin, so that what they have read stays true until they commit.
// Readers may have to finish the log of a process that died, so that even they
// open the file for writing where they can; query_only holds them to reading.
func (s *Store) dsn() string {
	q := url.Values{}
	q.Set("mode", "rw")
	q.Set("_txlock", "immediate")
	q.Add("_pragma", fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()))
	q.Add("_pragma", "foreign_keys(1)")
	q.Add("_pragma", "synchronous(FULL)")
	if s.readOnly {
		q.Add("_pragma", "query_only(1)")
	}
	path := filepath.ToSlash(s.path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/… of Windows
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}

// Close closes the file.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close registry %s: %w", s.path, err)
	}
	return nil
}

// Check returns what is wrong with the file itself, as far as SQLite can tell.
func (s *Store) Check(ctx context.Context) error {
	rows, err := s.db.QueryContext(ctx, `PRAGMA integrity_check(10)`)
	if err != nil {
		return s.wrap("check", err)
	}
	defer rows.Close()
	var errs []error
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return s.wrap("check", err)
		}
		if line != "ok" {
			errs = append(errs, errors.New(line))
		}
	}
	return s.wrap("check", cmp.Or(rows.Err(), errors.Join(errs...)))
}

// wrap says what was done to which registry when err happened. It returns nil
// for nil.
func (s *Store) wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: registry %s: %w", doing, s.path, explain(err))
}

// explain adds to SQLite's words what they mean for the registry.
func explain(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	if e.Code() == lib.SQLITE_IOERR_SHORT_READ {
		return fmt.Errorf("the file is damaged, it ends too early; bring it back from a backup: %w", err)
	}
	switch e.Code() {
	case lib.SQLITE_IOERR_SHMSIZE, lib.SQLITE_IOERR_SHMMAP:
		return fmt.Errorf("there is no room for the file beside it that processes share; the disk is full: %w", err)
	}
	switch primary(e) {
	case lib.SQLITE_CANTOPEN:
		return fmt.Errorf("this user has no permission to write it and its folder, or the disk is read-only; even reading writes beside it: %w", err)
	case lib.SQLITE_NOTADB:
		return fmt.Errorf("it is no SQLite database: %w", err)
	case lib.SQLITE_CORRUPT:
		return fmt.Errorf("the file is damaged; bring it back from a backup: %w", err)
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		return fmt.Errorf("another process has kept it locked for %s: %w", busyTimeout, err)
	case lib.SQLITE_FULL:
		return fmt.Errorf("the disk is full, nothing was recorded: %w", err)
	case lib.SQLITE_READONLY:
		return fmt.Errorf("it cannot be written: %w", err)
	}
	return err
}

// primary returns the result code without the detail that SQLite adds in its
// upper bits.
func primary(e *sqlite.Error) int { return e.Code() & 0xff }

func isBusy(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && primary(e) == lib.SQLITE_BUSY
}

func encode(record any) (string, error) {
	data, err := json.Marshal(record)
	return string(data), err
}

func decode[T any](record string) (T, error) {
	var v T
	if err := json.Unmarshal([]byte(record), &v); err != nil {
		return v, fmt.Errorf("a record cannot be read: %w", err)
	}
	return v, nil
}
