package registry

import "testing"

func TestArch(t *testing.T) {
	for name, want := range map[string]string{
		"amd64": "x86_64", "x86_64": "x86_64", "AMD64": "x86_64", "aarch64": "arm64", "arm64": "arm64",
		"i686": "i386", "riscv64": "riscv64", "": "",
	} {
		if got := Arch(name); got != want {
			t.Errorf("Arch(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestLineLeavesOutWhatIsNotSet(t *testing.T) {
	line := Image{Application: "base", Layer: "base", Arch: "x86_64", Version: "1"}.Line()
	if got := line.String(); got != "base/base/x86_64" {
		t.Errorf("line is %q", got)
	}
}

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"", "ami-1", "aws/us-east-1/ami-1", "docker//debian:12", "a/b", "a/b/c/d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref := ParseRef(s)
		if ref.Cloud == "" && ref.Region == "" {
			return // an id alone, or one that has two slashes in front
		}
		if got := ref.String(); got != s {
			t.Errorf("%q is read as %+v and written as %q", s, ref, got)
		}
	})
}
