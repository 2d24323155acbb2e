// Package chroot is the builder bakery-chroot: it clones the root snapshot of
// an image onto a volume, provisions it in a chroot on this host, and makes an
// image of the result. No instance boots.
package chroot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/hashicorp/packer-plugin-sdk/multistep"
	"github.com/hashicorp/packer-plugin-sdk/multistep/commonsteps"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/imagebakery/packer-plugin-bakery/internal/bakekey"
	"github.com/imagebakery/packer-plugin-bakery/internal/handoff"
	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// BuilderID identifies artifacts of this builder.
const BuilderID = "imagebakery.chroot"

// Builder implements [packersdk.Builder].
type Builder struct {
	config   Config
	journals string        // folder of journals; empty: that of the suite
	beat     time.Duration // between signs of life; 0: as often as usual

	call func() (bakekey.Call, error) // how Packer was called; nil: by what its process says
}

var _ packersdk.Builder = (*Builder)(nil)

// buildVariables are what provisioners and post-processors can use as
// `build.NAME`.
var buildVariables = []string{
	"BuildRegion", "SourceAMI", "SourceAMIName", "SourceAMICreationDate", "SourceAMIOwner", "SourceAMIOwnerName",
	"Device", "MountPath", handoff.BakeIDKey,
}

// ConfigSpec implements [packersdk.HCL2Speccer].
func (b *Builder) ConfigSpec() hcldec.ObjectSpec { return b.config.FlatMapstructure().HCL2Spec() }

// Prepare implements [packersdk.Builder].
func (b *Builder) Prepare(raws ...any) (variables, warnings []string, err error) {
	err = b.config.prepare(raws...)
	return buildVariables, b.config.warnings(), err
}

// Run implements [packersdk.Builder].
func (b *Builder) Run(ctx context.Context, ui packersdk.Ui, hook packersdk.Hook) (packersdk.Artifact, error) {
	bake := newBake(&b.config, ui)
	bake.journals, bake.equal.call, bake.beatEvery = b.journals, b.call, b.beat
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	bake.stop = stop
	state := new(multistep.BasicStateBag)
	state.Put("hook", hook)
	state.Put("ui", ui)
	bake.state = state

	runner := commonsteps.NewRunner(bake.steps(), b.config.PackerConfig, ui)
	runner.Run(ctx, state)

	failure, failed := state.Get("error").(error)
	if !failed && !bake.committed() {
		if _, cancelled := state.GetOk(multistep.StateCancelled); cancelled && bake.equal.found == nil {
			failure = errors.New("the bake was cancelled")
		} else if _, halted := state.GetOk(multistep.StateHalted); halted {
			failure = errors.New("the bake was halted")
		}
	}
	if cause := context.Cause(ctx); failure != nil && errors.Is(cause, registry.ErrLeaseLost) && !errors.Is(failure, cause) {
		failure = fmt.Errorf("%w: %w", cause, failure)
	}
	leftErr := bake.finish(failure) //nolint:contextcheck // ctx may have ended; finish brings its own
	if failure != nil {
		return nil, errors.Join(failure, leftErr)
	}
	if leftErr != nil {
		// The image is good; what could not be removed stays in the journal for
		// the next bake or `bakery reap`.
		ui.Error(fmt.Sprintf("The image is good, but not all of its bake could be removed: %v", leftErr))
	}
	if b.config.SkipCreateAMI {
		return nil, nil
	}
	if bake.equal.found != nil {
		return bake.returned(), nil
	}
	return bake.artifact(), nil
}
