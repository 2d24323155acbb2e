package goss

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/imagebakery/packer-plugin-bakery/internal/check"
)

// Options are how a gossfile is read.
type Options struct {
	// Name is that of the suite; by default that of the file, without folder and
	// extension.
	Name string
	// VarsFile, VarsInline and Vars are the variables of templates: a file, the
	// text of one, and values; of several that have one name, the last counts.
	VarsFile, VarsInline string
	Vars                 map[string]string
	// Env are environment variables that templates see beside those of this
	// process.
	Env map[string]string
	// DeferBoot leaves what only a booted system can answer to the booted run.
	DeferBoot bool
	// WarnVacuous makes warnings of what asserts nothing.
	WarnVacuous bool
	// BuilderNetwork has, offline, the build host's network answer, as it answers
	// goss in a chroot.
	BuilderNetwork bool
	// Retry is how long a booted run tries again what does not hold; empty is not
	// at all.
	Retry string
}

// depthLimit is how deep gossfiles may include each other.
const depthLimit = 50

// Read reads a gossfile and all that it includes. It returns what could be read,
// and all that is wrong.
func Read(file string, o Options) (check.Suite, []error) {
	r := &reader{options: o, seen: map[string]resource{}}
	name := cmp.Or(o.Name, strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)))
	switch filepath.Ext(file) {
	case ".json":
		r.json = true
	case ".yaml", ".yml":
	default:
		r.problem("%s: its name does not tell how it is written; a gossfile ends in .yaml, .yml or .json", file)
		return r.suite(name, file), r.errs
	}
	var err error
	if r.vars, err = o.variables(); err != nil {
		r.problem("%s: %w", file, err)
		return r.suite(name, file), r.errs
	}
	r.folder = filepath.Dir(file)
	r.file(file, nil)
	return r.suite(name, file), r.errs
}

type reader struct {
	options Options
	json    bool
	folder  string // of the first gossfile
	vars    map[string]any
	seen    map[string]resource // by kind and id
	entries []check.Entry
	skipped int // files, sections and resources that do not apply
	errs    []error
}

// resource is what was read of one, to be compared with another of the same id.
type resource struct {
	source check.Source
	expect *check.Expect
}

func (r *reader) problem(format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf(format, args...))
}

func (r *reader) suite(name, file string) check.Suite {
	return check.ForeignSuite(name, file, r.entries, r.skipped, len(r.errs) > 0)
}

// file reads one file; path are those that include it.
func (r *reader) file(file string, path []string) {
	data, err := os.ReadFile(file) //nolint:gosec // reading files that the user names is what this is for
	if err != nil {
		r.problem("read gossfile: %w", err)
		return
	}
	d, errs := r.parse(file, data)
	if len(errs) > 0 {
		r.errs = append(r.errs, errs...)
		return
	}
	if d.root == nil {
		// Its template has left nothing of it: it does not apply.
		r.skipped++
		return
	}
	var includes []field
	for _, section := range fields(d.root) {
		switch {
		case section.key == "gossfile":
			includes = r.resources(d, section)
		case kinds[section.key].values != nil:
			kind := kinds[section.key]
			for _, f := range r.resources(d, section) {
				r.resource(d, section.key, kind, f)
			}
		case !d.isAnchor(section.value):
			r.problem("%s: there is no kind of resource called %q, and goss would ignore all that is in it; there are %s", d.at(section.line), section.key, kindNames())
		}
	}
	// In the order in which goss reads them, after all that is in this file.
	slices.SortFunc(includes, func(a, b field) int { return cmp.Compare(a.key, b.key) })
	for _, f := range includes {
		r.include(d, f, append(slices.Clone(path), file))
	}
}

// resources returns those of a section.
func (r *reader) resources(d *document, section field) []field {
	value := resolve(section.value)
	switch {
	case value.Kind == yaml.MappingNode && len(value.Content) > 0:
		return fields(value)
	case value.Kind == yaml.MappingNode, value.Tag == "!!null":
		r.skipped++
	default:
		r.problem("%s: %s is not a map of ids and attributes", d.at(section.line), section.key)
	}
	return nil
}

