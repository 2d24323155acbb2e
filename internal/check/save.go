package check

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// SaveJUnit writes what [Report.WriteJUnit] does to a file, and makes the
// folders that lead to it.
func (r *Report) SaveJUnit(file string) error { return saveTo(file, r.WriteJUnit) }

// SaveJSON does so with [Report.WriteJSON].
func (r *Report) SaveJSON(file string) error { return saveTo(file, r.WriteJSON) }

// SaveTAP does so with [Report.WriteTAP].
func (r *Report) SaveTAP(file string) error { return saveTo(file, r.WriteTAP) }

func saveTo(file string, write func(io.Writer) error) error {
	var content bytes.Buffer
	if err := write(&content); err != nil {
		return err
	}
	return save(file, content.Bytes())
}

// SaveDeferred writes what [Report.DeferredJSON] returns to a file, and makes
// the folders that lead to it.
func (r *Report) SaveDeferred(file string) error {
	data, err := r.DeferredJSON()
	if err != nil {
		return err
	}
	return save(file, data)
}

// save writes a whole file or none.
func save(file string, content []byte) (err error) {
	folder := filepath.Dir(file)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	part, err := os.CreateTemp(folder, "."+filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, part.Close(), os.Remove(part.Name()))
		}
	}()
	if _, err := part.Write(content); err != nil {
		return err
	}
	if err := part.Chmod(0o644); err != nil {
		return err
	}
	if err := part.Sync(); err != nil {
		return err
	}
	if err := os.Rename(part.Name(), file); err != nil {
		return err
	}
	return part.Close()
}

// jsonReport is the form of a report that programs read.
type jsonReport struct {
	Mode       Mode        `json:"mode"`
	ModeReason string      `json:"mode_reason"`
	OS         string      `json:"os,omitempty"`
	Seconds    float64     `json:"seconds"`
	Counts     Counts      `json:"counts"`
	Warnings   []string    `json:"warnings"`
	Suites     []jsonSuite `json:"suites"`
}

type jsonSuite struct {
	Name   string `json:"name"`
	File   string `json:"file,omitempty"`
	Digest string `json:"digest"`
	Counts Counts `json:"counts"`
	// Inapplicable is the number of blocks whose condition does not hold.
	Inapplicable int         `json:"inapplicable,omitempty"`
	Checks       []jsonCheck `json:"checks"`
}

type jsonCheck struct {
	ID       string  `json:"id"`
	Kind     string  `json:"kind"`
	Subject  string  `json:"subject"`
	Property string  `json:"property"`
	Outcome  Outcome `json:"outcome"`
	Severity string  `json:"severity"`
	Expected string  `json:"expected"`
	Actual   string  `json:"actual,omitempty"`
	Note     string  `json:"note,omitempty"`
	At       string  `json:"at,omitempty"`
}

// WriteJSON writes the report for programs.
func (r *Report) WriteJSON(w io.Writer) error {
	report := jsonReport{
		Mode: r.Mode, ModeReason: r.ModeReason, OS: r.OS, Seconds: r.Took.Seconds(), Counts: r.Counts(),
		Warnings: append([]string{}, r.Warnings...), Suites: []jsonSuite{},
	}
	for _, s := range r.Suites {
		suite := jsonSuite{Name: s.Name, File: s.File, Digest: s.Digest, Counts: s.Counts(), Inapplicable: s.Inapplicable, Checks: []jsonCheck{}}
		for _, c := range s.Results {
			suite.Checks = append(suite.Checks, jsonCheck{
				ID: c.ID(), Kind: c.Kind, Subject: c.Subject, Property: c.Property, Outcome: c.Outcome,
				Severity: c.Severity.String(), Expected: c.Expected, Actual: c.Actual, Note: c.Note, At: c.Source.String(),
			})
		}
		report.Suites = append(report.Suites, suite)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(report); err != nil {
		return fmt.Errorf("write JSON report: %w", err)
	}
	return nil
}
