package registry

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// comparisons are the endings of keys that compare versions, and what they mean
// in a [Constraint].
var comparisons = map[string]string{"__gte": ">=", "__gt": ">", "__lte": "<=", "__lt": "<", "__ne": "!="}

// ParseQuery reads a query in the form of a URL's:
//
//	application=shop&release=bookworm&virtualization_type=hvm&status=tested
//
// The keys are application, layer, environment, release, arch, owner, version,
// kernel, cloud, region, account, status, channel, suite, package, exclude,
// max_age, tested_within and revoke_margin; suite, package and exclude may be
// repeated. Any other key is a label. A key after "ancestor." is a condition on
// an ancestor, all of which the same ancestor must meet; not.LABEL excludes a
// value of a label. package takes what [ParsePackageCondition] does.
// version and kernel take what [ParseConstraint] does, as semver and as deb.
// These two and labels can also be compared: version__gte=1.4, and with __gt,
// __lte, __lt and __ne; labels in the order deb. It returns every mistake,
// joined.
func ParseQuery(s string) (Query, error) {
	values, err := url.ParseQuery(s)
	if err != nil {
		return Query{}, fmt.Errorf("query %q is not of the form application=shop&release=bookworm: %w", s, err)
	}
	p := queryParser{versions: map[string][]string{}}
	ancestor := queryParser{versions: map[string][]string{}}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if name, ok := strings.CutPrefix(key, ancestorPrefix); ok {
			ancestor.add(name, values[key])
		} else {
			p.add(key, values[key])
		}
	}
	p.constraints()
	if ancestor.constraints(); ancestor.some {
		p.query.Ancestors = []Query{ancestor.query}
		for _, err := range ancestor.errs {
			p.wrong("ancestor: %w", err)
		}
	}
	if err := errors.Join(append(p.errs, p.query.Validate())...); err != nil {
		return Query{}, fmt.Errorf("query %q: %w", s, err)
	}
	return p.query, nil
}

// Beginnings of keys that are not about the image itself.
const (
	ancestorPrefix = "ancestor."
	notPrefix      = "not."
)

type queryParser struct {
	query    Query
	some     bool                // something is asked
	versions map[string][]string // terms by key
	errs     []error
}

func (p *queryParser) wrong(format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf(format, args...))
}

func (p *queryParser) add(key string, values []string) {
	q := &p.query
	p.some = true
	if slices.Contains(values, "") {
		p.wrong("%s has no value", key)
		return
	}
	switch key {
	case "":
		p.wrong("%q has no key", values[0])
		return
	case "suite":
		q.Suites = values
		return
	case "exclude":
		q.Exclude = values
		return
	case "package":
		for _, v := range values {
			c, err := ParsePackageCondition(v)
			if err != nil {
				p.errs = append(p.errs, err)
			}
			q.Packages = append(q.Packages, c)
		}
		return
	}
	for ending, op := range comparisons {
		if name, ok := strings.CutSuffix(key, ending); ok && name != "" {
			for _, v := range values {
				p.versions[name] = append(p.versions[name], op+" "+v)
			}
			return
		}
	}
	if len(values) > 1 {
		p.wrong("%s is there %d times", key, len(values))
		return
	}
	value := values[0]
	switch key {
	case "application":
		q.Application = value
	case "layer":
		q.Layer = value
	case "environment":
		q.Environment = value
	case "release":
		q.Release = value
	case "arch":
		q.Arch = value
	case "owner":
		q.Owner = value
	case "cloud":
		q.Cloud = value
	case "region":
		q.Region = value
	case "account":
		q.Account = value
	case "channel":
		q.Channel = value
	case "version", "kernel":
		p.versions[key] = append([]string{value}, p.versions[key]...)
	case "status":
		if q.AtLeast = Status(value); !slices.Contains(Levels(), q.AtLeast) {
			q.AtLeast, q.Status = "", Status(value)
		}
	case "max_age":
		q.MaxAge = p.duration(key, value)
	case "tested_within":
		q.TestedWithin = p.duration(key, value)
	case "revoke_margin":
		q.RevokeMargin = p.duration(key, value)
	default:
		if label, ok := strings.CutPrefix(key, notPrefix); ok && label != "" {
			if q.ExcludeLabels == nil {
				q.ExcludeLabels = map[string]string{}
			}
			q.ExcludeLabels[label] = value
			return
		}
		if q.Labels == nil {
			q.Labels = map[string]string{}
		}
		q.Labels[key] = value
	}
}

func (p *queryParser) duration(key, value string) time.Duration {
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		p.wrong("%s is %q; write a duration such as 720h", key, value)
	}
	return d
}

func (p *queryParser) constraints() {
	for _, key := range slices.Sorted(maps.Keys(p.versions)) {
		scheme := Deb
		if key == "version" {
			scheme = Semver
		}
		c, err := ParseConstraint(strings.Join(p.versions[key], ", "), scheme)
		switch {
		case err != nil:
			p.wrong("%s: %w", key, err)
		case key == "version":
			p.query.Version = c
		default:
			if p.query.LabelVersions == nil {
				p.query.LabelVersions = map[string]Constraint{}
			}
			p.query.LabelVersions[key] = c
		}
	}
}
