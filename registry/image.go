package registry

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Image is one baked machine image.
type Image struct {
	// ID is a ULID, given when the image is registered.
	ID string `json:"id"`

	// The attributes that images are looked up by. Application, Version and
	// Layer are always set.
	Application string            `json:"application"`
	Version     string            `json:"version"`
	Layer       string            `json:"layer"`                 // foundation, base, application, or a team's own
	Environment string            `json:"environment,omitempty"` // prod, test, …
	Release     string            `json:"release,omitempty"`     // of the operating system: bookworm
	Arch        string            `json:"arch,omitempty"`        // as EC2 has it: x86_64, arm64
	Owner       string            `json:"owner,omitempty"`       // team or person
	Labels      map[string]string `json:"labels,omitempty"`      // anything else

	// Parent is the id of the image that this one was baked from, when the
	// registry knew it at that time. ParentImage is the same image as the cloud
	// names it, known to the registry or not.
	Parent      string `json:"parent,omitempty"`
	ParentImage Ref    `json:"parent_image,omitzero"`

	// Artifacts has the image once for each region that it is in.
	Artifacts []Artifact `json:"artifacts"`

	Bake Bake `json:"bake,omitzero"`

	// Packages is the digest of the list of what is installed, as
	// [Registry.RecordPackages] returns it; empty when it is not known.
	Packages string `json:"packages,omitempty"`

	CreatedAt    time.Time `json:"created_at"`    // when it was baked
	RegisteredAt time.Time `json:"registered_at"` // when the registry heard of it
}

// Ref names an image as its cloud does.
type Ref struct {
	Cloud  string `json:"cloud"`            // aws, local, or what another builder calls its provider
	Region string `json:"region,omitempty"` // empty where the provider has none
	ID     string `json:"image_id"`
}

// String returns cloud, region and id, joined by slashes, as [ParseRef] reads
// them; "" for none.
func (r Ref) String() string {
	if r == (Ref{}) {
		return ""
	}
	return r.Cloud + "/" + r.Region + "/" + r.ID
}

// ParseRef reads cloud/region/id, or the id alone, which leaves the cloud and
// the region open. An id may have slashes of its own only behind both.
func ParseRef(s string) Ref {
	if parts := strings.SplitN(s, "/", 3); len(parts) == 3 {
		return Ref{Cloud: parts[0], Region: parts[1], ID: parts[2]}
	}
	return Ref{ID: s}
}

// Artifact is an image in one region.
type Artifact struct {
	Ref
	Account   string            `json:"account,omitempty"` // that owns it
	Name      string            `json:"name,omitempty"`
	Snapshots []string          `json:"snapshots,omitempty"`
	Tags      map[string]string `json:"tags,omitempty"` // as they were when it was registered
}

