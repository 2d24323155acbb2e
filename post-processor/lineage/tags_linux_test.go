package lineage

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/imagebakery/packer-plugin-bakery/internal/access"
	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/handoff"
	"github.com/imagebakery/packer-plugin-bakery/internal/localcloud"
	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// imported puts an image into the local cloud of the test.
func imported(t *testing.T) localcloud.Image {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: the local cloud")
	}
	disk := t.TempDir()
	if err := os.WriteFile(filepath.Join(disk, "file"), []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	local, err := localcloud.Open(t.Context(), os.Getenv("BAKERY_HOME"))
	if err != nil {
		t.Fatal(err)
	}
	img, err := local.Import(t.Context(), localcloud.ImportInput{Source: disk, Name: "shop-1.4.2", Architecture: "x86_64"})
	if err != nil {
		t.Fatal(err)
	}
	if err := local.Close(); err != nil {
		t.Fatal(err)
	}
	return img
}

func TestTagsAreWritten(t *testing.T) {
	b := newBench(t)
	img := imported(t)
	base := b.base("ami-base")
	artifact := &packersdk.MockArtifact{BuilderIdValue: "imagebakery.chroot", StateValues: map[string]any{
		handoff.StateKey: map[any]any{
			"cloud": "local", "region": "us-east-1", "source_image": "ami-base",
			"images": []any{map[any]any{"region": "us-east-1", "id": img.ID}},
		},
	}}
	// What the builder does not say is read from the cloud.
	if err := b.process(artifact, map[string]any{"write_tags": true}); err != nil {
		t.Fatal(err)
	}
	got, err := b.show(img.ID)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Artifacts) != 1 || got.Artifacts[0].Name != "shop-1.4.2" || len(got.Artifacts[0].Snapshots) != 1 {
		t.Fatalf("artifacts are %+v", got.Artifacts)
	}

	where := access.Config{Cloud: access.Local}
	if errs := where.Prepare(); errs != nil {
		t.Fatal(errs)
	}
	client, err := where.Client(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	there, err := client.Image(t.Context(), img.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"bakery:id": got.ID, "bakery:application": "shop", "bakery:version": "1.4.2", "bakery:layer": "application",
		"bakery:release": "bookworm", "bakery:arch": "x86_64", "bakery:parent": base.ID, "bakery:parent-image": "ami-base",
	}
	tags := map[string]string{}
	for key, value := range there.Tags {
		if strings.HasPrefix(key, tagPrefix) {
			tags[key] = value
		}
	}
	if diff := cmp.Diff(want, tags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
}

func TestNothingIsRegisteredThatCannotBeTagged(t *testing.T) {
	b := newBench(t)
	imported(t)
	err := b.process(baked(), map[string]any{"write_tags": true})
	if err == nil || !strings.Contains(err.Error(), "ami-copy") || !strings.Contains(err.Error(), "write_tags = false") {
		t.Errorf("error is %v", err)
	}
	if _, err := b.show("ami-shop"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("an image that does not exist is registered: %v", err)
	}
}

// The template names a copy of a copy of the base; only the base is registered.
func TestParentIsFoundThroughCopies(t *testing.T) {
	b := newBench(t)
	original := imported(t)
	where := access.Config{Cloud: access.Local}
	if errs := where.Prepare(); errs != nil {
		t.Fatal(errs)
	}
	client, err := where.Client(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	from := cloud.CopySpec{Source: original.ID, SourceRegion: "us-east-1", Name: "copy"}
	for _, region := range []string{"eu-west-1", "us-west-2"} {
		there := client.InRegion(region)
		id, err := there.CopyImage(t.Context(), from)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := there.WaitCopy(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		from.Source, from.SourceRegion = id, region
	}
	shop, err := client.InRegion("us-west-2").CopyImage(t.Context(), cloud.CopySpec{
		Source: from.Source, SourceRegion: "us-west-2", Name: "shop",
	})
	if err != nil {
		t.Fatal(err)
	}
	base := b.base(original.ID)
	artifact := &packersdk.MockArtifact{BuilderIdValue: "imagebakery.chroot", StateValues: map[string]any{
		handoff.StateKey: map[any]any{
			"cloud": "local", "region": "us-west-2", "source_image": from.Source,
			"images": []any{map[any]any{"region": "us-west-2", "id": shop}},
		},
	}}
	if err := b.process(artifact, map[string]any{"write_tags": true}); err != nil {
		t.Fatal(err)
	}
	got, err := b.show(shop)
	if err != nil {
		t.Fatal(err)
	}
	if got.Parent != base.ID || got.ParentImage.ID != from.Source || got.Release != "bookworm" {
		t.Errorf("parent is %s by way of %s, release %s; want %s, %s and bookworm", got.Parent, got.ParentImage, got.Release, base.ID, from.Source)
	}

	// What is revoked reaches through copies, and at the moment of registering.
	b.with(func(reg *registry.Registry) {
		if _, err := reg.Mark(t.Context(), registry.Mark{Image: base.ID, Kind: registry.MarkRevoked, Reason: "CVE"}); err != nil {
			t.Fatal(err)
		}
	})
	if got, err := b.show(shop); err != nil || got.Status != registry.StatusRevoked {
		t.Errorf("status is %s, %v; want revoked", got.Status, err)
	}
}
