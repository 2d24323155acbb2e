package stores

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/imagebakery/packer-plugin-bakery/internal/home"
	"github.com/imagebakery/packer-plugin-bakery/registry"
	"github.com/imagebakery/packer-plugin-bakery/registry/dynamodb"
)

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(home.Env, dir)
	for name, test := range map[string]struct{ spec, env, want, wrong string }{
		"option wins":     {spec: "sqlite:/a", env: "sqlite:/b", want: "sqlite:/a"},
		"environment":     {env: "sqlite:/b", want: "sqlite:/b"},
		"default":         {want: "sqlite:" + filepath.Join(dir, "registry.db")},
		"unknown kind":    {spec: "mysql:x", wrong: `"mysql:x" is of no known kind`},
		"path alone":      {spec: "/srv/registry.db", wrong: "write dynamodb://TABLE?region=REGION or sqlite:PATH"},
		"a table":         {spec: "dynamodb://images?region=eu-west-1", want: "dynamodb://images?region=eu-west-1"},
		"table nowhere":   {spec: "dynamodb://images", wrong: "names no region"},
		"nothing behind":  {spec: "sqlite:", wrong: "names no file"},
		"bad environment": {env: "what", wrong: `"what"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(Env, test.env)
			got, err := Resolve(test.spec)
			if test.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), test.wrong) {
					t.Fatalf("error is %v, want one with %q", err, test.wrong)
				}
				return
			}
			if err != nil || got != test.want {
				t.Errorf("Resolve(%q) = %q, %v; want %q", test.spec, got, err, test.want)
			}
		})
	}
}

func TestReadingCreatesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep")
	spec := "sqlite:" + filepath.Join(dir, "registry.db")
	if _, err := OpenForReading(t.Context(), spec); !errors.Is(err, registry.ErrNoRegistry) {
		t.Fatalf("error is %v, want ErrNoRegistry", err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder exists now: %v", err)
	}
	if err := Check(t.Context(), spec); err != nil {
		t.Errorf("Check of a file that can be made: %v", err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder exists after Check: %v", err)
	}
	store, err := Open(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store, err = OpenForReading(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

// Templates are validated where no table can be reached.
func TestCheckContactsNoService(t *testing.T) {
	for _, name := range []string{"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"} {
		t.Setenv(name, os.DevNull)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	var calls atomic.Int32
	// What DynamoDB says when there is no such table.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"Requested resource not found"}`)
	}))
	defer server.Close()
	spec := "dynamodb://images?region=eu-west-1&endpoint=" + url.QueryEscape(server.URL)
	if err := Check(t.Context(), spec); err != nil || calls.Load() != 0 {
		t.Errorf("Check made %d calls and returned %v", calls.Load(), err)
	}
	if err := Check(t.Context(), "dynamodb://images"); err == nil {
		t.Error("a table without a region is let through")
	}
	_, err := Open(t.Context(), spec)
	if !errors.Is(err, dynamodb.ErrNoTable) || !strings.Contains(err.Error(), "bakery registry init") {
		t.Errorf("error is %v, want ErrNoTable and the remedy", err)
	}
}

func TestInit(t *testing.T) {
	spec := "sqlite:" + filepath.Join(t.TempDir(), "deep", "registry.db")
	for _, want := range []bool{true, false} {
		name, created, err := Init(t.Context(), spec)
		if err != nil || name != spec || created != want {
			t.Errorf("Init = %s, %v, %v; want created %v", name, created, err, want)
		}
	}
}

func TestActor(t *testing.T) {
	t.Setenv(ActorEnv, "ci")
	if got := Actor(); got != "ci" {
		t.Errorf("Actor() = %q, want ci", got)
	}
	t.Setenv(ActorEnv, "")
	if got := Actor(); !strings.Contains(got, "@") {
		t.Errorf("Actor() = %q, want user@host", got)
	}
}
