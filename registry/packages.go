package registry

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// The types of packages: their package systems, as package URLs name them.
const (
	PackageDeb = "deb"
	PackageRPM = "rpm"
	PackageAPK = "apk"
)

// PackageTypes lists the types of packages.
func PackageTypes() []string { return []string{PackageDeb, PackageRPM, PackageAPK} }

// Package is a package that an image has installed.
type Package struct {
	Type    string `json:"type"` // one of [PackageTypes]
	Name    string `json:"name"`
	Version string `json:"version"`        // whole: with epoch and release, where it has them
	Arch    string `json:"arch,omitempty"` // as its package system has it: amd64

	// Source is the source package that it was built from, as its package
	// system names it; empty when that is the same or is not known.
	Source string `json:"source,omitempty"`
}

// String returns name, version and architecture of p.
func (p Package) String() string {
	if p.Arch == "" {
		return p.Name + " " + p.Version
	}
	return p.Name + " " + p.Version + " (" + p.Arch + ")"
}

// scheme is the order that versions of p have.
func (p Package) scheme() Scheme { return Scheme(p.Type) }

func comparePackages(a, b Package) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch),
		cmp.Compare(a.Version, b.Version), cmp.Compare(a.Source, b.Source))
}

// PackageList is all that an image has installed, and of which operating
// system.
type PackageList struct {
	Distro   string    `json:"distro,omitempty"`  // ID of os-release(5): debian
	Release  string    `json:"release,omitempty"` // VERSION_ID of os-release(5): 12
	Packages []Package `json:"packages"`
}

// Sorted returns l in the order in which lists are kept, each package once.
func (l PackageList) Sorted() PackageList {
	l.Packages = slices.Compact(slices.SortedFunc(slices.Values(l.Packages), comparePackages))
	return l
}

// Digest returns the digest of l, sha256:HEX. The order of its packages does
// not count.
func (l PackageList) Digest() string {
	hash := sha256.New()
	// Texts and lists of texts are always encoded, and a hash never fails.
	_ = json.NewEncoder(hash).Encode(l.Sorted())
	return "sha256:" + hex.EncodeToString(hash.Sum(nil))
}

// Named returns the packages of l that have a name. An architecture behind a
// colon, as in libc6:amd64, must be theirs.
func (l PackageList) Named(name string) []Package {
	name, arch := splitPackageName(name)
	var found []Package
	for _, p := range l.Packages {
		if p.Name == name && (arch == "" || p.Arch == arch) {
			found = append(found, p)
		}
	}
	return found
}

func (l PackageList) validate() error {
	if len(l.Packages) == 0 {
		return errors.New("the list of packages is empty")
	}
	var errs []error
	for _, p := range l.Packages {
		switch {
		case !slices.Contains(PackageTypes(), p.Type):
			errs = append(errs, fmt.Errorf("package %q is of type %q, none of %v", p.Name, p.Type, PackageTypes()))
		case p.Name == "" || p.Version == "":
			errs = append(errs, fmt.Errorf("package %q has no name or no version", p.Name))
		}
		for _, s := range []string{p.Name, p.Version, p.Arch, p.Source} {
			if why := unfit(s); why != "" {
				errs = append(errs, fmt.Errorf("package %q: %q %s", p.Name, s, why))
			}
		}
	}
	return errors.Join(errs...)
}

// RecordPackages keeps a list of packages, once, whoever has it, and returns its
// digest: [Image.Packages] of the images that have exactly these.
func (r *Registry) RecordPackages(ctx context.Context, list PackageList) (digest string, err error) {
	list = list.Sorted()
	if err = list.validate(); err == nil {
		err = r.store.Commit(ctx, Change{Packages: &list})
	}
	if err != nil {
		return "", fmt.Errorf("record a list of packages: %w", err)
	}
	return list.Digest(), nil
}

// Packages returns what the image has installed. It returns ErrNotFound when
// that was not recorded.
func (r *Registry) Packages(ctx context.Context, img Image) (PackageList, error) {
	if img.Packages == "" {
		return PackageList{}, fmt.Errorf("read the packages of %s: they were not recorded: %w", img, ErrNotFound)
	}
	list, err := r.store.Packages(ctx, img.Packages)
	if err != nil {
		return PackageList{}, fmt.Errorf("read the packages of %s: %w", img, err)
	}
	return list, nil
}

// PackageChange is a package that two images do not have alike.
type PackageChange struct {
	Type   string   `json:"type"`
	Name   string   `json:"name"`
	Arch   string   `json:"arch,omitempty"`
	Before []string `json:"before,omitempty"` // its versions in the one; none: it was added
	After  []string `json:"after,omitempty"`  // its versions in the other; none: it was removed

	// Direction is upgraded or downgraded when both have one version, else
	// added, removed or changed.
	Direction string `json:"direction"`
}

// DiffPackages returns what has to happen to the packages of one list to make it
// the other, by name.
func DiffPackages(before, after PackageList) []PackageChange {
	type key struct{ kind, name, arch string }
	changes := map[key]*PackageChange{}
	at := func(p Package) *PackageChange {
		k := key{p.Type, p.Name, p.Arch}
		if changes[k] == nil {
			changes[k] = &PackageChange{Type: p.Type, Name: p.Name, Arch: p.Arch}
		}
		return changes[k]
	}
	for _, p := range before.Sorted().Packages {
		at(p).Before = append(at(p).Before, p.Version)
	}
	for _, p := range after.Sorted().Packages {
		at(p).After = append(at(p).After, p.Version)
	}
	list := []PackageChange{}
	for _, c := range changes {
		c.Before, c.After = slices.Compact(c.Before), slices.Compact(c.After)
		if !slices.Equal(c.Before, c.After) {
			c.Direction = c.direction()
			list = append(list, *c)
		}
	}
	slices.SortFunc(list, func(a, b PackageChange) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch), cmp.Compare(a.Type, b.Type))
	})
	return list
}

func (c PackageChange) direction() string {
	switch {
	case len(c.Before) == 0:
		return "added"
	case len(c.After) == 0:
		return "removed"
	case len(c.Before) == 1 && len(c.After) == 1:
		order, err := Scheme(c.Type).Compare(c.Before[0], c.After[0])
		if err == nil && order < 0 {
			return "upgraded"
		}
		if err == nil && order > 0 {
			return "downgraded"
		}
	}
	return "changed"
}
