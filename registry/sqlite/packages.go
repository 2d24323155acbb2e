package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// packageList is the row of a list of packages.
type packageList struct {
	id              int64
	distro, release string
}

// queryer is a database or a transaction.
type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// listOf returns the row of the list with a digest, or registry.ErrNotFound.
func listOf(ctx context.Context, q queryer, digest string) (list packageList, err error) {
	err = q.QueryRowContext(ctx, `SELECT id, distro, release FROM package_lists WHERE digest = ?`, digest).
		Scan(&list.id, &list.distro, &list.release)
	if errors.Is(err, sql.ErrNoRows) {
		return list, fmt.Errorf("packages %s: %w", digest, registry.ErrNotFound)
	}
	return list, err
}

// putPackages keeps a list unless it is kept already.
func putPackages(ctx context.Context, tx *sql.Tx, list registry.PackageList) error {
	digest := list.Digest()
	if _, err := listOf(ctx, tx, digest); !errors.Is(err, registry.ErrNotFound) {
		return err
	}
	row, err := tx.ExecContext(ctx, `INSERT INTO package_lists (digest, distro, release) VALUES (?, ?, ?)`,
		digest, list.Distro, list.Release)
	if err != nil {
		return err
	}
	id, err := row.LastInsertId()
	if err != nil {
		return err
	}
	packages, err := encode(list.Sorted().Packages)
	if err != nil {
		return err
	}
	// Two statements for hundreds of packages.
	const listed = `(SELECT value->>'name' AS name, value->>'version' AS version, coalesce(value->>'arch', '') AS arch,
		value->>'type' AS type, coalesce(value->>'source', '') AS source FROM json_each(?))`
	_, err = tx.ExecContext(ctx, `INSERT OR IGNORE INTO packages (name, version, arch, type, source)
		SELECT name, version, arch, type, source FROM `+listed, packages)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO package_entries (list, package)
		SELECT ?, p.id FROM `+listed+` JOIN packages p USING (name, version, arch, type, source)`, id, packages)
	return err
}

// Packages implements [registry.Store].
func (s *Store) Packages(ctx context.Context, digest string, names ...string) (registry.PackageList, error) {
	row, err := listOf(ctx, s.db, digest)
	if err != nil {
		return registry.PackageList{}, s.wrap("read packages", err)
	}
	list := registry.PackageList{Distro: row.distro, Release: row.release}
	query, args := `SELECT type, name, version, arch, source FROM package_entries e
		JOIN packages p ON p.id = e.package WHERE e.list = ?`, []any{row.id}
	if len(names) > 0 {
		wanted, err := json.Marshal(names)
		if err != nil {
			return registry.PackageList{}, s.wrap("read packages", err)
		}
		// From the few versions of the names to the list, not through all of it.
		query = `SELECT type, name, version, arch, source FROM packages p
			CROSS JOIN package_entries e ON e.package = p.id AND e.list = ?
			WHERE name IN (SELECT value FROM json_each(?))`
		args = append(args, string(wanted))
	}
	if list.Packages, err = s.packages(ctx, query, args); err != nil {
		return registry.PackageList{}, s.wrap("read packages", err)
	}
	return list.Sorted(), nil
}

var _ registry.PackageIndex = (*Store)(nil)

// PackagesNamed implements [registry.PackageIndex].
func (s *Store) PackagesNamed(ctx context.Context, names ...string) (map[string][]registry.Package, error) {
	wanted, err := json.Marshal(names)
	if err != nil {
		return nil, s.wrap("read packages", err)
	}
	rows, err := s.db.QueryContext(ctx, `SELECT l.digest, type, name, version, arch, source FROM packages p
		CROSS JOIN package_entries e ON e.package = p.id JOIN package_lists l ON l.id = e.list
		WHERE name IN (SELECT value FROM json_each(?))`, string(wanted))
	if err != nil {
		return nil, s.wrap("read packages", err)
	}
	defer rows.Close()
	found := map[string][]registry.Package{}
	for rows.Next() {
		var digest string
		var p registry.Package
		if err := rows.Scan(&digest, &p.Type, &p.Name, &p.Version, &p.Arch, &p.Source); err != nil {
			return nil, s.wrap("read packages", err)
		}
		found[digest] = append(found[digest], p)
	}
	return found, s.wrap("read packages", rows.Err())
}

func (s *Store) packages(ctx context.Context, query string, args []any) ([]registry.Package, error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var packages []registry.Package
	for rows.Next() {
		var p registry.Package
		if err := rows.Scan(&p.Type, &p.Name, &p.Version, &p.Arch, &p.Source); err != nil {
			return nil, err
		}
		packages = append(packages, p)
	}
	return packages, rows.Err()
}
