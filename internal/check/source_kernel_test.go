package check

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// imageFacts are what a run reads of an image with the given files: texts by
// path. A text "-> X" is a link to X, and "?" a file that may not be read.
func imageFacts(t *testing.T, mode Mode, plan *Plan, files map[string]string) *facts {
	t.Helper()
	n := plan.needs(mode)
	f := newFacts(mode)
	f.root, f.os = true, map[string]string{"ID": "debian"}
	for _, p := range n.paths {
		text, ok := files[p.path]
		switch {
		case !ok:
			f.nodes[p.path] = &node{presence: missing}
		case text == "?":
			f.nodes[p.path] = &node{presence: present, statted: true, mode: 0o100600, contentRead: stateDenied}
		default:
			f.nodes[p.path] = &node{
				presence: present, statted: true, mode: 0o100644, size: int64(len(text)), content: []byte(text), contentRead: stateRead,
			}
		}
	}
	for _, folder := range n.configDirs {
		dir := &configDir{read: stateAbsent}
		for _, path := range slices.Sorted(maps.Keys(files)) {
			if matched, err := filepath.Match(folder.pattern, filepath.Base(path)); err != nil || !matched || filepath.Dir(path) != folder.dir {
				continue
			}
			dir.read = stateRead
			file := configFile{path: path, name: filepath.Base(path), read: stateRead, text: files[path], runs: strings.HasPrefix(files[path], "#!")}
			switch files[path] {
			case "-> /dev/null":
				file.read, file.text = stateAbsent, ""
			case "?":
				file.read = stateDenied
			}
			dir.files = append(dir.files, file)
		}
		f.configs[folder] = dir
	}
	return f
}

// decideText decides the only assertion of a suite.
func decideText(t *testing.T, mode Mode, text string, files map[string]string) verdict {
	t.Helper()
	plan := mustCompile(t, mode, text)
	if plan.Len() != 1 {
		t.Fatalf("%d assertions, want 1", plan.Len())
	}
	return plan.Suites[0].Assertions[0].decide(imageFacts(t, mode, plan, files))
}

// decision is a row of a table of verdicts.
type decision struct {
	mode   Mode // offline by default
	check  string
	files  map[string]string
	want   Outcome
	actual string // must be in what is shown
}

func testDecisions(t *testing.T, rows map[string]decision) {
	t.Helper()
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			if row.mode == "" {
				row.mode = Offline
			}
			v := decideText(t, row.mode, row.check, row.files)
			if v.outcome != row.want || !strings.Contains(v.actual, row.actual) {
				t.Errorf("%s (%s), want %s (%s)", v.outcome, v.actual, row.want, row.actual)
			}
		})
	}
}

