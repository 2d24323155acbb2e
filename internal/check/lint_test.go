package check

import (
	"strings"
	"testing"
)

func TestLiveCommandsAreRefusedOffline(t *testing.T) {
	for text, program := range map[string]string{
		`systemctl is-active nslcd`:                   "systemctl",
		`systemctl -q status nslcd`:                   "systemctl",
		`sudo -n systemctl start x`:                   "systemctl",
		`service nslcd status`:                        "service",
		`ntpq -pn|grep -E "^\*"`:                      "ntpq",
		`test -n "$(ss -tnl)"`:                        "ss",
		"echo `uname -r`":                             "uname",
		`if /sbin/lsmod | grep x; then echo y; fi`:    "lsmod",
		`FOO=bar timeout 5 /usr/bin/docker ps`:        "docker",
		`env A=b sysctl -n vm.swappiness`:             "sysctl",
		`true && { ! "mount" | grep /mnt; }`:          "mount",
		`nohup \ps aux`:                               "ps",
		`systemctl is-enabled x && systemctl show x`:  "systemctl",
		`for i in 1 2; do iptables -S; done`:          "iptables",
		`f() { echo; }; f; getenforce`:                "getenforce",
		`sh -c true; ( cd /; findmnt / ) 2>/dev/null`: "findmnt",
	} {
		problems := lintCommand(text, true)
		if len(problems) != 1 || !strings.HasPrefix(problems[0], program+" cannot be decided offline") {
			t.Errorf("%s: problems %q, want one about %s", text, problems, program)
		}
		if problems := lintCommand(text, false); len(problems) > 0 {
			t.Errorf("%s: booted, problems %q", text, problems)
		}
	}
}

func TestOtherCommandsAreNot(t *testing.T) {
	for _, text := range []string{
		`getent passwd jeremy`,
		`systemctl is-enabled nslcd`,
		`systemctl get-default`,
		`grep -r mount /etc/fstab`,
		`echo ps; cat /usr/share/doc/ss`,
		`dpkg-query -W | grep ntpq`,
		`ps() { :; }; ps`,
		`test -x "$(command -v docker-compose)"`,
		`[ -e /run ] || exit 3`,
		`$SOMETHING status`,
		"cat <<'E'\nps aux\nE",
	} {
		if problems := lintCommand(text, true); len(problems) > 0 {
			t.Errorf("%s: %q", text, problems)
		}
	}
}

func TestSyntaxOfCommands(t *testing.T) {
	for _, text := range []string{`echo "x`, `if true`, `)`, `a | | b`} {
		if problems := lintCommand(text, false); len(problems) != 1 || !strings.Contains(problems[0], "is not a shell command") {
			t.Errorf("%s: problems %q", text, problems)
		}
	}
}

func TestCommandsThatCannotFail(t *testing.T) {
	for text, want := range map[string]bool{
		`ls /x || true`: true, `ls /x; :`: true, `ls | echo done`: true, `(ls; true)`: true, `{ ls; echo x; }`: true, `ls; sleep 9 &`: true,
		`true`: false, `echo x`: false, `ls`: false, `ls && true`: false, `true && ls`: false, `! true`: false, `set -e; ls; true`: false, `ls || exit 1; echo good`: false,
		`true >/etc/x`: false, `ls |`: false, ``: false, `trueish`: false, `if ls; then true; fi`: false,
	} {
		if got := alwaysSucceeds(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
