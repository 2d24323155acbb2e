package ancestor

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"github.com/imagebakery/packer-plugin-bakery/registry"
	"github.com/imagebakery/packer-plugin-bakery/registry/sqlite"
)

// clean hides what the environment says about clouds and registries.
func clean(t *testing.T) {
	t.Helper()
	for _, name := range []string{"BAKERY_CLOUD", "BAKERY_REGISTRY", "AWS_REGION", "AWS_DEFAULT_REGION"} {
		t.Setenv(name, "")
	}
	t.Setenv("BAKERY_HOME", t.TempDir())
}

// stocked makes a registry with a foundation, a tested base and a newer base
// that is not tested, and returns its name.
func stocked(t *testing.T) (spec string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "registry.db")
	store, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	reg := registry.New(store)
	pass := registry.TestResult{Suite: "base.spec.hcl", Mode: "offline", Outcome: registry.Passed, Counts: registry.Counts{Passed: 3}}
	for n, img := range []registry.Image{
		{
			Application: "debian", Version: "12.8", Layer: "foundation", Release: "bookworm",
			Artifacts: []registry.Artifact{{Ref: local("ami-f")}},
		},
		{
			Application: "base", Version: "1.4.0", Layer: "base", Release: "bookworm", Arch: "x86_64", Environment: "prod", Owner: "os-team",
			Labels: map[string]string{"kernel": "6.1.0-18"}, ParentImage: local("ami-f"),
			Artifacts: []registry.Artifact{{
				Ref: local("ami-b1"), Account: "000000000000", Name: "base-1.4.0",
				Snapshots: []string{"snap-1"}, Tags: map[string]string{"Name": "base"},
			}},
		},
		{
			Application: "base", Version: "1.5.0", Layer: "base", Release: "bookworm", ParentImage: local("ami-f"),
			Artifacts: []registry.Artifact{{Ref: local("ami-b2")}},
		},
	} {
		var results []registry.TestResult
		if img.Version == "1.4.0" {
			results = append(results, pass)
		}
		if img.Version == "1.4.0" {
			img.Packages, err = reg.RecordPackages(t.Context(), registry.PackageList{Distro: "debian", Release: "12", Packages: []registry.Package{
				{Type: registry.PackageDeb, Name: "openssl", Version: "3.0.14-1~deb12u2", Arch: "amd64"},
			}})
			if err != nil {
				t.Fatal(err)
			}
		}
		img.ID = []string{"01F", "01B", "01C"}[n]
		img.CreatedAt = time.Date(2026, 3, 1, 12, n, 0, 0, time.UTC)
		if _, _, err := reg.Register(t.Context(), img, results...); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return "sqlite:" + path
}

func local(id string) registry.Ref {
	return registry.Ref{Cloud: "local", Region: "us-east-1", ID: id}
}

func execute(t *testing.T, options map[string]any) (cty.Value, error) {
	t.Helper()
	var d Datasource
	if err := d.Configure(options); err != nil {
		t.Fatal(err)
	}
	return d.Execute()
}

