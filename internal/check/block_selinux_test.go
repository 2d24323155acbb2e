package check

import "testing"

func TestSELinux(t *testing.T) {
	const enforcing = `selinux { configured = "enforcing" }`
	config := func(more ...string) map[string]string {
		files := map[string]string{selinuxConfig: "# SELINUX=disabled\nSELINUX=enforcing\nSELINUXTYPE=targeted\n"}
		for i := 0; i+1 < len(more); i += 2 {
			files[more[i]] = more[i+1]
		}
		return files
	}
	testDecisions(t, map[string]decision{
		"enforcing":       {check: enforcing, files: config(), want: Passed, actual: selinuxConfig},
		"permissive":      {check: `selinux { configured = "permissive" }`, files: config(), want: Failed, actual: "enforcing"},
		"none":            {check: enforcing, want: Failed, actual: "disabled (the image has no"},
		"none, wanted":    {check: `selinux { configured = "disabled" }`, want: Passed},
		"nonsense":        {check: enforcing, files: map[string]string{selinuxConfig: "SELINUX=on\n"}, want: Failed, actual: "no mode"},
		"unreadable":      {check: enforcing, files: map[string]string{selinuxConfig: "?"}, want: Errored},
		"kernel, off":     {check: enforcing, files: config(grubDefaults, `GRUB_CMDLINE_LINUX="quiet selinux=0"`), want: Failed, actual: "selinux=0"},
		"kernel, lenient": {check: enforcing, files: config(kernelCmdline, "root=x enforcing=0\n"), want: Failed, actual: "permissive"},
		"boot entry":      {check: enforcing, files: config(bootEntries+"/a.conf", "title x\noptions root=x enforcing=0\n"), want: Failed},
		"policy":          {check: `selinux { policy = "targeted" }`, files: config("/etc/selinux/targeted", "x"), want: Passed},
		"no such policy":  {check: `selinux { policy = "targeted" }`, files: config(), want: Failed, actual: "the image has no /etc/selinux/targeted"},
		"other policy":    {check: `selinux { policy = "mls" }`, files: config(), want: Failed, actual: "targeted"},
		"live":            {mode: Booted, check: `selinux { live = "enforcing" }`, files: map[string]string{selinuxEnforce: "1"}, want: Passed},
		"live, lenient":   {mode: Booted, check: `selinux { live = "enforcing" }`, files: map[string]string{selinuxEnforce: "0"}, want: Failed, actual: "permissive"},
		"live, none":      {mode: Booted, check: `selinux { live = "disabled" }`, want: Passed},
		"live, nonsense":  {mode: Booted, check: `selinux { live = "disabled" }`, files: map[string]string{selinuxEnforce: "x"}, want: Errored},
	})
}
