package registry_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/imagebakery/packer-plugin-bakery/registry"
	"github.com/imagebakery/packer-plugin-bakery/registry/sqlite"
)

// debs returns a list of the packages of a Debian, written NAME VERSION.
func debs(packages ...string) registry.PackageList {
	list := registry.PackageList{Distro: "debian", Release: "12"}
	for _, p := range packages {
		name, version, _ := strings.Cut(p, " ")
		list.Packages = append(list.Packages, registry.Package{Type: registry.PackageDeb, Name: name, Version: version, Arch: "amd64"})
	}
	return list
}

func TestPackageConditions(t *testing.T) {
	list := debs("openssl 3.0.14-1~deb12u2", "linux-image 6.1.0-18", "linux-image 6.1.0-21", "odd not_a_version!")
	list.Packages = append(list.Packages,
		registry.Package{Type: registry.PackageDeb, Name: "openssl", Version: "3.0.11-1", Arch: "i386"},
		registry.Package{Type: registry.PackageRPM, Name: "glibc", Version: "2.34-100.el9", Arch: "x86_64"},
		registry.Package{Type: registry.PackageRPM, Name: "bind", Version: "32:9.16.23-18.el9", Arch: "x86_64"},
		registry.Package{Type: registry.PackageAPK, Name: "musl", Version: "1.2.5_rc1-r0"},
	)
	for condition, want := range map[string]string{
		"openssl":                        "",
		"openssl:amd64 >= 3.0.14":        "",
		"openssl:amd64>=3.0.14,<3.0.15":  "",
		"openssl >= 3.0.14":              "package openssl is 3.0.11-1, not >= 3.0.14",
		"openssl:amd64 > 3.0.14-1":       "package openssl is 3.0.14-1~deb12u2, not > 3.0.14-1",
		"openssl:arm64":                  "it has no package openssl:arm64",
		"linux-image >= 6.1.0-18, < 6.2": "",
		"linux-image != 6.1.0-18":        "package linux-image is 6.1.0-18, not != 6.1.0-18",
		"!telnetd":                       "",
		"! openssl":                      "it has package openssl 3.0.14-1~deb12u2 (amd64)",
		"!openssl:amd64 < 3.0.14-1~":     "",
		"!openssl < 3.0.14":              "it has package openssl 3.0.11-1 (i386)",
		"telnetd > 0":                    "it has no package telnetd",
		"glibc = 2.34":                   "",
		"glibc = 2.34-99.el9":            "package glibc is 2.34-100.el9, not = 2.34-99.el9",
		"bind > 9.16":                    "",
		"bind = 32:9.16.23":              "",
		"musl < 1.2.5":                   "",
		"odd > 1":                        `package odd: "not_a_version!" is no deb version`,
	} {
		c, err := registry.ParsePackageCondition(condition)
		if err != nil {
			t.Errorf("%s: %v", condition, err)
			continue
		}
		again, err := registry.ParsePackageCondition(c.String())
		if err != nil || again.String() != c.String() {
			t.Errorf("%s is written as %q and read as %q, %v", condition, c, again, err)
		}
		err = c.Check(list)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: error is %v, want %q", condition, err, want)
		}
	}
}

func TestPackageConditionMistakes(t *testing.T) {
	for condition, want := range map[string]string{
		"":               "names no package",
		"!":              "names no package",
		">= 3":           "names no package",
		"openssl >=":     "a version is missing",
		"openssl ~> 3.0": "write two terms",
		"openssl 3.0":    "write an operator",
		"openssl > 1 2":  "separate terms by commas",
	} {
		if c, err := registry.ParsePackageCondition(condition); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is read as %q, %v; want an error with %q", condition, c, err, want)
		}
	}
}

func FuzzParsePackageCondition(f *testing.F) {
	f.Add("!openssl:amd64 >= 3.0.14, < 4")
	f.Add("a~>1")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := registry.ParsePackageCondition(s)
		if err != nil {
			return
		}
		again, err := registry.ParsePackageCondition(c.String())
		if err != nil || again.String() != c.String() {
			t.Errorf("%q is written as %q and read as %q, %v", s, c, again, err)
		}
		_ = c.Check(debs("a 1", "b 2"))
	})
}

