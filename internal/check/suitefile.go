package check

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-viper/mapstructure/v2"
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
	"command":       {(*FlatCommand)(nil).HCL2Spec, func() Block { return new(Command) }},
}

// ReadSuites reads the suite files of one run, and returns all that is wrong
// with them. Results are recorded by the name of the suite: with one name for
// two, the later would hide the earlier. taken are names that others have, each
// with whose it is.
func ReadSuites(files []string, taken map[string]string) ([]Suite, []error) {
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
		suite, wrong := ReadSuite(file)
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
	return suites, errs
}

// ReadSuite reads a suite file: checks as people write them, or with the
// extension .json the deferred checks that an earlier run has written.
func ReadSuite(file string) (Suite, []error) {
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
	return ParseSuite(file, data)
}

// ParseSuite reads the text of a suite file. Its name is in every error, with
// the line.
func ParseSuite(file string, data []byte) (Suite, []error) {
	suite := Suite{Name: suiteName(file), File: file}
	parsed, diags := hclsyntax.ParseConfig(data, file, hcl.InitialPos)
	if diags.HasErrors() {
		return suite, diagErrors(diags)
	}
	body, ok := parsed.Body.(*hclsyntax.Body)
	if !ok {
		return suite, []error{fmt.Errorf("%s: is not in HCL's native syntax", file)}
	}
	var errs []error
	for _, attr := range sortedAttributes(body) {
		errs = append(errs, fmt.Errorf("%s:%d: %s = … is an attribute; a suite file has blocks, such as file \"/etc/timezone\" { … }",
			file, attr.NameRange.Start.Line, attr.Name))
	}
	for _, block := range body.Blocks {
		source := Source{File: file, Line: block.DefRange().Start.Line}
		if block.Type == "waiver" {
			w := Waiver{source: source}
			errs = append(errs, decodeBlock(block, (*FlatWaiver)(nil).HCL2Spec(), &w, "check", &w.Check, source)...)
			suite.Waivers = append(suite.Waivers, w)
			continue
		}
		kind, ok := kinds[block.Type]
		if !ok {
			errs = append(errs, fmt.Errorf("%s: there is no kind of check called %s; there are %s", source, block.Type, kindNames()))
			continue
		}
		entry := Entry{Block: kind.new(), Source: source, lines: map[string]int{}}
		for name, attr := range block.Body.Attributes {
			entry.lines[name] = attr.NameRange.Start.Line
		}
		subjects := entry.Block.subjects()
		found := decodeBlock(block, kind.spec(), entry.Block, subjects.one, subjects.value, source)
		errs = append(errs, found...)
		if len(found) == 0 {
			suite.Entries = append(suite.Entries, entry)
		}
	}
	return suite, errs
}

