// Package version holds the version that the plugin and the bakery command
// report. A release build blanks VersionPrerelease with -ldflags.
package version

import "github.com/hashicorp/packer-plugin-sdk/version"

var (
	// Version is the semantic version of the source tree.
	Version = "0.1.0"

	// VersionPrerelease is "dev" between releases and empty in a release;
	// `packer init` accepts release builds only.
	VersionPrerelease = "dev"

	// PluginVersion is what `packer-plugin-bakery describe` reports.
	PluginVersion = version.NewPluginVersion(Version, VersionPrerelease, "")
)
