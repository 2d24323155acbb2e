package chroot

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/hashicorp/packer-plugin-sdk/common"
	"github.com/hashicorp/packer-plugin-sdk/template/config"

	"github.com/imagebakery/packer-plugin-bakery/internal/access"
	"github.com/imagebakery/packer-plugin-bakery/internal/bakekey"
	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/handoff"
	"github.com/imagebakery/packer-plugin-bakery/internal/stores"
	"github.com/imagebakery/packer-plugin-bakery/registry"
	"github.com/imagebakery/packer-plugin-bakery/version"
)

// equal is what a bake knows of others that make the same image.
type equal struct {
	call     func() (bakekey.Call, error) // how Packer was called
	inputs   bakekey.Selection
	facts    bakekey.Facts
	key      string // empty when what the bake makes cannot be said to be equal
	name     string // of the registry
	store    registry.Store
	registry *registry.Registry
	held     *registry.Held // nil when this bake does not hold the lease
	found    *registry.View // that is returned instead of a new one
}

// findEqual looks for an image that is equal to what the bake would make. When
// there is none and another bake is about to make it, it waits. In the end
// either there is one, or this bake holds the lease for making it.
func (b *bake) findEqual(ctx context.Context) error {
	if err := b.describe(ctx); err != nil {
		return fmt.Errorf("find out what determines the image: %w", err)
	}
	if b.config.PackerForce {
		// Neither is a lease wanted: that another bakes the same is no reason not
		// to. The image has the key, and is the one that is found from now on.
		b.ui.Say("An equal image is not looked for, because of -force")
		return nil
	}
	e := &b.equal
	var err error
	if e.name, err = stores.Resolve(b.config.Registry); err != nil {
		return err
	}
	if e.store, err = stores.Open(ctx, e.name); err != nil {
		return err
	}
	e.registry = registry.New(e.store, registry.As(stores.Actor()))
	contender, err := e.registry.Contend(e.key, holder(), b.config.lease)
	if errors.Is(err, registry.ErrUnsupported) {
		return fmt.Errorf("reuse needs a registry in which one of several equal bakes can be chosen, sqlite:PATH or "+
			"dynamodb://TABLE?region=REGION; %s is none: %w", e.name, err)
	}
	if err != nil {
		return err
	}
	var said news
	for pause := 200 * time.Millisecond; ; pause = min(pause*3/2, 5*time.Second) {
		if found, err := b.lookUp(ctx, &said); err != nil || found {
			return err
		}
		held, other, err := contender.Try(ctx)
		if err != nil {
			return err
		}
		if held != nil {
			return b.hold(ctx, held, &said)
		}
		if other.Holder != "" {
			said.again(b, fmt.Sprintf("Waiting for %s, which bakes the same image since %s",
				other.Holder, other.Since.Local().Format(time.TimeOnly)))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// hold makes this bake the one that makes the image, unless another has done so
// before it got the lease.
func (b *bake) hold(ctx context.Context, held *registry.Held, said *news) error {
	b.equal.held = held
	found, err := b.lookUp(ctx, said)
	if err != nil {
		return err
	}
	if found {
		b.equal.held = nil
		return held.Release(ctx)
	}
	if err := b.sayChanged(); err != nil {
		// It only helps people to understand.
		b.ui.Say(fmt.Sprintf("What has changed since the last bake is not known: %v", err))
	}
	go func() {
		select {
		case <-ctx.Done():
			return // the bake is over
		case <-held.Lost():
		}
		b.stop(fmt.Errorf("%w: this bake has given no sign of life for %s, and another may bake the same image now",
			registry.ErrLeaseLost, b.config.lease))
	}()
	return nil
}

// lookUp looks for an image with the bake's key that can be returned.
func (b *bake) lookUp(ctx context.Context, said *news) (found bool, err error) {
	c, e := b.config, &b.equal
	view, err := e.registry.Find(ctx, registry.Query{
		BakeKey: e.key, AtLeast: registry.Status(c.ReuseStatus), MaxAge: c.maxAge,
		Cloud: c.Cloud, Account: b.account,
	})
	var none *registry.NoMatchError
	switch {
	case errors.As(err, &none) && none.Nearest != nil:
		said.once(b, fmt.Sprintf("Not returned, though baked from the same: %s: %s", none.Nearest.Image, none.Nearest.Lacks))
		return false, nil
	case errors.As(err, &none):
		said.once(b, "No image was baked from the same")
		return false, nil
	case err != nil:
		return false, err
	}
	for _, name := range b.wantedRegions() {
		there, ok := view.There(c.Cloud, name, b.account)
		if !ok {
			said.once(b, fmt.Sprintf("Not returned, though baked from the same: %s: it is not in %s", view.Image, name))
			return false, nil
		}
		img, err := b.client.InRegion(name).Image(ctx, there.ID)
		switch {
		case errors.Is(err, cloud.ErrNotFound):
			said.once(b, fmt.Sprintf("Not returned, though baked from the same: %s: %s is gone", view.Image, there.Ref))
			return false, nil
		case err != nil:
			return false, fmt.Errorf("look at %s: %w", there.Ref, err)
		case img.State != "available":
			said.once(b, fmt.Sprintf("Not returned, though baked from the same: %s: %s is %s", view.Image, there.Ref, img.State))
			return false, nil
		}
	}
	b.ui.Say(fmt.Sprintf("Nothing has changed since %s, baked %s, which is %s: it is returned as it is. "+
		"`packer build -force` bakes anyway", view.Image, humanize.Time(view.CreatedAt), view.Status))
	e.found = &view.View
	return true, nil
}

// wantedRegions are those that shall have the image.
func (b *bake) wantedRegions() []string {
	own := b.client.Region()
	names := b.config.copyRegions(own)
	if !b.config.SkipSaveBuildRegion {
		names = append([]string{own}, names...)
	}
	return names
}

// token is that of the lease; 0 for none.
func (e *equal) token() int64 {
	if e.held == nil {
		return 0
	}
	return e.held.Token()
}

// holder tells people who this is.
func holder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("host %s, process %d", host, os.Getpid())
}

// describe gathers what determines the image, and computes the bake key.
func (b *bake) describe(ctx context.Context) error {
	e := &b.equal
	if e.call == nil {
		e.call = bakekey.Caller
	}
	call, err := e.call()
	if err != nil {
		return err
	}
	if e.inputs.Root, err = call.Folder(); err != nil {
		return err
	}
	e.inputs.Files, e.inputs.Ignore = slices.Clone(b.config.ReuseInputs), b.config.ReuseIgnore
	if len(e.inputs.Files) == 0 {
		e.inputs.Files = []string{e.inputs.Root}
	}
	template, err := call.TemplateFiles()
	if err != nil {
		return err
	}
	e.inputs.Files = append(e.inputs.Files, template...)
	c := b.config
	e.facts = bakekey.Facts{
		Build:    c.PackerBuildName,
		Versions: map[string]string{"bakery": version.PluginVersion.String(), "packer": c.PackerCoreVersion},
		Place:    strings.Join([]string{c.Cloud, b.account, b.client.Region()}, "/"),
		Source:   append([]string{b.source.ID}, b.source.Snapshots()...),
		Options:  c.written, Values: c.ReuseValues,
	}
	if err := call.Describe(&e.facts, os.Environ()); err != nil {
		return err
	}
	if e.facts.Files, err = e.inputs.Read(ctx); err != nil {
		return err
	}
	if e.key, err = e.facts.Key(); err != nil {
		return err
	}
	var size uint64
	for _, file := range e.facts.Files {
		size += uint64(file.Size)
	}
	b.ui.Say(fmt.Sprintf("Bake key %s: of %s, the options, %d variables, and %d files (%s) under %s", e.key[:12],
		cmp.Or(b.source.ID, "no source"), len(e.facts.Arguments)+len(e.facts.Variables), len(e.facts.Files),
		humanize.IBytes(size), e.inputs.Root))
	return nil
}

// checkInputs makes sure that the image was baked from the files that its key
// says. If they have changed meanwhile, or the build itself writes to one, then
// nobody can say that the image is equal to another.
func (b *bake) checkInputs(ctx context.Context) error {
	e := &b.equal
	if e.key == "" {
		return nil
	}
	now, err := e.inputs.Read(ctx)
	if err != nil {
		return err
	}
	changed := bakekey.Changed(e.facts.Files, now)
	if len(changed) == 0 {
		return nil
	}
	b.ui.Error(fmt.Sprintf("This image will not be reused: inputs have changed while it was baked: %s. "+
		"What the build itself writes belongs into reuse_ignore.", some(changed)))
	held := e.held
	e.key, e.held = "", nil
	if held == nil {
		return nil
	}
	return held.Release(ctx)
}

// leaveEqual gives back what the bake held. The lease of a bake that has made
// an image stays until that is registered, or Packer ends.
func (b *bake) leaveEqual(ctx context.Context, failed bool) error {
	e := &b.equal
	if e.store == nil || e.held != nil && !failed {
		return nil
	}
	var err error
	if e.held != nil {
		err = e.held.Release(ctx)
	}
	return errors.Join(err, e.store.Close())
}

// returned is the artifact of an image that exists.
func (b *bake) returned() *Artifact {
	view := b.equal.found
	var images []handoff.Image
	for _, name := range b.wantedRegions() {
		there, _ := view.There(b.config.Cloud, name, b.account)
		images = append(images, handoff.Image{Region: name, ID: there.ID, Snapshots: there.Snapshots})
	}
	slices.SortFunc(images, func(x, y handoff.Image) int { return strings.Compare(x.Region, y.Region) })
	first, _ := view.There(b.config.Cloud, images[0].Region, b.account)
	return &Artifact{
		data: b.state.Get("generated_data"),
		bake: handoff.Bake{
			ID: b.id, Cloud: b.config.Cloud, Region: b.client.Region(), Account: b.account,
			SourceImage: b.source.ID, SourceName: b.source.Name, ImageName: first.Name,
			Architecture: b.image.Architecture, BootMode: b.image.BootMode, Virtual: b.image.Virtualization,
			Key: b.equal.key, Reused: view.ID, Registry: b.equal.name, Tags: first.Tags, Images: images, Steps: b.took,
			StartedUnix: b.started.Unix(), FinishedUnix: view.CreatedAt.Unix(),
		},
	}
}

// writtenOptions returns the options that decide what an image is like, as the
// template has them: what is filled in when the build runs, such as the time in
// a name, is left as it is written.
func writtenOptions(raws ...any) (json.RawMessage, error) {
	var c Config
	if err := config.Decode(&c, &config.DecodeOpts{PluginType: BuilderID}, raws...); err != nil {
		return nil, err
	}
	// How the cloud is reached, how images are compared, and what becomes of
	// others does not change what this one is like. -debug and the like neither.
	c.Config = access.Config{Cloud: c.Cloud}
	c.PackerConfig = common.PackerConfig{PackerUserVars: c.PackerUserVars}
	c.ReuseConfig = ReuseConfig{}
	c.ForceDeregister, c.ForceDeleteSnapshot, c.SkipBillingCheck = false, false, false
	text, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("read the options: %w", err)
	}
	return text, nil
}

// news is what was said, so that waiting is shown and not repeated all the time.
type news struct {
	last    string
	waiting string
	at      time.Time
}

const saidAgain = 30 * time.Second

// once says something unless it was said last.
func (n *news) once(b *bake, text string) {
	if text != n.last {
		b.ui.Say(text)
		n.last = text
	}
}

// again says what is waited for, and says it again after a while.
func (n *news) again(b *bake, text string) {
	if n.waiting != text || time.Since(n.at) > saidAgain {
		b.ui.Say(text)
		n.waiting, n.at = text, time.Now()
	}
}
