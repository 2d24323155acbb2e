package stores

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/imagebakery/packer-plugin-bakery/internal/home"
	"github.com/imagebakery/packer-plugin-bakery/internal/localcloud"
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
		"path alone":      {spec: "/srv/registry.db", wrong: "write dynamodb://TABLE?region=REGION or ec2tags://?region=REGION or sqlite:PATH"},
		"a table":         {spec: "dynamodb://images?region=eu-west-1", want: "dynamodb://images?region=eu-west-1"},
		"tags":            {spec: "ec2tags://local?region=us-east-1", want: "ec2tags://local?region=us-east-1"},
		"tags nowhere":    {spec: "ec2tags://", wrong: "names no region"},
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

// The local cloud, with images that really are there, as EC2 behind the tags.
func TestTagsOfTheLocalCloud(t *testing.T) {
	t.Setenv(home.Env, t.TempDir())
	cloud, err := localcloud.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer cloud.Close()
	disk := filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(disk, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	var refs []registry.Ref
	for _, name := range []string{"base", "shop"} {
		img, err := cloud.Import(t.Context(), localcloud.ImportInput{
			Source: disk, Name: name, Architecture: "x86_64", Tags: map[string]string{"Name": name},
		})
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, registry.Ref{Cloud: "local", Region: img.Region, ID: img.ID})
	}

	// Two stores of one registry, as two processes have them.
	var regs []*registry.Registry
	for range 2 {
		store, err := Open(t.Context(), "ec2tags://local?region=us-east-1")
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		regs = append(regs, registry.New(store, registry.As("tester")))
	}
	passed := registry.TestResult{Suite: "smoke", Outcome: registry.Passed, Counts: registry.Counts{Passed: 3}}
	base, created, err := regs[0].Register(t.Context(), registry.Image{
		Application: "base", Version: "1.4.0", Layer: "base", Artifacts: []registry.Artifact{{Ref: refs[0]}},
	}, passed)
	if err != nil || !created {
		t.Fatalf("Register = %v, %v", created, err)
	}
	_, _, err = regs[1].Register(t.Context(), registry.Image{
		Application: "shop", Version: "7", Layer: "application", Labels: map[string]string{"team": "a"},
		ParentImage: refs[0], Artifacts: []registry.Artifact{{Ref: refs[1]}},
	}, passed)
	if err != nil {
		t.Fatal(err)
	}
	wanted := registry.Query{Application: "shop", AtLeast: registry.StatusTested, Cloud: "local", Region: "us-east-1"}
	found, err := regs[0].Find(t.Context(), wanted)
	if err != nil {
		t.Fatal(err)
	}
	if a := found.Artifacts[0]; found.Labels["team"] != "a" || a.Name != "shop" || len(a.Snapshots) != 1 || a.Tags["Name"] != "shop" {
		t.Errorf("found %+v", found.Image)
	}
	if len(found.Lineage.Ancestors) != 1 || found.Lineage.Ancestors[0].ID != base.ID {
		t.Errorf("lineage is %+v", found.Lineage)
	}

	// Writers at once lose no fact of each other.
	var group sync.WaitGroup
	for n := range 6 {
		group.Go(func() {
			r := passed
			r.Suite = fmt.Sprint("suite ", n)
			if err := regs[n%2].RecordResults(t.Context(), base.ID, r); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	view, err := regs[0].Resolve(t.Context(), refs[0].ID)
	if err != nil || len(view.Suites) != 7 {
		t.Errorf("%d suites are recorded, %v; want 7", len(view.Suites), err)
	}
	if _, err := regs[0].Promote(t.Context(), base.ID, "stable", 0, ""); !errors.Is(err, registry.ErrUnsupported) {
		t.Errorf("error of a promotion is %v, want ErrUnsupported", err)
	}
	if _, err := regs[1].Mark(t.Context(), registry.Mark{Image: base.ID, Kind: registry.MarkRevoked, Reason: "CVE"}); err != nil {
		t.Fatal(err)
	}
	if _, err := regs[0].Find(t.Context(), wanted); !errors.Is(err, registry.ErrNotFound) || !strings.Contains(err.Error(), "is revoked: CVE") {
		t.Errorf("error of a search after the revocation of the base is %v", err)
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
