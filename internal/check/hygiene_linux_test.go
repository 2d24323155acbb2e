package check

import (
	"os"
	"strings"
	"testing"
)

// Each rule strikes on what it is about, by itself, on a root where no other
// does, and the root stays as it was.
func TestHygiene(t *testing.T) {
	const key = "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n"
	for _, family := range families {
		t.Run(family, func(t *testing.T) {
			root := newFamilyRoot(t, family)
			if err := os.Remove(root.in("etc/shop/key.pem")); err != nil {
				t.Fatal(err)
			}
			root.write(t, "etc/shadow", "root:*:1::::::\nshop:!:1::::::\n", 0o600)
			root.write(t, "etc/passwd", "root:x:0:0::/root:/bin/sh\nlast:x:9:9::/nonexistent:/bin/sh\n", 0o644)
			root.write(t, "etc/machine-id", "uninitialized\n", 0o444)
			root.write(t, "var/log/syslog", "", 0o600)
			root.write(t, "var/log/journal/README", "", 0o600)
			root.write(t, "root/.ssh/authorized_keys", "", 0o600)
			root.link(t, "/dev/null", "root/.bash_history")
			root.write(t, "etc/shop/manual", "A key begins with -----BEGIN RSA PRIVATE KEY-----\n", 0o600)
			target := Target{Shell: withMounts(root, "usr/local"), Mounted: true}
			verdicts := func() map[string]Result {
				results, _ := runText(t, target, `hygiene {
  preset = "ami"
  except = ["/usr"]
}`)
				return results
			}
			want := map[string]Outcome{}
			for _, rule := range hygieneRules {
				want["hygiene:"+rule.name+":clean"] = Passed
			}
			before := root.digest(t)
			expect(t, verdicts(), want)
			if root.digest(t) != before {
				t.Error("the checks have changed the root")
			}

			struck := map[string]bool{}
			for _, c := range []struct{ rule, file, text string }{
				{"ssh-host-keys", "etc/ssh/ssh_host_rsa_key", ""},
				{"authorized-keys", "home/alice b/.ssh/authorized_keys", "ssh-ed25519 AAAA\n"},
				{"machine-id", "var/lib/dbus/machine-id", "0123456789abcdef0123456789abcdef\n"},
				{"cloud-init", "var/lib/cloud/instances/i-1/sem/x", ""},
				{"logs", "var/log/journal/abc/system.journal", "x"},
				{"histories", "home/bob/.zsh_history", "x"},
				{"core-dumps", "var/lib/systemd/coredump/core.x", "x"},
				{"provisioners", "tmp/script_1234.sh", ""},
				{"random-seed", "var/lib/systemd/random-seed", "x"},
				{"dhcp-leases", "var/lib/dhcp/dhclient.eth0.leases", "x"},
				{"persistent-net", "etc/udev/rules.d/70-persistent-net.rules", "x"},
				{"passwords", "etc/shadow", "root:$6$x$y:1::::::\n"},
				{"credentials", "root/.aws/credentials", "x"},
				{"private-keys", "opt/a b/deploy", "x\n" + key},
				{"secrets", "srv/a\nb/shop.env", "AWS_KEY=" + awsKey + "\n"},
			} {
				struck[c.rule] = true
				t.Run(c.rule, func(t *testing.T) {
					old, err := os.ReadFile(root.in(c.file))
					root.write(t, c.file, c.text, 0o600)
					results := verdicts()
					if err == nil {
						root.write(t, c.file, string(old), 0o600)
					} else if err := os.Remove(root.in(c.file)); err != nil {
						t.Fatal(err)
					}
					for id, r := range results {
						outcome := Passed
						if id == "hygiene:"+c.rule+":clean" {
							outcome = Failed
						}
						if r.Outcome != outcome {
							t.Errorf("%s: %s (%s), want %s", id, r.Outcome, r.Message(), outcome)
						}
					}
				})
				if c.rule == "cloud-init" {
					if err := os.RemoveAll(root.in("var/lib/cloud")); err != nil {
						t.Fatal(err)
					}
				}
			}
			for _, rule := range hygieneRules {
				if !struck[rule.name] {
					t.Errorf("no case for %s", rule.name)
				}
			}
		})
	}
}

// withMounts runs scripts in a root with other mounts: a folder is empty, a file
// cannot be used. /usr is this machine's, with whatever keys there are in
// /usr/local.
func withMounts(r familyRoot, names ...string) local {
	shell := r.offline(0)
	if r.family == "alpine" {
		return shell
	}
	text := shell.argv[4]
	for _, name := range names {
		mount := `[ ! -d "$1/` + name + `" ] || mount -t tmpfs none "$1/` + name + `"; [ ! -f "$1/` + name + `" ] || mount --bind /dev/null "$1/` + name + `"; exec chroot`
		text = strings.Replace(text, "exec chroot", mount, 1)
	}
	shell.argv[4] = text
	return shell
}

// Without the tools that look, nothing passes.
func TestHygieneWithoutTools(t *testing.T) {
	for _, tool := range []string{"find", "grep"} {
		t.Run(tool, func(t *testing.T) {
			root := newFamilyRoot(t, "debian")
			if err := os.Remove(root.in("etc/shop/key.pem")); err != nil {
				t.Fatal(err)
			}
			root.write(t, "var/log/journal/x", "", 0o600)
			want := map[string]Outcome{"hygiene:private-keys:clean": Errored, "hygiene:logs:clean": Passed}
			if tool == "find" {
				want["hygiene:logs:clean"] = Errored
			}
			results, _ := runText(t, Target{Shell: withMounts(root, "usr/local", "usr/bin/"+tool), Mounted: true}, `hygiene {
  rules  = ["logs", "private-keys"]
  except = ["/usr"]
}`)
			expect(t, results, want)
		})
	}
}

// awsKey is put together here, so that this file has no secret.
const awsKey = "AKIA" + "QYLPMN5HHHFPZAM2"

func TestHygieneWaived(t *testing.T) {
	root := newFamilyRoot(t, "alpine")
	results, _ := runText(t, Target{Shell: root.offline(0), Mounted: true}, `hygiene {
  rules  = ["private-keys"]
  except = ["/usr"]
}
waiver "hygiene:private-keys" {
  until  = "2999-01-01"
  reason = "the test's"
}`)
	expect(t, results, map[string]Outcome{"hygiene:private-keys:clean": Waived})
}
