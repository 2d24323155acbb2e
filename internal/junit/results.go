package junit

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// ErrNoName means that a suite of a report has no name, which a result needs.
var ErrNoName = errors.New("a suite of it has no name")

// Results reads the report at path as results for the registry: one of all its
// suites together, when suite names it, else one for each. Suites that were
// wholly skipped are an error: they have decided nothing.
func Results(path, suite string) ([]registry.TestResult, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	suites, err := Read(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	digest := sha256.Sum256(data)
	var results []registry.TestResult
	for _, s := range suites {
		name := cmp.Or(suite, s.Name)
		if name == "" {
			return nil, fmt.Errorf("%s: %w", path, ErrNoName)
		}
		if suite != "" && len(results) == 1 {
			addSuite(&results[0], s)
			continue
		}
		r := registry.TestResult{Suite: name, Report: hex.EncodeToString(digest[:])}
		addSuite(&r, s)
		results = append(results, r)
	}
	now := time.Now()
	for i := range results {
		r := &results[i]
		if r.StartedAt.IsZero() {
			r.StartedAt = now
		}
		switch {
		case r.Counts.Failed > 0:
			r.Outcome = registry.Failed
		case r.Counts.Errors > 0:
			r.Outcome = registry.Errored
		case r.Counts.Passed == 0:
			return nil, fmt.Errorf("%s: all tests of suite %s were skipped: there is nothing to record", path, r.Suite)
		default:
			r.Outcome = registry.Passed
		}
	}
	return results, nil
}

// addSuite adds the tests of s to r.
func addSuite(r *registry.TestResult, s Suite) {
	if r.StartedAt.IsZero() || !s.Started.IsZero() && s.Started.Before(r.StartedAt) {
		r.StartedAt = s.Started
	}
	r.Seconds += s.Seconds
	for _, c := range s.Cases {
		switch c.Outcome {
		case Passed:
			r.Counts.Passed++
		case Skipped:
			r.Counts.Skipped++
		case Failed:
			r.Counts.Failed++
			r.Problems = append(r.Problems, registry.Problem{Check: c.Name, Outcome: registry.Failed, Message: c.Message})
		case Errored:
			r.Counts.Errors++
			r.Problems = append(r.Problems, registry.Problem{Check: c.Name, Outcome: registry.Errored, Message: c.Message})
		}
	}
}
