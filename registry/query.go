package registry

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
)

// Query says which images are wanted. Fields that are empty let every image
// through; an image must meet all others.
type Query struct {
	Application string
	Layer       string
	Environment string
	Release     string
	Arch        string
	Owner       string
	Labels      map[string]string
	Version     Constraint
	BakeKey     string // digest of what determined the image

	// LabelVersions are conditions on labels that hold versions: kernel.
	LabelVersions map[string]Constraint

	// Where the image must be. Region and Account are looked at only when
	// Cloud is set; an empty Account is any.
	Cloud   string
	Region  string
	Account string

	// AtLeast is how far the image must have come: StatusBuilt, StatusTested
	// or StatusPromoted. Each of them lets no image through that is revoked,
	// retired, deprecated or rejected by its tests, whatever it is promoted
	// to; tested also demands that there are results.
	AtLeast Status

	Status  Status // exactly this one
	Channel string // the image is the head of this channel of its line

	// Suites must have results, and the newest of each must have passed.
	Suites []string

	// TestedWithin, when not 0, is how long ago the tests may have been run: the
	// newest result of each of Suites, or of every suite when it names none.
	TestedWithin time.Duration

	// Packages are conditions on what is installed. An image of which that is
	// not recorded meets none.
	Packages []PackageCondition

	// Ancestors are what the lineage must have: for each of these queries, one
	// ancestor at least that meets it.
	Ancestors []Query

	// ExcludeLabels are labels that the image must not have with these values.
	ExcludeLabels map[string]string

	// Exclude are images, by registry id or as their cloud names them, that
	// the wanted image is not and was not baked from, at any depth.
	Exclude []string

	// MaxAge, when not 0, is how long ago the image may have been baked.
	MaxAge time.Duration

	// RevokeMargin, when not 0, is how long the image must stay usable: none is
	// let through whose scheduled revocation, or an ancestor's, begins to count
	// within it.
	RevokeMargin time.Duration
}

// Levels lists what [Query.AtLeast] can be.
func Levels() []Status { return []Status{StatusBuilt, StatusTested, StatusPromoted} }

// Validate returns every mistake in q, joined.
func (q Query) Validate() error {
	var errs []error
	if q.AtLeast != "" && !slices.Contains(Levels(), q.AtLeast) {
		errs = append(errs, fmt.Errorf("status %q is not one of %v", q.AtLeast, Levels()))
	}
	if q.Status != "" && !slices.Contains(Statuses(), q.Status) {
		errs = append(errs, fmt.Errorf("status %q is not one of %v", q.Status, Statuses()))
	}
	if q.Cloud == "" && (q.Region != "" || q.Account != "") {
		errs = append(errs, errors.New("a region or account is named without its cloud"))
	}
	if q.MaxAge < 0 {
		errs = append(errs, fmt.Errorf("the maximum age %s is negative", q.MaxAge))
	}
	if q.RevokeMargin < 0 {
		errs = append(errs, fmt.Errorf("the margin before a revocation %s is negative", q.RevokeMargin))
	}
	if q.TestedWithin < 0 {
		errs = append(errs, fmt.Errorf("the age of the tests %s is negative", q.TestedWithin))
	}
	for _, a := range q.Ancestors {
		if err := a.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("of the ancestor: %w", err))
		}
		if a.String() == (Query{}).String() {
			errs = append(errs, errors.New("of the ancestor nothing is asked"))
		}
	}
	return errors.Join(errs...)
}

