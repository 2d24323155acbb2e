//go:build linux

package spec

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imagebakery/packer-plugin-bakery/internal/check"
)

// gossFolder makes a gossfile and a vars file, and goes there.
func gossFolder(t *testing.T, gossfile string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"goss.yaml": gossfile, "vars.yaml": "user: root\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}

func TestGossfile(t *testing.T) {
	gossFolder(t, `
user:
  {{ .Vars.user }}:
    exists: true
    uid: {{ .Vars.uid }}
    home: {{ index .Vars.homes 0 }}
    shell: {not: {{ .Env.NO_SHELL }}}
service:
  nosuch:
    enabled: false
    running: true
`)
	said, handed, err := provision(t, `
goss {
  file        = "goss.yaml"
  vars_file   = "vars.yaml"
  vars        = { uid = "0" }
  vars_inline = "{homes: [/root]}"
  env         = { NO_SHELL = "/bin/nosuch" }
  name        = "existing"
  defer_boot  = true
}
`)
	if err != nil && !strings.Contains(err.Error(), "service:nosuch:enabled") {
		t.Fatal(err)
	}
	for _, text := range []string{"deferred service:nosuch:running: needs a booted system", "suite existing: 6 checks: "} {
		if !strings.Contains(said, text) {
			t.Errorf("no %q in:\n%s", text, said)
		}
	}
	if len(handed) != 1 || handed[0].Suite != "existing" || len(handed[0].Checks) != 6 {
		t.Fatalf("handed over: %+v", handed)
	}
	for _, c := range handed[0].Checks[:4] {
		if c.Outcome != string(check.Passed) {
			t.Errorf("%+v", c)
		}
	}
}

// packer validate says what is wrong with a gossfile, with its line, and waits
// with what it cannot know.
func TestGossfileMistakes(t *testing.T) {
	gossFolder(t, "file:\n  /etc/passwd:\n    exists: true\n    {{ .Vars.attribute }}: 1\nprocess:\n  init: {running: true}\n")
	for body, want := range map[string][]string{
		`goss { file = "goss.yaml" }`: {`goss: goss.yaml:4:12: executing "goss.yaml" at <.Vars.attribute>: map has no entry for key "attribute"`},
		`goss {
  file = "goss.yaml"
  vars = { attribute = "bogus" }
}`: {`goss: goss.yaml:4: file "/etc/passwd": bogus is nothing that a file has`},
		`mode = "offline"
goss {
  file = "goss.yaml"
  vars = { attribute = "size" }
}`: {`goss.yaml:6: process "init": running = true cannot be decided offline`, "or defer_boot for the whole gossfile"},
		`goss {
  file       = "none.yaml"
  on_vacuous = "perhaps"
  network    = "mine"
}`: {`goss: network: "mine" is no network; write "builder"`, `goss: on_vacuous: "perhaps" is not fail or warn`, "goss: read gossfile: open none.yaml"},
		`goss {
  file = "goss.yaml"
  vars = { attribute = "size" }
}
goss {
  file = "goss.yaml"
  vars = { attribute = "uid" }
}`: {`goss: "goss.yaml" and "goss.yaml" have the same name, goss; give the suite another name`},
		`goss {
  file = "goss.yaml"
  vars = { attribute = "size" }
  name = "inline"
}
file { path = "/etc" }`: {`goss: "goss.yaml" and the template's own checks have the same name, inline`},
		`goss {
  file  = "goss.yaml"
  vars  = { attribute = "size" }
  retry = "soon"
}`: {`retry: "soon" is not a period`},
	} {
		_, err := prepare(t, body)
		if err == nil {
			t.Errorf("no mistake in %s", body)
			continue
		}
		for _, text := range want {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("no %q in %v", text, err)
			}
		}
	}
	for _, body := range []string{
		"goss { file = \"<unknown>/goss.yaml\" }",
		"goss {\n  file = \"goss.yaml\"\n  vars = { attribute = \"<unknown>\" }\n}",
	} {
		p, err := prepare(t, body)
		if err != nil || !p.plan.Partial {
			t.Errorf("%s: %v", body, err)
		}
	}
}
