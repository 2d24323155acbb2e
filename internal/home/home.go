// Package home knows where the suite keeps its files on this machine.
package home

import (
	"fmt"
	"os"
	"path/filepath"
)

// Env is the variable that overrides where everything is kept.
const Env = "BAKERY_HOME"

// Dir returns the folder of the suite: $BAKERY_HOME, else
// $XDG_DATA_HOME/bakery, else ~/.local/share/bakery, as the XDG Base Directory
// specification has it. The folder need not exist. Relative values of either
// variable are resolved against the working directory, so that the plugin
// processes of one build agree on it.
func Dir() (string, error) {
	dir := os.Getenv(Env)
	if dir == "" {
		data := os.Getenv("XDG_DATA_HOME")
		if data == "" {
			user, err := os.UserHomeDir()
			if err != nil {
				return "", fmt.Errorf("find the bakery's folder: %w; set %s", err, Env)
			}
			data = filepath.Join(user, ".local", "share")
		}
		dir = filepath.Join(data, "bakery")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find the bakery's folder: %w", err)
	}
	return abs, nil
}

// Path returns the absolute path of elem under Dir.
func Path(elem ...string) (string, error) {
	dir, err := Dir()
	if err != nil {
		return "", err
	}
	return filepath.Join(append([]string{dir}, elem...)...), nil
}
