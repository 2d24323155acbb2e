package spec

import (
	"context"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/imagebakery/packer-plugin-bakery/internal/check"
	"github.com/imagebakery/packer-plugin-bakery/internal/handoff"
)

// handOverPackages leaves what the image has installed where bakery-lineage
// finds it. bakery-chroot does that itself, after the last provisioner.
func (p *Provisioner) handOverPackages(ctx context.Context, comm packersdk.Communicator, data map[string]any) error {
	if id, _ := data[handoff.BakeIDKey].(string); id != "" {
		return nil
	}
	inventory, err := check.ReadInventory(ctx, check.Target{Shell: shell{comm: comm, command: p.config.ExecuteCommand}})
	if err != nil {
		return err
	}
	handed := handoff.Packages{Distro: inventory.Distro, Release: inventory.Release}
	for _, one := range inventory.Packages {
		handed.Packages = append(handed.Packages, handoff.Package(one))
	}
	return handoff.ThisBuild(p.config.PackerBuildName).PutPackages(handed)
}
