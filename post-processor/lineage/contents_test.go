package lineage

import (
	"os"
	"path/filepath"
	"testing"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	registryimage "github.com/hashicorp/packer-plugin-sdk/packer/registry/image"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// TestImagesOfFiles registers what builders make that put an image into files,
// twice under the same name, as they do.
func TestImagesOfFiles(t *testing.T) {
	for name, artifact := range map[string]func(dir string) *packersdk.MockArtifact{
		"qemu": func(dir string) *packersdk.MockArtifact {
			return &packersdk.MockArtifact{
				BuilderIdValue: "transcend.qemu", IdValue: "VM", FilesValue: []string{filepath.Join(dir, "disk")},
				StateValues: map[string]any{registryimage.ArtifactStateURI: map[any]any{
					"ImageID": "disk", "ProviderName": "transcend.qemu", "ProviderRegion": dir, "Labels": map[any]any{},
				}},
			}
		},
		"file": func(dir string) *packersdk.MockArtifact {
			return &packersdk.MockArtifact{
				BuilderIdValue: "packer.file", IdValue: "File", FilesValue: []string{filepath.Join(dir, "disk")},
				StateValues: map[string]any{registryimage.ArtifactStateURI: map[any]any{
					"ImageID": "disk", "ProviderName": "packer.file", "ProviderRegion": dir, "SourceImageID": "<no-defined-source-file>", "Labels": map[any]any{},
				}},
			}
		},
		"an export of docker": func(dir string) *packersdk.MockArtifact {
			return &packersdk.MockArtifact{BuilderIdValue: "packer.docker", IdValue: "Container", FilesValue: []string{filepath.Join(dir, "disk")}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			dir := t.TempDir()
			for content, sum := range map[string]string{
				"one": "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
				"two": "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3",
			} {
				if err := os.WriteFile(filepath.Join(dir, "disk"), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
				a := artifact(dir)
				for range 2 { // the second time it is registered already
					if err := b.process(a, map[string]any{"version": content}); err != nil {
						t.Fatal(err)
					}
				}
				got, err := b.show("sha256:" + sum)
				if err != nil {
					t.Fatal(err)
				}
				if want := (registry.Ref{Cloud: a.BuilderId(), ID: "sha256:" + sum}); got.Artifacts[0].Ref != want || got.Artifacts[0].Name != "disk" || got.Version != content || got.ParentImage.ID != "" {
					t.Errorf("registered is %s %+v, want %s", got.Version, got.Artifacts[0], want)
				}
			}
		})
	}
}

func TestContentOfSeveralFiles(t *testing.T) {
	dir := t.TempDir()
	var files []string
	for _, name := range []string{"a", "b"} {
		files = append(files, filepath.Join(dir, name))
		if err := os.WriteFile(files[len(files)-1], []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := contentID(t.Context(), files)
	if err != nil {
		t.Fatal(err)
	}
	// sha256sum a b | sha256sum
	if want := "sha256:cb13f400dcb618e400d0f7d54f7cdb330d37a07272cb99a1016cda5830a10556"; got != want {
		t.Errorf("id is %s, want %s", got, want)
	}
	if _, err := contentID(t.Context(), []string{dir}); err == nil {
		t.Error("a folder was read as a file")
	}
}
