package registry

import (
	"errors"
	"fmt"
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

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }
