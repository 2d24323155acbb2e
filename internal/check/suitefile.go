package check

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// SuiteExtension is how the names of suite files end.
const SuiteExtension = ".spec.hcl"

// kinds are the blocks that a suite file may have.
var kinds = map[string]struct {
	spec func() map[string]hcldec.Spec
	new  func() Block
}{
	"file":          {(*FlatFile)(nil).HCL2Spec, func() Block { return new(File) }},
	"package":       {(*FlatPackage)(nil).HCL2Spec, func() Block { return new(Package) }},
	"service":       {(*FlatService)(nil).HCL2Spec, func() Block { return new(Service) }},
	"user":          {(*FlatUser)(nil).HCL2Spec, func() Block { return new(User) }},
	"group":         {(*FlatGroup)(nil).HCL2Spec, func() Block { return new(Group) }},
	"config":        {(*FlatConfig)(nil).HCL2Spec, func() Block { return new(Config) }},
	"kernel_param":  {(*FlatKernelParam)(nil).HCL2Spec, func() Block { return new(KernelParam) }},
	"kernel_module": {(*FlatKernelModule)(nil).HCL2Spec, func() Block { return new(KernelModule) }},
	"port":          {(*FlatPort)(nil).HCL2Spec, func() Block { return new(Port) }},
	"x509":          {(*FlatX509)(nil).HCL2Spec, func() Block { return new(X509) }},
	"mount":         {(*FlatMount)(nil).HCL2Spec, func() Block { return new(Mount) }},
	"process":       {(*FlatProcess)(nil).HCL2Spec, func() Block { return new(Process) }},
	"interface":     {(*FlatInterface)(nil).HCL2Spec, func() Block { return new(Interface) }},
	"addr":          {(*FlatAddr)(nil).HCL2Spec, func() Block { return new(Addr) }},
	"dns":           {(*FlatDNS)(nil).HCL2Spec, func() Block { return new(DNS) }},
	"http":          {(*FlatHTTP)(nil).HCL2Spec, func() Block { return new(HTTP) }},
	"cron":          {(*FlatCron)(nil).HCL2Spec, func() Block { return new(Cron) }},
	"timer":         {(*FlatTimer)(nil).HCL2Spec, func() Block { return new(Timer) }},
	"repository":    {(*FlatRepository)(nil).HCL2Spec, func() Block { return new(Repository) }},
	"selinux":       {(*FlatSELinux)(nil).HCL2Spec, func() Block { return new(SELinux) }},
	"hygiene":       {(*FlatHygiene)(nil).HCL2Spec, func() Block { return new(Hygiene) }},
	"command":       {(*FlatCommand)(nil).HCL2Spec, func() Block { return new(Command) }},
}

// ReadSuites reads the suite files of one run, and returns all that is wrong
// with them. Results are recorded by the name of the suite: with one name for
// two, the later would hide the earlier. vars are the values of variables that
// the suites declare; taken are names that others have, each with whose it is.
func ReadSuites(files []string, vars, taken map[string]string) ([]Suite, []error) {
	var suites []Suite
	var errs []error
	owners := maps.Clone(taken)
	if owners == nil {
		owners = map[string]string{}
	}
	for _, file := range files {
		if file == "" {
			errs = append(errs, errors.New(`"" names no file`))
			continue
		}
		suite, wrong := readSuite(file, vars)
		if len(wrong) > 0 {
			// What could be read is compiled, so that all mistakes come at once.
			errs = append(errs, wrong...)
			suite.broken = true
			if suite.File == "" {
				continue
			}
		}
		if before, dup := owners[suite.Name]; dup {
			errs = append(errs, fmt.Errorf("%q and %s have the same name, %s; rename one", file, before, suite.Name))
			continue
		}
		owners[suite.Name] = strconv.Quote(file)
		suites = append(suites, suite)
	}
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		declared := slices.ContainsFunc(suites, func(s Suite) bool { return s.broken || slices.Contains(s.declared, name) })
		if !declared {
			errs = append(errs, fmt.Errorf("no suite declares the variable %q that has a value", name))
		}
	}
	return suites, errs
}

// ReadSuite reads a suite file: checks as people write them, or with the
// extension .json the deferred checks that an earlier run has written.
func ReadSuite(file string) (Suite, []error) { return readSuite(file, nil) }

