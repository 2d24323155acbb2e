package check

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// suiteReader reads a suite file and those that it includes.
type suiteReader struct {
	suite    Suite
	facts    *Facts            // nil: not known yet
	assigned map[string]string // values of variables, for the whole run
	errs     []error
}

func (r *suiteReader) problem(errs ...error) { r.errs = append(r.errs, errs...) }

// scope is what expressions may refer to.
type scope struct {
	vars  map[string]cty.Value
	facts cty.Value
	each  cty.Value // null outside of for_each
}

func (s scope) context() *hcl.EvalContext {
	vars := cty.EmptyObjectVal
	if len(s.vars) > 0 {
		vars = cty.ObjectVal(s.vars)
	}
	variables := map[string]cty.Value{"var": vars, "facts": s.facts}
	if s.each != cty.NilVal {
		variables["each"] = s.each
	}
	return &hcl.EvalContext{Variables: variables, Functions: suiteFunctions}
}

// suiteFunctions are what expressions may call: a few that depend on nothing but
// their arguments.
var suiteFunctions = map[string]function.Function{
	"concat": stdlib.ConcatFunc, "contains": stdlib.ContainsFunc, "format": stdlib.FormatFunc, "join": stdlib.JoinFunc,
	"keys": stdlib.KeysFunc, "length": stdlib.LengthFunc, "lower": stdlib.LowerFunc, "merge": stdlib.MergeFunc,
	"replace": stdlib.ReplaceFunc, "split": stdlib.SplitFunc, "upper": stdlib.UpperFunc, "values": stdlib.ValuesFunc,
	"version": versionFunc,
}

// versionFunc decides whether a version meets a constraint, in the ordering of
// dpkg: version(facts.version, ">= 12, < 13").
var versionFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "version", Type: cty.String}, {Name: "constraint", Type: cty.String}},
	Type:   function.StaticReturnType(cty.Bool),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		valid := func(bound string) error {
			_, err := compareVersions("dpkg", bound, bound)
			return err
		}
		want, err := parseConstraint(args[1].AsString(), valid)
		if err != nil {
			return cty.UnknownVal(cty.Bool), function.NewArgError(1, err)
		}
		ok, err := want.holds(func(bound string) (int, error) { return compareVersions("dpkg", args[0].AsString(), bound) })
		if err != nil {
			return cty.UnknownVal(cty.Bool), function.NewArgError(0, err)
		}
		return cty.BoolVal(ok), nil
	},
})

// includeDepth is how deep suite files may include each other.
const includeDepth = 20

