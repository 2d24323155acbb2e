package registry

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// test is one condition of a query: it returns "" when v meets it, else what v
// lacks.
type test func(v View) string

// onImage are the conditions of q that the image alone decides, onView those
// that need its state; each in the order in which a person would rule images
// out. How far an image gets in that order is how near it is.
func (q Query) onImage(now time.Time) []test {
	var tests []test
	equal := func(name, want string, have func(Image) string) {
		if want == "" {
			return
		}
		tests = append(tests, func(v View) string {
			if got := have(v.Image); got != want {
				return fmt.Sprintf("%s is %s, not %s", name, orNone(got), want)
			}
			return ""
		})
	}
	equal("application", q.Application, func(i Image) string { return i.Application })
	equal("layer", q.Layer, func(i Image) string { return i.Layer })
	equal("release", q.Release, func(i Image) string { return i.Release })
	equal("arch", Arch(q.Arch), func(i Image) string { return i.Arch })
	equal("environment", q.Environment, func(i Image) string { return i.Environment })
	equal("owner", q.Owner, func(i Image) string { return i.Owner })
	equal("bake key", q.BakeKey, func(i Image) string { return i.Bake.Key })
	if !q.Version.IsZero() {
		tests = append(tests, func(v View) string { return lacks("version", q.Version.Check(v.Version)) })
	}
	for _, key := range slices.Sorted(maps.Keys(q.LabelVersions)) {
		tests = append(tests, func(v View) string {
			version, ok := v.Labels[key]
			if !ok {
				return "it has no label " + key
			}
			return lacks("label "+key, q.LabelVersions[key].Check(version))
		})
	}
	for _, key := range slices.Sorted(maps.Keys(q.Labels)) {
		tests = append(tests, func(v View) string {
			if got, ok := v.Labels[key]; !ok {
				return "it has no label " + key
			} else if got != q.Labels[key] {
				return fmt.Sprintf("label %s is %s, not %s", key, orNone(got), q.Labels[key])
			}
			return ""
		})
	}
	for _, key := range slices.Sorted(maps.Keys(q.ExcludeLabels)) {
		tests = append(tests, func(v View) string {
			if got, ok := v.Labels[key]; ok && got == q.ExcludeLabels[key] {
				return fmt.Sprintf("label %s is %s, which is excluded", key, orNone(got))
			}
			return ""
		})
	}
	if q.MaxAge != 0 {
		tests = append(tests, func(v View) string {
			if age := now.Sub(v.CreatedAt); age > q.MaxAge {
				return fmt.Sprintf("it was baked %s ago, more than %s", age.Round(time.Second), q.MaxAge)
			}
			return ""
		})
	}
	if q.Cloud != "" {
		tests = append(tests, q.place)
	}
	return tests
}

func (q Query) onView(now time.Time) []test {
	var tests []test
	if q.Cloud != "" {
		tests = append(tests, q.gone)
	}
	if len(q.Exclude) > 0 {
		tests = append(tests, q.excluded)
	}
	if q.AtLeast != "" {
		tests = append(tests, q.level)
	}
	if q.RevokeMargin != 0 {
		tests = append(tests, func(v View) string {
			if !v.RevokeAt.IsZero() && v.RevokeAt.Sub(now) < q.RevokeMargin {
				return fmt.Sprintf("it will be revoked %s, within %s", v.RevokeAt.Format(time.RFC3339), q.RevokeMargin)
			}
			return ""
		})
	}
	if q.Status != "" {
		tests = append(tests, func(v View) string {
			if v.Status != q.Status {
				return fmt.Sprintf("it is %s, not %s: %s", v.Status, q.Status, v.Reason)
			}
			return ""
		})
	}
	for _, suite := range q.Suites {
		tests = append(tests, func(v View) string { return untested(v, suite) })
	}
	if q.TestedWithin != 0 {
		tests = append(tests, func(v View) string { return q.stale(v, now) })
	}
	if q.Channel != "" {
		tests = append(tests, func(v View) string {
			if !v.Heads(q.Channel) {
				return fmt.Sprintf("it is not the head of channel %s", q.Channel)
			}
			return ""
		})
	}
	return tests
}

