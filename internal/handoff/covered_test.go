package handoff

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var someDigest = strings.Repeat("0a", 32)

func TestCovered(t *testing.T) {
	files := []Covered{
		{Path: "/usr/sbin/policy-rc.d", SHA256: someDigest},
		{Path: "/etc/hosts", Under: "/etc/.hosts.aside"},
	}
	text, err := EncodeCovered(files)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeCovered(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(files, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestNothingCovered(t *testing.T) {
	text, err := EncodeCovered(nil)
	if text != "" || err != nil {
		t.Errorf("encoded %q, %v", text, err)
	}
	if files, err := DecodeCovered(""); files != nil || err != nil {
		t.Errorf("decoded %v, %v", files, err)
	}
}

func TestCoveredRefused(t *testing.T) {
	for name, f := range map[string]Covered{
		"relative":      {Path: "usr/sbin/x"},
		"root":          {Path: "/"},
		"not clean":     {Path: "/usr/../x"},
		"short digest":  {Path: "/x", SHA256: "0a"},
		"no hex":        {Path: "/x", SHA256: strings.Repeat("zz", 32)},
		"other folder":  {Path: "/etc/x", Under: "/usr/x"},
		"itself":        {Path: "/etc/x", Under: "/etc/x"},
		"under escapes": {Path: "/etc/x", Under: "/etc/../etc/y"},
		"zero byte":     {Path: "/etc/\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			if text, err := EncodeCovered([]Covered{f}); err == nil {
				t.Errorf("encoded as %s", text)
			}
		})
	}
	for _, text := range []string{"x", "{}", `[{"path":"x"}]`} {
		if files, err := DecodeCovered(text); err == nil {
			t.Errorf("%s decoded as %v", text, files)
		}
	}
}

func FuzzDecodeCovered(f *testing.F) {
	f.Add(`[{"path":"/usr/sbin/policy-rc.d","sha256":"` + someDigest + `","under":"/usr/sbin/.x"}]`)
	f.Fuzz(func(t *testing.T, text string) {
		files, err := DecodeCovered(text)
		if err != nil {
			return
		}
		again, err := EncodeCovered(files)
		if err != nil {
			t.Fatalf("%q decoded as %v, which does not encode: %v", text, files, err)
		}
		back, err := DecodeCovered(again)
		if err != nil || len(back) != len(files) {
			t.Errorf("%q became %q: %v", text, again, err)
		}
	})
}
