package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// layerTemplate is one layer of the day: a note in the image, a check of it, and
// the registration. Its source is what a step of the day says.
const layerTemplate = `
variable "application" {}
variable "version" {}
variable "layer" {}
variable "source" {
  default = ""
}
variable "ancestor" {
  default = ""
}
variable "channel" {
  default = null
}
variable "packages" {
  type    = list(string)
  default = null
}

data "bakery-ancestor" "it" {
  application = var.ancestor != "" ? var.ancestor : "none"
  channel     = var.channel
  packages    = var.packages
  on_empty    = var.source != "" ? "null" : "error"
}

source "bakery-chroot" "it" {
  source_ami = var.source != "" ? var.source : data.bakery-ancestor.it.id
  ami_name   = "${var.application}-${var.version}-{{timestamp}}"
}

build {
  sources = ["source.bakery-chroot.it"]

  provisioner "shell" {
    inline = ["echo '${var.application} ${var.version}' >> /etc/baked"]
  }
  provisioner "bakery-spec" {
    file {
      path     = "/etc/baked"
      contains = ["${var.application} ${var.version}"]
    }
  }
  post-processor "bakery-lineage" {
    application = var.application
    version     = var.version
    layer       = var.layer
    sbom        = "bill.cdx.json"
  }
}
`

// day is the registry's day: its world, and the template of all layers.
type day struct {
	*world
	template string
}

// bake bakes a layer; options are NAME=VALUE of its variables.
func (d *day) bake(t *testing.T, application, version, layer string, options ...string) result {
	t.Helper()
	args := []string{"build", "-color=false"}
	for _, v := range append([]string{"application=" + application, "version=" + version, "layer=" + layer}, options...) {
		args = append(args, "-var", v)
	}
	return d.run(t, t.TempDir(), d.packer, append(args, d.template)...)
}

func (d *day) mustBake(t *testing.T, application, version, layer string, options ...string) {
	t.Helper()
	if r := d.bake(t, application, version, layer, options...); r.code != 0 {
		t.Fatalf("bake of %s %s: exit status %d", application, version, r.code)
	}
}

// ami returns the cloud's id of an image.
func (d *day) ami(t *testing.T, application, version string) string {
	t.Helper()
	views := d.images(t, "--application", application, "--version", version)
	if len(views) != 1 {
		t.Fatalf("%d images are %s %s", len(views), application, version)
	}
	return views[0].Artifacts[0].ImageID
}

