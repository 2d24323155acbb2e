// Package lineage is the post-processor bakery-lineage: it registers the image
// of a build, with what it was baked from and how its tests went, and passes
// it on unchanged.
package lineage

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/hcl/v2/hcldec"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"github.com/hashicorp/packer-plugin-sdk/template/config"

	"github.com/imagebakery/packer-plugin-bakery/internal/handoff"
	"github.com/imagebakery/packer-plugin-bakery/internal/stores"
	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// PostProcessor is bakery-lineage.
type PostProcessor struct {
	config Config
}

var _ packersdk.PostProcessor = (*PostProcessor)(nil)

// ConfigSpec implements [packersdk.PostProcessor].
func (p *PostProcessor) ConfigSpec() hcldec.ObjectSpec { return p.config.FlatMapstructure().HCL2Spec() }

// Configure implements [packersdk.PostProcessor].
func (p *PostProcessor) Configure(raws ...any) error {
	var errs *packersdk.MultiError
	if err := config.Decode(&p.config, &config.DecodeOpts{PluginType: "bakery-lineage", Interpolate: true}, raws...); err != nil {
		errs = packersdk.MultiErrorAppend(errs, err)
	}
	errs = packersdk.MultiErrorAppend(errs, p.config.prepare()...)
	if len(errs.Errors) > 0 {
		return errs
	}
	return nil
}

// PostProcess implements [packersdk.PostProcessor]. The artifact is returned as
// it came and is always kept: what is registered must go on to exist.
//
// When it returns an error nothing is registered, since registering is the last
// thing that can fail: Packer deletes the artifact of a build whose
// post-processor has failed.
func (p *PostProcessor) PostProcess(ctx context.Context, ui packersdk.Ui, artifact packersdk.Artifact) (packersdk.Artifact, bool, bool, error) {
	text, err := p.register(ctx, ui, artifact)
	if errors.Is(err, errNotReused) {
		return nil, false, false, err
	}
	if err != nil {
		return nil, false, false, fmt.Errorf("%w\n"+
			"The image %s is not registered. Packer deletes it now, unless another post-processor keeps it. "+
			"Remove the cause and bake again; an image that was kept can be registered with `bakery images register`",
			err, artifact.Id())
	}
	return passed{artifact, text}, true, true, nil
}

// passed is the artifact as it came, but for what Packer shows of it. Packer
// keeps the input of a post-processor only beside its output and shows both at
// the end of the build; what it has shown of the input is not said twice.
type passed struct {
	packersdk.Artifact
	text string
}

// String implements [packersdk.Artifact].
func (a passed) String() string { return a.text }

// register registers the image and returns what is to be said of it.
func (p *PostProcessor) register(ctx context.Context, ui packersdk.Ui, artifact packersdk.Artifact) (string, error) {
	facts, err := read(ctx, artifact)
	if err != nil {
		return "", err
	}
	name, err := stores.Resolve(p.config.Registry)
	if err != nil {
		return "", err
	}
	store, err := stores.Open(ctx, name)
	if err != nil {
		return "", err
	}
	defer store.Close() //nolint:errcheck // what was committed stays
	reg := registry.New(store, registry.As(stores.Actor()))
	build := handoff.ThisBuild(p.config.PackerBuildName)

	if facts.registry != "" && facts.registry != name {
		ui.Error(fmt.Sprintf("The builder looks for equal images in %s, and this one is registered in %s: it will not be reused. "+
			"Name one registry for both.", facts.registry, name))
		facts.lease, facts.reused = 0, ""
	}
	if facts.reused != "" {
		return p.reuse(ctx, ui, reg, facts, build)
	}
	return p.registerNew(ctx, ui, reg, artifact, facts, build)
}

