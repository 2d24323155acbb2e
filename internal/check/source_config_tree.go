package check

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"go.yaml.in/yaml/v3"
)

// treeOf are the settings of a format that nests: maps with text keys, lists,
// and plain values.
type treeOf struct{ root any }

func treeSettings(decode func(content []byte) (any, error)) func(*facts, string, string) (settings, error) {
	return func(_ *facts, _, content string) (settings, error) {
		root, err := decode([]byte(content))
		return treeOf{root}, err
	}
}

func decodeJSON(content []byte) (any, error) {
	var root any
	d := json.NewDecoder(bytes.NewReader(content))
	d.UseNumber()
	if err := d.Decode(&root); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more after its end")
	}
	return root, nil
}

func decodeYAML(content []byte) (any, error) {
	var root any
	d := yaml.NewDecoder(bytes.NewReader(content))
	if err := d.Decode(&root); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	// Which of several documents a key means cannot be told.
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, errors.New("it has several documents")
	}
	return root, nil
}

func decodeTOML(content []byte) (any, error) {
	root := map[string]any{}
	_, err := toml.NewDecoder(bytes.NewReader(content)).Decode(&root)
	return root, err
}

func (t treeOf) value(key string) (string, bool, verdict) {
	found, ok := lookup(t.root, key)
	if !ok {
		return "", false, verdict{}
	}
	text, err := plain(found)
	if err != nil {
		return "", false, undecided("%s: %v", key, err)
	}
	return text, true, verdict{}
}

// lookup follows a path with dots. Keys may have dots themselves: of those that
// are there, the longest is followed first.
func lookup(value any, key string) (any, bool) {
	if key == "" {
		return value, true
	}
	switch v := value.(type) {
	case map[string]any:
		for end := len(key); end > 0; end = strings.LastIndexByte(key[:end], '.') {
			if child, ok := v[key[:end]]; ok {
				if found, ok := lookup(child, strings.TrimPrefix(key[end:], ".")); ok {
					return found, true
				}
			}
		}
	case map[any]any: // YAML's maps with keys that are no texts
		texts := map[string]any{}
		for k, child := range v {
			texts[fmt.Sprint(k)] = child
		}
		return lookup(texts, key)
	case []any:
		first, rest, _ := strings.Cut(key, ".")
		if i, err := strconv.Atoi(first); err == nil && i >= 0 && i < len(v) {
			return lookup(v[i], rest)
		}
	case []map[string]any: // TOML's arrays of tables
		list := make([]any, len(v))
		for i := range v {
			list[i] = v[i]
		}
		return lookup(list, key)
	}
	return nil, false
}

// plain is a value as text; what nests is JSON.
func plain(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case time.Time:
		return v.Format(time.RFC3339Nano), nil
	}
	text, err := json.Marshal(textKeys(value))
	if err != nil {
		return "", fmt.Errorf("a value of type %T cannot be compared", value)
	}
	return string(text), nil
}

// textKeys is a value in which all maps have texts as keys, as in JSON.
func textKeys(value any) any {
	switch v := value.(type) {
	case map[any]any:
		texts := map[string]any{}
		for k, child := range v {
			texts[fmt.Sprint(k)] = textKeys(child)
		}
		return texts
	case map[string]any:
		for k, child := range v {
			v[k] = textKeys(child)
		}
	case []any:
		for i, child := range v {
			v[i] = textKeys(child)
		}
	}
	return value
}
