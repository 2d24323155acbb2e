package check

import (
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Extended attributes are read with the image's own tool, here this machine's.
func TestXAttrs(t *testing.T) {
	if _, err := exec.LookPath("getfattr"); err != nil {
		t.Skipf("needs getfattr, of the package attr: %v", err)
	}
	onEachShell(t, func(t *testing.T, shell local) {
		dir := t.TempDir()
		file := filepath.Join(dir, "it's")
		writeTestFile(t, file, "", 0o644)
		for name, value := range map[string]string{"user.origin": "bake\nday", "user.empty": ""} {
			if err := syscall.Setxattr(file, name, []byte(value), 0); err != nil {
				t.Skipf("needs extended attributes on the file system of %s: %v", dir, err)
			}
		}
		results, _ := runText(t, Target{Shell: shell, Mounted: true}, strings.ReplaceAll(`
file "@/it's" {
  xattrs = {
    "user.origin" = "bake\nday"
    "user.empty"  = ""
    "user.other"  = "x"
  }
  not_xattrs = ["user.none"]
}
file "@" { not_xattrs = ["user.none"] }
file "@/gone" { not_xattrs = ["user.none"] }
file {
  path   = "@/it's"
  xattrs = { "user.or" = "bake" }
}
`, "@", dir))
		want := map[string]Outcome{}
		for id, outcome := range map[string]Outcome{
			"/it's:xattr user.origin": Passed, "/it's:xattr user.empty": Passed, "/it's:xattr user.other": Failed, "/it's:xattr user.none": Passed,
			":xattr user.none": Passed, "/gone:xattr user.none": Failed, "/it's:xattr user.or": Failed,
		} {
			want["file:"+dir+id] = outcome
		}
		expect(t, results, want)
	})
}

// Without the tool it cannot be told, whatever the check wants.
func TestXAttrsWithoutTheTool(t *testing.T) {
	root := newFamilyRoot(t, "alpine")
	results, _ := runText(t, Target{Shell: root.offline(0), Mounted: true}, `file "/etc/passwd" { not_xattrs = ["user.none"] }`)
	expect(t, results, map[string]Outcome{"file:/etc/passwd:xattr user.none": Errored})
}