// registerNew registers an image that was baked now.
func (p *PostProcessor) registerNew(ctx context.Context, ui packersdk.Ui, reg *registry.Registry, artifact packersdk.Artifact, facts facts, build handoff.Build) (string, error) {
	results, err := p.results(ui, build, facts.bake)
	if err != nil {
		return "", err
	}
	img, err := p.image(ctx, reg, facts, build)
	if err != nil {
		return "", err
	}
	list, err := p.packages(ctx, ui, reg, artifact, build, &img)
	if err != nil {
		return "", err
	}
	if err := p.tag(ctx, ui, reg, &img); err != nil {
		return "", err
	}
	publishSBOM, discard, err := p.prepareSBOM(ctx, reg, img, list)
	if err != nil {
		return "", err
	}
	defer discard()
	writeProperties, drop, err := preparing("properties", p.config.Properties)
	if err != nil {
		return "", err
	}
	defer drop()
	// A parameter is the one thing that is put back when registering fails.
	undo, err := p.publish(ctx, ui, img)
	if err != nil {
		return "", err
	}
	var created bool
	if facts.lease != 0 {
		// Others wait for this image, or have taken over since.
		img, created, err = reg.Finish(ctx, facts.lease, img, results...)
	} else {
		img, created, err = reg.Register(ctx, img, results...)
	}
	if err != nil {
		undo()
		return "", err
	}
	if err := publishSBOM(); err != nil {
		ui.Error(fmt.Sprintf("The image is registered, but its bill of materials is not written: %v; `bakery images sbom %s` writes it", err, img.ID))
	}
	if err := build.Done(facts.bake.ID); err != nil {
		ui.Error(fmt.Sprintf("The image is registered, but its test results stay behind: %v", err))
	}
	verb := "Registered"
	if !created {
		verb = "Was registered before:"
	}
	line, view := p.report(ctx, ui, reg, img, verb)
	if err := writeProperties(formatProperties(propertiesOf(view, false))); err != nil {
		ui.Error(fmt.Sprintf("The image is registered, but its properties are not written: %v", err))
	}
	return line, nil
}

// image puts together what is to be registered.
func (p *PostProcessor) image(ctx context.Context, reg *registry.Registry, f facts, build handoff.Build) (registry.Image, error) {
	c := p.config
	f.bake.Build, f.bake.Run = build.Name, build.Run
	img := registry.Image{
		Application: c.Application, Version: c.Version, Layer: c.Layer, Environment: c.Environment,
		Release: c.Release, Arch: registry.Arch(cmp.Or(c.Arch, f.arch)), Owner: c.Owner, Labels: c.Labels,
		Artifacts: f.artifacts, Bake: f.bake, CreatedAt: f.createdAt,
	}
	if parent := cmp.Or(c.Parent, f.parent.String()); parent != "" {
		var err error
		if img, err = reg.Link(ctx, img, parent); err != nil {
			return registry.Image{}, err
		}
	}
	// An image that was registered before keeps its id.
	before, err := reg.Resolve(ctx, f.artifacts[0].Ref.String())
	switch {
	case err == nil:
		img.ID = before.ID
	case errors.Is(err, registry.ErrNotFound):
		img.ID = registry.NewID()
	default:
		return registry.Image{}, err
	}
	return img, nil
}

// tag writes tags to the image where it is, and completes what is known of it
// on the way.
func (p *PostProcessor) tag(ctx context.Context, ui packersdk.Ui, reg *registry.Registry, img *registry.Image) error {
	first := img.Artifacts[0]
	if p.config.WriteTags.False() {
		return nil
	}
	if !taggable(first.Cloud) {
		if p.config.WriteTags.True() {
			return fmt.Errorf("write_tags is set, but the image is in %s, where bakery-lineage writes none; leave write_tags out", first.Cloud)
		}
		return nil
	}
	client, err := p.client(ctx, ui, *img)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := complete(ctx, client, img); err != nil {
		return err
	}
	if err := throughCopies(ctx, ui, client, reg, img); err != nil {
		return err
	}
	ancestors, err := reg.Ancestors(ctx, *img)
	if err != nil {
		return err
	}
	return writeTags(ctx, client, *img, p.config.TagStyles, ancestors)
}

// report tells a person what is registered now, and returns it in one line, and
// all of it.
func (p *PostProcessor) report(ctx context.Context, ui packersdk.Ui, reg *registry.Registry, img registry.Image, verb string) (string, registry.View) {
	line := fmt.Sprintf("%s %s %s as %s", verb, img.Application, img.Version, img.ID)
	ui.Say(line)
	say := func(what, value string) { ui.Say(fmt.Sprintf("    %-9s %s", what+":", value)) }
	for _, a := range img.Artifacts {
		say("image", a.String())
	}
	view, err := reg.Resolve(ctx, img.ID)
	if err != nil {
		ui.Error(fmt.Sprintf("The image is registered; its status could not be read: %v", err))
		return line, registry.View{Image: img}
	}
	if img.Packages != "" {
		say("packages", img.Packages)
	}
	switch {
	case len(view.Lineage.Ancestors) > 0:
		say("parent", view.Lineage.Ancestors[0].String())
	case img.ParentImage.ID != "":
		say("parent", img.ParentImage.String()+", which is not registered")
	default:
		say("parent", "none is known")
	}
	say("status", fmt.Sprintf("%s (%s)", view.Status, view.Reason))
	return fmt.Sprintf("%s, %s", line, view.Status), view
}
