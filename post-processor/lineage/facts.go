package lineage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	registryimage "github.com/hashicorp/packer-plugin-sdk/packer/registry/image"

	"github.com/imagebakery/packer-plugin-bakery/internal/access"
	"github.com/imagebakery/packer-plugin-bakery/internal/handoff"
	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// facts is what an artifact tells of its image.
type facts struct {
	artifacts []registry.Artifact
	parent    registry.Ref // zero when the artifact does not say
	arch      string
	bake      registry.Bake
	createdAt time.Time // zero when the artifact does not say

	lease    int64  // token of the lease that the bake holds; 0 for none
	registry string // where the bake looked for equal images; empty when it did not
	reused   string // id in that registry of the image, when it was not baked now
}

// amazonBuilders are the builder ids of Packer's Amazon plugin whose artifact
// ids are "region:ami", joined by commas.
var amazonBuilders = []string{
	"mitchellh.amazonebs", "mitchellh.amazon.chroot", "mitchellh.amazon.ebssurrogate", "mitchellh.amazon.instance",
}

// read learns what it can from an artifact: of bakery-chroot everything, of
// other builders what they publish for HCP Packer, else what its id says.
func read(ctx context.Context, artifact packersdk.Artifact) (facts, error) {
	if artifact.BuilderId() == nullBuilder {
		return facts{}, errors.New("the null builder makes no image: there is nothing to register; " +
			"tests of an image that is registered are recorded with `bakery images record-test`")
	}
	f, err := readBake(artifact)
	baked := len(f.artifacts) > 0
	if err == nil && len(f.artifacts) == 0 {
		f, err = readMetadata(artifact)
	}
	if err == nil && len(f.artifacts) == 0 {
		f, err = readID(artifact)
	}
	if err == nil && !baked {
		err = byContents(ctx, artifact, &f)
	}
	if err != nil {
		return facts{}, err
	}
	f.bake.Builder = artifact.BuilderId()
	slices.SortFunc(f.artifacts, func(a, b registry.Artifact) int { return cmp.Compare(a.String(), b.String()) })
	return f, nil
}

func readBake(artifact packersdk.Artifact) (facts, error) {
	bake, ok, err := handoff.DecodeBake(artifact.State(handoff.StateKey))
	if !ok || err != nil {
		return facts{}, err
	}
	if len(bake.Images) == 0 {
		return facts{}, errors.New("the bake made no image: there is nothing to register (is skip_create_ami set?)")
	}
	f := facts{
		lease: bake.Lease, registry: bake.Registry, reused: bake.Reused,
		arch: bake.Architecture, createdAt: seconds(bake.FinishedUnix),
		bake: registry.Bake{
			ID: bake.ID, Key: bake.Key,
			StartedAt: seconds(bake.StartedUnix), FinishedAt: seconds(bake.FinishedUnix),
		},
	}
	if bake.SourceImage != "" {
		f.parent = registry.Ref{Cloud: bake.Cloud, Region: bake.Region, ID: bake.SourceImage}
	}
	for _, img := range bake.Images {
		f.artifacts = append(f.artifacts, registry.Artifact{
			Ref:     registry.Ref{Cloud: bake.Cloud, Region: img.Region, ID: img.ID},
			Account: bake.Account, Name: bake.ImageName, Snapshots: img.Snapshots, Tags: bake.Tags,
		})
	}
	return f, nil
}

func seconds(unix int64) time.Time {
	if unix == 0 {
		return time.Time{}
	}
	return time.Unix(unix, 0)
}

// readMetadata reads what builders publish for HCP Packer, in the loose types
// that Packer's plugin wire leaves of it.
func readMetadata(artifact packersdk.Artifact) (facts, error) {
	state := artifact.State(registryimage.ArtifactStateURI)
	if state == nil {
		return facts{}, nil
	}
	images, err := decodeImages(state)
	if err != nil {
		return facts{}, fmt.Errorf("read %s of the artifact: %w", registryimage.ArtifactStateURI, err)
	}
	built := buildRegion(artifact)
	var f facts
	for _, img := range images {
		if err := img.Validate(); err != nil {
			return facts{}, fmt.Errorf("read %s of the artifact: %w", registryimage.ArtifactStateURI, err)
		}
		f.artifacts = append(f.artifacts, registry.Artifact{Ref: registry.Ref{
			Cloud: img.ProviderName, Region: img.ProviderRegion, ID: img.ImageID,
		}})
		// Copies name the same parent, which is in the region of the build.
		if img.SourceImageID != "" && (f.parent.ID == "" || img.ProviderRegion == built) {
			f.parent = registry.Ref{Cloud: img.ProviderName, Region: cmp.Or(built, img.ProviderRegion), ID: img.SourceImageID}
		}
	}
	return f, nil
}

// decodeImages accepts one image or a list of them.
func decodeImages(state any) ([]registryimage.Image, error) {
	var images []registryimage.Image
	// WeaklyTypedInput makes a list of one image.
	dec, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{Result: &images, WeaklyTypedInput: true})
	if err != nil {
		return nil, err
	}
	return images, dec.Decode(state)
}

// generated reads the variables that a builder hands to its post-processors.
func generated(artifact packersdk.Artifact) map[string]string {
	data := map[string]any{}
	if err := mapstructure.WeakDecode(artifact.State("generated_data"), &data); err != nil {
		return nil
	}
	values := map[string]string{}
	for key, value := range data {
		if s, ok := value.(string); ok {
			values[key] = s
		}
	}
	return values
}

func buildRegion(artifact packersdk.Artifact) string { return generated(artifact)["BuildRegion"] }

// readID reads the artifact's id.
func readID(artifact packersdk.Artifact) (facts, error) {
	id := artifact.Id()
	if id == "" {
		return facts{}, fmt.Errorf("the artifact of builder %s has no id: there is nothing to register", artifact.BuilderId())
	}
	if !slices.Contains(amazonBuilders, artifact.BuilderId()) {
		return facts{artifacts: []registry.Artifact{{Ref: registry.Ref{Cloud: artifact.BuilderId(), ID: id}}}}, nil
	}
	var f facts
	for pair := range strings.SplitSeq(id, ",") {
		region, ami, ok := strings.Cut(pair, ":")
		if !ok || region == "" || ami == "" {
			return facts{}, fmt.Errorf("the artifact id %q of builder %s is not region:ami", id, artifact.BuilderId())
		}
		f.artifacts = append(f.artifacts, registry.Artifact{Ref: registry.Ref{Cloud: access.AWS, Region: region, ID: ami}})
	}
	if source := generated(artifact)["SourceAMI"]; source != "" {
		f.parent = registry.Ref{Cloud: access.AWS, Region: cmp.Or(buildRegion(artifact), f.artifacts[0].Region), ID: source}
	}
	return f, nil
}
