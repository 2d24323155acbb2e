package check

import (
	"encoding/json"
	"fmt"

	"github.com/go-viper/mapstructure/v2"
)

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
	Attributes map[string]any `json:"attributes,omitempty"`
	// Expect is a block of another language; its attributes are in it.
	Expect json.RawMessage `json:"expect,omitempty"`
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
				check := deferredCheck{Suite: s.Name, Source: result.block.Source.String(), Kind: result.Kind}
				if err := check.take(result.block.Block); err != nil {
					return nil, fmt.Errorf("write deferred check %s: %w", result.ID(), err)
				}
				i = len(file.Checks)
				index[result.block] = i
				file.Checks = append(file.Checks, check)
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

// take fills in what a block demands.
func (c *deferredCheck) take(block Block) (err error) {
	if b, ok := block.(*Expect); ok {
		c.Expect, err = b.deferred()
		return err
	}
	values := map[string]any{}
	err = mapstructure.Decode(block, &values)
	c.Attributes = compact(values)
	return err
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
		if len(c.Expect) > 0 {
			b, err := parseDeferredExpect(c.Kind, c.Expect)
			if err != nil {
				return Suite{}, fmt.Errorf("%s: check %d: %w", file, i+1, err)
			}
			suite.Entries = append(suite.Entries, b.Entry(Source{File: file, Line: i + 1}))
			continue
		}
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

// decodeAttributes fills a block from the values of its attributes.
func decodeAttributes(values map[string]any, target any) error {
	decoder, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{Result: target, ErrorUnused: true})
	if err != nil {
		return err
	}
	return decoder.Decode(values)
}
