package lineage

import (
	"context"
	"errors"
	"fmt"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/imagebakery/packer-plugin-bakery/internal/handoff"
	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// errNotReused is what is wrong about an image that exists already: nothing has
// happened to it, and nothing will.
var errNotReused = errors.New("the image exists already and stays as it is")

// reuse passes on an image that the builder has found instead of baking an equal
// one. It is registered; that it was reused is noted in its history.
func (p *PostProcessor) reuse(ctx context.Context, ui packersdk.Ui, reg *registry.Registry, f facts, build handoff.Build) (string, error) {
	wrap := func(err error) (string, error) { return "", fmt.Errorf("%w\n%w", err, errNotReused) }
	view, err := reg.Resolve(ctx, f.reused)
	if err != nil {
		return wrap(err)
	}
	if p.config.RequireTests && !view.Tested {
		return wrap(fmt.Errorf("require_tests is set, but %s, which was reused, is %s: %s; set reuse_status = \"tested\" in the builder, "+
			"or record its tests with `bakery images record-test`", view.Image, view.Status, view.Reason))
	}
	img, err := p.image(ctx, reg, f, build)
	if err != nil {
		return wrap(err)
	}
	// Registering it again changes nothing, and fails when the template calls it
	// something else now.
	if img, _, err = reg.Register(ctx, img); err != nil {
		return wrap(err)
	}
	if err := p.sbomAgain(ctx, reg, img); err != nil {
		return wrap(err)
	}
	writeProperties, drop, err := preparing("properties", p.config.Properties)
	if err != nil {
		return wrap(err)
	}
	defer drop()
	if _, err := p.publish(ctx, ui, img); err != nil {
		return wrap(err)
	}
	if err := reg.Reused(ctx, img.ID, fmt.Sprintf("build %s, run %s", build.Name, build.Run)); err != nil {
		return wrap(err)
	}
	line, view := p.report(ctx, ui, reg, img, "Reused")
	if err := writeProperties(formatProperties(propertiesOf(view, true))); err != nil {
		return wrap(err)
	}
	return line, nil
}

// sbomAgain writes the bill of materials that the template asks for: the file of
// an earlier build may not be there.
func (p *PostProcessor) sbomAgain(ctx context.Context, reg *registry.Registry, img registry.Image) error {
	if p.config.SBOM == "" {
		return nil
	}
	list, err := reg.Packages(ctx, img)
	if err != nil {
		return fmt.Errorf("sbom: %w", err)
	}
	publish, discard, err := p.prepareSBOM(ctx, reg, img, list)
	if err != nil {
		return err
	}
	defer discard()
	return publish()
}