func TestKernelParam(t *testing.T) {
	const swappiness = `kernel_param "vm.swappiness" { configured = 1 }`
	systemd := map[string]string{"/usr/lib/systemd/systemd": ""}
	and := func(files map[string]string) map[string]string {
		all := maps.Clone(systemd)
		maps.Copy(all, files)
		return all
	}
	testDecisions(t, map[string]decision{
		"set": {check: swappiness, files: map[string]string{"/etc/sysctl.d/x.conf": "# comment\nvm.swappiness = 1\n"}, want: Passed, actual: "1 (/etc/sysctl.d/x.conf:2)"},
		"other value": {
			check: swappiness, files: map[string]string{"/etc/sysctl.d/x.conf": "vm.swappiness=60"}, want: Failed, actual: "60 (/etc/sysctl.d/x.conf:1)",
		},
		"not set":       {check: swappiness, files: map[string]string{"/etc/sysctl.d/x.conf": "#vm.swappiness=1\n;vm.swappiness=1\nvm.swappiness\n"}, want: Failed, actual: "not set"},
		"no files":      {check: swappiness, want: Failed, actual: "not set"},
		"later name":    {check: swappiness, files: map[string]string{"/etc/sysctl.d/10.conf": "vm.swappiness=60", "/usr/lib/sysctl.d/20.conf": "vm.swappiness=1"}, want: Passed, actual: "20.conf"},
		"etc hides usr": {check: swappiness, files: map[string]string{"/etc/sysctl.d/10.conf": "vm.swappiness=1", "/usr/lib/sysctl.d/10.conf": "vm.swappiness=60"}, want: Passed},
		"masked":        {check: swappiness, files: map[string]string{"/etc/sysctl.d/10.conf": "-> /dev/null", "/usr/lib/sysctl.d/10.conf": "vm.swappiness=1"}, want: Failed},
		"last line":     {check: swappiness, files: map[string]string{"/etc/sysctl.d/x.conf": "vm.swappiness=60\nvm/swappiness = 1"}, want: Passed},
		"unreadable":    {check: swappiness, files: map[string]string{"/etc/sysctl.d/x.conf": "?"}, want: Errored, actual: "may not be read"},
		"run is the host's": {
			check: swappiness, files: map[string]string{"/run/sysctl.d/x.conf": "vm.swappiness=1"}, want: Failed,
		},
		"run of a booted system": {
			mode: Booted, check: swappiness, files: map[string]string{"/run/sysctl.d/x.conf": "vm.swappiness=1"}, want: Passed,
		},
		"sysctl.conf":            {check: swappiness, files: map[string]string{"/etc/sysctl.d/x.conf": "vm.swappiness=60", sysctlConf: "vm.swappiness=1"}, want: Passed},
		"sysctl.conf of systemd": {check: swappiness, files: and(map[string]string{sysctlConf: "vm.swappiness=1"}), want: Failed, actual: "systemd does not read"},
		"sysctl.conf by a link": {
			check: swappiness, files: and(map[string]string{sysctlConf: "vm.swappiness=1", "/etc/sysctl.d/99-sysctl.conf": "vm.swappiness=1"}), want: Passed,
		},
		"unreadable sysctl.conf": {check: swappiness, files: map[string]string{sysctlConf: "?"}, want: Errored},
		"constraint":             {check: `kernel_param "net.core.somaxconn" { configured = ">= 1024" }`, files: map[string]string{"/etc/sysctl.d/x.conf": "net.core.somaxconn=4096"}, want: Passed},
		"constraint on text":     {check: `kernel_param "net.core.somaxconn" { configured = ">= 1024" }`, files: map[string]string{"/etc/sysctl.d/x.conf": "net.core.somaxconn=many"}, want: Failed, actual: "no whole number"},
		"text":                   {check: `kernel_param "net.ipv4.tcp_rmem" { configured = "4096 87380 6291456" }`, files: map[string]string{"/etc/sysctl.d/x.conf": "net.ipv4.tcp_rmem = 4096\t87380  6291456"}, want: Passed},
		"wildcard":               {check: `kernel_param "net.ipv4.conf.eth0.rp_filter" { configured = 2 }`, files: map[string]string{"/etc/sysctl.d/x.conf": "net.ipv4.conf.*.rp_filter = 2"}, want: Passed},
		"name beats wildcard":    {check: `kernel_param "net.ipv4.conf.all.rp_filter" { configured = 1 }`, files: map[string]string{"/etc/sysctl.d/x.conf": "net.ipv4.conf.all.rp_filter=1\nnet.ipv4.conf.*.rp_filter = 2"}, want: Passed},
		"excluded":               {check: `kernel_param "net.ipv4.conf.all.rp_filter" { configured = 2 }`, files: map[string]string{"/etc/sysctl.d/x.conf": "net.ipv4.conf.*.rp_filter = 2\n-net.ipv4.conf.all.rp_filter"}, want: Failed},
		"errors ignored":         {check: swappiness, files: map[string]string{"/etc/sysctl.d/x.conf": "-vm.swappiness = 1"}, want: Passed},
		"dots in a part":         {check: `kernel_param "net/ipv4/conf/eth0.5/rp_filter" { configured = 1 }`, files: map[string]string{"/etc/sysctl.d/x.conf": "net.ipv4.conf.eth0/5.rp_filter=1"}, want: Passed},
		"live":                   {mode: Booted, check: `kernel_param "vm.swappiness" { live = 1 }`, files: map[string]string{"/proc/sys/vm/swappiness": "1\n"}, want: Passed},
		"live, other":            {mode: Booted, check: `kernel_param "vm.swappiness" { live = "< 10" }`, files: map[string]string{"/proc/sys/vm/swappiness": "60\n"}, want: Failed, actual: "60"},
		"no such parameter":      {mode: Booted, check: `kernel_param "vm.nonsense" { live = 1 }`, want: Failed, actual: "no such file"},
	})
}

