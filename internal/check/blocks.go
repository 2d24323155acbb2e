//go:generate go tool packer-sdc struct-markdown

package check

import "slices"

// Blocks are the check blocks that a template may have, one list for each kind:
// Packer's plugin protocol knows no order between kinds.
type Blocks struct {
	// Checks of files, directories and links.
	File []File `mapstructure:"file"`
	// Checks of packages.
	Package []Package `mapstructure:"package"`
	// Checks of services.
	Service []Service `mapstructure:"service"`
	// Checks of users.
	User []User `mapstructure:"user"`
	// Checks of groups.
	Group []Group `mapstructure:"group"`
	// Checks of settings in configuration files.
	Config []Config `mapstructure:"config"`
	// Checks of parameters of the kernel.
	KernelParam []KernelParam `mapstructure:"kernel_param"`
	// Checks of modules of the kernel.
	KernelModule []KernelModule `mapstructure:"kernel_module"`
	// Checks of what is mounted where.
	Mount []Mount `mapstructure:"mount"`
	// Checks of ports on which something listens.
	Port []Port `mapstructure:"port"`
	// Checks of processes that run.
	Process []Process `mapstructure:"process"`
	// Checks of certificates.
	X509 []X509 `mapstructure:"x509"`
	// Checks of jobs of cron.
	Cron []Cron `mapstructure:"cron"`
	// Checks of timers of systemd.
	Timer []Timer `mapstructure:"timer"`
	// Checks of where packages come from.
	Repository []Repository `mapstructure:"repository"`
	// Checks of SELinux.
	SELinux []SELinux `mapstructure:"selinux"`
	// Checks that nothing of one machine or of its makers is left.
	Hygiene []Hygiene `mapstructure:"hygiene"`
	// Checks of network interfaces.
	Interface []Interface `mapstructure:"interface"`
	// Checks of what can be connected to.
	Addr []Addr `mapstructure:"addr"`
	// Checks of what names resolve to.
	DNS []DNS `mapstructure:"dns"`
	// Checks of what web servers answer.
	HTTP []HTTP `mapstructure:"http"`
	// Checks of what commands do.
	Command []Command `mapstructure:"command"`
	// Checks that are known to fail.
	Waiver []Waiver `mapstructure:"waiver"`
}

// Suite makes a suite of the blocks.
func (b *Blocks) Suite(name string) Suite {
	return Suite{
		Name: name,
		Entries: slices.Concat(
			entries(b.File), entries(b.Package), entries(b.Service),
			entries(b.User), entries(b.Group),
			entries(b.Config), entries(b.KernelParam), entries(b.KernelModule), entries(b.Mount),
			entries(b.Port), entries(b.Process), entries(b.X509),
			entries(b.Cron), entries(b.Timer), entries(b.Repository), entries(b.SELinux), entries(b.Hygiene),
			entries(b.Interface), entries(b.Addr), entries(b.DNS), entries(b.HTTP),
			entries(b.Command)),
		Waivers: b.Waiver,
	}
}

func entries[T any, B interface {
	*T
	Block
}](blocks []T) []Entry {
	list := make([]Entry, len(blocks))
	for i := range blocks {
		list[i] = Entry{Block: B(&blocks[i])}
	}
	return list
}
