package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/registry"
	"github.com/imagebakery/packer-plugin-bakery/registry/sqlite"
)

// The shape of the registries: lines are applications in three layers, each
// line has as many versions as the size makes, and each image is baked from the
// newest one of its ancestor's line at the time.
const (
	lines       = 500
	foundations = 5
	bases       = 45 // the other lines are applications

	depth            = 20 // of a line in which each image is baked from the one before
	packagesPerImage = 20
	packageNames     = 400

	// least is a registry in which every line has a version, and a deep one too.
	least = 2 * lines
)

const deep = "deep"

// world is a registry that was made, and what questions need of it.
type world struct {
	size       int
	deepest    string // id of the image with depth ancestors
	foundation string // id of a foundation in the middle of its line
	images     int    // behind that foundation
}

// generate makes a registry of size images. It is written in memory, where
// committing waits for no disk, and then put into place.
func generate(ctx context.Context, path string, size int) (w world, err error) {
	fast, err := os.MkdirTemp(inMemory(), "bakery-bench-registry-")
	if err != nil {
		return world{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(fast)) }()
	made := filepath.Join(fast, "registry.db")
	store, err := sqlite.Open(ctx, made)
	if err != nil {
		return world{}, err
	}
	w, err = fill(ctx, store, size)
	if err := errors.Join(err, store.Close()); err != nil {
		return world{}, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return world{}, err
	}
	data, err := os.ReadFile(made)
	if err != nil {
		return world{}, err
	}
	return w, os.WriteFile(path, data, 0o600) //nolint:gosec // in a folder that this program has made
}

// inMemory is a folder in memory, or the usual one for files that do not stay.
func inMemory() string {
	const shared = "/dev/shm"
	if info, err := os.Stat(shared); err == nil && info.IsDir() {
		return shared
	}
	return os.TempDir()
}

// line returns application and layer of the n-th line, and the line that its
// images are baked from; -1 for none.
func line(n int) (application, layer string, from int) {
	switch {
	case n < foundations:
		return fmt.Sprintf("foundation-%d", n), "foundation", -1
	case n < foundations+bases:
		return fmt.Sprintf("base-%d", n), "base", n % foundations
	}
	return fmt.Sprintf("application-%d", n), "application", foundations + n%bases
}

// fill registers the images, in the order in which they are baked: version by
// version, all lines of one version after each other. Of each line the newest
// is not tested.
func fill(ctx context.Context, store *sqlite.Store, size int) (world, error) {
	w := world{size: size}
	versions := size / lines
	newest := make([]registry.Image, lines)
	root := map[string]string{} // foundation by image
	behind := map[string]int{}
	for n := range size - depth - 1 {
		of, version := n%lines, n/lines
		application, layer, from := line(of)
		img := image(n, application, layer, version)
		root[img.ID] = img.ID
		if from >= 0 {
			img.Parent = newest[from].ID
			img.ParentImage = newest[from].Artifacts[0].Ref
			root[img.ID] = root[img.Parent]
			behind[root[img.ID]]++
		}
		if of == 0 && version == versions/2 {
			w.foundation = img.ID
		}
		if err := register(ctx, store, img, n, version < versions-1); err != nil {
			return world{}, err
		}
		newest[of] = img
	}
	w.images = behind[w.foundation]
	var before registry.Image
	for n := range depth + 1 {
		img := image(size-depth-1+n, deep, "application", n)
		if n > 0 {
			img.Parent, img.ParentImage = before.ID, before.Artifacts[0].Ref
		}
		if err := register(ctx, store, img, n, true); err != nil {
			return world{}, err
		}
		before, w.deepest = img, img.ID
	}
	return w, nil
}

// image is the n-th image.
func image(n int, application, layer string, version int) registry.Image {
	baked := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Minute)
	return registry.Image{
		ID: fmt.Sprintf("01J%023d", n), Application: application, Version: fmt.Sprintf("1.%d", version), Layer: layer,
		Release: "bookworm", Arch: "x86_64", Owner: "team", Labels: map[string]string{"kernel": "6.1.0-30"},
		CreatedAt: baked, RegisteredAt: baked,
		Artifacts: []registry.Artifact{{
			Ref:     registry.Ref{Cloud: "aws", Region: "us-east-1", ID: fmt.Sprintf("ami-%017x", n)},
			Account: "123456789012", Name: fmt.Sprintf("%s-1.%d", application, version), Snapshots: []string{fmt.Sprintf("snap-%017x", n)},
		}},
	}
}

// register stores an image with its packages, its test and its event, as
// bakery-lineage does.
func register(ctx context.Context, store *sqlite.Store, img registry.Image, n int, tested bool) error {
	packages := installed(n)
	img.Packages = packages.Digest()
	change := registry.Change{
		Packages: &packages, Image: &img,
		Events: []registry.Event{{ID: "E" + img.ID, At: img.CreatedAt, Actor: "ci", Op: registry.OpRegister, Image: img.ID, Detail: img.String()}},
	}
	if tested {
		change.Results = []registry.TestResult{{
			ID: "R" + img.ID, Image: img.ID, Suite: "base.spec.hcl", Mode: "offline", Outcome: registry.Passed,
			Counts: registry.Counts{Passed: 25}, StartedAt: img.CreatedAt,
		}}
	}
	return store.Commit(ctx, change)
}

// installed are packages of which no two images have all alike. All have
// openssl, the later ones one that is repaired.
func installed(n int) registry.PackageList {
	list := registry.PackageList{Distro: "debian", Release: "12"}
	add := func(name, version string) {
		list.Packages = append(list.Packages, registry.Package{Type: registry.PackageDeb, Name: name, Version: version, Arch: "amd64"})
	}
	openssl := "3.0.11-1~deb12u2"
	if n%lines >= lines/2 {
		openssl = "3.0.15-1~deb12u1"
	}
	add("openssl", openssl)
	add("this", fmt.Sprintf("1.%d-1", n))
	for i := range packagesPerImage - 2 {
		add(fmt.Sprintf("package-%d", (n+i*7)%packageNames), fmt.Sprintf("1.%d-1", n/1000))
	}
	return list.Sorted()
}
