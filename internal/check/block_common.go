//go:generate go tool packer-sdc struct-markdown

package check

// Common is what a check block of any kind accepts.
type Common struct {
	// How bad it is when the check does not hold: `low`, `medium` (the
	// default), `high` or `critical`. A check below the provisioner's
	// `fail_on` is reported and does not fail the build.
	Severity *string `mapstructure:"severity"`
	// `boot`: decide this check on a running system only. In an image that is
	// mounted in a chroot it is reported as deferred and written to the
	// provisioner's `deferred` file.
	Requires *string `mapstructure:"requires"`
	// How long a booted run tries again when the check does not hold, for example
	// `"2m"`, because services take their time to come up. It has no effect
	// offline, where nothing changes.
	Retry *string `mapstructure:"retry"`
}
