package registry_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestImports holds the registry apart from everything that uses it: it is a
// library for other tools too, and they must not get Packer, a cloud or a
// database with it.
func TestImports(t *testing.T) {
	allowed := []string{
		"github.com/imagebakery/packer-plugin-bakery/registry",
		"github.com/Masterminds/semver/v3",
		"github.com/knqyf263/go-apk-version",
		"github.com/knqyf263/go-deb-version",
		"github.com/knqyf263/go-rpm-version",
		"github.com/oklog/ulid/v2",
	}
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps",
		"-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Skipf("needs the go command: %v", err)
	}
	packages := strings.Fields(string(out))
	if len(packages) == 0 {
		t.Fatal("go list named no package, not even this one")
	}
	for _, path := range packages {
		found := false
		for _, ok := range allowed {
			found = found || path == ok
		}
		if !found {
			t.Errorf("registry depends on %s", path)
		}
	}
}
