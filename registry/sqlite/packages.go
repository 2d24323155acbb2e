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

// PackagesOf implements [registry.PackageIndex].
func (s *Store) PackagesOf(ctx context.Context, digests []string, names ...string) (map[string]registry.PackageList, error) {
	found, err := s.packagesOf(ctx, digests, names)
	return found, s.wrap("read packages", err)
}

func (s *Store) packagesOf(ctx context.Context, digests, names []string) (map[string]registry.PackageList, error) {
	found := map[string]registry.PackageList{}
	digestOf, ids, err := s.lists(ctx, digests, found)
	if err != nil {
		return nil, err
	}
	wanted, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	named, err := json.Marshal(names)
	if err != nil {
		return nil, err
	}
	// Each list is asked for each of the few versions of the names.
	rows, err := s.db.QueryContext(ctx, `
		WITH wanted AS MATERIALIZED (SELECT value AS id FROM json_each(?)),
			named AS MATERIALIZED (SELECT * FROM packages WHERE name IN (SELECT value FROM json_each(?)))
		SELECT e.list, p.type, p.name, p.version, p.arch, p.source FROM wanted w
		CROSS JOIN named p CROSS JOIN package_entries e ON e.list = w.id AND e.package = p.id`, string(wanted), string(named))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var p registry.Package
		if err := rows.Scan(&id, &p.Type, &p.Name, &p.Version, &p.Arch, &p.Source); err != nil {
			return nil, err
		}
		list := found[digestOf[id]]
		list.Packages = append(list.Packages, p)
		found[digestOf[id]] = list
	}
	return found, rows.Err()
}

// lists puts the lists with some digests into found, without packages yet, and
// returns their ids.
func (s *Store) lists(ctx context.Context, digests []string, found map[string]registry.PackageList) (digestOf map[int64]string, ids []int64, err error) {
	wanted, err := json.Marshal(digests)
	if err != nil {
		return nil, nil, err
	}
	rows, err := s.db.QueryContext(ctx, `SELECT id, digest, distro, release FROM package_lists
		WHERE digest IN (SELECT value FROM json_each(?))`, string(wanted))
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	digestOf = map[int64]string{}
	for rows.Next() {
		var id int64
		var digest string
		var list registry.PackageList
		if err := rows.Scan(&id, &digest, &list.Distro, &list.Release); err != nil {
			return nil, nil, err
		}
		digestOf[id], found[digest], ids = digest, list, append(ids, id)
	}
	return digestOf, ids, rows.Err()
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
