package handoff

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"strings"
)

// CoveredKey is the build variable (`build.SandboxFiles`) that holds what
// [EncodeCovered] returns: the files of the sandbox that lie over the image's own
// while guests run. Other builders do not set it.
const CoveredKey = "SandboxFiles"

// Covered is a file of the sandbox in the place of one of the image. Whoever
// asks for the path sees the sandbox's file; the finished image has what lies
// under it, unless a guest has put a file of its own there.
type Covered struct {
	// Path is absolute in the image.
	Path string `json:"path"`
	// SHA256 is the digest of the sandbox's file in hex: a file that differs is
	// a guest's, and stays. Empty means that nothing stays that guests put there.
	SHA256 string `json:"sha256,omitempty"`
	// Under is where the image's own file lies in the meantime, in the same
	// folder, so that relative links lead where they did. Empty means that the
	// image has none.
	Under string `json:"under,omitempty"`
}

// EncodeCovered returns files as one text: Packer hands hook data to plugins
// whose values are texts and numbers.
func EncodeCovered(files []Covered) (string, error) {
	for _, f := range files {
		if err := f.valid(); err != nil {
			return "", fmt.Errorf("encode %s: %w", CoveredKey, err)
		}
	}
	if len(files) == 0 {
		return "", nil
	}
	data, err := json.Marshal(files)
	if err != nil {
		return "", fmt.Errorf("encode %s: %w", CoveredKey, err)
	}
	return string(data), nil
}

// DecodeCovered reads what [EncodeCovered] wrote. An empty text means no files.
func DecodeCovered(text string) ([]Covered, error) {
	if text == "" {
		return nil, nil
	}
	var files []Covered
	if err := json.Unmarshal([]byte(text), &files); err != nil {
		return nil, fmt.Errorf("decode %s: %w", CoveredKey, err)
	}
	for _, f := range files {
		if err := f.valid(); err != nil {
			return nil, fmt.Errorf("decode %s: %w", CoveredKey, err)
		}
	}
	return files, nil
}

func (c Covered) valid() error {
	if !plainPath(c.Path) || c.Path == "/" {
		return fmt.Errorf("path %q is not the absolute path of a file", c.Path)
	}
	if sum, err := hex.DecodeString(c.SHA256); err != nil || (len(sum) != 0 && len(sum) != 32) {
		return fmt.Errorf("%s: %q is not a SHA-256 digest in hex", c.Path, c.SHA256)
	}
	if c.Under == "" {
		return nil
	}
	if !plainPath(c.Under) || c.Under == c.Path || path.Dir(c.Under) != path.Dir(c.Path) {
		return fmt.Errorf("%s: under %q is not another path of the same folder", c.Path, c.Under)
	}
	return nil
}

func plainPath(p string) bool {
	return path.IsAbs(p) && path.Clean(p) == p && !strings.Contains(p, "\x00")
}
