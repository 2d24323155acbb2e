package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/imagebakery/packer-plugin-bakery/internal/secrets"
)

// hygieneRule is one assertion: that no path matches a pattern, or what decide
// says.
type hygieneRule struct {
	name     string
	present  bool     // whatever is there counts; otherwise only files with content
	patterns []string // of a shell; ~ is each home directory
	keys     bool     // search for private keys
	decide   func(*facts) verdict
	asks     option
	secrets  func(secretIn) bool // those that a search for secrets is looking for
	except   []string            // where they do not count
}

var hygieneRules = []hygieneRule{
	{name: "ssh-host-keys", present: true, patterns: []string{"/etc/ssh/ssh_host_*_key", "/etc/ssh/ssh_host_*_key.pub", "/etc/dropbear/*_host_key"}},
	{name: "authorized-keys", patterns: []string{"~/.ssh/authorized_keys", "~/.ssh/authorized_keys2", "/etc/ssh/authorized_keys", "/etc/dropbear/authorized_keys"}},
	{name: "machine-id", decide: (*facts).noMachineID, asks: readsText(machineIDs...)},
	{name: "cloud-init", present: true, patterns: []string{
		"/var/lib/cloud/instance", "/var/lib/cloud/instances/*", "/var/lib/cloud/sem/*",
		"/var/lib/cloud/data/instance-id", "/var/lib/cloud/data/previous-instance-id",
	}},
	{name: "logs", patterns: []string{
		"/var/log/journal", "/var/log/audit", "/var/log/amazon", "/var/log/sudo-io",
		"/var/log/auth.log*", "/var/log/secure*", "/var/log/sudo.log*", "/var/log/wtmp*", "/var/log/btmp*", "/var/log/lastlog", "/var/log/faillog", "/var/log/tallylog",
		"/var/log/syslog*", "/var/log/messages*", "/var/log/kern.log*", "/var/log/daemon.log*", "/var/log/user.log*", "/var/log/debug*",
		"/var/log/cron*", "/var/log/mail.*", "/var/log/maillog*", "/var/log/boot.log*", "/var/log/dmesg*", "/var/log/cloud-init*",
	}},
	{name: "histories", patterns: []string{
		"~/.bash_history", "~/.zsh_history", "~/.ash_history", "~/.sh_history", "~/.history", "~/.local/share/fish/fish_history",
		"~/.python_history", "~/.node_repl_history", "~/.mysql_history", "~/.psql_history", "~/.sqlite_history", "~/.rediscli_history", "~/.lesshst", "~/.viminfo",
	}},
	{name: "core-dumps", patterns: []string{
		"/var/crash", "/var/lib/systemd/coredump", "/core", "/core.[0-9]*", "/tmp/core", "/tmp/core.[0-9]*", "/var/tmp/core", "/var/tmp/core.[0-9]*", "~/core", "~/core.[0-9]*",
	}},
	{name: "provisioners", present: true, patterns: []string{
		"/tmp/packer*", "/var/tmp/packer*", "/tmp/script_*.sh", "/tmp/ansible*", "~/.ansible/tmp", "~/.ansible_async", "~/packer-*",
	}},
	{name: "random-seed", patterns: []string{
		"/var/lib/systemd/random-seed", "/var/lib/urandom/random-seed", "/var/lib/random-seed", "/var/lib/misc/random-seed", "/var/lib/seedrng",
		"/boot/loader/random-seed", "/boot/efi/loader/random-seed", "/efi/loader/random-seed",
	}},
	{name: "dhcp-leases", patterns: []string{"/var/lib/dhcp", "/var/lib/dhclient", "/var/lib/dhcpcd/*.lease*", "/var/lib/NetworkManager/*lease*"}},
	{name: "persistent-net", patterns: []string{"/etc/udev/rules.d/*-persistent-net.rules"}},
	{name: "passwords", decide: (*facts).noPasswords, asks: reads(func(n *needs) { n.shadow = true })},
	{name: "credentials", patterns: []string{
		"~/.aws/credentials", "~/.aws/cli/cache", "~/.aws/sso/cache", "~/.docker/config.json", "~/.netrc", "~/.git-credentials", "~/.config/git/credentials", "~/.pgpass",
	}},
	{name: "private-keys", keys: true, secrets: func(s secretIn) bool { return s.Rule == secrets.PrivateKey }},
	{name: "secrets", secrets: func(s secretIn) bool { return s.Rule != secrets.PrivateKey }},
}

// remainsOf asks for what a rule of hygiene finds. There is one search for secrets,
// which passes over what all rules about them except.
func (n *needs) remainsOf(rule hygieneRule) {
	switch {
	case rule.secrets == nil:
	case n.secrets == nil:
		n.secrets = &secretsNeed{slices.Clone(rule.except)}
	default:
		n.secrets.except = slices.DeleteFunc(n.secrets.except, func(name string) bool { return !slices.Contains(rule.except, name) })
	}
	if !rule.keys && rule.patterns == nil {
		return
	}
	if !slices.ContainsFunc(n.hygiene, func(r hygieneRule) bool { return r.name == rule.name }) {
		n.hygiene = append(n.hygiene, rule)
	}
}