// decodeBlock decodes the attributes of a block into target, and its label into
// the attribute that the label stands for.
func decodeBlock(block *hclsyntax.Block, spec map[string]hcldec.Spec, target any, labelled string, label *string, source Source) []error {
	// The value of an attribute is an expression; none of it may refer to
	// anything, so that a suite means the same wherever it is run.
	value, diags := hcldec.Decode(block.Body, hcldec.ObjectSpec(spec), &hcl.EvalContext{})
	errs := diagErrors(diags)
	if len(errs) == 0 {
		if err := decodeAttributes(attributes(value), target); err != nil {
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
	return errs
}

// decodeAttributes fills a block from the values of its attributes.
func decodeAttributes(values map[string]any, target any) error {
	decoder, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{Result: target, ErrorUnused: true})
	if err != nil {
		return err
	}
	return decoder.Decode(values)
}

// attributes returns the attributes of a decoded block that are set. Their types
// are those of the spec: texts, booleans, and lists and maps of texts.
func attributes(value cty.Value) map[string]any {
	values := map[string]any{}
	for name, v := range value.AsValueMap() {
		switch {
		case v.IsNull() || !v.IsKnown():
		case v.Type() == cty.String:
			values[name] = v.AsString()
		case v.Type() == cty.Bool:
			values[name] = v.True()
		case v.Type().IsListType():
			list := []string{}
			for _, e := range v.AsValueSlice() {
				if e.IsNull() {
					// An element that is null asserts nothing, as an empty one.
					list = append(list, "")
					continue
				}
				list = append(list, e.AsString())
			}
			values[name] = list
		case v.Type().IsMapType():
			texts := map[string]string{}
			for key, e := range v.AsValueMap() {
				if e.IsNull() {
					texts[key] = ""
					continue
				}
				texts[key] = e.AsString()
			}
			values[name] = texts
		}
	}
	return values
}

func diagErrors(diags hcl.Diagnostics) []error {
	var errs []error
	for _, d := range diags {
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
	return strings.Join(append(names, "waiver"), ", ")
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

// deferredFile is the form in which deferred checks are kept for the booted run.
type deferredFile struct {
	Version int             `json:"version"`
	Checks  []deferredCheck `json:"checks"`
}

// deferredCheck is one block: its attributes have the names that they have in a
// suite file.
type deferredCheck struct {
	Suite      string         `json:"suite"`
	Source     string         `json:"source,omitempty"` // file:line of the suite file
	IDs        []string       `json:"ids"`
	Kind       string         `json:"kind"`
	Attributes map[string]any `json:"attributes"`
}

const deferredVersion = 1

// DeferredJSON returns what a run has deferred, for [ReadSuite] to read on a
// booted instance of the image.
func (r *Report) DeferredJSON() ([]byte, error) {
	file := deferredFile{Version: deferredVersion, Checks: []deferredCheck{}}
	index := map[*Entry]int{}
	for _, s := range r.Suites {
		for _, result := range s.Results {
			if result.Outcome != Deferred {
				continue
			}
			i, ok := index[result.block]
			if !ok {
				values := map[string]any{}
				if err := mapstructure.Decode(result.block.Block, &values); err != nil {
					return nil, fmt.Errorf("write deferred check %s: %w", result.ID(), err)
				}
				i = len(file.Checks)
				index[result.block] = i
				file.Checks = append(file.Checks, deferredCheck{
					Suite: s.Name, Source: result.block.Source.String(), Kind: result.Kind, Attributes: compact(values),
				})
			}
			file.Checks[i].IDs = append(file.Checks[i].IDs, result.ID())
		}
	}
	data, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write deferred checks: %w", err)
	}
	return append(data, '\n'), nil
}

// compact drops the attributes that are not set, and follows pointers.
func compact(values map[string]any) map[string]any {
	set := map[string]any{}
	for name, value := range values {
		switch v := value.(type) {
		case *string:
			if v != nil {
				set[name] = *v
			}
		case *bool:
			if v != nil {
				set[name] = *v
			}
		case string:
			if v != "" {
				set[name] = v
			}
		case []string:
			if v != nil {
				set[name] = v
			}
		case map[string]string:
			if v != nil {
				set[name] = v
			}
		}
	}
	return set
}

// parseDeferred reads what DeferredJSON wrote.
func parseDeferred(file string, data []byte) (Suite, error) {
	var saved deferredFile
	if err := json.Unmarshal(data, &saved); err != nil {
		return Suite{}, fmt.Errorf("%s: is not a file of deferred checks: %w", file, err)
	}
	if saved.Version != deferredVersion {
		return Suite{}, fmt.Errorf("%s: is not a file of deferred checks of version %d", file, deferredVersion)
	}
	suite := Suite{Name: suiteName(file), File: file}
	for i, c := range saved.Checks {
		kind, ok := kinds[c.Kind]
		if !ok {
			return Suite{}, fmt.Errorf("%s: check %d: there is no kind of check called %q", file, i+1, c.Kind)
		}
		entry := Entry{Block: kind.new(), Source: Source{File: file, Line: i + 1}}
		if err := decodeAttributes(c.Attributes, entry.Block); err != nil {
			return Suite{}, fmt.Errorf("%s: check %d: %w", file, i+1, err)
		}
		suite.Entries = append(suite.Entries, entry)
	}
	return suite, nil
}