// file reads one file. path is that of the files that include it; given are the
// values that the include gives to its variables, nil for the suite itself.
func (r *suiteReader) file(file string, data []byte, path []string, given map[string]cty.Value) {
	parsed, diags := hclsyntax.ParseConfig(data, file, hcl.InitialPos)
	if diags.HasErrors() {
		r.problem(diagErrors(diags)...)
		return
	}
	body, ok := parsed.Body.(*hclsyntax.Body)
	if !ok {
		r.problem(fmt.Errorf("%s: is not in HCL's native syntax", file))
		return
	}
	for _, attr := range sortedAttributes(body) {
		r.problem(fmt.Errorf("%s:%d: %s = … is an attribute; a suite file has blocks, such as file \"/etc/timezone\" { … }",
			file, attr.NameRange.Start.Line, attr.Name))
	}
	s := scope{vars: map[string]cty.Value{}, facts: r.factsValue()}
	for _, block := range body.Blocks {
		if block.Type == "variable" {
			r.variable(file, block, s, given)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if _, declared := s.vars[name]; !declared {
			r.problem(fmt.Errorf("%s: has no variable %q, to which %s gives a value", file, name, path[len(path)-1]))
		}
	}
	for _, block := range body.Blocks {
		r.suite.needsFacts = r.suite.needsFacts || refersToFacts(block.Body)
		switch block.Type {
		case "variable":
		case "include":
			r.include(file, block, append(slices.Clone(path), file), s)
		default:
			r.block(file, block, s)
		}
	}
}

// variable declares a variable: its value is the one that the include or the run
// gives it, or its default.
func (r *suiteReader) variable(file string, block *hclsyntax.Block, s scope, given map[string]cty.Value) {
	source := Source{File: file, Line: block.DefRange().Start.Line}
	if len(block.Labels) != 1 || !hclsyntax.ValidIdentifier(block.Labels[0]) {
		r.problem(fmt.Errorf("%s: variable: write one label, its name", source))
		return
	}
	name := block.Labels[0]
	if _, twice := s.vars[name]; twice {
		r.problem(fmt.Errorf("%s: variable %q is declared twice", source, name))
	}
	s.vars[name] = cty.DynamicVal
	r.suite.declared = appendNew(r.suite.declared, name)
	var fallback cty.Value
	for attr, a := range block.Body.Attributes {
		switch attr {
		case "default":
			value, diags := a.Expr.Value(&hcl.EvalContext{Functions: suiteFunctions})
			r.problem(diagErrors(diags)...)
			fallback = value
		case "description":
		default:
			r.problem(fmt.Errorf("%s:%d: variable %q: %s is nothing that a variable has; there are default and description", file, a.NameRange.Start.Line, name, attr))
		}
	}
	text, assigned := r.assigned[name]
	value, included := given[name]
	switch {
	case included:
		s.vars[name] = value
	case assigned && IsUnknown(text):
		s.vars[name] = cty.DynamicVal
	case assigned:
		value, err := assign(text, fallback)
		if err != nil {
			r.problem(fmt.Errorf("%s: variable %q: %w", source, name, err))
			return
		}
		s.vars[name] = value
	case fallback != cty.NilVal:
		s.vars[name] = fallback
	default:
		r.problem(fmt.Errorf("%s: variable %q has no value and no default; give it one", source, name))
	}
}

// assign makes a value of a text. It gets the type of the default, whose other
// values are written as in a suite file.
func assign(text string, fallback cty.Value) (cty.Value, error) {
	if fallback == cty.NilVal || fallback.IsNull() || fallback.Type() == cty.String {
		return cty.StringVal(text), nil
	}
	expr, diags := hclsyntax.ParseExpression([]byte(text), "value", hcl.InitialPos)
	if diags.HasErrors() {
		return cty.NilVal, fmt.Errorf("%q is no value such as its default: %w", text, diags)
	}
	value, diags := expr.Value(nil)
	if diags.HasErrors() {
		return cty.NilVal, fmt.Errorf("%q is no value such as its default: %w", text, diags)
	}
	t := fallback.Type()
	if t.IsTupleType() {
		t = cty.List(cty.DynamicPseudoType)
	}
	if t.IsObjectType() {
		t = cty.Map(cty.DynamicPseudoType)
	}
	if value, err := convert.Convert(value, t); err == nil {
		return value, nil
	}
	return cty.NilVal, fmt.Errorf("%q is no value such as its default", text)
}

// include reads another file into the suite.
func (r *suiteReader) include(file string, block *hclsyntax.Block, path []string, s scope) {
	source := Source{File: file, Line: block.DefRange().Start.Line}
	if len(block.Labels) != 1 || block.Labels[0] == "" {
		r.problem(fmt.Errorf("%s: include: write one label, the file", source))
		return
	}
	given := map[string]cty.Value{}
	for name, a := range block.Body.Attributes {
		switch name {
		case "when":
		case "vars":
			value, diags := a.Expr.Value(s.context())
			if diags.HasErrors() {
				r.problem(diagErrors(diags)...)
				return
			}
			if !value.IsKnown() || value.IsNull() || !value.Type().IsObjectType() && !value.Type().IsMapType() {
				r.problem(fmt.Errorf("%s:%d: include: vars is not a map of names and values", file, a.NameRange.Start.Line))
				return
			}
			given = value.AsValueMap()
		default:
			r.problem(fmt.Errorf("%s:%d: include: %s is nothing that an include has; there are vars and when", file, a.NameRange.Start.Line, name))
		}
	}
	if !r.applies(block, s) {
		r.suite.inapplicable++
		return
	}
	target := block.Labels[0]
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(file), target)
	}
	switch {
	case slices.Contains(path, target):
		r.problem(fmt.Errorf("%s: include %q: it includes itself: %s", source, block.Labels[0], strings.Join(append(path, target), ", ")))
		return
	case len(path) > includeDepth:
		r.problem(fmt.Errorf("%s: include %q: files include each other more than %d deep", source, block.Labels[0], includeDepth))
		return
	}
	data, err := os.ReadFile(target) //nolint:gosec // reading files that the user names is what this is for
	if err != nil {
		r.problem(fmt.Errorf("%s: include: %w", source, err))
		return
	}
	before := len(r.suite.Entries) + r.suite.open + r.suite.inapplicable + len(r.suite.Waivers) + len(r.errs)
	r.file(target, data, path, given)
	if before == len(r.suite.Entries)+r.suite.open+r.suite.inapplicable+len(r.suite.Waivers)+len(r.errs) {
		r.problem(fmt.Errorf("%s: include %q: there are no checks in it", source, block.Labels[0]))
	}
}

