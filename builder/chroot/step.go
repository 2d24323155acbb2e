package chroot

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/packer-plugin-sdk/multistep"

	"github.com/imagebakery/packer-plugin-bakery/internal/handoff"
)

// work is what a step does or undoes.
type work func(ctx context.Context) error

// step makes a step of the bake: run does its work, and undo, which may be nil
// and must be harmless when there is nothing to undo, takes it back.
func (b *bake) step(name, doing string, run, undo work) multistep.Step {
	return b.timed(name, &bakeStep{bake: b, name: name, doing: doing, run: run, undo: undo})
}

// bakeStep fits a part of the bake into Packer's runner.
type bakeStep struct {
	bake      *bake
	name      string
	doing     string
	run, undo work
}

// Run implements [multistep.Step].
func (s *bakeStep) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	s.bake.ui.Say(s.doing)
	if err := s.run(ctx); err != nil {
		err = fmt.Errorf("%s: %w", s.name, s.bake.explain(ctx, err))
		state.Put("error", err)
		s.bake.ui.Error(err.Error())
		return multistep.ActionHalt
	}
	return multistep.ActionContinue
}

// explain decodes AWS's reason for a refusal, when the template wants that.
func (b *bake) explain(ctx context.Context, err error) error {
	if !b.config.DecodeAuthZMessages || b.client == nil {
		return err
	}
	return b.client.Explain(ctx, err)
}

// Cleanup implements [multistep.Step]. The context of the build may have ended,
// so it brings its own.
func (s *bakeStep) Cleanup(multistep.StateBag) {
	if s.undo == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	if err := s.undo(ctx); err != nil {
		s.bake.ui.Error(fmt.Sprintf("Undoing %q: %v", s.name, err))
	}
}

// timed measures a step.
func (b *bake) timed(name string, inner multistep.Step) multistep.Step {
	return &timedStep{Step: inner, bake: b, name: name}
}

type timedStep struct {
	multistep.Step
	bake *bake
	name string
}

// InnerStepName implements [multistep.StepWrapper]: -debug and -on-error=ask
// show it.
func (s *timedStep) InnerStepName() string { return s.name }

// Run implements [multistep.Step].
func (s *timedStep) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	if s.bake.equal.found != nil {
		return multistep.ActionContinue // there is nothing to do any more
	}
	begin := time.Now()
	action := s.Step.Run(ctx, state)
	s.bake.took = append(s.bake.took, handoff.Step{Name: s.name, Seconds: time.Since(begin).Seconds()})
	return action
}

// summary says how long each step took.
func (b *bake) summary() {
	var text strings.Builder
	var all float64
	for _, step := range b.took {
		fmt.Fprintf(&text, "\n  %-14s %7.2f s", step.Name, step.Seconds)
		all += step.Seconds
	}
	fmt.Fprintf(&text, "\n  %-14s %7.2f s", "all", all)
	b.ui.Say("Durations:" + text.String())
}
