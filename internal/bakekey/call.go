package bakekey

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// variablePrefix begins the names of environment variables that Packer takes
// input variables from.
const variablePrefix = "PKR_VAR_"

// Call is how Packer was called: what a template is, and what it is told.
type Call struct {
	Template  string   // file or folder, absolute
	Arguments []string // of -var, in their order
	VarFiles  []string // of -var-file, in their order, absolute
}

// ErrNoCall means that it cannot be found out how Packer was called.
var ErrNoCall = errors.New("how Packer was called cannot be found out")

// ParseCall reads the arguments of a `packer build`, the program's name in
// front, that was called in dir. Packer's own rules: the template is the last
// argument and the only one that is no option.
func ParseCall(args []string, dir string) (Call, error) {
	build := slices.Index(args, "build")
	if build < 1 || build == len(args)-1 {
		return Call{}, fmt.Errorf("%w: this plugin was started by %q, which is no packer build", ErrNoCall, strings.Join(args, " "))
	}
	absolute := func(path string) string {
		if filepath.IsAbs(path) {
			return filepath.Clean(path)
		}
		return filepath.Join(dir, path)
	}
	template := args[len(args)-1]
	if template == "-" {
		return Call{}, fmt.Errorf("%w: the template comes from its standard input; write it to a file", ErrNoCall)
	}
	c := Call{Template: absolute(template)}
	options := args[build+1 : len(args)-1]
	for i := 0; i < len(options); i++ {
		name, value, joined := strings.Cut(strings.TrimLeft(options[i], "-"), "=")
		if !strings.HasPrefix(options[i], "-") || name != "var" && name != "var-file" {
			continue
		}
		if !joined {
			if i++; i == len(options) {
				return Call{}, fmt.Errorf("%w: -%s has no value", ErrNoCall, name)
			}
			value = options[i]
		}
		if name == "var" {
			c.Arguments = append(c.Arguments, value)
		} else {
			c.VarFiles = append(c.VarFiles, absolute(value))
		}
	}
	return c, nil
}

// Folder returns the folder of the template.
func (c Call) Folder() (string, error) {
	info, err := os.Stat(c.Template)
	if err != nil {
		return "", fmt.Errorf("find the template: %w", err)
	}
	if info.IsDir() {
		return c.Template, nil
	}
	return filepath.Dir(c.Template), nil
}

// templateNames are what Packer reads of a template's folder by itself.
var templateNames = []string{"*.pkr.hcl", "*.pkr.json", "*.auto.pkrvars.hcl", "*.auto.pkrvars.json"}

// TemplateFiles returns the files that the template itself consists of.
func (c Call) TemplateFiles() ([]string, error) {
	folder, err := c.Folder()
	if err != nil {
		return nil, err
	}
	var paths []string
	if folder != c.Template {
		paths = append(paths, c.Template)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("find the template: %w", err)
	}
	for _, entry := range entries {
		path := filepath.Join(folder, entry.Name())
		if path != c.Template && slices.ContainsFunc(templateNames, func(pattern string) bool {
			fits, err := filepath.Match(pattern, entry.Name())
			return fits && err == nil
		}) {
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// Describe adds to f what c says, and what variables of the environment say.
func (c Call) Describe(f *Facts, environment []string) error {
	f.Arguments = c.Arguments
	f.Variables = nil
	for _, variable := range environment {
		if strings.HasPrefix(variable, variablePrefix) {
			f.Variables = append(f.Variables, variable)
		}
	}
	slices.Sort(f.Variables)
	f.VarFiles = nil
	for _, path := range c.VarFiles {
		_, sum, err := digest(path)
		if err != nil {
			return fmt.Errorf("read a file of variables: %w", err)
		}
		f.VarFiles = append(f.VarFiles, sum)
	}
	return nil
}
