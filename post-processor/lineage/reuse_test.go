package lineage

import (
	"errors"
	"strings"
	"testing"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/imagebakery/packer-plugin-bakery/internal/handoff"
	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// leased makes the artifact that of a bake that holds the lease of its key, or
// that has found the image with the id reused.
func (b *bench) leased(artifact *packersdk.MockArtifact, token int64, reused string) *packersdk.MockArtifact {
	bake := artifact.StateValues[handoff.StateKey].(map[any]any)
	bake["lease"], bake["registry"], bake["reused"] = token, "sqlite:"+b.path, reused
	return artifact
}

// lease gets the lease of the key of [baked], for a holder that nobody replaces.
func (b *bench) lease() int64 {
	b.t.Helper()
	var token int64
	b.with(func(reg *registry.Registry) {
		c, err := reg.Contend("k", "test", time.Hour)
		if err != nil {
			b.t.Fatal(err)
		}
		held, _, err := c.Try(b.t.Context())
		if err != nil || held == nil {
			b.t.Fatalf("no lease: %v", err)
		}
		token = held.Token()
	})
	return token
}

// said is what was said to people.
func (b *bench) said() string {
	var text []string
	for _, message := range b.ui.SayMessages {
		text = append(text, message.Message)
	}
	return strings.Join(text, "\n")
}

func TestLeasedBakeIsRegisteredOnce(t *testing.T) {
	b := newBench(t)
	token := b.lease()
	if err := b.process(b.leased(baked(), token, ""), nil); err != nil {
		t.Fatal(err)
	}
	// The lease is free now: somebody else gets the next one.
	if next := b.lease(); next <= token {
		t.Errorf("the next token is %d, want more than %d", next, token)
	}
	late := b.leased(baked(), token, "")
	late.StateValues[handoff.StateKey].(map[any]any)["images"] = []any{map[any]any{"region": "us-east-1", "id": "ami-late"}}
	if err := b.process(late, nil); !errors.Is(err, registry.ErrLeaseLost) {
		t.Errorf("error is %v, want that the lease is lost", err)
	}
	if _, err := b.show("ami-late"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("what was baked without the lease is registered: %v", err)
	}
}

func TestReusedImageStaysAsItIs(t *testing.T) {
	b := newBench(t)
	b.handOver(result("s", "passed", "a=passed"))
	if err := b.process(baked(), nil); err != nil {
		t.Fatal(err)
	}
	before, err := b.show("ami-shop")
	if err != nil {
		t.Fatal(err)
	}
	b.ui.SayMessages = nil
	if err := b.process(b.leased(baked(), 0, before.ID), map[string]any{"require_tests": true}); err != nil {
		t.Fatal(err)
	}
	after, err := b.show("ami-shop")
	if err != nil {
		t.Fatal(err)
	}
	if after.RegisteredAt != before.RegisteredAt || len(after.Results) != 1 {
		t.Errorf("registered at %s with %d results, want it as before", after.RegisteredAt, len(after.Results))
	}
	if last := after.Events[len(after.Events)-1]; last.Op != registry.OpReuse || last.Detail != "build shop, run run-1" {
		t.Errorf("the last event is %+v", last)
	}
	if !strings.Contains(b.said(), "Reused shop 1.4.2 as "+before.ID) {
		t.Errorf("it said:\n%s", b.said())
	}
}

func TestReusedImageThatDoesNotFit(t *testing.T) {
	b := newBench(t)
	if err := b.process(baked(), nil); err != nil {
		t.Fatal(err)
	}
	before, err := b.show("ami-shop")
	if err != nil {
		t.Fatal(err)
	}
	for want, options := range map[string]map[string]any{
		"with version 1.4.2":   {"version": "2"},
		"require_tests is set": {"require_tests": true},
		"stays as it is":       {"version": "3"},
	} {
		err := b.process(b.leased(baked(), 0, before.ID), options)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "deletes it") {
			t.Errorf("error is %v, want %q", err, want)
		}
	}
	if err := b.process(b.leased(baked(), 0, "01NONE"), nil); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("error is %v, want that it is not found", err)
	}
}

func TestAnotherRegistryThanTheBuilders(t *testing.T) {
	b := newBench(t)
	artifact := b.leased(baked(), 7, "")
	artifact.StateValues[handoff.StateKey].(map[any]any)["registry"] = "sqlite:/elsewhere.db"
	if err := b.process(artifact, nil); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.ui.ErrorMessage, "looks for equal images in sqlite:/elsewhere.db") {
		t.Errorf("it said %q", b.ui.ErrorMessage)
	}
}
