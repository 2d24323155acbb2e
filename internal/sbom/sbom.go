// Package sbom writes what an image has installed as a bill of materials in the
// format of CycloneDX, which scanners for vulnerabilities read.
package sbom

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"
	packageurl "github.com/package-url/packageurl-go"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// specVersion is the version of CycloneDX that is written. 1.6 is what the
// scanners in use can read.
const specVersion = cdx.SpecVersion1_6

// serials are the name space of serial numbers: bills of one image with the same
// packages have the same.
var serials = uuid.MustParse("6f7c9d1e-2b1a-5c58-9f0e-3d2a4b6c8e10")

// Write writes the bill of materials of an image as JSON: its packages, and its
// ancestors as its pedigree. tool is the version of what writes it. The same
// image gives the same bytes.
func Write(w io.Writer, img registry.Image, ancestors []registry.Image, list registry.PackageList, tool string) error {
	encoder := cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false)
	if err := encoder.EncodeVersion(bill(img, ancestors, list.Sorted(), tool), specVersion); err != nil {
		return fmt.Errorf("write the bill of materials of %s: %w", img, err)
	}
	return nil
}

func bill(img registry.Image, ancestors []registry.Image, list registry.PackageList, tool string) *cdx.BOM {
	subject := component(img)
	if len(ancestors) > 0 {
		pedigree := &cdx.Pedigree{Ancestors: &[]cdx.Component{}}
		for _, a := range ancestors {
			*pedigree.Ancestors = append(*pedigree.Ancestors, component(a))
		}
		subject.Pedigree = pedigree
	}
	var components []cdx.Component
	var refs []string
	if list.Distro != "" {
		// Scanners learn from it whose advisories count.
		components = append(components, cdx.Component{
			BOMRef: "os", Type: cdx.ComponentTypeOS, Name: list.Distro, Version: list.Release,
		})
		refs = append(refs, "os")
	}
	for _, p := range list.Packages {
		name := PackageURL(p, list.Distro, list.Release)
		components = append(components, cdx.Component{
			BOMRef: name, Type: cdx.ComponentTypeLibrary, Name: p.Name, Version: p.Version, PackageURL: name,
		})
		refs = append(refs, name)
	}
	bill := &cdx.BOM{
		BOMFormat: cdx.BOMFormat, SpecVersion: specVersion, Version: 1,
		SerialNumber: uuid.NewSHA1(serials, []byte(img.ID+list.Digest())).URN(),
		Metadata: &cdx.Metadata{
			Tools:     &cdx.ToolsChoice{Components: &[]cdx.Component{{Type: cdx.ComponentTypeApplication, Name: "bakery", Version: tool}}},
			Component: &subject,
		},
		Components:   &components,
		Dependencies: &[]cdx.Dependency{{Ref: subject.BOMRef, Dependencies: &refs}},
	}
	if !img.CreatedAt.IsZero() {
		bill.Metadata.Timestamp = img.CreatedAt.UTC().Format(time.RFC3339)
	}
	return bill
}

// component is an image as CycloneDX has it.
func component(img registry.Image) cdx.Component {
	properties := []cdx.Property{{Name: "bakery:layer", Value: img.Layer}}
	for _, a := range img.Artifacts {
		properties = append(properties, cdx.Property{Name: "bakery:image", Value: a.String()})
	}
	return cdx.Component{
		BOMRef: "image:" + img.ID, Type: cdx.ComponentTypeContainer,
		Name: img.Application, Version: img.Version, Properties: &properties,
	}
}

// PackageURL names a package for all tools, as package-url/purl-spec has it for
// deb, rpm and apk. distro and release are ID and VERSION_ID of os-release(5).
func PackageURL(p registry.Package, distro, release string) string {
	qualifiers := map[string]string{}
	set := func(key, value string) {
		if value != "" {
			qualifiers[key] = value
		}
	}
	version := p.Version
	if p.Type == registry.PackageRPM {
		// Of these types, rpm alone has the epoch beside the version.
		if epoch, rest, ok := strings.Cut(version, ":"); ok {
			version = rest
			if epoch != "0" {
				set("epoch", epoch)
			}
		}
	}
	set("arch", p.Arch)
	set("upstream", p.Source)
	if distro != "" {
		set("distro", strings.TrimSuffix(distro+"-"+release, "-"))
	}
	namespace := cmp.Or(namespaces[distro], distro)
	return packageurl.NewPackageURL(p.Type, namespace, p.Name, version, packageurl.QualifiersFromMap(qualifiers), "").ToString()
}

// namespaces are the vendors of distributions whose packages are published under
// another name than their ID of os-release(5).
var namespaces = map[string]string{
	"rhel": "redhat", "sles": "suse", "opensuse-leap": "opensuse", "opensuse-tumbleweed": "opensuse",
}