func readSuite(file string, vars map[string]string) (Suite, []error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return Suite{}, []error{fmt.Errorf("read suite: %w", err)}
	}
	if filepath.Ext(file) == ".json" {
		s, err := parseDeferred(file, data)
		if err != nil {
			return Suite{}, []error{err}
		}
		return s, nil
	}
	return parseSuite(file, data, vars)
}

// ParseSuite reads the text of a suite file. Its name is in every error, with
// the line.
func ParseSuite(file string, data []byte) (Suite, []error) { return parseSuite(file, data, nil) }

func parseSuite(file string, data []byte, vars map[string]string) (Suite, []error) {
	read := func(facts *Facts) (Suite, []error) {
		r := suiteReader{suite: Suite{Name: suiteName(file), File: file}, facts: facts, assigned: vars}
		r.file(file, data, nil, nil)
		return r.suite, r.errs
	}
	suite, errs := read(nil)
	suite.reread = func(facts Facts) (Suite, []error) { return read(&facts) }
	return suite, errs
}

// block reads a block of checks or a waiver, once for each element of its
// for_each, unless its condition does not hold.
func (r *suiteReader) block(file string, block *hclsyntax.Block, scope scope) {
	source := Source{File: file, Line: block.DefRange().Start.Line}
	kind, ok := kinds[block.Type]
	if !ok && block.Type != "waiver" {
		r.problem(fmt.Errorf("%s: there is no kind of check called %s; there are %s", source, block.Type, kindNames()))
		return
	}
	body, instances := r.instances(block, scope)
	for i, instance := range instances {
		if block.Type == "waiver" {
			w := Waiver{source: source}
			if errs, _ := decodeBlock(block, body, (*FlatWaiver)(nil).HCL2Spec(), &w, "check", &w.Check, source, instance); len(errs) > 0 {
				r.problem(errs...)
				return
			}
			r.suite.Waivers = append(r.suite.Waivers, w)
			continue
		}
		entry := Entry{Block: kind.new(), Source: source, lines: map[string]int{}}
		for name, attr := range block.Body.Attributes {
			entry.lines[name] = attr.NameRange.Start.Line
		}
		subjects := entry.Block.subjects()
		errs, open := decodeBlock(block, body, kind.spec(), entry.Block, subjects.one, subjects.value, source, instance)
		switch {
		case len(errs) > 0:
			// They would be those of every element.
			r.problem(errs...)
			return
		case open:
			// It is whole when the facts are known.
			r.suite.open++
		case i == 0 || len(block.Labels) == 0:
			r.suite.Entries = append(r.suite.Entries, entry)
		default:
			r.problem(fmt.Errorf("%s: %s %q: the label is the same for every element of for_each; set %s in the block", source, block.Type, block.Labels[0], subjects.one))
			return
		}
	}
}

// decodeBlock decodes the attributes of a block into target, and its label into
// the attribute that the label stands for.
//
// open is set when a value that no text can stand for is not known yet.
func decodeBlock(block *hclsyntax.Block, body hcl.Body, spec map[string]hcldec.Spec, target any, labelled string, label *string, source Source, scope scope) (errs []error, open bool) {
	// A block uses few of the attributes that its kind has, and decoding the rest
	// would take most of the time. What is wrong is told with all that could be meant.
	value, diags := hcldec.Decode(body, used(spec, block), scope.context())
	if diags.HasErrors() {
		value, diags = hcldec.Decode(body, hcldec.ObjectSpec(spec), scope.context())
		for _, d := range diags {
			if d.Summary == "Unsupported argument" && !strings.Contains(d.Detail, "Did you mean") {
				d.Detail += fmt.Sprintf(" %s takes %s.", block.Type, strings.Join(slices.Sorted(maps.Keys(spec)), ", "))
			}
		}
	}
	errs = diagErrors(diags)
	if len(errs) == 0 {
		values, unknown := attributes(value)
		open = unknown
		if err := fill(values, target); err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", source, block.Type, err))
		}
	}
	switch {
	case labelled == "" && len(block.Labels) > 0:
		errs = append(errs, fmt.Errorf("%s: %s takes no label: there is only one %s", source, block.Type, block.Type))
	case len(block.Labels) > 1:
		errs = append(errs, fmt.Errorf("%s: %s has %d labels; write one, or a list in the block", source, block.Type, len(block.Labels)))
	case len(block.Labels) == 1 && block.Body.Attributes[labelled] != nil:
		errs = append(errs, fmt.Errorf("%s: %s %q: the label is the %s; remove one of the two", source, block.Type, block.Labels[0], labelled))
	case len(block.Labels) == 1 && block.Labels[0] == "":
		errs = append(errs, fmt.Errorf("%s: %s: the label is empty; it names what is checked", source, block.Type))
	case len(block.Labels) == 1:
		*label = block.Labels[0]
	}
	return errs, open
}