// String says what q wants, for messages: application=base release=bookworm.
func (q Query) String() string {
	var parts []string
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+"="+value)
		}
	}
	add("application", q.Application)
	add("layer", q.Layer)
	add("environment", q.Environment)
	add("release", q.Release)
	add("arch", Arch(q.Arch))
	add("owner", q.Owner)
	add("bake_key", q.BakeKey)
	for _, key := range slices.Sorted(maps.Keys(q.Labels)) {
		add(key, q.Labels[key])
	}
	if !q.Version.IsZero() {
		parts = append(parts, fmt.Sprintf("version=%q", q.Version))
	}
	for _, key := range slices.Sorted(maps.Keys(q.LabelVersions)) {
		parts = append(parts, fmt.Sprintf("%s=%q", key, q.LabelVersions[key]))
	}
	for _, c := range q.Packages {
		parts = append(parts, fmt.Sprintf("package=%q", c))
	}
	for _, key := range slices.Sorted(maps.Keys(q.ExcludeLabels)) {
		parts = append(parts, fmt.Sprintf("not.%s=%s", key, q.ExcludeLabels[key]))
	}
	add("cloud", q.Cloud)
	add("region", q.Region)
	add("account", q.Account)
	add("status", string(q.AtLeast))
	add("status", string(q.Status))
	add("channel", q.Channel)
	add("suites", strings.Join(q.Suites, ","))
	add("exclude", strings.Join(q.Exclude, ","))
	if q.MaxAge != 0 {
		add("max_age", q.MaxAge.String())
	}
	if q.RevokeMargin != 0 {
		add("revoke_margin", q.RevokeMargin.String())
	}
	if q.TestedWithin != 0 {
		add("tested_within", q.TestedWithin.String())
	}
	for _, a := range q.Ancestors {
		parts = append(parts, "ancestor=("+a.String()+")")
	}
	if len(parts) == 0 {
		return "any image"
	}
	return strings.Join(parts, " ")
}

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

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }

// judge returns what the image lacks, "" for nothing, and how many conditions
// it met before that. It reads the image's packages and facts only when the
// image itself is what is wanted.
func (r *Registry) judge(ctx context.Context, load *loader, q Query, img Image) (v View, missing string, met int, err error) {
	v = View{Image: img}
	try := func(tests []test) bool {
		for _, t := range tests {
			if missing = t(v); missing != "" {
				return false
			}
			met++
		}
		return true
	}
	if !try(q.onImage(r.now())) {
		return v, missing, met, nil
	}
	if len(q.Packages) > 0 {
		list, known, err := load.packages(ctx, img, q.packageNames())
		if err != nil {
			return v, "", met, err
		}
		if !try(q.onPackages(list, known)) {
			return v, missing, met, nil
		}
	}
	if v, err = r.view(ctx, load, img); err != nil {
		return v, "", met, err
	}
	if !try(q.onView(r.now())) {
		return v, missing, met, nil
	}
	for _, wanted := range q.Ancestors {
		if missing, err = r.judgeAncestors(ctx, load, wanted, v); missing != "" || err != nil {
			return v, missing, met, err
		}
		met++
	}
	return v, "", met, nil
}

// judgeAncestors says why no ancestor of v is what q wants, or returns "". It
// names what the one lacks that is nearest to it.
func (r *Registry) judgeAncestors(ctx context.Context, load *loader, q Query, v View) (string, error) {
	if len(v.Lineage.Ancestors) == 0 {
		return fmt.Sprintf("none of its ancestors is registered, and so none is %s", q), nil
	}
	best, why := -1, ""
	for _, ancestor := range v.Lineage.Ancestors {
		_, missing, met, err := r.judge(ctx, load, q, ancestor)
		if err != nil || missing == "" {
			return "", err
		}
		if met > best {
			best, why = met, fmt.Sprintf("of its ancestor %s, %s", ancestor, missing)
		}
	}
	return why, nil
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

// coarse is what a store can sort out for q.
func (q Query) coarse() Filter {
	return Filter{Application: q.Application, Layer: q.Layer, BakeKey: q.BakeKey}
}

// Select yields the images that q wants, newest first.
func (r *Registry) Select(ctx context.Context, q Query) iter.Seq2[View, error] {
	return func(yield func(View, error) bool) {
		if err := q.Validate(); err != nil {
			yield(View{}, err)
			return
		}
		load := newLoader(r.store)
		for img, err := range r.store.Images(ctx, q.coarse()) {
			if err != nil {
				yield(View{}, fmt.Errorf("look for %s: %w", q, err))
				return
			}
			v, missing, _, err := r.judge(ctx, load, q, img)
			if err != nil {
				yield(View{}, fmt.Errorf("look for %s: %w", q, err))
				return
			}
			if missing == "" && !yield(v, nil) {
				return
			}
		}
	}
}
