package bakekey

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPartsSayWhatHasChanged(t *testing.T) {
	parts := func(f Facts) Parts {
		t.Helper()
		p, err := f.Parts()
		if err != nil {
			t.Fatal(err)
		}
		// As it comes back from a file.
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "version=1") || strings.Contains(string(text), "ami-1") {
			t.Errorf("the parts hold a fact: %s", text)
		}
		var back Parts
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		return back
	}
	before := parts(example())
	if got := before.Since(before); len(got) > 0 {
		t.Errorf("%v have changed", got)
	}
	for name, change := range map[string]func(*Facts){
		"the ancestor":                 func(f *Facts) { f.Source[0] = "ami-2" },
		"the options of the builder":   func(f *Facts) { f.Options = json.RawMessage(`{}`) },
		"the versions of the programs": func(f *Facts) { f.Versions["packer"] = "2" },
		"the cloud, account or region": func(f *Facts) { f.Place = "aws" },
		"the variables":                func(f *Facts) { f.Values["kernel"] = "7" },
		"b":                            func(f *Facts) { f.Files[1].Digest = "03" },
	} {
		f := example()
		change(&f)
		if diff := cmp.Diff([]string{name}, parts(f).Since(before)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
