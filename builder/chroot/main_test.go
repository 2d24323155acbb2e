package chroot

import (
	"fmt"
	"os"
	"testing"

	"github.com/imagebakery/packer-plugin-bakery/internal/home"
)

// TestMain keeps what bakes remember of each other out of the tester's own
// folder.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "bakery-test-home-")
	if err == nil {
		err = os.Setenv(home.Env, dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}
