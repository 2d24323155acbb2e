package lineage

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/imagebakery/packer-plugin-bakery/internal/handoff"
	"github.com/imagebakery/packer-plugin-bakery/registry"
)

func installed(openssl string) handoff.Packages {
	return handoff.Packages{Distro: "debian", Release: "12", Packages: []handoff.Package{
		{Type: "deb", Name: "openssl", Version: openssl, Arch: "amd64"},
		{Type: "deb", Name: "libc6", Version: "2.36-9", Arch: "amd64", Source: "glibc"},
	}}
}

// withPackages is the artifact of a bake that says what is installed.
func withPackages(t *testing.T, openssl string) *packersdk.MockArtifact {
	t.Helper()
	text, err := installed(openssl).Encode()
	if err != nil {
		t.Fatal(err)
	}
	artifact := baked()
	artifact.StateValues[handoff.PackagesKey] = text
	return artifact
}

// openssl returns the version of openssl that is recorded of an image.
func (b *bench) openssl(id string) (version string, err error) {
	b.t.Helper()
	b.with(func(reg *registry.Registry) {
		view, resolveErr := reg.Resolve(b.t.Context(), id)
		if resolveErr != nil {
			b.t.Fatal(resolveErr)
		}
		var list registry.PackageList
		if list, err = reg.Packages(b.t.Context(), view.Image); err == nil {
			version = list.Named("openssl")[0].Version
		}
	})
	return version, err
}

func TestPackagesAreRecorded(t *testing.T) {
	t.Run("of the builder, which looked last", func(t *testing.T) {
		b := newBench(t)
		if err := handoff.ThisBuild("shop").PutPackages(installed("1")); err != nil {
			t.Fatal(err)
		}
		if err := b.process(withPackages(t, "3.0.14-1"), nil); err != nil {
			t.Fatal(err)
		}
		if got, err := b.openssl("ami-shop"); err != nil || got != "3.0.14-1" {
			t.Errorf("openssl is %s, %v; want that of the builder", got, err)
		}
	})
	t.Run("of bakery-spec", func(t *testing.T) {
		b := newBench(t)
		if err := handoff.ThisBuild("shop").PutPackages(installed("3.0.11-1")); err != nil {
			t.Fatal(err)
		}
		ebs := &packersdk.MockArtifact{BuilderIdValue: "mitchellh.amazonebs", IdValue: "eu-west-1:ami-ebs"}
		if err := b.process(ebs, nil); err != nil {
			t.Fatal(err)
		}
		if got, err := b.openssl("ami-ebs"); err != nil || got != "3.0.11-1" {
			t.Errorf("openssl is %s, %v; want that of bakery-spec", got, err)
		}
		if _, ok, err := handoff.ThisBuild("shop").Packages(""); ok || err != nil {
			t.Errorf("the packages are left behind: %v, %v", ok, err)
		}
	})
	t.Run("of nobody", func(t *testing.T) {
		b := newBench(t)
		if err := b.process(baked(), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := b.openssl("ami-shop"); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("error is %v, want that they were not recorded", err)
		}
	})
}

func TestSBOM(t *testing.T) {
	b := newBench(t)
	b.base("ami-base")
	path := filepath.Join(t.TempDir(), "shop.cdx.json")
	if err := b.process(withPackages(t, "3.0.14-1"), map[string]any{"sbom": path}); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(file, cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range *bom.Components {
		names = append(names, c.Name)
	}
	if got := strings.Join(names, " "); got != "debian libc6 openssl" {
		t.Errorf("components are %s", got)
	}
	if got := (*bom.Metadata.Component.Pedigree.Ancestors)[0].Name; got != "base" {
		t.Errorf("the ancestor is %s, want base", got)
	}
}

func TestSBOMFailsCleanly(t *testing.T) {
	b := newBench(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "shop.cdx.json")
	if err := b.process(baked(), map[string]any{"sbom": path}); err == nil || !strings.Contains(err.Error(), "what is installed is not known") {
		t.Errorf("error without packages is %v", err)
	}
	// The parent is revoked: nothing is registered, and no bill is published.
	base := b.base("ami-base")
	b.with(func(reg *registry.Registry) {
		if _, err := reg.Mark(t.Context(), registry.Mark{Image: base.ID, Kind: registry.MarkRevoked, Reason: "CVE"}); err != nil {
			t.Fatal(err)
		}
	})
	if err := b.process(withPackages(t, "1"), map[string]any{"sbom": path}); !errors.Is(err, registry.ErrRevoked) {
		t.Errorf("error is %v, want ErrRevoked", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := b.process(withPackages(t, "1"), map[string]any{"sbom": filepath.Join(dir, "none", "x")}); err == nil || !strings.Contains(err.Error(), "sbom: ") {
		t.Errorf("error of a folder that does not exist is %v", err)
	}
}