// place tests where an image is.
func (q Query) place(v View) string {
	there := func(a Artifact) bool {
		return a.Cloud == q.Cloud && (q.Region == "" || a.Region == q.Region) && (q.Account == "" || a.Account == q.Account)
	}
	if slices.ContainsFunc(v.Artifacts, there) {
		return ""
	}
	var places []string
	for _, a := range v.Artifacts {
		place := strings.TrimSuffix(a.Cloud+"/"+a.Region, "/")
		if q.Account != "" {
			place += " of account " + orNone(a.Account)
		}
		places = append(places, place)
	}
	want := strings.TrimSuffix(q.Cloud+"/"+q.Region, "/")
	if q.Account != "" {
		want += " of account " + q.Account
	}
	return fmt.Sprintf("it is in %s, not in %s", strings.Join(places, ", "), want)
}

// gone tests that the copies that are where q wants one were not all removed. A
// query for a status alone may want images that are.
func (q Query) gone(v View) string {
	if q.AtLeast == "" || v.Retired != nil {
		return ""
	}
	if _, ok := v.There(q.Cloud, q.Region, q.Account); !ok {
		return fmt.Sprintf("its copy in %s is gone", strings.TrimSuffix(q.Cloud+"/"+q.Region, "/"))
	}
	return ""
}

// level tests how far an image has come.
func (q Query) level(v View) string {
	switch {
	case !v.Usable() && v.Status == StatusPromoted:
		// Precedence hides that its tests have failed since it was promoted.
		return "its newest test results did not all pass"
	case !v.Usable():
		return fmt.Sprintf("it is %s: %s", v.Status, v.Reason)
	case q.AtLeast == StatusTested && !v.Tested:
		return fmt.Sprintf("it is %s, not tested: no test result is recorded", v.Status)
	case q.AtLeast == StatusPromoted && v.Status != StatusPromoted:
		return fmt.Sprintf("it is %s, not promoted: it is the head of no channel", v.Status)
	}
	return ""
}

// untested says why suite has not passed on v, or returns "".
func untested(v View, suite string) string {
	found := false
	for _, r := range v.Suites {
		if r.Suite == suite {
			if r.Outcome != Passed {
				return fmt.Sprintf("suite %s ended as %s", r.Title(), r.Outcome)
			}
			found = true
		}
	}
	if !found {
		return fmt.Sprintf("suite %s has no result", suite)
	}
	return ""
}

// stale says which of the suites that count was run too long ago, or returns "".
func (q Query) stale(v View, now time.Time) string {
	if len(v.Suites) == 0 {
		return "no test result is recorded"
	}
	for _, r := range v.Suites {
		if len(q.Suites) > 0 && !slices.Contains(q.Suites, r.Suite) {
			continue
		}
		if age := now.Sub(r.StartedAt); age > q.TestedWithin {
			return fmt.Sprintf("suite %s was run %s ago, more than %s", r.Title(), age.Round(time.Second), q.TestedWithin)
		}
	}
	return ""
}

// excluded tests the lineage of an image.
func (q Query) excluded(v View) string {
	for _, img := range append([]Image{v.Image}, v.Lineage.Ancestors...) {
		for _, id := range q.Exclude {
			if img.is(id) {
				return excludedBecause(v, id)
			}
		}
	}
	for _, id := range q.Exclude {
		if ParseRef(id).matches(v.Lineage.Root) {
			return excludedBecause(v, id)
		}
	}
	return ""
}

func excludedBecause(v View, id string) string {
	if v.is(id) {
		return "it is excluded"
	}
	return fmt.Sprintf("it was baked from %s, which is excluded", id)
}

// is reports whether id names i, in the registry or in a cloud.
func (i Image) is(id string) bool {
	ref := ParseRef(id)
	return i.ID == id || slices.ContainsFunc(i.Artifacts, func(a Artifact) bool { return ref.matches(a.Ref) })
}

// matches reports whether other is what r names; what r leaves out is not
// looked at.
func (r Ref) matches(other Ref) bool {
	return other.ID != "" && r.ID == other.ID && (r.Cloud == "" || r.Cloud == other.Cloud) &&
		(r.Region == "" || r.Region == other.Region)
}

func orNone(s string) string {
	if s == "" {
		return "not set"
	}
	return s
}

func lacks(what string, err error) string {
	if err == nil {
		return ""
	}
	return what + " " + err.Error()
}

// onPackages are the conditions of q on what is installed.
func (q Query) onPackages(list PackageList, known bool) []test {
	var tests []test
	for _, c := range q.Packages {
		tests = append(tests, func(View) string {
			if !known {
				return "its packages are not recorded"
			}
			return errorText(c.Check(list))
		})
	}
	return tests
}

// packageNames are the names of the packages that q has conditions on.
func (q Query) packageNames() []string {
	var names []string
	for _, c := range q.Packages {
		name, _ := splitPackageName(c.name)
		names = append(names, name)
	}
	return names
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
