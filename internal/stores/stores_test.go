package stores

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imagebakery/packer-plugin-bakery/internal/home"
	"github.com/imagebakery/packer-plugin-bakery/registry"
)

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(home.Env, dir)
	for name, test := range map[string]struct{ spec, env, want, wrong string }{
		"option wins":     {spec: "sqlite:/a", env: "sqlite:/b", want: "sqlite:/a"},
		"environment":     {env: "sqlite:/b", want: "sqlite:/b"},
		"default":         {want: "sqlite:" + filepath.Join(dir, "registry.db")},
		"unknown kind":    {spec: "mysql:x", wrong: `"mysql:x" is of no known kind`},
		"path alone":      {spec: "/srv/registry.db", wrong: "write sqlite:PATH"},
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
