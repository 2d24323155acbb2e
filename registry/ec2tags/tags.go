package ec2tags

import (
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// prefix is how all tags of the registry begin.
const prefix = "bakery:"

// The keys of tags, and how those begin that there are many of.
const (
	keyID          = prefix + "id"
	keyApplication = prefix + "application"
	keyVersion     = prefix + "version"
	keyLayer       = prefix + "layer"
	keyEnvironment = prefix + "environment"
	keyRelease     = prefix + "release"
	keyArch        = prefix + "arch"
	keyOwner       = prefix + "owner"
	keyParent      = prefix + "parent"
	keyRecord      = prefix + "record"
	keyDigests     = prefix + "digests"

	labelPrefix  = prefix + "l/"
	resultPrefix = prefix + "t/"
	markPrefix   = prefix + "m/"
)

// The limits of tags: EC2's own, and how many the registry takes of an image's
// 50.
const (
	maxKey   = 128
	maxValue = 256
	maxTags  = 24
)

// format is the version of this layout.
const format = "1"

// separator stands between the fields of a value.
const separator = "|"

var escape = strings.NewReplacer("%", "%25", separator, "%7C")
var unescape = strings.NewReplacer("%7C", separator, "%25", "%")

func join(fields ...string) string {
	for i, f := range fields {
		fields[i] = escape.Replace(f)
	}
	return strings.TrimRight(strings.Join(fields, separator), separator)
}

// split returns n fields: those at the end that are missing are empty.
func split(value string, n int) ([]string, error) {
	fields := strings.Split(value, separator)
	if len(fields) > n {
		return nil, fmt.Errorf("%q has more than %d fields", value, n)
	}
	for len(fields) < n {
		fields = append(fields, "")
	}
	for i, f := range fields {
		fields[i] = unescape.Replace(f)
	}
	return fields, nil
}

// stamp writes a time in milliseconds; none is empty.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatInt(t.UnixMilli(), 36)
}

func parseStamp(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	ms, err := strconv.ParseInt(s, 36, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time", s)
	}
	return time.UnixMilli(ms).UTC(), nil
}

// attributes are the tags that hold a text each.
func attributes(img *registry.Image) map[string]*string {
	return map[string]*string{
		keyID: &img.ID, keyApplication: &img.Application, keyVersion: &img.Version, keyLayer: &img.Layer,
		keyEnvironment: &img.Environment, keyRelease: &img.Release, keyArch: &img.Arch, keyOwner: &img.Owner,
		keyParent: &img.Parent,
	}
}

// imageTags returns the tags of an image. All but labels are always there, so
// that of two writers one wins whole.
func imageTags(img registry.Image) map[string]string {
	tags := map[string]string{}
	for key, value := range attributes(&img) {
		tags[key] = *value
	}
	b := img.Bake
	tags[keyRecord] = join(format, stamp(img.CreatedAt), stamp(img.RegisteredAt), img.ParentImage.String(),
		b.ID, b.Builder, b.Build, b.Run, stamp(b.StartedAt), stamp(b.FinishedAt))
	tags[keyDigests] = join(b.Key, img.Packages)
	for label, value := range img.Labels {
		tags[labelPrefix+label] = value
	}
	return tags
}

// parseImage reads the tags of an image, but for its artifacts.
func parseImage(tags map[string]string) (registry.Image, error) {
	var img registry.Image
	for key, value := range attributes(&img) {
		*value = tags[key]
	}
	fields, err := split(tags[keyRecord], 10)
	if err != nil {
		return img, fmt.Errorf("tag %s: %w", keyRecord, err)
	}
	if fields[0] != format {
		return img, fmt.Errorf("tag %s has format %q, written by a later release; this one knows %s", keyRecord, fields[0], format)
	}
	b := &img.Bake
	b.ID, b.Builder, b.Build, b.Run = fields[4], fields[5], fields[6], fields[7]
	if fields[3] != "" {
		img.ParentImage = registry.ParseRef(fields[3])
	}
	for i, at := range map[int]*time.Time{1: &img.CreatedAt, 2: &img.RegisteredAt, 8: &b.StartedAt, 9: &b.FinishedAt} {
		if *at, err = parseStamp(fields[i]); err != nil {
			return img, fmt.Errorf("tag %s: %w", keyRecord, err)
		}
	}
	digests, err := split(tags[keyDigests], 2)
	if err != nil {
		return img, fmt.Errorf("tag %s: %w", keyDigests, err)
	}
	b.Key, img.Packages = digests[0], digests[1]
	for key, value := range tags {
		if label, ok := strings.CutPrefix(key, labelPrefix); ok {
			if img.Labels == nil {
				img.Labels = map[string]string{}
			}
			img.Labels[label] = value
		}
	}
	return img, nil
}

