package registrytest

import (
	"fmt"
	"testing"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// packageList is a list of packages, against the order that it is kept in.
func packageList() registry.PackageList {
	return registry.PackageList{Distro: "debian", Release: "12", Packages: []registry.Package{
		{Type: registry.PackageDeb, Name: "openssl", Version: "3.0.14-1~deb12u2", Arch: "amd64"},
		{Type: registry.PackageDeb, Name: "libc6", Version: "2.36-9+deb12u7", Arch: "i386", Source: "glibc"},
		{Type: registry.PackageDeb, Name: "libc6", Version: "2.36-9+deb12u7", Arch: "amd64", Source: "glibc"},
		{Type: registry.PackageRPM, Name: "kernel", Version: "6.1.0-2.el9"},
	}}
}

func packages(t *testing.T, s registry.Store) {
	list := packageList()
	_, err := s.Packages(t.Context(), list.Digest())
	wantError(t, "Packages", err, registry.ErrNotFound)
	for range 2 {
		commit(t, s, registry.Change{Packages: &list})
	}
	got, err := s.Packages(t.Context(), list.Digest())
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "packages", list.Sorted(), got)
	wantEqual(t, "digest", list.Digest(), got.Digest())

	// Another list shares packages with it.
	other := packageList()
	other.Packages = other.Packages[:2]
	other.Packages[0].Version = "3.0.15-1"
	commit(t, s, registry.Change{Packages: &other})
	for _, test := range []struct {
		names []string
		want  []string
	}{
		{[]string{"openssl"}, []string{"openssl 3.0.15-1 (amd64)"}},
		{[]string{"libc6", "openssl", "none"}, []string{"libc6 2.36-9+deb12u7 (i386)", "openssl 3.0.15-1 (amd64)"}},
		{[]string{"kernel"}, nil},
		{[]string{""}, nil},
	} {
		got, err := s.Packages(t.Context(), other.Digest(), test.names...)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, p := range got.Packages {
			names = append(names, p.String())
		}
		wantEqual(t, fmt.Sprintf("packages of %q", test.names), test.want, names)
		wantEqual(t, "distro", "debian", got.Distro)
	}
}

// packagesAtOnce wants a store that says it reads several lists at once to do so.
func packagesAtOnce(t *testing.T, s registry.Store) {
	index, ok := s.(registry.PackageIndex)
	if !ok {
		t.Skip("this kind of store reads one list at a time")
	}
	list, other, without := packageList(), packageList(), packageList()
	other.Packages = other.Packages[:2]
	without.Packages = without.Packages[1:3]
	for _, l := range []registry.PackageList{list, other, without} {
		commit(t, s, registry.Change{Packages: &l})
	}
	digests := []string{list.Digest(), without.Digest(), "sha256:none", other.Digest()}
	got, err := index.PackagesOf(t.Context(), digests, "kernel", "openssl", "none")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]registry.PackageList{}
	for _, digest := range []string{list.Digest(), without.Digest(), other.Digest()} {
		if want[digest], err = s.Packages(t.Context(), digest, "kernel", "openssl", "none"); err != nil {
			t.Fatal(err)
		}
		got[digest] = got[digest].Sorted()
	}
	wantEqual(t, "packages by list", want, got)
}

func packagesFirst(t *testing.T, s registry.Store) {
	img, list := image(1), packageList()
	img.Packages = list.Digest()
	wantError(t, "Commit", s.Commit(t.Context(), registry.Change{Image: &img}), registry.ErrNotFound)
	wantEqual(t, "images", []string{}, ids(t, s, registry.Filter{}))
	commit(t, s, registry.Change{Image: &img, Packages: &list})
	got, err := s.Image(t.Context(), img.ID)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "image", img, got)
}