func TestKernelModule(t *testing.T) {
	const none = "install usb-storage /bin/false"
	testDecisions(t, map[string]decision{
		"disabled":          {check: `kernel_module "usb_storage" { disabled = true }`, files: map[string]string{"/etc/modprobe.d/x.conf": none}, want: Passed, actual: "/etc/modprobe.d/x.conf:1"},
		"only blacklisted":  {check: `kernel_module "usb_storage" { disabled = true }`, files: map[string]string{"/etc/modprobe.d/x.conf": "blacklist usb_storage"}, want: Failed},
		"install of a tool": {check: `kernel_module "usb_storage" { disabled = true }`, files: map[string]string{"/etc/modprobe.d/x.conf": "install usb_storage /sbin/load"}, want: Failed},
		"later install":     {check: `kernel_module "usb_storage" { disabled = true }`, files: map[string]string{"/etc/modprobe.d/a.conf": none, "/etc/modprobe.d/b.conf": "install usb_storage /sbin/load"}, want: Failed},
		"continued":         {check: `kernel_module "usb_storage" { disabled = true }`, files: map[string]string{"/etc/modprobe.d/x.conf": "# c\ninstall usb_storage \\\n /bin/true"}, want: Passed, actual: ":2"},
		"not disabled":      {check: `kernel_module "usb_storage" { disabled = false }`, want: Passed},
		"blacklisted":       {check: `kernel_module "usb-storage" { blacklisted = true }`, files: map[string]string{"/usr/lib/modprobe.d/x.conf": "blacklist usb_storage"}, want: Passed},
		"commented":         {check: `kernel_module "usb-storage" { blacklisted = true }`, files: map[string]string{"/etc/modprobe.d/x.conf": "# blacklist usb_storage"}, want: Failed},
		"longer name":       {check: `kernel_module "usb" { blacklisted = true }`, files: map[string]string{"/etc/modprobe.d/x.conf": "blacklist usb_storage"}, want: Failed},
		"unreadable":        {check: `kernel_module "usb" { blacklisted = false }`, files: map[string]string{"/etc/modprobe.d/x.conf": "?"}, want: Errored},
		"at boot":           {check: `kernel_module "br-netfilter" { at_boot = true }`, files: map[string]string{"/etc/modules-load.d/k8s.conf": "# k8s\noverlay\nbr_netfilter\n"}, want: Passed, actual: "k8s.conf:3"},
		"not at boot":       {check: `kernel_module "br_netfilter" { at_boot = true }`, files: map[string]string{"/etc/modules-load.d/k8s.conf": "#br_netfilter"}, want: Failed},
		"at boot, disabled": {check: `kernel_module "br_netfilter" { at_boot = true }`, files: map[string]string{"/etc/modules-load.d/x.conf": "br_netfilter", "/etc/modprobe.d/x.conf": "blacklist br_netfilter"}, want: Failed, actual: "keeps it from being loaded"},
		"etc/modules":       {check: `kernel_module "loop" { at_boot = true }`, files: map[string]string{etcModules: "loop max_loop=8\n"}, want: Passed},
		"etc/modules of systemd": {
			check: `kernel_module "loop" { at_boot = true }`, files: map[string]string{etcModules: "loop", "/lib/systemd/systemd": ""}, want: Failed,
		},
		"loaded":     {mode: Booted, check: `kernel_module "br-netfilter" { loaded = true }`, files: map[string]string{procModules: "br_netfilter 32768 0 - Live 0x0\n"}, want: Passed},
		"not loaded": {mode: Booted, check: `kernel_module "br" { loaded = true }`, files: map[string]string{procModules: "br_netfilter 32768 0 - Live 0x0\n"}, want: Failed},
		"cannot be seen": {
			mode: Booted, check: `kernel_module "br" { loaded = false }`, files: map[string]string{procModules: "?"}, want: Errored,
		},
	})
}

func TestMount(t *testing.T) {
	table := map[string]string{fstab: `# <file system> <mount point>
UUID=1-2  /            ext4  errors=remount-ro 0 1
LABEL=old /data        ext4
LABEL=new /data/       xfs   nofail,noatime 0 2
tmpfs     /my\040files tmpfs defaults
`}
	info := map[string]string{mountInfo: `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:5 / /data rw,nosuid shared:2 master:1 - xfs /dev/sdb rw,noquota
`}
	testDecisions(t, map[string]decision{
		"entry":            {check: `mount "/data" {}`, files: table, want: Passed, actual: "/etc/fstab:4"},
		"no entry":         {check: `mount "/dat" {}`, files: table, want: Failed, actual: "no entry in /etc/fstab"},
		"none wanted":      {check: `mount "/dat" { fstab = false }`, files: table, want: Passed},
		"none wanted, is":  {check: `mount "/data" { fstab = false }`, files: table, want: Failed},
		"no fstab":         {check: `mount "/data" {}`, want: Failed},
		"unreadable":       {check: `mount "/data" { fstab = false }`, files: map[string]string{fstab: "?"}, want: Errored},
		"last entry":       {check: `mount "/data" { device = "LABEL=new" }`, files: table, want: Passed},
		"type":             {check: `mount "/data" { type = "ext4" }`, files: table, want: Failed, actual: "xfs"},
		"options":          {check: `mount "/data" { options = ["nofail"] }`, files: table, want: Passed},
		"part of options":  {check: `mount "/data" { options = ["nofai"] }`, files: table, want: Failed},
		"not options":      {check: `mount "/data" { not_options = ["noatime"] }`, files: table, want: Failed},
		"not of nothing":   {check: `mount "/dat" { not_options = ["noatime"] }`, files: table, want: Failed, actual: "no entry"},
		"escaped":          {check: `mount "/my files" { type = "tmpfs" }`, files: table, want: Passed},
		"mounted":          {mode: Booted, check: `mount "/data" { mounted = true }`, files: info, want: Passed, actual: "/dev/sdb, xfs"},
		"not mounted":      {mode: Booted, check: `mount "/mnt" { mounted = true }`, files: info, want: Failed},
		"not to be there":  {mode: Booted, check: `mount "/mnt" { mounted = false }`, files: info, want: Passed},
		"cannot be seen":   {mode: Booted, check: `mount "/mnt" { mounted = false }`, files: map[string]string{mountInfo: "?"}, want: Errored},
		"effective option": {mode: Booted, check: `mount "/data" { mounted_options = ["nosuid", "noquota"] }`, files: info, want: Passed},
		"missing option":   {mode: Booted, check: `mount "/data" { mounted_options = ["nodev"] }`, files: info, want: Failed},
	})
}

