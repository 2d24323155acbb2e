package main

import (
	"fmt"
	"slices"
	"strings"
)

// claim is one check, as each tool has it: a line of a block.
type claim struct{ spec, goss, ruby string }

// subject is what claims are about.
type subject struct {
	kind   string // of bakery-spec and goss; Serverspec calls it the same
	name   string
	claims []claim
}

// suite is what is checked of an image.
type suite []subject

// perApplication is how many checks suiteOf makes of each application.
const perApplication = 20

// suiteOf makes a suite of n checks that all hold on the image of a world: for
// each application its two files, two packages of the image, user, group, service
// and two commands, in an order in which also ten checks are of many kinds.
func suiteOf(w *world, n int) suite {
	var s suite
	for i := range (n + perApplication - 1) / perApplication {
		a := w.applications[i]
		s = append(s,
			file(a.config, "0640", a.name, a.setting),
			pkg(w.packages[2*i]),
			account("user", a.name, "uid", a.id),
			subject{"command", a.name + " --version", []claim{
				exits,
				{
					spec: fmt.Sprintf("stdout_contains = [%q]", a.says), goss: fmt.Sprintf("stdout: [%q]", a.says),
					ruby: fmt.Sprintf("its(:stdout) { should include %q }", a.says),
				},
			}},
			file(a.program, "0755", "root", a.says),
			pkg(w.packages[2*i+1]),
			account("group", a.name, "gid", a.id),
			subject{"service", a.name, []claim{{"enabled = true", "enabled: true", "it { should be_enabled }"}}},
			subject{"command", "test -d " + a.state, []claim{exits}},
		)
	}
	return s.first(n)
}

var (
	exists = claim{"exists = true", "exists: true", "it { should exist }"}
	exits  = claim{"exit_status = 0", "exit-status: 0", "its(:exit_status) { should eq 0 }"}
)

func file(path, mode, owner, holds string) subject {
	return subject{"file", path, []claim{
		exists, modeIs(mode),
		{fmt.Sprintf("owner = %q", owner), fmt.Sprintf("owner: %q", owner), fmt.Sprintf("it { should be_owned_by %q }", owner)},
		{fmt.Sprintf("contains = [%q]", holds), fmt.Sprintf("contents: [%q]", holds), fmt.Sprintf("it { should contain %q }", holds)},
	}}
}

func modeIs(mode string) claim {
	return claim{fmt.Sprintf("mode = %q", mode), fmt.Sprintf("mode: %q", mode), fmt.Sprintf("it { should be_mode %q }", strings.TrimPrefix(mode, "0"))}
}

func pkg(p installed) subject {
	return subject{"package", p.name, []claim{
		{"installed = true", "installed: true", "it { should be_installed }"},
		{fmt.Sprintf("version = %q", p.version), fmt.Sprintf("versions: [%q]", p.version), fmt.Sprintf("it { should be_installed.with_version %q }", p.version)},
	}}
}

func account(kind, name, number string, id int) subject {
	return subject{kind, name, []claim{
		exists,
		{fmt.Sprintf(`%s = "%d"`, number, id), fmt.Sprintf("%s: %d", number, id), fmt.Sprintf("it { should have_%s %d }", number, id)},
	}}
}

// first are the first n claims of a suite.
func (s suite) first(n int) suite {
	var cut suite
	for _, sub := range s {
		if n <= 0 {
			break
		}
		sub.claims = sub.claims[:min(n, len(sub.claims))]
		n -= len(sub.claims)
		cut = append(cut, sub)
	}
	return cut
}

// withMistake is the suite with a claim about its first file that does not hold.
func (s suite) withMistake() suite {
	wrong := slices.Clone(s)
	wrong[0].claims = slices.Clone(wrong[0].claims)
	wrong[0].claims[1] = modeIs("0600")
	return wrong
}

// spec is the suite as a file of bakery-spec.
func (s suite) spec() string {
	var b strings.Builder
	for _, sub := range s {
		fmt.Fprintf(&b, "%s %q {\n", sub.kind, sub.name)
		for _, c := range sub.claims {
			fmt.Fprintf(&b, "  %s\n", c.spec)
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// goss is the suite as goss.yaml.
func (s suite) goss() string {
	var b strings.Builder
	var kinds []string
	for _, sub := range s {
		if !slices.Contains(kinds, sub.kind) {
			kinds = append(kinds, sub.kind)
		}
	}
	for _, kind := range kinds {
		fmt.Fprintf(&b, "%s:\n", kind)
		for _, sub := range s {
			if sub.kind != kind {
				continue
			}
			fmt.Fprintf(&b, "  %q:\n", sub.name)
			for _, c := range sub.claims {
				fmt.Fprintf(&b, "    %s\n", c.goss)
			}
		}
	}
	return b.String()
}

// serverspec is the suite as a spec of Serverspec; setup is what comes first.
func (s suite) serverspec(setup string) string {
	var b strings.Builder
	b.WriteString("require 'serverspec'\n" + setup)
	for _, sub := range s {
		fmt.Fprintf(&b, "describe %s(%q) do\n", sub.kind, sub.name)
		for _, c := range sub.claims {
			fmt.Fprintf(&b, "  %s\n", c.ruby)
		}
		b.WriteString("end\n")
	}
	return b.String()
}