func TestNewestTested(t *testing.T) {
	clean(t)
	got, err := execute(t, map[string]any{
		"cloud": "local", "application": "base", "release": "bookworm", "version": "~> 1.0",
		"kernel": ">= 6.1.0-10", "registry": stocked(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	text := func(list ...string) cty.Value {
		var values []cty.Value
		for _, s := range list {
			values = append(values, cty.StringVal(s))
		}
		return cty.ListVal(values)
	}
	want := cty.ObjectVal(map[string]cty.Value{
		"found": cty.True, "revoke_at": cty.StringVal(""),
		"id": cty.StringVal("ami-b1"), "name": cty.StringVal("base-1.4.0"), "cloud": cty.StringVal("local"),
		"region": cty.StringVal("us-east-1"), "account": cty.StringVal("000000000000"),
		"snapshots": text("snap-1"), "tags": cty.MapVal(map[string]cty.Value{"Name": cty.StringVal("base")}),
		"registry_id": cty.StringVal("01B"), "application": cty.StringVal("base"), "version": cty.StringVal("1.4.0"),
		"layer": cty.StringVal("base"), "environment": cty.StringVal("prod"), "release": cty.StringVal("bookworm"),
		"arch": cty.StringVal("x86_64"), "owner": cty.StringVal("os-team"),
		"labels":     cty.MapVal(map[string]cty.Value{"kernel": cty.StringVal("6.1.0-18")}),
		"created_at": cty.StringVal("2026-03-01T12:01:00Z"), "status": cty.StringVal("tested"),
		"channels": cty.ListValEmpty(cty.String),
		"tests":    cty.MapVal(map[string]cty.Value{"base.spec.hcl (offline)": cty.StringVal("passed")}),
		"lineage":  text("ami-f"),
		"explain": cty.StringVal("base 1.5.0 (ami-b2), baked 2026-03-01T12:02:00Z: it has no label kernel\n" +
			"base 1.4.0 (ami-b1), baked 2026-03-01T12:01:00Z: chosen"),
	})
	if diff := cmp.Diff(want.GoString(), got.GoString()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

func TestUntestedOnRequest(t *testing.T) {
	clean(t)
	t.Setenv("BAKERY_CLOUD", "local")
	t.Setenv("BAKERY_REGISTRY", stocked(t))
	got, err := execute(t, map[string]any{"layer": "base", "status": "built"})
	if err != nil {
		t.Fatal(err)
	}
	if id := got.GetAttr("id").AsString(); id != "ami-b2" {
		t.Errorf("id is %s, want ami-b2", id)
	}
	for it := got.ElementIterator(); it.Next(); {
		if name, value := it.Element(); value.IsNull() {
			t.Errorf("%s is null", name.AsString())
		}
	}
}

func TestPackagesAncestorsAndExclusions(t *testing.T) {
	clean(t)
	spec := stocked(t)
	options := func(more map[string]any) map[string]any {
		all := map[string]any{"cloud": "local", "application": "base", "status": "built", "registry": spec}
		maps.Copy(all, more)
		return all
	}
	wanted := map[string]any{
		"packages":       []string{"openssl >= 3.0.14", "!telnetd"},
		"label_versions": map[string]string{"kernel": ">= 6.1.0-10"},
		"exclude_labels": map[string]string{"quarantine": "true"},
		"owner":          "os-team",
		"ancestor":       []any{map[string]any{"layer": "foundation", "version": "~> 12.0", "release": "bookworm"}},
	}
	if got, err := execute(t, options(wanted)); err != nil || got.GetAttr("id").AsString() != "ami-b1" {
		t.Errorf("found %#v, %v; want ami-b1", got, err)
	}
	for what, test := range map[string]struct {
		options map[string]any
		want    string
	}{
		"package":       {map[string]any{"packages": []string{"openssl >= 3.0.15"}}, "package openssl is 3.0.14-1~deb12u2, not >= 3.0.15"},
		"unknown":       {map[string]any{"version": "1.5.0", "packages": []string{"openssl"}}, "base 1.5.0 (ami-b2), baked 2026-03-01T12:02:00Z: its packages are not recorded"},
		"ancestor":      {map[string]any{"ancestor": []any{map[string]any{"application": "debian", "status": "tested"}}}, "of its ancestor debian 12.8 (ami-f), it is built, not tested"},
		"tested within": {map[string]any{"version": "1.4.0", "tested_within": "1ns"}, "suite base.spec.hcl (offline) was run"},
	} {
		t.Run(what, func(t *testing.T) {
			if _, err := execute(t, options(test.options)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestNoMatch(t *testing.T) {
	clean(t)
	spec := stocked(t)
	for name, test := range map[string]struct {
		options map[string]any
		want    []string
	}{
		"nearest miss": {
			map[string]any{"cloud": "local", "application": "debian"},
			[]string{"the nearest of 1 is debian 12.8 (ami-f)", "it is built, not tested: no test result is recorded"},
		},
		"candidates": {
			map[string]any{"cloud": "local", "application": "base", "region": "eu-west-1"},
			[]string{
				"Considered, newest first:\nbase 1.5.0 (ami-b2), baked 2026-03-01T12:02:00Z: it is in local/us-east-1, not in local/eu-west-1\n",
				"base 1.4.0 (ami-b1), baked 2026-03-01T12:01:00Z: it is in local/us-east-1",
			},
		},
		"another cloud": {
			map[string]any{"cloud": "aws", "region": "us-east-1", "application": "base"},
			[]string{"it is in local/us-east-1, not in aws/us-east-1"},
		},
		"another application": {
			map[string]any{"cloud": "local", "application": "bse"},
			[]string{"images are registered of base (base), debian (foundation)"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.options["registry"] = spec
			_, err := execute(t, test.options)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q:\n%v", want, err)
				}
			}
		})
	}
}

func TestNothingWasEverRegistered(t *testing.T) {
	clean(t)
	path := filepath.Join(t.TempDir(), "none", "registry.db")
	_, err := execute(t, map[string]any{"cloud": "local", "application": "base", "registry": "sqlite:" + path})
	if err == nil || !strings.Contains(err.Error(), "application=base") || !strings.Contains(err.Error(), path+": no registry: nothing was registered there yet") {
		t.Errorf("error is %v", err)
	}
	if _, err := os.Stat(filepath.Dir(path)); !os.IsNotExist(err) {
		t.Errorf("a folder was made: %v", err)
	}
}

func TestNullWhenEmpty(t *testing.T) {
	clean(t)
	missing := "sqlite:" + filepath.Join(t.TempDir(), "registry.db")
	for spec, want := range map[string]string{stocked(t): "the nearest of 1 is debian", missing: "no registry"} {
		got, err := execute(t, map[string]any{"cloud": "local", "application": "debian", "on_empty": "null", "registry": spec})
		if err != nil {
			t.Fatal(err)
		}
		if id, found := got.GetAttr("id"), got.GetAttr("found"); !id.IsNull() || found.True() {
			t.Errorf("id is %#v, found %#v", id, found)
		}
		if explain := got.GetAttr("explain").AsString(); !strings.Contains(explain, want) {
			t.Errorf("explain is %q, want one with %q", explain, want)
		}
	}

	// A registry that cannot be read is not one that has no such image.
	broken := filepath.Join(t.TempDir(), "registry.db")
	if err := os.WriteFile(broken, []byte("no database, but long enough to be looked at"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := execute(t, map[string]any{"cloud": "local", "application": "debian", "on_empty": "null", "registry": "sqlite:" + broken})
	if err == nil || !strings.Contains(err.Error(), "no SQLite database") {
		t.Errorf("error of a broken registry is %v", err)
	}
}

func TestScheduledRevocation(t *testing.T) {
	clean(t)
	spec := stocked(t)
	store, err := sqlite.Open(t.Context(), strings.TrimPrefix(spec, "sqlite:"))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(48 * time.Hour).UTC().Truncate(time.Second)
	_, err = registry.New(store).Mark(t.Context(), registry.Mark{
		Image: "01F", Kind: registry.MarkRevoked, Reason: "end of life", EffectiveAt: at,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	options := map[string]any{"cloud": "local", "application": "base", "registry": spec}
	got, err := execute(t, options)
	if err != nil {
		t.Fatal(err)
	}
	if revokeAt := got.GetAttr("revoke_at").AsString(); revokeAt != at.Format(time.RFC3339) {
		t.Errorf("revoke_at is %q, want %s", revokeAt, at)
	}
	options["revoke_margin"] = "72h"
	if _, err := execute(t, options); err == nil || !strings.Contains(err.Error(), "it will be revoked "+at.Format(time.RFC3339)+", within 72h0m0s") {
		t.Errorf("error with a greater margin is %v", err)
	}
}

func TestMistakesComeAtOnce(t *testing.T) {
	clean(t)
	err := new(Datasource).Configure(map[string]any{
		"cloud": "gcp", "region": "us-esat-1", "status": "testet", "version": "latest", "kernel": "deb: ~> 6",
		"packages": []string{">= 3"}, "label_versions": map[string]string{"kernel": "> 1", "docker": ">"}, "tested_within": "a week",
		"ancestor": []any{map[string]any{"version": "latest", "packages": []string{"a b"}, "status": "good"}, map[string]any{}},
		"max_age":  "7 days", "revoke_margin": "-1h", "on_empty": "none", "registry": "registry.db", "applications": "base",
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`cloud is "gcp"`, `"us-esat-1"`, `neither application nor layer is set`,
		`status is "testet"; write one of ["built" "tested" "promoted"]`, `version: version constraint "latest"`,
		`kernel: version constraint "deb: ~> 6"`, `max_age is "7 days"; write a duration such as 720h`,
		`revoke_margin is "-1h"; write a duration`, `on_empty is "none"; write error or null`,
		`registry "registry.db" is of no known kind`, `"applications"`,
		`packages: package condition ">= 3" names no package`, `both about the label kernel`, `label_versions: docker: `,
		`tested_within is "a week"`, `ancestor: version: version constraint "latest"`, `ancestor: packages: package condition "a b"`,
		`of the ancestor: status "good" is not one of`, `of the ancestor nothing is asked`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %s:\n%v", want, err)
		}
	}
}

func TestRegionOfTheEnvironment(t *testing.T) {
	for name, test := range map[string]struct {
		env, options map[string]string
		want         string
	}{
		"option":            {map[string]string{"AWS_REGION": "eu-west-1"}, map[string]string{"region": "us-west-2"}, "us-west-2"},
		"AWS_REGION":        {map[string]string{"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-west-1"}, nil, "eu-west-1"},
		"default region":    {map[string]string{"AWS_DEFAULT_REGION": "us-west-1"}, nil, "us-west-1"},
		"not for the local": {map[string]string{"AWS_REGION": "eu-west-1"}, map[string]string{"cloud": "local"}, "us-east-1"},
		"none":              {nil, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			clean(t)
			for key, value := range test.env {
				t.Setenv(key, value)
			}
			options := map[string]any{"application": "base"}
			for key, value := range test.options {
				options[key] = value
			}
			var d Datasource
			if err := d.Configure(options); err != nil {
				t.Fatal(err)
			}
			if d.query.Region != test.want {
				t.Errorf("region is %q, want %q", d.query.Region, test.want)
			}
		})
	}
}
