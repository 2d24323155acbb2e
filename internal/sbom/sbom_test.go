package sbom

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	packageurl "github.com/package-url/packageurl-go"
	"github.com/xeipuuv/gojsonschema"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// The forms are those of package-url/purl-spec for deb, rpm and apk.
func TestPackageURL(t *testing.T) {
	for _, test := range []struct {
		p               registry.Package
		distro, release string
		want            string
	}{
		{
			registry.Package{Type: "deb", Name: "libstdc++6", Version: "1:12.2.0-14+deb12u1~x", Arch: "amd64", Source: "gcc-12"}, "debian", "12",
			"pkg:deb/debian/libstdc%2B%2B6@1:12.2.0-14%2Bdeb12u1~x?arch=amd64&distro=debian-12&upstream=gcc-12",
		},
		{
			registry.Package{Type: "rpm", Name: "bind", Version: "32:9.16.23-18.el9", Arch: "x86_64"}, "rhel", "9.4",
			"pkg:rpm/redhat/bind@9.16.23-18.el9?arch=x86_64&distro=rhel-9.4&epoch=32",
		},
		{
			registry.Package{Type: "rpm", Name: "bash", Version: "0:5.1.8-9.el9"}, "fedora", "",
			"pkg:rpm/fedora/bash@5.1.8-9.el9?distro=fedora",
		},
		{
			registry.Package{Type: "apk", Name: "libssl3", Version: "3.3.1-r0", Arch: "x86_64", Source: "openssl"}, "alpine", "3.20.1",
			"pkg:apk/alpine/libssl3@3.3.1-r0?arch=x86_64&distro=alpine-3.20.1&upstream=openssl",
		},
		{registry.Package{Type: "deb", Name: "x", Version: "1"}, "", "", "pkg:deb/x@1"},
	} {
		got := PackageURL(test.p, test.distro, test.release)
		if got != test.want {
			t.Errorf("%s is named %s, want %s", test.p, got, test.want)
		}
		if parsed, err := packageurl.FromString(got); err != nil || parsed.Name != test.p.Name {
			t.Errorf("%s is read as %+v, %v", got, parsed, err)
		}
	}
}

func sample() (registry.Image, []registry.Image, registry.PackageList) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ref := func(id string) []registry.Artifact {
		return []registry.Artifact{{Ref: registry.Ref{Cloud: "aws", Region: "eu-west-1", ID: id}}}
	}
	base := registry.Image{ID: "01BASE", Application: "base", Version: "1.4.0", Layer: "base", Artifacts: ref("ami-base"), CreatedAt: at}
	shop := registry.Image{ID: "01SHOP", Application: "shop", Version: "7", Layer: "application", Artifacts: ref("ami-shop"), CreatedAt: at}
	return shop, []registry.Image{base}, registry.PackageList{Distro: "debian", Release: "12", Packages: []registry.Package{
		{Type: "deb", Name: "openssl", Version: "3.0.14-1~deb12u2", Arch: "amd64"},
		{Type: "deb", Name: "libc6", Version: "2.36-9+deb12u7", Arch: "amd64", Source: "glibc"},
		{Type: "deb", Name: "libc6", Version: "2.36-9+deb12u7", Arch: "i386", Source: "glibc"},
	}}
}

// violations holds a bill to the schema of the format, which comes with the
// library.
func violations(t *testing.T, bill []byte) []gojsonschema.ResultError {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Skipf("needs the go command: %v", err)
	}
	file := func(name string) gojsonschema.JSONLoader {
		return gojsonschema.NewReferenceLoader("file://" + filepath.ToSlash(filepath.Join(strings.TrimSpace(string(dir)), "schema", name)))
	}
	// What the schema refers to is not fetched.
	loader := gojsonschema.NewSchemaLoader()
	for id, name := range map[string]string{"spdx.schema.json": "spdx.schema.json", "jsf-0.82.schema.json": "jsf-0.82.schemax.json"} {
		if err := loader.AddSchema("http://cyclonedx.org/schema/"+id, file(name)); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := loader.Compile(file("bom-1.6.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	result, err := schema.Validate(gojsonschema.NewBytesLoader(bill))
	if err != nil {
		t.Fatal(err)
	}
	return result.Errors()
}

func TestWriteIsValid(t *testing.T) {
	shop, ancestors, list := sample()
	var out bytes.Buffer
	if err := Write(&out, shop, ancestors, list, "0.1.0"); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range violations(t, out.Bytes()) {
		t.Errorf("the bill is not valid: %s", wrong)
	}
	if wrong := violations(t, bytes.Replace(out.Bytes(), []byte(`"type": "library"`), []byte(`"type": "deb"`), 1)); len(wrong) == 0 {
		t.Error("the schema lets everything through")
	}

	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(out.Bytes()), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range *bom.Components {
		names = append(names, string(c.Type)+" "+c.Name+" "+c.Version+" "+c.PackageURL)
	}
	want := []string{
		"operating-system debian 12 ",
		"library libc6 2.36-9+deb12u7 pkg:deb/debian/libc6@2.36-9%2Bdeb12u7?arch=amd64&distro=debian-12&upstream=glibc",
		"library libc6 2.36-9+deb12u7 pkg:deb/debian/libc6@2.36-9%2Bdeb12u7?arch=i386&distro=debian-12&upstream=glibc",
		"library openssl 3.0.14-1~deb12u2 pkg:deb/debian/openssl@3.0.14-1~deb12u2?arch=amd64&distro=debian-12",
	}
	if got := strings.Join(names, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("components are\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	if c := bom.Metadata.Component; c.Name != "shop" || c.Version != "7" || (*c.Pedigree.Ancestors)[0].Name != "base" {
		t.Errorf("the bill is of %+v", c)
	}
}

func TestWriteIsRepeatable(t *testing.T) {
	shop, ancestors, list := sample()
	var bills [2]bytes.Buffer
	for n := range bills {
		if err := Write(&bills[n], shop, ancestors, list, "0.1.0"); err != nil {
			t.Fatal(err)
		}
		list.Packages[0], list.Packages[2] = list.Packages[2], list.Packages[0]
	}
	if !bytes.Equal(bills[0].Bytes(), bills[1].Bytes()) {
		t.Error("the same image gives another bill")
	}
}