// used is the part of spec that decodes the attributes of a block, of which none
// is required.
func used(spec map[string]hcldec.Spec, block *hclsyntax.Block) hcldec.ObjectSpec {
	part := hcldec.ObjectSpec{}
	for name := range block.Body.Attributes {
		if s, ok := spec[name]; ok {
			part[name] = s
		}
	}
	return part
}

// attributes returns the attributes of a decoded block that are set. Their types
// are those of the spec: texts, booleans, and lists and maps of texts. For texts
// that are not known yet stands [Unknown]; of a boolean that is not, open tells.
func attributes(value cty.Value) (values map[string]any, open bool) {
	values = map[string]any{}
	for name, v := range value.AsValueMap() {
		switch {
		case v.IsNull():
		case v.Type() == cty.String:
			values[name] = ctyText(v)
		case v.Type() == cty.Bool:
			if !v.IsKnown() {
				open = true
				continue
			}
			values[name] = v.True()
		case v.Type().IsListType():
			list := []string{}
			if !v.IsKnown() {
				values[name] = []string{Unknown}
				continue
			}
			for _, e := range v.AsValueSlice() {
				list = append(list, ctyText(e))
			}
			values[name] = list
		case v.Type().IsMapType():
			if !v.IsKnown() {
				values[name] = map[string]string{Unknown: Unknown}
				continue
			}
			texts := map[string]string{}
			for key, e := range v.AsValueMap() {
				texts[key] = ctyText(e)
			}
			values[name] = texts
		}
	}
	return values, open
}

// ctyText is a text as a block has it. One that is null asserts nothing, as an
// empty one.
func ctyText(v cty.Value) string {
	switch {
	case !v.IsKnown():
		return Unknown
	case v.IsNull():
		return ""
	}
	return v.AsString()
}

// diagErrors are the mistakes that diags tell of, in the order of their lines.
func diagErrors(diags hcl.Diagnostics) []error {
	var errs []error
	line := func(d *hcl.Diagnostic) int {
		if d.Subject == nil {
			return 0
		}
		return d.Subject.Start.Line
	}
	for _, d := range slices.SortedStableFunc(slices.Values(diags), func(a, b *hcl.Diagnostic) int { return line(a) - line(b) }) {
		if d.Severity != hcl.DiagError {
			continue
		}
		text := d.Summary
		if d.Detail != "" {
			text += ": " + d.Detail
		}
		if d.Subject != nil {
			text = fmt.Sprintf("%s:%d: %s", d.Subject.Filename, d.Subject.Start.Line, text)
		}
		errs = append(errs, fmt.Errorf("%s", text))
	}
	return errs
}

func sortedAttributes(body *hclsyntax.Body) []*hclsyntax.Attribute {
	var attrs []*hclsyntax.Attribute
	for _, a := range body.Attributes {
		attrs = append(attrs, a)
	}
	slices.SortFunc(attrs, func(a, b *hclsyntax.Attribute) int { return a.NameRange.Start.Line - b.NameRange.Start.Line })
	return attrs
}

func kindNames() string {
	var names []string
	for name := range kinds {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(append(names, "waiver, variable and include"), ", ")
}

// suiteName is the name of a suite: that of its file without folder and extension.
func suiteName(file string) string {
	base := filepath.Base(file)
	for _, extension := range []string{SuiteExtension, ".hcl", ".json"} {
		if name, ok := strings.CutSuffix(base, extension); ok && name != "" {
			return name
		}
	}
	return base
}
