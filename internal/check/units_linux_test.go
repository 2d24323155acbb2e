package check

import (
	"strings"
	"testing"
)

// systemctl is asked for the units of the checks alone, and must all the same say
// what an alias stands for, what starts that, and whether an instance has a
// template.
func TestUnitsBeyondThoseThatAreNamed(t *testing.T) {
	root := newFamilyRoot(t, "debian")
	for name, text := range map[string]string{
		"real.service":  "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
		"real.socket":   "[Socket]\nListenStream=80\n[Install]\nWantedBy=sockets.target\n",
		"tty@.service":  "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
		"other.service": "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
	} {
		root.write(t, "etc/systemd/system/"+name, text, 0o644)
	}
	for name, target := range map[string]string{
		"alias.service":                          "/etc/systemd/system/real.service",
		"strange.service":                        "-H * other.service",
		"sockets.target.wants/real.socket":       "/etc/systemd/system/real.socket",
		"multi-user.target.wants/tty@1.service":  "/etc/systemd/system/tty@.service",
		"multi-user.target.wants/absent.service": "/etc/systemd/system/absent.service",
	} {
		root.link(t, target, "etc/systemd/system/"+name)
	}
	results, _ := runText(t, Target{Shell: root.offline(0), Mounted: true}, `
service "alias" { enabled = false }
service "tty@1" { enabled = true }
service "tty@2" { enabled = false }
service "other" { enabled = false }
service "strange" { enabled = true }
service "absent" { exists = false }
service "none" { exists = false }
`)
	expect(t, results, map[string]Outcome{
		"service:alias:enabled": Failed, "service:tty@1:enabled": Passed, "service:tty@2:enabled": Passed,
		"service:other:enabled": Passed, "service:strange:enabled": Failed,
		"service:absent:exists": Passed, "service:none:exists": Passed,
	})
	if said := results["service:alias:enabled"].Actual; !strings.Contains(said, "real.socket is enabled and starts it") {
		t.Errorf("an alias of what a socket starts: %s", said)
	}
}
