package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ErrNoInventory means that it cannot be told what an image has installed: it
// has no package database that can be read.
var ErrNoInventory = errors.New("the installed packages are not known")

// Inventory is all that the package system of an image has installed.
type Inventory struct {
	Distro   string      // ID of os-release(5)
	Release  string      // VERSION_ID of os-release(5)
	Packages []Installed // by name
}

// Installed is a package that is unpacked in an image.
type Installed struct {
	Type    string // deb, rpm or apk, as package URLs name package systems
	Name    string
	Version string // whole, with epoch and release
	Arch    string // empty when the package system does not say
	Source  string // name of its source package; empty when that is Name or not known
}

// packageTypes are the types of package URLs by package system.
var packageTypes = map[string]string{"dpkg": "deb", "rpm": "rpm", "apk": "apk"}

// ReadInventory asks the image for its packages, as its own package system has
// recorded them, without changing the image. It returns ErrNoInventory when there
// is no such record or it cannot be read whole.
func ReadInventory(ctx context.Context, t Target) (*Inventory, error) {
	n := &needs{packages: true}
	s := newScript(newNonce(), n, Offline)
	frames, chatter, err := execute(ctx, t, s, scriptTimeout, func(frame) string { return "reading the packages" })
	if err != nil {
		return nil, fmt.Errorf("read the installed packages: %w", err)
	}
	f := newFacts(Offline)
	f.chatter = chatter
	for _, fr := range frames {
		f.take(fr, n, s.batches)
	}
	db, v := f.database()
	if v.outcome != "" {
		return nil, fmt.Errorf("%w: %s", ErrNoInventory, v.actual)
	}
	inventory := &Inventory{Distro: f.os["ID"], Release: f.os["VERSION_ID"]}
	for _, name := range slices.Sorted(maps.Keys(db.packages)) {
		for _, p := range db.found(name) {
			one := Installed{Type: packageTypes[db.system], Name: name, Version: p.version, Arch: p.arch, Source: p.sourceName()}
			if one.Source == name {
				one.Source = ""
			}
			inventory.Packages = append(inventory.Packages, one)
		}
	}
	slices.SortStableFunc(inventory.Packages, func(a, b Installed) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch), cmp.Compare(a.Version, b.Version))
	})
	return inventory, nil
}

// sourceName is the source package without the version that dpkg writes behind
// it when it is not that of the package: "glibc (2.36-9)".
func (p installed) sourceName() string {
	name, _, _ := strings.Cut(p.source, " ")
	return name
}
