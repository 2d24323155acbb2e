package goss

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"

	"github.com/Masterminds/sprig/v3"
)

// data is what templates see as the dot.
type data struct {
	Vars map[string]any
	env  map[string]string
}

// Env returns the environment variables.
func (d *data) Env() map[string]string { return d.env }

// environment is that of this process, and above it what the options say.
func (r *reader) environment() map[string]string {
	env := map[string]string{}
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	maps.Copy(env, r.options.Env)
	return env
}

// render fills in a template. It also returns, for each line of the text, the
// line of the file that it came from.
//
// The text of a template goes to the output as it is, so marks with line numbers
// in it arrive there, and are taken out again.
func (r *reader) render(file string, source []byte) ([]byte, []int, error) {
	if before, _, found := bytes.Cut(source, []byte{0}); found {
		return nil, nil, fmt.Errorf("%s:%d: there is a zero byte in it", file, 1+bytes.Count(before, []byte("\n")))
	}
	env := r.environment()
	t, err := template.New(file).Funcs(sprig.TxtFuncMap()).Funcs(r.functions(env)).Parse(string(source))
	if err != nil {
		return nil, nil, templateError(err)
	}
	for _, defined := range t.Templates() {
		if defined.Tree != nil {
			mark(defined.Root, source)
		}
	}
	var out bytes.Buffer
	if err := t.Option("missingkey=error").Execute(&limited{&out}, &data{r.vars, env}); err != nil {
		return nil, nil, templateError(err)
	}
	text, lines := unmark(out.Bytes())
	return text, lines, nil
}

// templateError is one of text/template, which begins with the file and the line.
func templateError(err error) error {
	return errors.New(strings.TrimPrefix(err.Error(), "template: "))
}

// outputLimit is how much a template may make of a gossfile.
const outputLimit = 64 << 20

type limited struct{ out *bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if l.out.Len()+len(p) > outputLimit {
		return 0, fmt.Errorf("the template makes more than %d bytes", outputLimit)
	}
	return l.out.Write(p)
}

// mark puts the number of its line, between zero bytes, before each line of the
// texts of a template.
func mark(node parse.Node, source []byte) {
	list := func(l *parse.ListNode) {
		if l != nil {
			for _, n := range l.Nodes {
				mark(n, source)
			}
		}
	}
	switch n := node.(type) {
	case *parse.ListNode:
		list(n)
	case *parse.IfNode:
		list(n.List)
		list(n.ElseList)
	case *parse.RangeNode:
		list(n.List)
		list(n.ElseList)
	case *parse.WithNode:
		list(n.List)
		list(n.ElseList)
	case *parse.TextNode:
		line := 1 + bytes.Count(source[:min(int(n.Pos), len(source))], []byte("\n"))
		var b bytes.Buffer
		for i, part := range bytes.SplitAfter(n.Text, []byte("\n")) {
			fmt.Fprintf(&b, "\x00%d\x00", line+i)
			b.Write(part)
		}
		n.Text = b.Bytes()
	}
}

// unmark takes the marks out of a text. A line came from where the last mark
// before what is seen of it says.
func unmark(marked []byte) (text []byte, lines []int) {
	last := 1
	for line := range bytes.SplitAfterSeq(marked, []byte("\n")) {
		origin, seen := last, false
		for {
			before, rest, found := bytes.Cut(line, []byte{0})
			text = append(text, before...)
			seen = seen || len(bytes.TrimSpace(before)) > 0
			if !found {
				break
			}
			digits, after, _ := bytes.Cut(rest, []byte{0})
			if n, err := strconv.Atoi(string(digits)); err == nil {
				last = n
				if !seen {
					origin = n
				}
			}
			line = after
		}
		lines = append(lines, origin)
	}
	return text, lines
}

// functions are those that goss has beside sprig's.
func (r *reader) functions(env map[string]string) template.FuncMap {
	return template.FuncMap{
		"mkSlice": func(args ...any) []any { return args },
		"readFile": func(file string) (string, error) {
			if filepath.IsAbs(file) {
				return "", fmt.Errorf("readFile %q would read the build host's file: a gossfile is read before the image is; name a file beside the gossfile, or a variable", file)
			}
			content, err := os.ReadFile(filepath.Join(r.folder, file))
			return strings.TrimSpace(string(content)), err
		},
		"getEnv": func(name string, otherwise ...string) string {
			if env[name] == "" && len(otherwise) > 0 {
				return otherwise[0]
			}
			return env[name]
		},
		"env":       func(name string) string { return env[name] },
		"expandenv": func(text string) string { return os.Expand(text, func(name string) string { return env[name] }) },
		"regexMatch": func(expression, text string) (bool, error) {
			re, err := regexp.Compile(expression)
			if err != nil {
				return false, err
			}
			return re.MatchString(text), nil
		},
		"toUpper":            strings.ToUpper,
		"toLower":            strings.ToLower,
		"findStringSubmatch": findStringSubmatch,
	}
}

// findStringSubmatch returns what the parts of an expression matched: by name
// when some have names, else by number, as text.
func findStringSubmatch(expression, text string) (map[string]any, error) {
	re, err := regexp.Compile(expression)
	if err != nil {
		return nil, err
	}
	numbered, named := map[string]any{}, map[string]any{}
	for i, found := range re.FindStringSubmatch(text) {
		numbered[strconv.Itoa(i)] = found
		if name := re.SubexpNames()[i]; name != "" {
			named[name] = found
		}
	}
	if len(named) > 0 {
		return named, nil
	}
	return numbered, nil
}
