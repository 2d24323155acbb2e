package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestExamples runs the stories of example/ on one base.
func TestExamples(t *testing.T) {
	w := newWorld(t)
	w.env = append(w.env, "PATH="+filepath.Dir(w.bakery)+":"+filepath.Dir(w.packer)+":"+os.Getenv("PATH"))
	w.importDebian(t)
	deb := filepath.Join(t.TempDir(), "shop_1.4.2_all.deb")
	w.must(t, ".", filepath.Join(exampleDir(t, "application"), "build-deb.sh"), "1.4.2", deb)
	for _, story := range []string{"foundation", "base"} {
		if r := w.build(t, story, "-var", "version=1.0"); r.code != 0 {
			t.Fatalf("%s: exit status %d", story, r.code)
		}
	}

	t.Run("aminate", func(t *testing.T) {
		dir := t.TempDir()
		w.must(t, dir, filepath.Join(exampleDir(t, "aminate"), "aminate.sh"), deb, "-color=false")
		shop := w.newest(t, "shop")
		if shop.Version != "1.4.2" || shop.Status != "tested" {
			t.Errorf("the image is %+v, want a tested shop 1.4.2: what the package says", shop)
		}
		if tags := w.tags(t, shop.Artifacts[0].ImageID); tags["appversion"] != "shop-1.4.2" {
			t.Errorf("its tags are %v, want Aminator's", tags)
		}
		readJUnit(t, filepath.Join(dir, "reports", "shop.xml"))
		if r := w.run(t, dir, filepath.Join(exampleDir(t, "aminate"), "aminate.sh"), "shop.tar"); r.code != 2 {
			t.Errorf("exit status %d for a package that is none, want 2", r.code)
		}
	})

	t.Run("regions", func(t *testing.T) {
		dir := t.TempDir()
		w.must(t, dir, w.packer, "build", "-color=false", exampleDir(t, "regions"))
		var in []string
		for _, image := range w.local(t) {
			if image.Tags["application"] == "shared" {
				in = append(in, image.Region)
			}
		}
		slices.Sort(in)
		if diff := cmp.Diff([]string{"eu-west-1", "us-east-1", "us-west-2"}, in); diff != "" {
			t.Errorf("regions with the image and its tags (-want +got):\n%s", diff)
		}
		if n := len(w.newest(t, "shared").Artifacts); n != 3 {
			t.Errorf("it is registered in %d regions, want 3", n)
		}
	})

	t.Run("pipeline", func(t *testing.T) {
		dir := checkout(t)
		for _, command := range jenkinsSteps(t, "../example/pipeline/Jenkinsfile") {
			w.must(t, dir, "env", "PACKAGE="+deb, "VERSION=1.4.2", "CHANNEL=stable", "sh", "-euc", command)
		}
		shop := w.newest(t, "shop")
		if shop.Status != "promoted" {
			t.Errorf("the image is %s, want promoted", shop.Status)
		}
		if report, err := os.ReadFile(filepath.Join(dir, "out", "booted.xml")); err != nil || !strings.Contains(string(report), `name="shop running"`) {
			t.Errorf("the report of the launch does not say whether the service runs: %v\n%s", err, report)
		}
		readJUnit(t, filepath.Join(dir, "out", "booted.xml"))
	})

	t.Run("golden", func(t *testing.T) {
		dir := t.TempDir()
		w.must(t, dir, w.packer, "build", "-color=false", exampleDir(t, "golden"))
		golden := w.newest(t, "golden")
		if golden.Status != "tested" || golden.Layer != "base" {
			t.Errorf("the image is %+v, want a tested base", golden)
		}
		readJUnit(t, filepath.Join(dir, "reports", "golden.xml"))
		report := read(t, filepath.Join(dir, "reports", "golden.xml"))
		for _, want := range []string{"hygiene", "kernel_param", "update-ca-certificates"} {
			if !strings.Contains(report, want) {
				t.Errorf("the report has no check of %q", want)
			}
		}
		if sbom := read(t, filepath.Join(dir, "reports", "golden.cdx.json")); !strings.Contains(sbom, `"openssh-server"`) {
			t.Error("the bill of materials has no openssh-server")
		}

		// A key that somebody has left: the image is not made.
		dirty := t.TempDir()
		if err := os.CopyFS(dirty, os.DirFS(exampleDir(t, "golden"))); err != nil {
			t.Fatal(err)
		}
		for script, text := range map[string]string{
			"harden.sh": "#!/bin/sh\n",
			"clean.sh":  "#!/bin/sh\nmkdir -p /root/.ssh\necho ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA me >/root/.ssh/authorized_keys\n",
		} {
			if err := os.WriteFile(filepath.Join(dirty, script), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		files := w.cloud(t)
		r := w.run(t, dirty, w.packer, "build", "-color=false", ".")
		if r.code == 0 || !strings.Contains(r.out, "hygiene:authorized-keys") {
			t.Errorf("exit status %d; want the key found and no image", r.code)
		}
		if diff := cmp.Diff(files, w.cloud(t)); diff != "" {
			t.Errorf("snapshots and volumes (-before +after):\n%s", diff)
		}
	})

	t.Run("migrating", func(t *testing.T) {
		before, after := read(t, "../example/migrating/before/web.pkr.hcl"), read(t, "../example/migrating/after/web.pkr.hcl")
		var changed []string
		old := strings.Split(before, "\n")
		for i, line := range strings.Split(after, "\n") {
			if i >= len(old) || line != old[i] {
				changed = append(changed, strings.TrimSpace(line))
			}
		}
		want := []string{
			"# The same, baked by bakery-chroot: another plugin, another type, nothing else.",
			"bakery = {", `source  = "github.com/imagebakery/bakery"`, `version = ">= 0.1.0"`,
			`source "bakery-chroot" "web" {`, `sources = ["source.bakery-chroot.web"]`,
		}
		if diff := cmp.Diff(want, changed); diff != "" {
			t.Errorf("lines that migrating has changed (-want +got):\n%s", diff)
		}
		if r := w.build(t, "migrating/after"); r.code != 0 {
			t.Errorf("exit status %d", r.code)
		}
	})

	t.Run("scheduled rebuild", func(t *testing.T) {
		templates := t.TempDir()
		for _, layer := range []string{"foundation", "base"} {
			if err := os.Symlink(exampleDir(t, layer), filepath.Join(templates, layer)); err != nil {
				t.Fatal(err)
			}
		}
		// What was baked from the old base is retired: it is nobody's to rebuild.
		for _, application := range []string{"shop", "shared", "golden"} {
			for _, image := range w.images(t, "--application", application) {
				w.must(t, ".", w.bakery, "retire", image.ID)
			}
		}
		w.env = append(w.env, "VERSION=2.0", "CLOUD=local", "CHANNEL=stable")
		w.must(t, t.TempDir(), filepath.Join(exampleDir(t, "scheduled-rebuild"), "rebuild.sh"), templates)
		foundation, base := w.newest(t, "foundation"), w.newest(t, "base")
		if foundation.Version != "2.0" || base.Version != "2.0" || base.Parent != foundation.ID {
			t.Errorf("foundation %+v, base %+v; want the new base on the new foundation", foundation, base)
		}
		if foundation.Status != "promoted" || base.Status != "promoted" {
			t.Errorf("foundation is %s, base %s; want them promoted", foundation.Status, base.Status)
		}

		// The old foundation has nothing that stands on it once the old base is gone.
		remove := filepath.Join(exampleDir(t, "scheduled-rebuild"), "remove-old.sh")
		w.env = append(w.env, "KEEP=1", "DAYS=0")
		old := strings.Fields(w.must(t, ".", remove, "--dry-run"))
		w.must(t, ".", remove)
		left := map[string]int{}
		for _, image := range w.images(t) {
			if image.Status != "retired" {
				left[image.Application]++
			}
		}
		if left["foundation"] != 1 || left["base"] != 1 || len(old) == 0 {
			t.Errorf("to remove were %v, left are %v; want the new foundation and the new base", old, left)
		}
		for _, image := range w.local(t) {
			if image.Tags["version"] == "1.0" && image.Tags["application"] == "foundation" {
				t.Errorf("%s is still in the cloud", image.ID)
			}
		}
	})
}

// newest returns the image of an application that was baked last.
func (w *world) newest(t *testing.T, application string) view {
	t.Helper()
	views := w.images(t, "--application", application, "--limit", "1")
	if len(views) == 0 {
		t.Fatalf("no image of %s is registered", application)
	}
	return views[0]
}

// localImage is what the tests read of `bakery local ls --output json`.
type localImage struct {
	ID     string            `json:"id"`
	Region string            `json:"region"`
	Tags   map[string]string `json:"tags"`
}

func (w *world) local(t *testing.T) []localImage {
	t.Helper()
	var images []localImage
	w.json(t, &images, "local", "ls", "--output", "json")
	return images
}

// tags returns the tags of an image of the local cloud.
func (w *world) tags(t *testing.T, id string) map[string]string {
	t.Helper()
	for _, image := range w.local(t) {
		if image.ID == id {
			return image.Tags
		}
	}
	t.Fatalf("the local cloud has no %s", id)
	return nil
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
