package match

import (
	"errors"
	"fmt"

	"github.com/blang/semver/v4"
)

// Versions are those of a package, with the order of its package system.
type Versions struct {
	List   []string
	System string // dpkg, rpm or apk, for people
	// Compare orders a version and a bound as the package system does.
	Compare func(version, bound string) (int, error)
}

// plain is a value without what only some matchers look at.
func plain(value any) any {
	if v, ok := value.(Versions); ok {
		return v.List
	}
	return value
}

// constraint holds of versions that meet a constraint of semantic versions. Of
// packages it is decided only when their own order says the same.
type constraint struct {
	origin
	text  string
	holds semver.Range
}

func parseSemver(value any, o origin) (Matcher, error) {
	want, ok := value.(string)
	if !ok {
		return nil, fmt.Errorf("%s is not a text", Text(value))
	}
	holds, err := semver.ParseRange(want)
	if err != nil {
		return nil, fmt.Errorf("%q is not a constraint on semantic versions: %w", want, err)
	}
	return constraint{o, want, holds}, nil
}

func (m constraint) Match(value any) (bool, string, error) {
	var list []string
	switch v := plain(value).(type) {
	case string:
		list = []string{v}
	case []string:
		list = v
	case []any:
		for _, e := range v {
			version, ok := e.(string)
			if !ok {
				return false, "", fmt.Errorf("%s is not a version", Text(e))
			}
			list = append(list, version)
		}
	default:
		return false, "", fmt.Errorf("%s is not a version", Text(v))
	}
	if len(list) == 0 {
		return false, "", errors.New("there is no version")
	}
	of, isPackage := value.(Versions)
	holds := true
	for _, text := range list {
		v, err := semver.Parse(text)
		if err != nil {
			return false, "", fmt.Errorf("%q is not a semantic version; write a package block with version = …, which compares as the package system does", text)
		}
		this := m.holds(v)
		if isPackage {
			if err := m.agrees(of, text, v, this); err != nil {
				return false, "", err
			}
		}
		holds = holds && this
	}
	return holds, "", nil
}

// agrees is an error when the package system orders a version otherwise than
// semantic versions are ordered. They differ in what follows the three numbers:
// the -1 of 1.4.2-1 makes it older than 1.4.2 for the one and newer for the other.
func (m constraint) agrees(of Versions, text string, v semver.Version, holds bool) error {
	if len(v.Pre) == 0 && len(v.Build) == 0 {
		return nil
	}
	// Without what follows the numbers, the constraint says where the package
	// system puts the version: at the numbers or just above them.
	bare := semver.Version{Major: v.Major, Minor: v.Minor, Patch: v.Patch}
	order, err := of.Compare(text, bare.String())
	if err != nil {
		return fmt.Errorf("%q does not compare with %s in the order of %s: %w", text, bare, of.System, err)
	}
	if order < 0 || m.holds(bare) == holds {
		return nil
	}
	return fmt.Errorf("as semantic versions %s is older than %s, for %s it is not; write a package block with version = …, which compares as the package system does", text, bare, of.System)
}
