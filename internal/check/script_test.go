package check

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The script of each kind, as a shell of the image gets it.
func TestScripts(t *testing.T) {
	for name, tc := range map[string]struct {
		mode Mode
		text string
	}{
		"file": {Offline, `
file "/etc/it's" {
  contains = ["x"]
  sha256   = "0000000000000000000000000000000000000000000000000000000000000000"
  owner    = "root"
}
file "/etc/localtime" { target = "x" }
file "/gone" { exists = false }`},
		"package": {Offline, `package "bash" {}`},
		"service": {Offline, `service { 
  names   = ["ssh", "getty@tty1"]
  enabled = true
}`},
		"service-booted": {Booted, `service "ssh" { running = true }`},
		"user":           {Offline, `user "root" { locked = true }`},
		"user-booted":    {Booted, `user "jeremy" {}`},
		"kernel": {Offline, `
kernel_param "vm.swappiness" { configured = 1 }
kernel_module "usb-storage" { at_boot = false }`},
		"kernel-booted": {Booted, `
kernel_param "vm.swappiness" { live = 1 }
kernel_module "usb-storage" { loaded = false }
mount "/mnt" { mounted = true }`},
		"group": {Offline, `group "sudo" {}`},
		"command": {Offline, `
command "echo 'a b'" { exit_status = 0 }
command "ntpq -pn" {
  exit_status = 0
  requires    = "boot"
}`},
		"command-booted": {Booted, `command "ntpq -pn" {
  exit_status = 0
  requires    = "boot"
}`},
	} {
		t.Run(name, func(t *testing.T) {
			plan := mustCompile(t, tc.mode, tc.text)
			got := newScript(testNonce, plan.needs(tc.mode), tc.mode).text()
			golden := filepath.Join("testdata", "script-"+name+".golden")
			if *update {
				writeTestFile(t, golden, got, 0o644)
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("script (-want +got; go test -update writes it anew):\n%s", diff)
			}
		})
	}
}

// What is deferred is not read: offline it would be the build host's.
func TestDeferredChecksReadNothing(t *testing.T) {
	plan := mustCompile(t, Offline, `
file "/proc/cmdline" {
  contains = ["quiet"]
  requires = "boot"
}
service "ssh" {
  running  = true
  requires = "boot"
}
user "jeremy" { requires = "boot" }
`)
	n := plan.needs(Offline)
	if len(n.paths)+len(n.running)+len(n.units)+len(n.commands) > 0 || n.accounts || n.packages {
		t.Errorf("needs %+v", n)
	}
	if n := plan.needs(Booted); len(n.paths) != 1 || len(n.running) != 1 || !n.accounts {
		t.Errorf("booted, needs %+v", n)
	}
}

func FuzzQuote(f *testing.F) {
	f.Add("it's")
	f.Add("$(x)`y`\\\n!")
	f.Fuzz(func(t *testing.T, text string) {
		// Outside of its quotes, a word has nothing but quotes that are escaped.
		inside := true
		word := quote(text)
		var back []byte
		for i := 1; i < len(word)-1; i++ {
			switch {
			case word[i] == '\'':
				inside = !inside
			case inside:
				back = append(back, word[i])
			case word[i] == '\\' && word[i+1] == '\'':
				back = append(back, '\'')
				i++
			default:
				t.Fatalf("%q has %q outside of quotes", word, word[i])
			}
		}
		if !inside || string(back) != text {
			t.Errorf("%q became %q, which reads as %q", text, word, back)
		}
	})
}
