package handoff

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/imagebakery/packer-plugin-bakery/internal/home"
)

func somePackages(bake, version string) Packages {
	return Packages{BakeID: bake, Distro: "debian", Release: "12", Packages: []Package{
		{Type: "deb", Name: "libc6", Version: version, Arch: "amd64", Source: "glibc"},
	}}
}

func TestPackagesInAnArtifact(t *testing.T) {
	want := somePackages("01J", "2.36-9")
	text, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, ok, err := DecodePackages(text)
	if err != nil || !ok {
		t.Fatalf("DecodePackages: %v, %v", ok, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	for _, none := range []any{nil, ""} {
		if _, ok, err := DecodePackages(none); ok || err != nil {
			t.Errorf("DecodePackages(%v) = %v, %v; want none", none, ok, err)
		}
	}
	for _, wrong := range []any{7, "{"} {
		if _, _, err := DecodePackages(wrong); err == nil {
			t.Errorf("DecodePackages(%v) succeeded", wrong)
		}
	}
}

func TestPackagesAreBoundToTheBuild(t *testing.T) {
	t.Setenv(home.Env, t.TempDir())
	shop := Build{Run: "run-1", Name: "shop"}
	if _, ok, err := shop.Packages("a"); ok || err != nil {
		t.Errorf("before anything: %v, %v", ok, err)
	}
	for _, p := range []Packages{somePackages("a", "1"), somePackages("b", "2"), somePackages("a", "3")} {
		if err := shop.PutPackages(p); err != nil {
			t.Fatal(err)
		}
	}
	got, ok, err := shop.Packages("a")
	if err != nil || !ok {
		t.Fatalf("Packages: %v, %v", ok, err)
	}
	if diff := cmp.Diff(somePackages("a", "3"), got); diff != "" {
		t.Errorf("the latest packages (-want +got):\n%s", diff)
	}
	if results, err := shop.Results("a"); err != nil || len(results) != 0 {
		t.Errorf("packages are taken for results: %v, %v", results, err)
	}
	if err := shop.Done("a"); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := shop.Packages("a"); ok || err != nil {
		t.Errorf("after Done: %v, %v", ok, err)
	}
	if _, ok, err := shop.Packages("b"); !ok || err != nil {
		t.Errorf("of the other bake after Done: %v, %v", ok, err)
	}
	if err := shop.Done("b"); err != nil {
		t.Fatal(err)
	}
	runs, err := home.Path("runs")
	if err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(runs, "*")); err != nil || len(left) > 0 {
		t.Errorf("stays behind: %v, %v", left, err)
	}
	if err := (Build{Name: "shop"}).PutPackages(Packages{}); err == nil {
		t.Error("PutPackages outside of Packer succeeded")
	}
	// A damaged file is no empty list.
	dir, err := shop.dir()
	if err != nil {
		t.Fatal(err)
	}
	if err := shop.PutPackages(somePackages("a", "1")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "0.packages"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := shop.Packages("a"); err == nil {
		t.Error("a damaged file is read")
	}
}
