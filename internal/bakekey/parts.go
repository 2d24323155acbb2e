package bakekey

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Parts tell two sets of facts apart without holding any, but for the names of
// files: what may be kept on disk so that the next bake can say why its key is
// another.
type Parts struct {
	Files []File            `json:"files"`
	Rest  map[string]string `json:"rest"` // digest by what it is of
}

// Parts returns the parts of f.
func (f Facts) Parts() (Parts, error) {
	// Of variables a derived digest, for the reason that the key is derived.
	variables, err := Facts{Arguments: f.Arguments, Variables: f.Variables, Values: f.Values, VarFiles: f.VarFiles}.Key()
	if err != nil {
		return Parts{}, err
	}
	p := Parts{Files: f.Files, Rest: map[string]string{"the variables": variables}}
	for name, part := range map[string]any{
		"the ancestor": f.Source, "the options of the builder": f.Options, "the versions of the programs": f.Versions,
		"the cloud, account or region": f.Place,
	} {
		text, err := json.Marshal(part)
		if err != nil {
			return Parts{}, fmt.Errorf("digest %s: %w", name, err)
		}
		sum := sha256.Sum256(text)
		p.Rest[name] = hex.EncodeToString(sum[:])
	}
	return p, nil
}

// Since returns what is another than it was, for people.
func (p Parts) Since(before Parts) []string {
	var changed []string
	for _, name := range slices.Sorted(maps.Keys(p.Rest)) {
		if p.Rest[name] != before.Rest[name] {
			changed = append(changed, name)
		}
	}
	return append(changed, Changed(before.Files, p.Files)...)
}