// wantStatus wants the images, named "application version", to have a status.
func (d *day) wantStatus(t *testing.T, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for _, v := range d.images(t) {
		name := v.Application + " " + v.Version
		if _, asked := want[name]; asked {
			got[name] = v.Status
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
}

// outdated returns what is to be baked again, in order: "round application".
func (d *day) outdated(t *testing.T) []string {
	t.Helper()
	var list []struct {
		Round       int    `json:"round"`
		Application string `json:"application"`
	}
	d.json(t, &list, "images", "outdated", "--output", "json")
	names := []string{}
	for _, o := range list {
		names = append(names, fmt.Sprint(o.Round, " ", o.Application))
	}
	return names
}

// refused wants a bake to end with a failure that says why, and to leave
// neither an image in the registry nor a file in the cloud.
func (d *day) refused(t *testing.T, r func() result, want string) {
	t.Helper()
	images, files := d.images(t), d.cloud(t)
	if got := r(); got.code == 0 || !strings.Contains(unwrapped(got.out), want) {
		t.Errorf("exit status %d; want a failure with %q", got.code, want)
	}
	if diff := cmp.Diff(images, d.images(t)); diff != "" {
		t.Errorf("registered images (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(files, d.cloud(t)); diff != "" {
		t.Errorf("snapshots and volumes (-before +after):\n%s", diff)
	}
}

// unwrapped undoes the line breaks of Packer's messages.
func unwrapped(s string) string { return strings.Join(strings.Fields(s), " ") }

// junit writes the report of a job that has launched an image.
func junit(t *testing.T, failure string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "smoke.xml")
	report := `<testsuite name="smoke"><testcase name="boots"/><testcase name="answers">` + failure + `</testcase></testsuite>`
	if err := os.WriteFile(path, []byte(report), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRegistryDay is a day of a team with its registry: layers are baked and
// validated, promoted, revoked, and baked again.
func TestRegistryDay(t *testing.T) {
	w := newWorld(t)
	w.importDebian(t)
	d := &day{world: w, template: filepath.Join(t.TempDir(), "layer.pkr.hcl")}
	if err := os.WriteFile(d.template, []byte(layerTemplate), 0o600); err != nil {
		t.Fatal(err)
	}
	applications := []string{"billing", "search", "shop"}
	onStable := []string{"ancestor=base", "channel=stable"}

	var imported []struct {
		ID string `json:"id"`
	}
	w.json(t, &imported, "local", "ls", "--output", "json")
	d.mustBake(t, "foundation", "1", "foundation", "source="+imported[0].ID)
	d.mustBake(t, "base", "1", "base", "ancestor=foundation")
	base := d.ami(t, "base", "1")

	t.Run("nothing is in the channel before it is promoted", func(t *testing.T) {
		d.refused(t, func() result { return d.bake(t, "shop", "1", "application", onStable...) }, "it is not the head of channel stable")
	})

	t.Run("a validation job decides, then it is promoted", func(t *testing.T) {
		w.must(t, ".", w.bakery, "images", "record-test", base, "--suite", "smoke", "--junit", junit(t, `<failure message="no answer"/>`))
		if r := w.run(t, ".", w.bakery, "promote", base, "--channel", "stable"); r.code != 1 || !strings.Contains(r.out, "is rejected: suite smoke ended as failed") {
			t.Errorf("promotion of a rejected image: exit status %d", r.code)
		}
		w.must(t, ".", w.bakery, "images", "record-test", base, "--suite", "smoke", "--junit", junit(t, ""))
		w.must(t, ".", w.bakery, "promote", base, "--channel", "stable", "--replaces", "none")
		d.wantStatus(t, map[string]string{"foundation 1": "tested", "base 1": "promoted"})
	})

	for _, application := range applications {
		d.mustBake(t, application, "1", "application", onStable...)
	}
	if got := d.outdated(t); len(got) > 0 {
		t.Errorf("outdated are %v, want none", got)
	}

	t.Run("what is installed is known", func(t *testing.T) {
		shop := d.ami(t, "shop", "1")
		var list struct {
			Distro   string `json:"distro"`
			Packages []struct {
				Type string `json:"type"`
				Name string `json:"name"`
			} `json:"packages"`
		}
		w.json(t, &list, "images", "packages", shop, "--output", "json")
		if n := len(list.Packages); list.Distro != "debian" || n < 50 || list.Packages[0].Type != "deb" {
			t.Errorf("%d packages of %s are recorded", n, list.Distro)
		}
		w.must(t, ".", w.bakery, "images", "query", "application=base&package=libc6 >= 2.36&package=!telnetd")
		if r := w.run(t, ".", w.bakery, "images", "query", "application=base&package=libc6 < 2.36"); r.code != 1 || !strings.Contains(r.out, "package libc6 is ") {
			t.Errorf("query for an older package: exit status %d", r.code)
		}
		bill := w.must(t, ".", w.bakery, "images", "sbom", shop)
		if !strings.Contains(bill, `"purl": "pkg:deb/debian/libc6@`) {
			t.Error("libc6 is not in the bill of materials")
		}
		diff := w.must(t, ".", w.bakery, "images", "diff", shop, "--files")
		for _, want := range []string{"packages: no difference", `"/etc/baked"`} {
			if !strings.Contains(diff, want) {
				t.Errorf("the difference from its ancestor lacks %q", want)
			}
		}
		d.refused(t, func() result {
			return d.bake(t, "shop", "2", "application", append(onStable, `packages=["libc6 >= 99"]`)...)
		}, "not >= 99")
	})

	t.Run("the base is revoked", func(t *testing.T) {
		dry := w.must(t, ".", w.bakery, "revoke", base, "--dry-run")
		for _, application := range applications {
			if !strings.Contains(dry, application+" 1") {
				t.Errorf("%s is not listed as affected", application)
			}
		}
		d.wantStatus(t, map[string]string{"base 1": "promoted"})
		w.must(t, ".", w.bakery, "revoke", base, "--reason", "CVE-2026-1")
		d.wantStatus(t, map[string]string{
			"foundation 1": "tested", "base 1": "revoked", "billing 1": "revoked", "search 1": "revoked", "shop 1": "revoked",
		})
		d.refused(t, func() result { return d.bake(t, "shop", "2", "application", onStable...) }, "it is revoked: CVE-2026-1")
		// A literal id does not lead past the registry.
		d.refused(t, func() result { return d.bake(t, "shop", "2", "application", "source="+base) }, "is revoked: CVE-2026-1")
	})

	t.Run("what is outdated is baked again, in order", func(t *testing.T) {
		if diff := cmp.Diff([]string{"1 base", "2 billing", "2 search", "2 shop"}, d.outdated(t)); diff != "" {
			t.Fatalf("outdated (-want +got):\n%s", diff)
		}
		d.mustBake(t, "base", "2", "base", "ancestor=foundation")
		left := []string{"1 billing", "1 search", "1 shop"}
		for _, application := range applications {
			if diff := cmp.Diff(left, d.outdated(t)); diff != "" {
				t.Fatalf("outdated (-want +got):\n%s", diff)
			}
			if application == applications[0] {
				w.must(t, ".", w.bakery, "promote", d.ami(t, "base", "2"), "--channel", "stable")
			}
			d.mustBake(t, application, "2", "application", onStable...)
			left = slices.Delete(left, 0, 1)
		}
		if got := d.outdated(t); len(got) > 0 {
			t.Errorf("outdated are %v, want none", got)
		}
	})

	t.Run("the revoked line is never selected again", func(t *testing.T) {
		for _, application := range append(applications, "base") {
			var found view
			w.json(t, &found, "images", "query", "application="+application, "--output", "json")
			if found.Version != "2" {
				t.Errorf("found is %s %s", application, found.Version)
			}
			if r := w.run(t, ".", w.bakery, "images", "query", "version=1&status=built&application="+application); r.code != 1 || !strings.Contains(r.out, "it is revoked") {
				t.Errorf("query for %s 1: exit status %d", application, r.code)
			}
		}
		// Neither when the newer ones are gone.
		w.must(t, ".", w.bakery, "local", "rm", d.ami(t, "base", "2"))
		d.wantStatus(t, map[string]string{"base 1": "revoked", "base 2": "retired"})
		d.refused(t, func() result { return d.bake(t, "shop", "3", "application", "ancestor=base") }, "it is revoked: CVE-2026-1")
	})
}