// remains are the paths that a rule of hygiene has found.
type remains struct {
	read  state
	paths []string
}

// privateKey matches the line that opens a private key: RFC 7468, RFC 4880,
// OpenSSH and PuTTY. In JSON it follows a quotation mark. Programs that know such
// keys have the text too, but not at the beginning of a line.
const privateKey = `(^|")(-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY( BLOCK)?-----|PuTTY-User-Key-File-[0-9])`

func scriptHygiene(s *script, n *needs) {
	if len(n.hygiene) == 0 {
		return
	}
	s.part("hygiene.sh")
	for _, rule := range n.hygiene {
		if rule.keys {
			s.call("private_keys", append([]string{rule.name, privateKey}, n.secrets.passed()...)...)
			continue
		}
		what := "content"
		if rule.present {
			what = "present"
		}
		s.call("hygiene", append([]string{rule.name, what}, rule.patterns...)...)
	}
}

// readHygiene takes a frame of the hygiene part.
func (f *facts) readHygiene(fr frame) {
	r := f.remains[fr.arg(0)]
	switch fr.tag {
	case "hygiene":
		r.paths = strings.FieldsFunc(string(fr.body), func(c rune) bool { return c == '\n' })
		slices.Sort(r.paths)
		r.paths = slices.Compact(r.paths)
	case "hygiene-end":
		r.read = state(fr.arg(1))
	}
	f.remains[fr.arg(0)] = r
}

// strike is something that a rule of hygiene has found.
type strike struct {
	path string
	of   string // the kind of a secret
	text string // for people
}

// strikes are what a rule has found, and the verdict without that: what was found
// is there even when not everything could be searched.
func (f *facts) strikes(rule hygieneRule) ([]strike, verdict) {
	list, rest := []strike(nil), pass("nothing found")
	if rule.keys || rule.patterns != nil {
		r := f.remains[rule.name]
		kind := ""
		if rule.keys {
			kind = secrets.PrivateKey
		}
		for _, path := range r.paths {
			list = append(list, strike{path: path, of: kind, text: path})
		}
		switch r.read {
		case stateRead:
		case stateDenied:
			rest = undecided("%s", rootOnly)
		default:
			rest = f.unread("what this rule is about")
		}
	}
	if rule.secrets != nil {
		found, verdict := f.secretStrikes(rule.secrets)
		for _, s := range found {
			if !slices.ContainsFunc(list, func(known strike) bool { return known.path == s.path && known.text == s.path }) {
				list = append(list, s)
			}
		}
		if rest.outcome == Passed {
			rest = verdict
		}
	}
	return slices.DeleteFunc(list, func(s strike) bool {
		return excepted(s.path, rule.except) || rule.secrets != nil && slices.Contains(f.secrets.genuine, s.path)
	}), rest
}

const rootOnly = `only root can tell; run the checks as root, for example with execute_command = "sudo -n /bin/sh -s"`

// nothingRemains decides a rule by what was found.
func (f *facts) nothingRemains(rule hygieneRule) verdict {
	list, rest := f.strikes(rule)
	if len(list) > 0 {
		return fail("%s", firstOf(textsOf(list)))
	}
	return rest
}

func textsOf(list []strike) []string {
	lines := make([]string, len(list))
	for i, s := range list {
		lines[i] = s.text
	}
	return lines
}

// firstOf lists the first of several, and how many more there are.
func firstOf(list []string) string {
	const most = 8
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}

// machineIDs are where systemd and D-Bus keep the id of a machine. The second is
// often a link to the first.
var machineIDs = []string{"/etc/machine-id", "/var/lib/dbus/machine-id"}

// noMachineID decides that the next boot makes an id: machine-id(5).
func (f *facts) noMachineID() verdict {
	for _, file := range machineIDs {
		text, _, v := f.text(file)
		if v.outcome != "" {
			return v
		}
		if id := strings.TrimSpace(text); id != "" && id != "uninitialized" {
			return fail("%s has %q", file, id)
		}
	}
	return pass("none")
}

// noPasswords decides that nobody can log in with a password, or without any.
func (f *facts) noPasswords() verdict {
	if f.accounts.shadow != stateRead {
		return undecided("%s", f.accounts.shadow.explain("/etc/shadow"))
	}
	var found []string
	for name, kind := range f.accounts.passwords {
		switch kind {
		case "set":
			found = append(found, name+" has a password")
		case "none":
			found = append(found, name+" has an empty password")
		}
	}
	if len(found) == 0 {
		return pass("nobody has one")
	}
	slices.Sort(found)
	return fail("%s", firstOf(found))
}
