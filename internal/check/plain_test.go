package check

import "testing"

func TestWayOf(t *testing.T) {
	for text, want := range map[string]string{
		"/usr/bin/app --version":             byExec,
		"app -o 'a b' \"c d\" /etc/*.conf":   byExec,
		"getent passwd root >/dev/null":      byExec,
		"ls /nonexistent 2>&1":               byExec,
		" app":                               byCopy,
		"# a comment\napp":                   byCopy,
		"! app":                              byCopy,
		"test -d /etc":                       byCopy,
		"[ -d /etc ]":                        byCopy,
		"a | b && c || d; e\nf":              byCopy,
		"cd /etc && ls":                      byCopy,
		"exit 3":                             byCopy,
		"echo $HOME":                         byShell,
		"echo \"$$\"":                        byShell,
		"echo `id`":                          byShell,
		"A=b app":                            byShell,
		"A=b":                                byShell,
		"app &":                              byShell,
		"(app)":                              byShell,
		"{ app; }":                           byShell,
		"if a; then b; fi":                   byShell,
		"f() { a; }; f":                      byShell,
		"a || f() { b; }":                    byShell,
		"cat <<E\nx\nE":                      byShell,
		"app <&9; app 10>x":                  byShell,
		"ls ~":                               byShell,
		"set -e; app":                        byShell,
		"trap x EXIT; app":                   byShell,
		"a; wait":                            byShell,
		"return 3":                           byShell,
		"kill $$":                            byShell,
		"kill 1":                             byShell,
		"command -v app":                     byShell,
		"\\app":                              byShell,
		"'app' x":                            byShell,
		"-x":                                 byShell,
		"a*":                                 byShell,
		"run x":                              byShell,
		"file /bin/ls":                       byShell,
		"end":                                byShell,
		"commands":                           byShell,
		"":                                   byShell,
		"if":                                 byShell,
		"echo $((1 + 1))":                    byShell,
		"app \"$(id)\"":                      byShell,
		"time app":                           byShell,
		"[[ -d /etc ]]":                      byShell,
		"a |& b":                             byShell,
		"app >&2 <x":                         byExec,
		"/bin/sh -c 'echo $$; exec >/dev/x'": byExec,
	} {
		if got := wayOf(text); got != want {
			t.Errorf("%q runs %q, want %q", text, got, want)
		}
	}
}
