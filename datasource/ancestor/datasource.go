// Package ancestor is the data source bakery-ancestor: it finds the newest
// image in the registry that a template may bake from.
package ancestor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/hashicorp/packer-plugin-sdk/hcl2helper"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"github.com/hashicorp/packer-plugin-sdk/template/config"
	"github.com/zclconf/go-cty/cty"

	"github.com/imagebakery/packer-plugin-bakery/internal/access"
	"github.com/imagebakery/packer-plugin-bakery/internal/stores"
	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// timeout bounds a search. Packer gives data sources no context to cancel, so
// that a registry that does not answer must not hold it for ever.
const timeout = 2 * time.Minute

// Datasource is bakery-ancestor.
type Datasource struct {
	config Config
	query  registry.Query
}

var _ packersdk.Datasource = (*Datasource)(nil)

// ConfigSpec implements [packersdk.Datasource].
func (d *Datasource) ConfigSpec() hcldec.ObjectSpec { return d.config.FlatMapstructure().HCL2Spec() }

// OutputSpec implements [packersdk.Datasource].
func (d *Datasource) OutputSpec() hcldec.ObjectSpec {
	return (&DatasourceOutput{}).FlatMapstructure().HCL2Spec()
}

// Configure implements [packersdk.Datasource].
func (d *Datasource) Configure(raws ...any) error {
	var errs *packersdk.MultiError
	if err := config.Decode(&d.config, &config.DecodeOpts{PluginType: "bakery-ancestor"}, raws...); err != nil {
		errs = packersdk.MultiErrorAppend(errs, err)
	}
	query, wrong := d.config.prepare()
	errs = packersdk.MultiErrorAppend(errs, wrong...)
	if len(errs.Errors) > 0 {
		return errs
	}
	d.query = query
	return nil
}

// Execute implements [packersdk.Datasource].
func (d *Datasource) Execute() (cty.Value, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	output, err := d.find(ctx)
	if d.config.OnEmpty == emptyNull && (errors.Is(err, registry.ErrNotFound) || errors.Is(err, registry.ErrNoRegistry)) {
		return d.none(err), nil
	}
	if err != nil {
		return cty.NullVal(cty.EmptyObject), err
	}
	return hcl2helper.HCL2ValueFromConfig(output, d.OutputSpec()), nil
}

// none is the output when no image matches, which why says.
func (d *Datasource) none(why error) cty.Value {
	output := DatasourceOutput{
		Cloud: d.query.Cloud, Region: d.query.Region, Snapshots: list(nil), Tags: table(nil), Labels: table(nil),
		Channels: list(nil), Tests: table(nil), Lineage: list(nil), Explain: why.Error(),
	}
	attributes := hcl2helper.HCL2ValueFromConfig(output, d.OutputSpec()).AsValueMap()
	attributes["id"] = cty.NullVal(cty.String)
	return cty.ObjectVal(attributes)
}

func (d *Datasource) find(ctx context.Context) (DatasourceOutput, error) {
	query := d.query
	if query.Region == "" {
		region, err := d.regionOfHost(ctx)
		if err != nil {
			return DatasourceOutput{}, err
		}
		query.Region = region
	}
	store, err := stores.OpenForReading(ctx, d.config.Registry)
	if errors.Is(err, registry.ErrNoRegistry) {
		return DatasourceOutput{}, fmt.Errorf("no image is registered that is %s: %w", query, err)
	}
	if err != nil {
		return DatasourceOutput{}, err
	}
	defer store.Close() //nolint:errcheck // it was only read

	found, err := registry.New(store).Find(ctx, query)
	if err != nil {
		var miss *registry.NoMatchError
		if errors.As(err, &miss) && len(miss.Considered) > 1 {
			return DatasourceOutput{}, fmt.Errorf("%w\nConsidered, newest first:\n%s", err, miss.Explain())
		}
		return DatasourceOutput{}, err
	}
	return output(found, query), nil
}

// regionOfHost asks what a builder without the option region would ask.
func (d *Datasource) regionOfHost(ctx context.Context) (string, error) {
	where := access.Config{Cloud: d.config.Cloud}
	client, err := where.Client(ctx, nil)
	if err != nil {
		return "", err
	}
	return client.Region(), client.Close()
}

func output(found registry.Found, q registry.Query) DatasourceOutput {
	// The query lets only images through that are there.
	artifact, _ := found.There(q.Cloud, q.Region, q.Account)
	out := DatasourceOutput{
		Found: true, ID: artifact.ID, Name: artifact.Name, Cloud: artifact.Cloud, Region: artifact.Region,
		Account: artifact.Account, Snapshots: list(artifact.Snapshots), Tags: table(artifact.Tags),
		RegistryID: found.ID, Application: found.Application, Version: found.Version, Layer: found.Layer,
		Environment: found.Environment, Release: found.Release, Arch: found.Arch, Owner: found.Owner,
		Labels: table(found.Labels), CreatedAt: found.CreatedAt.Format(time.RFC3339),
		Status: string(found.Status), Channels: list(found.Channels), Tests: map[string]string{},
		Lineage: []string{}, Explain: found.Explain(),
	}
	if !found.RevokeAt.IsZero() {
		out.RevokeAt = found.RevokeAt.Format(time.RFC3339)
	}
	for _, suite := range found.Suites {
		out.Tests[suite.Title()] = string(suite.Outcome)
	}
	for _, img := range found.Lineage.Ancestors {
		there, ok := img.In(q.Cloud, q.Region, "")
		if !ok {
			there = img.Artifacts[0]
		}
		out.Lineage = append(out.Lineage, there.ID)
	}
	if root := found.Lineage.Root; root.ID != "" {
		out.Lineage = append(out.Lineage, root.ID)
	}
	return out
}

// list and table make an empty value of none, which would be null to a
// template, and an error in most of its functions.
func list(values []string) []string { return append([]string{}, values...) }

func table(values map[string]string) map[string]string {
	if values == nil {
		return map[string]string{}
	}
	return values
}
