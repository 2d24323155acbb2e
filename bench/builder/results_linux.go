package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/imagebakery/packer-plugin-bakery/bench/figures"
)

// results are all that was measured so far. They are written after each bake,
// so that a run that was interrupted can go on.
type results struct {
	file       string
	Conditions figures.Conditions        `json:"conditions"`
	One        map[string][]figuresOfOne `json:"one"`  // by builder
	Many       map[string]figuresOfMany  `json:"many"` // by builder and number
}

// load reads the results of an earlier run of the same programs, or begins new
// ones.
func load(file string, now figures.Conditions, resume bool) (*results, error) {
	fresh := &results{file: file, Conditions: now, One: map[string][]figuresOfOne{}, Many: map[string]figuresOfMany{}}
	if !resume {
		return fresh, nil
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return fresh, nil
	}
	if err != nil {
		return nil, fmt.Errorf("go on with an earlier run: %w", err)
	}
	old := &results{file: file}
	if err := json.Unmarshal(text, old); err != nil {
		return nil, fmt.Errorf("go on with an earlier run: %s: %w", file, err)
	}
	if fmt.Sprint(old.Conditions.Versions) != fmt.Sprint(now.Versions) {
		return nil, fmt.Errorf("go on with an earlier run: it was of %v, this is of %v; begin anew", old.Conditions.Versions, now.Versions)
	}
	return old, nil
}

func (r *results) save() error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("save the results: %w", err)
	}
	if err := os.WriteFile(r.file, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("save the results: %w", err)
	}
	return nil
}

// many is the key of bakes at once.
func many(b builder, n int) string { return fmt.Sprintf("%s %d", b, n) }

// series picks a figure of the first rounds that all have.
func series(list []figuresOfOne, rounds int, pick func(figuresOfOne) float64) figures.Series {
	var s figures.Series
	for _, f := range list[:min(rounds, len(list))] {
		s = append(s, pick(f))
	}
	return s
}
