// Packer-plugin-bakery is a Packer plugin for people who bake machine images.
package main

import (
	"fmt"
	"os"

	"github.com/hashicorp/packer-plugin-sdk/plugin"

	"github.com/imagebakery/packer-plugin-bakery/builder/chroot"
	"github.com/imagebakery/packer-plugin-bakery/datasource/ancestor"
	"github.com/imagebakery/packer-plugin-bakery/post-processor/lineage"
	"github.com/imagebakery/packer-plugin-bakery/provisioner/spec"
	"github.com/imagebakery/packer-plugin-bakery/version"
)

func main() {
	set := plugin.NewSet()
	set.RegisterBuilder("chroot", new(chroot.Builder))
	set.RegisterDatasource("ancestor", new(ancestor.Datasource))
	set.RegisterProvisioner("spec", new(spec.Provisioner))
	set.RegisterPostProcessor("lineage", new(lineage.PostProcessor))
	set.SetVersion(version.PluginVersion)
	if err := set.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
