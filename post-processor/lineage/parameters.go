package lineage

import (
	"context"
	"errors"
	"fmt"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/imagebakery/packer-plugin-bakery/internal/access"
	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// undoTimeout bounds putting parameters back after a failure, for which the
// context of the build may have ended.
const undoTimeout = time.Minute

// publish makes the parameter of Systems Manager that the template names hold
// the image's id in each of its regions. undo puts back what they held before.
func (p *PostProcessor) publish(ctx context.Context, ui packersdk.Ui, img registry.Image) (undo func(), err error) {
	name := p.config.SSMParameter
	nothing := func() {}
	if name == "" {
		return nothing, nil
	}
	switch first := img.Artifacts[0]; first.Cloud {
	case access.AWS:
	case access.Local:
		for _, a := range img.Artifacts {
			ui.Say(fmt.Sprintf("The local cloud has no parameters: on AWS, %s in %s would hold %s now", name, a.Region, a.ID))
		}
		return nothing, nil
	default:
		return nil, fmt.Errorf("ssm_parameter is %q, but the image is in %s, not in AWS; leave the option out", name, first.Cloud)
	}
	client, err := p.client(ctx, ui, img)
	if err != nil {
		return nil, err
	}
	var undone []func(context.Context) error
	undo = func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		for _, back := range undone {
			if err := back(ctx); err != nil {
				ui.Error(fmt.Sprintf("ssm_parameter: put back what %s was: %v", name, err))
			}
		}
	}
	for _, a := range img.Artifacts {
		back, err := put(ctx, client.InRegion(a.Region), name, a.ID)
		if back != nil {
			undone = append(undone, back)
		}
		if err != nil {
			undo()
			return nil, fmt.Errorf("ssm_parameter in %s: %w", a.Region, err)
		}
		ui.Say(fmt.Sprintf("Parameter %s in %s: %s", name, a.Region, a.ID))
	}
	return undo, nil
}

// put makes a parameter hold an image, and returns how to put back what it held.
func put(ctx context.Context, client *cloud.Client, name, image string) (back func(context.Context) error, err error) {
	before, err := client.ImageParameter(ctx, name)
	switch {
	case errors.Is(err, cloud.ErrNotFound):
		back = func(ctx context.Context) error { return client.DeleteParameter(ctx, name) }
	case err != nil:
		return nil, err
	default:
		back = func(ctx context.Context) error { return client.PutImageParameter(ctx, name, before) }
	}
	return back, client.PutImageParameter(ctx, name, image)
}

// client returns a client for the cloud that an image is in.
func (p *PostProcessor) client(ctx context.Context, ui packersdk.Ui, img registry.Image) (*cloud.Client, error) {
	first := img.Artifacts[0]
	if named := p.config.Cloud; named != "" && named != first.Cloud {
		return nil, fmt.Errorf("cloud is %q, but the image is in %q; leave the option out", named, first.Cloud)
	}
	where := p.config.Config
	where.Cloud, where.Region = first.Cloud, first.Region
	if errs := where.Prepare(); len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return where.Client(ctx, func(what, state string, waited time.Duration) {
		ui.Say(fmt.Sprintf("Waiting for %s, %s for %s", what, state, waited.Round(time.Second)))
	})
}
