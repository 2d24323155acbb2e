package goss

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// document is a gossfile after its template was filled in.
type document struct {
	file    string
	root    *yaml.Node // nil when there is nothing in it
	sources []int      // the line of the file that each line came from
}

// field is an element of a map.
type field struct {
	key   string
	line  int
	value *yaml.Node
}

// parse fills in a gossfile's template and reads what comes of it.
func (r *reader) parse(file string, data []byte) (*document, []error) {
	text, sources, err := r.render(file, data)
	if err != nil {
		return nil, []error{err}
	}
	d := &document{file: file, sources: sources}
	var root *yaml.Node
	if r.json {
		root, err = parseJSON(text)
	} else {
		root, err = parseYAML(text)
	}
	if err != nil {
		return nil, d.mistakes(err)
	}
	if root == nil {
		return d, nil
	}
	if root = resolve(root); root.Kind != yaml.MappingNode {
		return nil, []error{fmt.Errorf("%s: a gossfile is a map, with sections such as file and package", d.at(root.Line))}
	}
	d.root = root
	return d, nil
}

func parseYAML(text []byte) (*yaml.Node, error) {
	// Reading it as values finds keys that are there twice, and aliases that make
	// more of a file than anyone can want.
	var whole any
	if err := yaml.Unmarshal(text, &whole); err != nil {
		return nil, err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var root, next yaml.Node
	if err := decoder.Decode(&root); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil //nolint:nilnil // nothing is no mistake here
		}
		return nil, err
	}
	if err := decoder.Decode(&next); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("line %d: here begins a second document, which goss would ignore; remove the line ---", next.Line)
	}
	if root.Kind != yaml.DocumentNode || len(root.Content) == 0 || root.Content[0].Tag == "!!null" {
		return nil, nil //nolint:nilnil // nothing is no mistake here
	}
	return root.Content[0], nil
}

// parseJSON reads JSON, with the lines of what is in it.
func parseJSON(text []byte) (*yaml.Node, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, nil //nolint:nilnil // nothing is no mistake here
	}
	p := jsonParser{decoder: json.NewDecoder(bytes.NewReader(text)), text: text}
	p.decoder.UseNumber()
	root, err := p.value(0)
	if err == nil {
		if _, more := p.decoder.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is something after the end")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("line %d: is not JSON: %w", p.line(), err)
	}
	return root, nil
}

type jsonParser struct {
	decoder *json.Decoder
	text    []byte
}

// nesting is how deep JSON may be nested, as encoding/json has it.
const nesting = 10000

func (p jsonParser) line() int {
	return 1 + bytes.Count(p.text[:p.decoder.InputOffset()], []byte("\n"))
}

func (p jsonParser) value(depth int) (*yaml.Node, error) {
	token, err := p.decoder.Token()
	if err != nil {
		return nil, err
	}
	if depth > nesting {
		return nil, errors.New("it is nested too deep")
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Line: p.line()}
	switch t := token.(type) {
	case nil:
		n.Tag, n.Value = "!!null", "null"
	case bool:
		n.Tag, n.Value = "!!bool", strconv.FormatBool(t)
	case json.Number:
		n.Tag, n.Value = "!!float", t.String()
	case string:
		n.Tag, n.Value, n.Style = "!!str", t, yaml.DoubleQuotedStyle
	case json.Delim:
		n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		seen := map[string]bool{}
		for p.decoder.More() {
			if t == '{' {
				n.Kind, n.Tag = yaml.MappingNode, "!!map"
				key, err := p.value(depth + 1)
				if err != nil {
					return nil, err
				}
				if seen[key.Value] {
					return nil, fmt.Errorf("key %q is there twice", key.Value)
				}
				seen[key.Value] = true
				n.Content = append(n.Content, key)
			}
			element, err := p.value(depth + 1)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, element)
		}
		if t == '{' {
			n.Kind, n.Tag = yaml.MappingNode, "!!map"
		}
		if _, err := p.decoder.Token(); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// resolve is what an alias stands for.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// fields are the elements of a map, in order, with those that are merged into it.
func fields(n *yaml.Node) []field {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		return nil
	}
	var list, merged []field
	own := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := resolve(n.Content[i]), n.Content[i+1]
		if k.Tag != "!!merge" {
			list = append(list, field{k.Value, n.Content[i].Line, v})
			own[k.Value] = true
			continue
		}
		sources := []*yaml.Node{v}
		if s := resolve(v); s.Kind == yaml.SequenceNode {
			sources = s.Content
		}
		for _, source := range sources {
			merged = append(merged, fields(source)...)
		}
	}
	for _, f := range merged {
		if !own[f.key] {
			own[f.key] = true
			list = append(list, f)
		}
	}
	return list
}

// isAnchor tells whether something in a section is used elsewhere: then the
// section only holds what others share.
func (d *document) isAnchor(section *yaml.Node) bool {
	inside := map[*yaml.Node]bool{}
	walk(section, func(n *yaml.Node) { inside[n] = true })
	used := false
	walk(d.root, func(n *yaml.Node) { used = used || n.Kind == yaml.AliasNode && !inside[n] && inside[n.Alias] })
	return used
}

func walk(n *yaml.Node, visit func(*yaml.Node)) {
	visit(n)
	for _, child := range n.Content {
		walk(child, visit)
	}
}

// line is the line of the file from which a line of the filled-in text came.
func (d *document) line(rendered int) int {
	if rendered >= 1 && rendered <= len(d.sources) {
		return d.sources[rendered-1]
	}
	return max(rendered, 1)
}

func (d *document) at(rendered int) string { return fmt.Sprintf("%s:%d", d.file, d.line(rendered)) }

var lineInError = regexp.MustCompile(`line (\d+)`)

// mistake is an error about the filled-in text, with the lines of the file.
func (d *document) mistake(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	text = strings.TrimSpace(strings.TrimPrefix(text, "unmarshal errors:"))
	return errors.New(lineInError.ReplaceAllStringFunc(text, func(found string) string {
		n, err := strconv.Atoi(strings.TrimPrefix(found, "line "))
		if err != nil {
			return found
		}
		return fmt.Sprintf("line %d", d.line(n))
	}))
}

// mistakes are those of a whole file, each with its line in front.
func (d *document) mistakes(err error) []error {
	texts := []string{err.Error()}
	if several, ok := errors.AsType[*yaml.TypeError](err); ok {
		texts = several.Errors
	}
	var errs []error
	for _, text := range texts {
		text = d.mistake(errors.New(text)).Error()
		if number, rest, ok := strings.Cut(strings.TrimPrefix(text, "line "), ": "); ok && strings.HasPrefix(text, "line ") {
			errs = append(errs, fmt.Errorf("%s:%s: %s", d.file, number, rest))
			continue
		}
		errs = append(errs, fmt.Errorf("%s: %s", d.file, text))
	}
	return errs
}