// applies evaluates the condition of a block. One that depends on what is not
// known yet counts as one that holds, so that its block is validated.
func (r *suiteReader) applies(block *hclsyntax.Block, s scope) bool {
	attr := block.Body.Attributes["when"]
	if attr == nil {
		return true
	}
	value, diags := attr.Expr.Value(s.context())
	if diags.HasErrors() {
		r.problem(diagErrors(diags)...)
		return true
	}
	if !value.IsKnown() {
		return true
	}
	value, err := convert.Convert(value, cty.Bool)
	if err != nil || value.IsNull() {
		r.problem(fmt.Errorf("%s:%d: %s: when is not true or false", attr.SrcRange.Filename, attr.NameRange.Start.Line, block.Type))
		return true
	}
	return value.True()
}

// instances returns the body of a block without what is not of its kind, and the
// scopes in which it counts: one, or one for each element of its for_each, or
// none.
func (r *suiteReader) instances(block *hclsyntax.Block, s scope) (hcl.Body, []scope) {
	body := *block.Body
	body.Attributes = maps.Clone(block.Body.Attributes)
	delete(body.Attributes, "when")
	delete(body.Attributes, "for_each")
	scopes := []scope{s}
	if attr := block.Body.Attributes["for_each"]; attr != nil {
		var ok bool
		if scopes, ok = r.elements(block, attr, s); !ok {
			return &body, nil
		}
	}
	var chosen []scope
	for _, one := range scopes {
		if r.applies(block, one) {
			chosen = append(chosen, one)
		} else {
			r.suite.inapplicable++
		}
	}
	return &body, chosen
}

// elements returns a scope for each element of a for_each.
func (r *suiteReader) elements(block *hclsyntax.Block, attr *hclsyntax.Attribute, s scope) ([]scope, bool) {
	at := fmt.Sprintf("%s:%d: %s: for_each", attr.SrcRange.Filename, attr.NameRange.Start.Line, block.Type)
	value, diags := attr.Expr.Value(s.context())
	if diags.HasErrors() {
		r.problem(diagErrors(diags)...)
		return nil, false
	}
	each := func(key, value cty.Value) scope {
		one := s
		one.each = cty.ObjectVal(map[string]cty.Value{"key": key, "value": value})
		return one
	}
	switch {
	case !value.IsKnown():
		return []scope{each(cty.UnknownVal(cty.String), cty.DynamicVal)}, true
	case value.IsNull() || !value.CanIterateElements():
		r.problem(fmt.Errorf("%s is not a list or a map", at))
		return nil, false
	case value.LengthInt() == 0:
		r.problem(fmt.Errorf("%s: an empty list checks nothing; name at least one", at))
		return nil, false
	}
	var scopes []scope
	for it := value.ElementIterator(); it.Next(); {
		key, element := it.Element()
		if t := value.Type(); !t.IsObjectType() && !t.IsMapType() {
			key = cty.StringVal(strconv.Itoa(len(scopes)))
		}
		scopes = append(scopes, each(key, element))
	}
	return scopes, true
}

// refersToFacts tells whether something in a body depends on the image.
func refersToFacts(body *hclsyntax.Body) bool {
	for _, attr := range body.Attributes {
		for _, traversal := range attr.Expr.Variables() {
			if traversal.RootName() == "facts" {
				return true
			}
		}
	}
	return slices.ContainsFunc(body.Blocks, func(b *hclsyntax.Block) bool { return refersToFacts(b.Body) })
}
