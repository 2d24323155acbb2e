package handoff

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/oklog/ulid/v2"
)

// PackagesKey is the artifact state under which the builder puts what
// [Packages.Encode] returns: what the finished image has installed. Other
// builders do not set it.
const PackagesKey = "bakery.packages"

// Packages is what an image has installed.
type Packages struct {
	BakeID   string    `json:"bake_id,omitempty"` // of the bake; empty under other builders
	Distro   string    `json:"distro,omitempty"`  // ID of os-release(5)
	Release  string    `json:"release,omitempty"` // VERSION_ID of os-release(5)
	Packages []Package `json:"packages"`
}

// Package is one installed package.
type Package struct {
	Type    string `json:"type"` // deb, rpm or apk
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch,omitempty"`
	Source  string `json:"source,omitempty"` // its source package, when of another name
}

// Encode returns p as one text, which Packer's plugin wire leaves as it is.
func (p Packages) Encode() (string, error) {
	data, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("encode %s: %w", PackagesKey, err)
	}
	return string(data), nil
}

// DecodePackages reads what an artifact has under [PackagesKey]. ok is false
// when it has nothing there.
func DecodePackages(state any) (p Packages, ok bool, err error) {
	text, isText := state.(string)
	switch {
	case state == nil || text == "" && isText:
		return Packages{}, false, nil
	case !isText:
		return Packages{}, false, fmt.Errorf("decode %s: it is a %T, no text", PackagesKey, state)
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return Packages{}, false, fmt.Errorf("decode %s: %w", PackagesKey, err)
	}
	return p, true, nil
}

// packagesExt is how files with packages end, beside those with results.
const packagesExt = ".packages"

// PutPackages hands over what the image of b has installed, for builders that do
// not say so themselves. The latest hand-over counts.
func (b Build) PutPackages(p Packages) error {
	err := b.hand(ulid.Make().String()+packagesExt, p)
	if err != nil {
		return fmt.Errorf("hand over the installed packages: %w", err)
	}
	return nil
}

// Packages returns what was handed over last for b and for the bake with the
// given id. ok is false when nothing was. It stays until [Build.Done].
func (b Build) Packages(bakeID string) (p Packages, ok bool, err error) {
	paths, err := b.packageFiles(bakeID, func(one Packages) { p = one })
	if err != nil {
		return Packages{}, false, fmt.Errorf("read the installed packages: %w", err)
	}
	return p, len(paths) > 0, nil
}

// packageFiles returns the files with packages for b and the bake with the given
// id, oldest first, and shows what each holds.
func (b Build) packageFiles(bakeID string, show func(Packages)) (paths []string, err error) {
	dir, err := b.dir()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) != packagesExt {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // of another bake, which is done
		}
		if err != nil {
			return nil, err
		}
		var p Packages
		if err := json.Unmarshal(data, &p); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if p.BakeID == "" || bakeID == "" || p.BakeID == bakeID {
			paths = append(paths, path)
			show(p)
		}
	}
	return paths, nil
}
