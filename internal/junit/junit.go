// Package junit reads JUnit reports: what test runners of all kinds write, and
// agree on only roughly.
package junit

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Suite is one suite of a report.
type Suite struct {
	Name    string
	Started time.Time // zero when the report does not say
	Seconds float64
	Cases   []Case
}

// Case is one test.
type Case struct {
	Name    string // class name and name
	Outcome Outcome
	Message string // why it did not pass
}

// Outcome is how a test ended.
type Outcome string

// The outcomes.
const (
	Passed  Outcome = "passed"
	Failed  Outcome = "failed"
	Errored Outcome = "error"
	Skipped Outcome = "skipped"
)

// maxReport bounds how much of a report is read; larger ones are refused.
const maxReport = 64 << 20

// suite is <testsuites> as well as <testsuite>: some writers nest them, some
// leave the outer one out.
type suite struct {
	XMLName   xml.Name
	Name      string  `xml:"name,attr"`
	Timestamp string  `xml:"timestamp,attr"`
	Time      string  `xml:"time,attr"`
	Tests     string  `xml:"tests,attr"`
	Failures  string  `xml:"failures,attr"`
	Errors    string  `xml:"errors,attr"`
	Cases     []tcase `xml:"testcase"`
	Suites    []suite `xml:"testsuite"`
}

type tcase struct {
	Name    string   `xml:"name,attr"`
	Class   string   `xml:"classname,attr"`
	Failure *problem `xml:"failure"`
	Error   *problem `xml:"error"`
	Skipped *problem `xml:"skipped"`
}

type problem struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// Read reads a report and returns its suites that have tests, in their order.
//
// It refuses a report without tests, and one that says it has more tests,
// failures or errors than it lists: it was cut off, and what is missing may
// have failed.
func Read(r io.Reader) ([]Suite, error) {
	limited := &io.LimitedReader{R: r, N: maxReport + 1}
	dec := xml.NewDecoder(limited)
	var root suite
	if err := dec.Decode(&root); err != nil {
		if limited.N == 0 {
			return nil, fmt.Errorf("read JUnit report: it is larger than %d MiB", maxReport>>20)
		}
		return nil, fmt.Errorf("read JUnit report: %w", err)
	}
	if name := root.XMLName.Local; name != "testsuites" && name != "testsuite" {
		return nil, fmt.Errorf("read JUnit report: it begins with <%s>, not with <testsuites> or <testsuite>", name)
	}
	var suites []Suite
	if _, err := collect(root, &suites); err != nil {
		return nil, fmt.Errorf("read JUnit report: %w", err)
	}
	if len(suites) == 0 {
		return nil, errors.New("read JUnit report: it has no tests")
	}
	return suites, nil
}

// tally counts the tests of a suite and those below it.
type tally struct{ tests, failures, errors int }

func collect(s suite, suites *[]Suite) (tally, error) {
	var count tally
	if len(s.Cases) > 0 {
		read := Suite{Name: s.Name, Started: started(s.Timestamp), Seconds: number(s.Time)}
		for _, c := range s.Cases {
			one := c.read()
			count.tests++
			switch one.Outcome {
			case Failed:
				count.failures++
			case Errored:
				count.errors++
			}
			read.Cases = append(read.Cases, one)
		}
		*suites = append(*suites, read)
	}
	for _, below := range s.Suites {
		sum, err := collect(below, suites)
		if err != nil {
			return tally{}, err
		}
		count.tests += sum.tests
		count.failures += sum.failures
		count.errors += sum.errors
	}
	for _, claim := range []struct {
		what, said string
		listed     int
	}{
		{"tests", s.Tests, count.tests},
		// Writers differ in which of the two a test is.
		{"failures and errors", strconv.Itoa(int(number(s.Failures) + number(s.Errors))), count.failures + count.errors},
	} {
		if said := int(number(claim.said)); said > claim.listed {
			return tally{}, fmt.Errorf("suite %q says it has %d %s but lists %d", s.Name, said, claim.what, claim.listed)
		}
	}
	return count, nil
}

func (c tcase) read() Case {
	name := c.Name
	if c.Class != "" {
		name = c.Class + "." + c.Name
	}
	for _, end := range []struct {
		problem *problem
		outcome Outcome
	}{{c.Error, Errored}, {c.Failure, Failed}, {c.Skipped, Skipped}} {
		if end.problem != nil {
			message := end.problem.Message
			if message == "" {
				message = strings.TrimSpace(end.problem.Text)
			}
			return Case{Name: name, Outcome: end.outcome, Message: message}
		}
	}
	return Case{Name: name, Outcome: Passed}
}

// started reads ISO 8601 with or without a zone, which is then UTC.
func started(s string) time.Time {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	return time.Time{}
}

// number reads a count or a number of seconds; writers put thousands
// separators into either. What it cannot read is 0.
func number(s string) float64 {
	n, err := strconv.ParseFloat(strings.ReplaceAll(strings.TrimSpace(s), ",", ""), 64)
	if err != nil || n < 0 || n > 1e9 {
		return 0
	}
	return n
}
