package region

import (
	"slices"
	"testing"
)

func TestNamesAreSorted(t *testing.T) {
	if !slices.IsSorted(Names()) {
		t.Error("names are not sorted: Known searches them by halves")
	}
}

func TestKnownAndNearest(t *testing.T) {
	for name, want := range map[string]string{
		"us-eest-1": "us-east-1", "eu-centrall-1": "eu-central-1", "ap-southeat-2": "ap-southeast-2",
	} {
		if Known(name) {
			t.Errorf("Known(%q)", name)
		}
		if got := Nearest(name); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
	if !Known(Default) {
		t.Errorf("the default %q is not known", Default)
	}
}
