package chroot

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/internal/bakekey"
	"github.com/imagebakery/packer-plugin-bakery/internal/home"
)

// rememberedFor is how long is known what a template was last baked from.
const rememberedFor = 30 * 24 * time.Hour

// sayChanged says what has changed since the same build of the same template
// was baked on this host, and remembers what it is baked from now.
func (b *bake) sayChanged() error {
	now, err := b.equal.facts.Parts()
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(b.equal.inputs.Root + "\x00" + b.equal.facts.Build))
	path, err := home.Path("baked", fmt.Sprintf("%x.json", sum[:16]))
	if err != nil {
		return err
	}
	var before bakekey.Parts
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case json.Unmarshal(text, &before) == nil: // one that was cut off tells nothing
		if changed := now.Since(before); len(changed) > 0 {
			b.ui.Say("Changed since the last bake here: " + some(changed))
		}
	}
	forget(filepath.Dir(path))
	if text, err = json.Marshal(now); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// forget removes what was remembered long ago, as far as it can.
func forget(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > rememberedFor {
			_ = os.Remove(filepath.Join(dir, entry.Name()))
		}
	}
}

// maxNamed is how many files a message names.
const maxNamed = 5

// some lists names, and counts those that are too many.
func some(names []string) string {
	if len(names) > maxNamed {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNamed], ", "), len(names)-maxNamed)
	}
	return strings.Join(names, ", ")
}
