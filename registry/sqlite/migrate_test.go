package sqlite

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// TestBakeKeysOfOlderFormatsAreFound opens a file of the format before bake keys
// were a column, when they stood in the record only.
func TestBakeKeysOfOlderFormatsAreFound(t *testing.T) {
	const before = 2
	path := filepath.Join(t.TempDir(), "registry.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	for version, migration := range migrations[:before] {
		if _, err := db.ExecContext(t.Context(), migration); err != nil {
			t.Fatalf("format %d: %v", version+1, err)
		}
	}
	for id, key := range map[string]string{"01": "k", "02": ""} {
		record, err := encode(registry.Image{ID: id, Application: "a", Layer: "l", Bake: registry.Bake{Key: key}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), `INSERT INTO images (id, application, layer, created_at, record) VALUES (?, 'a', 'l', 0, ?)`, id, record); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.ExecContext(t.Context(), fmt.Sprintf(`PRAGMA application_id = %d; PRAGMA user_version = %d`, applicationID, before)); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var found []string
	for img, err := range s.Images(t.Context(), registry.Filter{BakeKey: "k"}) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, img.ID)
	}
	if len(found) != 1 || found[0] != "01" {
		t.Errorf("found %v, want 01", found)
	}
}
