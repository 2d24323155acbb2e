package check

import (
	"fmt"
	"strings"
	"testing"
)

// However a command is run, the same comes of it.
func TestWaysAreEqual(t *testing.T) {
	root := newFamilyRoot(t, "debian")
	root.write(t, "srv/bin/app", "#!/bin/sh\nprintf '%s|' \"$@\"\nenv | grep -v '^_='\necho error >&2\nls -l /proc/self/fd | grep -c -- '->'\nexit \"${1:-0}\"\n", 0o755)
	root.write(t, "srv/bin/file", "#!/bin/sh\necho the program\n", 0o755)
	root.write(t, "srv/a b", "", 0o644)
	var suite strings.Builder
	texts := []string{
		"/srv/bin/app 3 'a  b' \"c'd\" /srv/*", "/srv/bin/app", "/srv/bin/nothing", "nothing-of-this-name", "/srv", "/srv/bin/app 2>&1 >/dev/null",
		"test -d /srv", "test -f /srv", "[ -d /srv ] && echo yes || echo no", "cd /srv && pwd && ls", "echo a\\ b | tr a-z A-Z", "! test -d /srv",
		"exit 7", "exit 7; echo no", "cat", "cat /srv/nothing 2>/dev/null", "true; false", "printf '%s' x; nothing-at-all; echo done",
		"/bin/sh -c 'kill -9 $$'", "/bin/sh -c 'kill -TERM $$' | cat", "file /srv", "set +f; ls /srv", "echo one >/dev/full",
	}
	for _, text := range texts {
		for _, spelled := range []string{text, "{\n" + text + "\n}"} {
			fmt.Fprintf(&suite, "command {\n run = %q\n stdout = \"\"\n}\n", spelled)
		}
	}
	plan := mustCompile(t, Auto, suite.String())
	f, err := read(t.Context(), plan, Target{Shell: root.offline(0), Mounted: true}, Offline, all)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		own, plain := f.commands["{\n"+text+"\n}"], f.commands[text]
		if wayOf("{\n"+text+"\n}") != byShell || own == nil || plain == nil || !own.finished || !plain.finished {
			t.Fatalf("%q has no results to compare", text)
		}
		// Of a program that was killed, the shell around it may say so.
		silent := own.exit > 128 || (len(own.stderr) == 0) == (len(plain.stderr) == 0)
		if own.exit != plain.exit || string(own.stdout) != string(plain.stdout) || !silent {
			t.Errorf("%q:\nby a shell of its own %d %q %q\notherwise (%s) %d %q %q", text, own.exit, own.stdout, own.stderr, wayOf(text), plain.exit, plain.stdout, plain.stderr)
		}
	}
	if got := string(f.commands["/srv/bin/app 3 'a  b' \"c'd\" /srv/*"].stdout); !strings.Contains(got, "3|a  b|c'd|/srv/a b|/srv/bin|") {
		t.Errorf("the arguments of a program: %q", got)
	}
}