func resultTag(r registry.TestResult) (key, value string) {
	c := r.Counts
	counts := fmt.Sprintf("%d.%d.%d.%d", c.Passed, c.Failed, c.Errors, c.Skipped)
	return resultPrefix + r.ID, join(r.Suite, r.Mode, string(r.Outcome), counts, stamp(r.StartedAt),
		strconv.FormatFloat(r.Seconds, 'g', 6, 64), r.Tool, r.Actor, r.SuiteDigest)
}

func parseResult(id, value string) (r registry.TestResult, err error) {
	fields, err := split(value, 9)
	if err != nil {
		return r, err
	}
	r = registry.TestResult{
		ID: id, Suite: fields[0], Mode: fields[1], Outcome: registry.Outcome(fields[2]),
		Tool: fields[6], Actor: fields[7], SuiteDigest: fields[8],
	}
	c := &r.Counts
	if _, err := fmt.Sscanf(fields[3], "%d.%d.%d.%d", &c.Passed, &c.Failed, &c.Errors, &c.Skipped); err != nil {
		return r, fmt.Errorf("%q are no counts", fields[3])
	}
	if r.Seconds, err = strconv.ParseFloat(fields[5], 64); err != nil {
		return r, fmt.Errorf("%q is no number of seconds", fields[5])
	}
	r.StartedAt, err = parseStamp(fields[4])
	return r, err
}

func markTag(m registry.Mark) (key, value string) {
	return markPrefix + m.ID, join(string(m.Kind), stamp(m.At), stamp(m.EffectiveAt), m.Clears, m.Artifact.String(), m.Actor, m.Reason)
}

func parseMark(id, value string) (m registry.Mark, err error) {
	fields, err := split(value, 7)
	if err != nil {
		return m, err
	}
	m = registry.Mark{ID: id, Kind: registry.MarkKind(fields[0]), Clears: fields[3], Actor: fields[5], Reason: fields[6]}
	if fields[4] != "" {
		m.Artifact = registry.ParseRef(fields[4])
	}
	if m.At, err = parseStamp(fields[1]); err != nil {
		return m, err
	}
	m.EffectiveAt, err = parseStamp(fields[2])
	return m, err
}

// parseFacts reads the facts among the tags of an image, in the order of their
// ids.
func parseFacts(image string, tags map[string]string) (registry.Facts, error) {
	var f registry.Facts
	seen := fnv.New64a()
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if id, ok := strings.CutPrefix(key, resultPrefix); ok {
			r, err := parseResult(id, tags[key])
			if err != nil {
				return f, fmt.Errorf("tag %s: %w", key, err)
			}
			r.Image = image
			_, _ = io.WriteString(seen, key)
			f.Results = append(f.Results, r)
		}
		if id, ok := strings.CutPrefix(key, markPrefix); ok {
			m, err := parseMark(id, tags[key])
			if err != nil {
				return f, fmt.Errorf("tag %s: %w", key, err)
			}
			m.Image = image
			_, _ = io.WriteString(seen, key)
			f.Marks = append(f.Marks, m)
		}
	}
	if len(f.Results)+len(f.Marks) > 0 {
		// Their number says little, since what is superseded goes.
		f.Revision = int64(seen.Sum64())
	}
	return f, nil
}

// superseded returns the keys of facts that no longer matter for what the image
// is: results of a suite that was run again, and marks that were taken back. What
// takes a mark back comes behind it: removed in this order, nothing comes to
// life again half-way.
func superseded(tags map[string]string) (keys []string, err error) {
	f, err := parseFacts("", tags)
	if err != nil {
		return nil, err
	}
	type run struct{ suite, mode string }
	newest := map[run]registry.TestResult{}
	for _, r := range f.Results {
		old, ok := newest[run{r.Suite, r.Mode}]
		if ok {
			if r.StartedAt.Before(old.StartedAt) {
				r, old = old, r
			}
			keys = append(keys, resultPrefix+old.ID)
		}
		newest[run{r.Suite, r.Mode}] = r
	}
	var clearings []string
	for _, m := range f.Marks {
		if m.Clears == "" {
			continue
		}
		if _, there := tags[markPrefix+m.Clears]; there {
			keys = append(keys, markPrefix+m.Clears)
		}
		clearings = append(clearings, markPrefix+m.ID)
	}
	return append(keys, clearings...), nil
}

// own returns how many of the tags are the registry's.
func own(tags map[string]string) int {
	n := 0
	for key := range tags {
		if strings.HasPrefix(key, prefix) {
			n++
		}
	}
	return n
}

// fit refuses tags that EC2 would refuse or cut.
func fit(tags map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if n := utf8.RuneCountInString(key); n > maxKey {
			return unsupported("the key of tag %s has %d characters, more than the %d that EC2 keeps", key, n, maxKey)
		}
		if n := utf8.RuneCountInString(tags[key]); n > maxValue {
			return unsupported("tag %s has %d characters, more than the %d that EC2 keeps: %q", key, n, maxValue, tags[key])
		}
	}
	return nil
}
