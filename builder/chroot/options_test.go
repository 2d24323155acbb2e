package chroot

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hcldec"
)

// Every option of amazon-chroot exists here, with its type. What each means is
// the matter of other tests, TestMigrate of the end-to-end tests first of all.
func TestEveryOptionOfAmazonChroot(t *testing.T) {
	text, err := os.ReadFile("testdata/amazon-chroot-1.8.2.txt")
	if err != nil {
		t.Fatal(err)
	}
	ours := optionTypes("", new(Builder).ConfigSpec())
	theirs := slices.DeleteFunc(strings.Split(strings.TrimSpace(string(text)), "\n"), func(line string) bool {
		return strings.HasPrefix(line, "#")
	})
	if len(theirs) < 100 {
		t.Fatalf("only %d options are listed", len(theirs))
	}
	for _, line := range theirs {
		name, want, _ := strings.Cut(line, " ")
		if got := ours[name]; got != want {
			t.Errorf("option %s is %q, in amazon-chroot %q", name, got, want)
		}
	}
}

// optionTypes maps the options of a specification, those of blocks as
// "block.option", to their types.
func optionTypes(prefix string, spec map[string]hcldec.Spec) map[string]string {
	types := map[string]string{}
	block := func(name, kind string, nested hcldec.Spec) {
		types[prefix+name] = kind
		maps.Copy(types, optionTypes(prefix+name+".", nested.(hcldec.ObjectSpec)))
	}
	for name, s := range spec {
		switch s := s.(type) {
		case *hcldec.AttrSpec:
			types[prefix+name] = s.Type.FriendlyName()
		case *hcldec.BlockSpec:
			block(name, "block", s.Nested)
		case *hcldec.BlockListSpec:
			block(name, "blocks", s.Nested)
		}
	}
	return types
}