func TestKernelBlocksThatAssertNothing(t *testing.T) {
	for text, want := range map[string]string{
		`kernel_param "vm.swappiness" {}`:                         "asserts nothing",
		`kernel_param "swappiness" { configured = 1 }`:            "is not a parameter of the kernel",
		`kernel_param "../x.y" { configured = 1 }`:                "is not a parameter of the kernel",
		`kernel_param "vm.x" { configured = "" }`:                 "asserts nothing",
		`kernel_param "vm.x" { configured = " " }`:                "white space asserts nothing",
		`kernel_param "vm.x" { configured = ">= many" }`:          "not a whole number",
		`kernel_param "vm.x" { live = 1 }`:                        "cannot be decided offline",
		`kernel_module "x" {}`:                                    "asserts nothing",
		`kernel_module "x" { loaded = true }`:                     "at_boot = true",
		`kernel_module "x*" { disabled = true }`:                  "pattern",
		`mount "mnt" {}`:                                          "not an absolute path",
		`mount "/mnt" { options = [] }`:                           "empty list",
		`mount "/mnt" { mounted = true }`:                         "fstab = true",
		"mount \"/mnt\" {\nfstab = false\ntype = \"ext4\"\n}":     "leaves nothing else",
		"mount \"/m\" {\noptions=[\"a\"]\nnot_options=[\"a\"]\n}": "in not_options too",
	} {
		_, problems := compileText(t, Offline, text)
		if len(problems) != 1 || !strings.Contains(problems[0], want) {
			t.Errorf("%s: %q, want %q", text, problems, want)
		}
	}
}

// The folders of configuration files, as a shell of the image reads them.
func TestConfigsOnEachShell(t *testing.T) {
	onEachShell(t, func(t *testing.T, shell local) {
		dir := t.TempDir()
		for name, text := range map[string]string{"a b.conf": "x\n\ny", "plain.conf": "", ".hidden.conf": "no", "other.txt": "no"} {
			writeTestFile(t, filepath.Join(dir, name), text, 0o644)
		}
		if err := os.Symlink("/dev/null", filepath.Join(dir, "null.conf")); err != nil {
			t.Fatal(err)
		}
		n := &needs{byPath: map[string]*pathNeed{}}
		n.configs(dir, dir+"/none")
		s := newScript(newNonce(), n, Offline)
		frames, _, err := execute(t.Context(), Target{Shell: shell}, s, scriptTimeout, nil)
		if err != nil {
			t.Fatal(err)
		}
		f := newFacts(Offline)
		for _, fr := range frames {
			f.take(fr, n, nil)
		}
		files, v := f.dropIns(dir+"/none", dir)
		want := []configFile{
			{path: dir + "/a b.conf", name: "a b.conf", read: stateRead, text: "x\n\ny"},
			{path: dir + "/plain.conf", name: "plain.conf", read: stateRead, text: ""},
		}
		if v.outcome != "" || !slices.Equal(files, want) {
			t.Errorf("%+v %+v, want %+v", v, files, want)
		}
	})
}

func FuzzConfigs(f *testing.F) {
	f.Add("vm.swappiness = 1\n-net.*.x\n")
	f.Add("install a \\\n/bin/true\nblacklist b")
	f.Add("LABEL=x /a\\040b ext4 defaults,nofail 0 2")
	f.Add("30 22 0:5 / /data rw,nosuid shared:2 - xfs /dev/sdb rw")
	f.Fuzz(func(_ *testing.T, text string) {
		files := []configFile{{path: "/x", text: text}}
		findParam(files, "vm/swappiness")
		for range modprobeLines(text) {
		}
		parseFstab(text)
		parseMountInfo(text)
	})
}
