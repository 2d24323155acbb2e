package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestValidate runs packer validate on templates with mistakes.
func TestValidate(t *testing.T) {
	tests := map[string]struct {
		source string // of bakery-chroot
		build  string // what comes after sources
		want   []string
	}{
		"missing name": {
			source: `source_ami = "ami-0123456789abcdef0"`,
			want:   []string{"ami_name is missing"},
		},
		"unknown option": {
			source: `
				source_ami = "ami-0123456789abcdef0"
				ami_name   = "shop"
				ami_title   = "shop"`,
			want: []string{"ami_title"},
		},
		"images of anybody": {
			source: `
				ami_name = "shop"
				source_ami_filter {
				  filters = { name = "x" }
				}`,
			want: []string{"source_ami_filter has no owners; name accounts whose images you trust"},
		},
		"bad region": {
			source: `
				source_ami = "ami-0123456789abcdef0"
				ami_name   = "shop"
				region     = "us-eest-1"`,
			want: []string{`region is "us-eest-1"`, `did you mean "us-east-1"`},
		},
		"all mistakes of a source at once": {
			source: `
				region    = "us-eest-1"
				boot_mode = "bios"`,
			want: []string{`region is "us-eest-1"`, `boot_mode is "bios"`, "ami_name is missing", "nothing says what to start from"},
		},
		"empty check": {
			source: `
				source_ami = "ami-0123456789abcdef0"
				ami_name   = "shop"`,
			build: `provisioner "bakery-spec" {
				service {
				  name = "ssh"
				}
			}`,
			want: []string{"ssh"},
		},
		"no checks": {
			source: `
				source_ami = "ami-0123456789abcdef0"
				ami_name   = "shop"`,
			build: `provisioner "bakery-spec" {}`,
			want:  []string{"check"},
		},
		"all mistakes of a provisioner at once": {
			source: `
				source_ami = "ami-0123456789abcdef0"
				ami_name   = "shop"`,
			build: `provisioner "bakery-spec" {
				mode = "offline"
				file {
				  path    = "/etc/motd"
				  matches = ["("]
				}
				service {
				  name    = "ssh"
				  running = true
				}
			}`,
			want: []string{"/etc/motd", "matches", "ssh", "cannot be decided offline"},
		},
		"lineage without an application": {
			source: `
				source_ami = "ami-0123456789abcdef0"
				ami_name   = "shop"`,
			build: `post-processor "bakery-lineage" {}`,
			want:  []string{"application", "version", "layer"},
		},
	}
	w := newWorld(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			template := "source \"bakery-chroot\" \"shop\" {\n" + test.source + "\n}\n" +
				"build {\n  sources = [\"source.bakery-chroot.shop\"]\n" + test.build + "\n}\n"
			if err := os.WriteFile(filepath.Join(dir, "shop.pkr.hcl"), []byte(template), 0o600); err != nil {
				t.Fatal(err)
			}
			r := w.run(t, dir, w.packer, "validate", ".")
			if r.code == 0 {
				t.Fatal("packer validate ended with 0")
			}
			// Packer wraps its messages to the width of a terminal.
			flat := strings.Join(strings.Fields(r.out), " ")
			for _, want := range test.want {
				if !strings.Contains(flat, want) {
					t.Errorf("the output does not have %q", want)
				}
			}
		})
	}
}

// TestExamplesAreValid runs packer init, validate and fmt on the examples.
func TestExamplesAreValid(t *testing.T) {
	w := newWorld(t)
	deb := filepath.Join(t.TempDir(), "shop.deb")
	w.must(t, ".", filepath.Join(exampleDir(t, "application"), "build-deb.sh"), "1.4.2", deb)
	for story, args := range map[string][]string{
		"foundation": nil, "base": nil, "application": {"-var", "package=" + deb},
	} {
		dir := exampleDir(t, story)
		w.must(t, dir, w.packer, "init", ".")
		w.must(t, dir, w.packer, append(append([]string{"validate"}, args...), ".")...)
		w.must(t, dir, w.packer, "fmt", "-check", "-diff", ".")
	}
}