func TestDigestOfPackages(t *testing.T) {
	one, other := debs("a 1", "b 2"), debs("b 2", "a 1", "a 1")
	if one.Digest() != other.Digest() {
		t.Error("the order of packages changes their digest")
	}
	for what, different := range map[string]registry.PackageList{
		"a version": debs("a 1", "b 3"), "a package": debs("a 1"), "nothing": {},
		"the release": {Distro: "debian", Release: "13", Packages: one.Packages},
	} {
		if one.Digest() == different.Digest() {
			t.Errorf("%s does not change the digest", what)
		}
	}
	// Digests are kept for ever: this one must not change.
	const want = "sha256:ca43b73d9578256a743652efcb69401e2d3d3ebbbb2c22520e787192f6f4d0b0"
	if got := one.Digest(); got != want {
		t.Errorf("digest is %s, want %s", got, want)
	}
}

func TestDiffPackages(t *testing.T) {
	before := debs("a 1", "b 2", "c 3", "kernel 1", "kernel 2", "same 1", "epoch 9")
	after := debs("a 1.1", "b 1.9~rc1", "d 4", "kernel 2", "kernel 3", "same 1", "epoch 1:1")
	var got []string
	for _, c := range registry.DiffPackages(before, after) {
		got = append(got, c.Direction+" "+c.Name+" "+strings.Join(c.Before, ",")+" > "+strings.Join(c.After, ","))
	}
	want := []string{
		"upgraded a 1 > 1.1", "downgraded b 2 > 1.9~rc1", "removed c 3 > ", "added d  > 4",
		"upgraded epoch 9 > 1:1", "changed kernel 1,2 > 2,3",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if same := registry.DiffPackages(before, before); len(same) != 0 {
		t.Errorf("a list differs from itself: %v", same)
	}
}

func TestRecordPackages(t *testing.T) {
	b := newBench(t)
	list := debs("openssl 3.0.14-1", "zlib1g 1:1.2.13")
	digest, err := b.RecordPackages(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	img := image("base 1", "")
	img.Packages = digest
	img = b.add(img)
	got, err := b.Packages(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(list.Sorted(), got); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	if _, err := b.Packages(t.Context(), b.add(image("base 2", ""))); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("error without a list is %v", err)
	}
	for what, wrong := range map[string]registry.PackageList{
		"list of packages is empty": {},
		"no name or no version":     debs("a"),
		"is of type":                {Packages: []registry.Package{{Type: "npm", Name: "a", Version: "1"}}},
		"control characters":        debs("a 1\n2"),
		"is longer than 256 bytes":  debs("a " + strings.Repeat("1", 300)),
	} {
		if _, err := b.RecordPackages(t.Context(), wrong); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("error is %v, want one with %q", err, what)
		}
	}
	img = image("base 3", "")
	img.Packages = "sha256:none"
	if _, _, err := b.Register(t.Context(), img); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("error of an image with unknown packages is %v", err)
	}
}

// counting counts how often single lists are read.
type counting struct {
	*sqlite.Store
	lists int
}

func (c *counting) Packages(ctx context.Context, digest string, names ...string) (registry.PackageList, error) {
	c.lists++
	return c.Store.Packages(ctx, digest, names...)
}

func TestLongSearchesReadManyListsAtOnce(t *testing.T) {
	b := newBench(t)
	const images = 50
	for n := range images {
		img := image(fmt.Sprint("base ", n), "")
		img.Packages = b.packages(debs(fmt.Sprint("openssl ", n), "bash 1"))
		b.add(img)
	}
	store := &counting{Store: b.store.(*sqlite.Store)}
	found, err := registry.New(store).Find(t.Context(), registry.Query{Application: "base", Packages: conditions(t, "openssl <= 2")})
	if err != nil || found.Version != "2" {
		t.Errorf("found %s, %v; want 2", found.Version, err)
	}
	if store.lists > 3 {
		t.Errorf("%d lists were read one by one", store.lists)
	}
}
