package lineage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/imagebakery/packer-plugin-bakery/internal/handoff"
	"github.com/imagebakery/packer-plugin-bakery/internal/sbom"
	"github.com/imagebakery/packer-plugin-bakery/registry"
	"github.com/imagebakery/packer-plugin-bakery/version"
)

// packages records what the image has installed: what its builder says, which
// has looked last, else what bakery-spec has handed over. The list is empty when
// neither is so.
func (p *PostProcessor) packages(ctx context.Context, ui packersdk.Ui, reg *registry.Registry, artifact packersdk.Artifact, build handoff.Build, img *registry.Image) (registry.PackageList, error) {
	handed, ok, err := handoff.DecodePackages(artifact.State(handoff.PackagesKey))
	if err == nil && !ok {
		handed, ok, err = build.Packages(img.Bake.ID)
	}
	if err != nil || !ok {
		return registry.PackageList{}, err
	}
	list := registry.PackageList{Distro: handed.Distro, Release: handed.Release}
	for _, one := range handed.Packages {
		list.Packages = append(list.Packages, registry.Package(one))
	}
	img.Packages, err = reg.RecordPackages(ctx, list)
	if errors.Is(err, registry.ErrUnsupported) {
		ui.Say(fmt.Sprintf("What is installed is not recorded: %v", err))
		return list, nil
	}
	return list, err
}

// prepareSBOM writes the bill of materials that the template asks for, beside
// its place. publish puts it there, once the image is registered; discard drops
// it, and does nothing after that.
func (p *PostProcessor) prepareSBOM(ctx context.Context, reg *registry.Registry, img registry.Image, list registry.PackageList) (publish func() error, discard func(), err error) {
	path := p.config.SBOM
	if path == "" {
		return func() error { return nil }, func() {}, nil
	}
	if len(list.Packages) == 0 {
		return nil, nil, fmt.Errorf("sbom is %q, but what is installed is not known; add a bakery-spec provisioner to the build, or leave the option out", path)
	}
	ancestors, err := reg.Ancestors(ctx, img)
	if err != nil {
		return nil, nil, fmt.Errorf("sbom: %w", err)
	}
	var bill bytes.Buffer
	if err := sbom.Write(&bill, img, ancestors, list, version.PluginVersion.FormattedVersion()); err != nil {
		return nil, nil, err
	}
	partial := path + ".part"
	if err := os.WriteFile(partial, bill.Bytes(), 0o644); err != nil {
		return nil, nil, fmt.Errorf("sbom: %w", err)
	}
	return func() error { return os.Rename(partial, path) }, func() { _ = os.Remove(partial) }, nil
}
