package goss

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"

	"go.yaml.in/yaml/v3"
)

// variables are those of the templates.
func (o Options) variables() (map[string]any, error) {
	vars := map[string]any{}
	if o.VarsFile != "" {
		data, err := os.ReadFile(o.VarsFile)
		if err != nil {
			return nil, fmt.Errorf("read vars file: %w", err)
		}
		if vars, err = parseVars(data); err != nil {
			return nil, fmt.Errorf("read vars file %s: %w", o.VarsFile, err)
		}
	}
	inline, err := parseVars([]byte(o.VarsInline))
	if err != nil {
		return nil, fmt.Errorf("read vars that are given as text: %w", err)
	}
	maps.Copy(vars, inline)
	for name, value := range o.Vars {
		vars[name] = value
	}
	return vars, nil
}

// parseVars reads JSON, or else YAML.
func parseVars(text []byte) (map[string]any, error) {
	vars := map[string]any{}
	if json.Valid(text) {
		if err := json.Unmarshal(text, &vars); err != nil {
			return nil, fmt.Errorf("it is not a map: %w", err)
		}
	} else if err := yaml.Unmarshal(text, &vars); err != nil {
		return nil, err
	}
	if vars == nil {
		vars = map[string]any{}
	}
	return vars, nil
}
