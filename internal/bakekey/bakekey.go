// Package bakekey computes the bake key of an image: a digest of everything
// that determines it, as far as that can be known before the bake. Two bakes
// with one key make equal images, so that the second can be left out.
//
// A builder of Packer knows its own options and nothing of the provisioners
// that will run. What those do is in the template, in the variables that it is
// called with, and in the files that they bring into the image; [Call] finds the
// first two, and [Selection] reads the files.
package bakekey

import (
	"cmp"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
)

// Facts is what a bake key is made of.
type Facts struct {
	Build     string            `json:"build"`     // name of the build in its template; provisioners are chosen by it
	Versions  map[string]string `json:"versions"`  // of the programs that bake
	Place     string            `json:"place"`     // cloud, account and region
	Source    []string          `json:"source"`    // ids of the image that is started from, and of its snapshots
	Options   json.RawMessage   `json:"options"`   // of the builder, as the template has them
	Arguments []string          `json:"arguments"` // variables of the command line, in their order
	Variables []string          `json:"variables"` // variables of the environment, NAME=VALUE, sorted
	Values    map[string]string `json:"values"`    // what the template adds
	VarFiles  []string          `json:"var_files"` // sha256 of each, in their order
	Files     []File            `json:"files"`     // sorted by name
}

// The key is derived, not just hashed: variables may hold passwords, the key is
// for everybody to see, and who knows all the rest of a template could try
// passwords against it. With this many rounds a try takes some ten milliseconds.
const (
	salt   = "bakery bake key 1"
	rounds = 100_000
)

// Key returns the key of f, as 64 hexadecimal digits.
func (f Facts) Key() (string, error) {
	f.Files = slices.Clone(f.Files)
	slices.SortFunc(f.Files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	// Maps are written in the order of their keys.
	text, err := json.Marshal(f)
	if err != nil {
		return "", fmt.Errorf("compute the bake key: %w", err)
	}
	key, err := pbkdf2.Key(sha256.New, string(text), []byte(salt), rounds, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("compute the bake key: %w", err)
	}
	return hex.EncodeToString(key), nil
}

// Changed returns the names of files that are in one list only, or differ
// between them, sorted.
func Changed(before, after []File) []string {
	known := map[string]File{}
	for _, file := range before {
		known[file.Name] = file
	}
	var names []string
	for _, file := range after {
		old, there := known[file.Name]
		if !there || old != file {
			names = append(names, file.Name)
		}
		delete(known, file.Name)
	}
	for name := range known {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