// include reads the files that an element of gossfile names.
func (r *reader) include(d *document, f field, path []string) {
	pattern := f.key
	value := resolve(f.value)
	if value.Kind != yaml.MappingNode {
		r.problem("%s: gossfile %q has no attributes; write {} for none", d.at(f.line), f.key)
		return
	}
	for _, attr := range fields(value) {
		var err error
		switch attr.key {
		case "title":
			var text string
			err = attr.value.Decode(&text)
		case "meta":
			var meta map[string]any
			err = attr.value.Decode(&meta)
		case "file":
			err = attr.value.Decode(&pattern)
		case "skip":
			var skip bool
			if err = attr.value.Decode(&skip); err == nil && skip {
				r.skipped++
				return
			}
		default:
			err = errors.New("is nothing that a gossfile has; there are file, meta, skip and title")
		}
		if err != nil {
			r.problem("%s: gossfile %q: %s %w", d.at(attr.line), f.key, attr.key, d.mistake(err))
			return
		}
	}
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(filepath.Dir(d.file), pattern)
	}
	files, err := filepath.Glob(pattern)
	switch {
	case err != nil:
		r.problem("%s: gossfile %q is not a pattern of file names: %w", d.at(f.line), pattern, err)
	case len(files) == 0:
		r.problem("%s: gossfile %q: there is no such file", d.at(f.line), pattern)
	case len(path) >= depthLimit-1:
		r.problem("%s: gossfile %q: files include each other more than %d deep", d.at(f.line), pattern, depthLimit)
		return
	}
	for _, file := range files {
		if slices.Contains(path, file) {
			r.problem("%s: gossfile %q includes itself: %s", d.at(f.line), file, strings.Join(append(path, file), ", "))
			continue
		}
		r.file(file, path)
	}
}

// resource reads one and makes an entry of it.
func (r *reader) resource(d *document, section string, kind kind, f field) {
	value := resolve(f.value)
	where := fmt.Sprintf("%s %q", section, f.key)
	if value.Kind != yaml.MappingNode {
		r.problem("%s: %s has no attributes, and asserts nothing", d.at(f.line), where)
		return
	}
	e := &check.Expect{
		Of: section, ID: f.key, Subject: f.key, Remedies: kind.remedies,
		DeferBoot: r.options.DeferBoot, WarnVacuous: r.options.WarnVacuous,
		BuilderNetwork: r.options.BuilderNetwork,
		HandOver:       "requires: boot below meta of the resource (or defer_boot for the whole gossfile)",
	}
	if r.options.Retry != "" {
		e.Retry = &r.options.Retry
	}
	skip := false
	values := map[string]check.Expected{}
	for _, attr := range fields(value) {
		err := kind.attribute(e, values, &skip, d, attr)
		if err != nil {
			r.problem("%s: %s: %s %w", d.at(attr.line), where, attr.key, d.mistake(err))
		}
	}
	if skip {
		r.skipped++
		return
	}
	// As goss shows it: of a command only the id.
	if e.Subject != f.key && section != "command" {
		e.ID = f.key + ": " + e.Subject
	}
	if kind.required != "" {
		if _, ok := values[kind.required]; !ok {
			r.problem("%s: %s: %s is missing, without which goss fails it; write for example %s: %s", d.at(f.line), where, kind.required, kind.required, kind.example)
			return
		}
	}
	for _, name := range kind.values {
		if want, ok := values[name]; ok {
			e.Values = append(e.Values, want)
		}
	}
	if kind.clean != nil {
		e.Subject = kind.clean(e.Subject)
	}
	r.add(section, f.key, resource{check.Source{File: d.file, Line: d.line(f.line)}, e})
}

// add keeps a resource, unless there is another one with its id: of these goss
// keeps the last.
func (r *reader) add(section, id string, new resource) {
	key := section + "\x00" + id
	before, dup := r.seen[key]
	if !dup {
		r.seen[key] = new
		r.entries = append(r.entries, new.expect.Entry(new.source))
		return
	}
	if !before.same(new) {
		r.problem("%s: %s %q is at %s too, and goss would check only the later one; remove one, or give it another id and set %s: %s",
			new.source, section, id, before.source, kinds[section].subject, strconv.Quote(id))
	}
}

// same tells whether two resources demand the same.
func (r resource) same(other resource) bool {
	plain := func(e *check.Expect) check.Expect {
		copied := *e
		copied.Values = slices.Clone(e.Values)
		for i := range copied.Values {
			copied.Values[i].Line = 0
		}
		return copied
	}
	return reflect.DeepEqual(plain(r.expect), plain(other.expect))
}

// File is a gossfile and how it is read.
type File struct {
	Path string
	Options
}

// ReadAll reads the gossfiles of one run, and returns all that is wrong with
// them. Results are recorded by the name of the suite, of which there may be one
// only: owners are the names that others have, each with whose it is, to which
// the new ones are added.
func ReadAll(files []File, owners map[string]string) ([]check.Suite, []error) {
	var suites []check.Suite
	var errs []error
	for _, f := range files {
		if f.Path == "" {
			errs = append(errs, errors.New(`"" names no gossfile`))
			continue
		}
		suite, wrong := Read(f.Path, f.Options)
		errs = append(errs, wrong...)
		if before, dup := owners[suite.Name]; dup {
			errs = append(errs, fmt.Errorf("%q and %s have the same name, %s; give the suite another name", f.Path, before, suite.Name))
			continue
		}
		owners[suite.Name] = strconv.Quote(f.Path)
		suites = append(suites, suite)
	}
	return suites, errs
}