// Bake is how an image came to be.
type Bake struct {
	ID         string    `json:"id,omitempty"`      // of the bake, given by bakery-chroot
	Builder    string    `json:"builder,omitempty"` // builder id of Packer: bakery.chroot, mitchellh.amazonebs
	Build      string    `json:"build,omitempty"`   // name of the build in its template
	Run        string    `json:"run,omitempty"`     // PACKER_RUN_UUID
	Key        string    `json:"key,omitempty"`     // digest of everything that determined the image
	StartedAt  time.Time `json:"started_at,omitzero"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
}

// Line is what the versions of one image have in common. A channel points to
// one image of each line.
type Line struct {
	Application string `json:"application"`
	Layer       string `json:"layer"`
	Environment string `json:"environment,omitempty"`
	Release     string `json:"release,omitempty"`
	Arch        string `json:"arch,omitempty"`
}

// Line returns the line that i is a version of.
func (i Image) Line() Line {
	return Line{
		Application: i.Application, Layer: i.Layer, Environment: i.Environment,
		Release: i.Release, Arch: i.Arch,
	}
}

// String returns the attributes of l that are set, joined by slashes.
func (l Line) String() string {
	parts := slices.DeleteFunc([]string{l.Application, l.Layer, l.Environment, l.Release, l.Arch},
		func(s string) bool { return s == "" })
	return strings.Join(parts, "/")
}

// differs names the attributes in which i is another version or of another line
// than other, with the values of i; "" for none.
func (i Image) differs(other Image) string {
	var parts []string
	for _, a := range []struct{ name, mine, others string }{
		{"application", i.Application, other.Application}, {"version", i.Version, other.Version},
		{"layer", i.Layer, other.Layer}, {"environment", i.Environment, other.Environment},
		{"release", i.Release, other.Release}, {"arch", i.Arch, other.Arch},
	} {
		if a.mine != a.others {
			parts = append(parts, a.name+" "+orNone(a.mine))
		}
	}
	return strings.Join(parts, ", ")
}

// String names i for a person: application, version and its first image id.
func (i Image) String() string {
	s := i.Application + " " + i.Version
	if len(i.Artifacts) > 0 {
		return s + " (" + i.Artifacts[0].ID + ")"
	}
	return s + " (" + i.ID + ")"
}

// In returns the artifact of i in the given cloud, region and account. An empty
// account is any.
func (i Image) In(cloud, region, account string) (Artifact, bool) {
	for _, a := range i.Artifacts {
		if a.Cloud == cloud && a.Region == region && (account == "" || a.Account == account) {
			return a, true
		}
	}
	return Artifact{}, false
}

// newer reports, as a comparison, whether a comes before b in a list that has
// the newest image first.
func newer(a, b Image) int {
	return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
}

// Canonical names of architectures: EC2's. Debian's, Go's and the kernel's
// names of the same are understood.
var architectures = map[string]string{
	"amd64": "x86_64", "x86-64": "x86_64", "aarch64": "arm64", "386": "i386", "i686": "i386",
}

// Arch returns EC2's name of an architecture: x86_64 for amd64, arm64 for
// aarch64. A name that it does not know is returned as it is.
func Arch(name string) string {
	if canonical, ok := architectures[strings.ToLower(name)]; ok {
		return canonical
	}
	return name
}

// maxAttribute is the length of the longest attribute, in bytes: that of the
// longest tag value of EC2, so that every store can keep it.
const maxAttribute = 256

// validate returns every mistake in i, joined.
func (i Image) validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	for _, a := range []struct {
		name, value string
		required    bool
	}{
		{"application", i.Application, true}, {"version", i.Version, true}, {"layer", i.Layer, true},
		{"environment", i.Environment, false}, {"release", i.Release, false},
		{"arch", i.Arch, false}, {"owner", i.Owner, false},
	} {
		if a.required && a.value == "" {
			wrong("%s is missing", a.name)
		} else if why := unfit(a.value); why != "" {
			wrong("%s %q %s", a.name, a.value, why)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(i.Labels)) {
		if key == "" {
			wrong("a label has no name")
		} else if why := unfit(key); why != "" {
			wrong("label %q %s", key, why)
		} else if why := unfit(i.Labels[key]); why != "" {
			wrong("label %s = %q %s", key, i.Labels[key], why)
		}
	}
	if len(i.Artifacts) == 0 {
		wrong("it is in no region: at least one artifact is needed")
	}
	seen := map[Ref]bool{}
	for _, a := range i.Artifacts {
		switch {
		case a.Cloud == "" || a.ID == "":
			wrong("artifact %q names no cloud or no image", a.Ref)
		case seen[a.Ref]:
			wrong("artifact %s is listed twice", a.Ref)
		case a.Ref == i.ParentImage:
			wrong("%s would be its own parent", a.Ref)
		}
		seen[a.Ref] = true
	}
	return errors.Join(errs...)
}

// unfit says why s cannot be an attribute, or returns "".
func unfit(s string) string {
	switch {
	case len(s) > maxAttribute:
		return fmt.Sprintf("is longer than %d bytes", maxAttribute)
	case !utf8.ValidString(s):
		return "is not UTF-8"
	case strings.TrimSpace(s) != s:
		return "begins or ends with white space"
	case strings.ContainsFunc(s, unicode.IsControl):
		return "has control characters"
	}
	return ""
}
