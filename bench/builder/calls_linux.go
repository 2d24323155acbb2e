package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/internal/localcloud"
)

// span is a stretch of time.
type span struct{ from, to time.Time }

// length is the time that spans cover within the window. What several cover at
// once counts once.
func length(spans []span, window span) time.Duration {
	slices.SortFunc(spans, func(a, b span) int { return a.from.Compare(b.from) })
	var all time.Duration
	end := window.from
	for _, s := range spans {
		from, to := later(s.from, end), earlier(s.to, window.to)
		if to.After(from) {
			all += to.Sub(from)
			end = to
		}
	}
	return all
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// waitedFor are the actions whose end a bake has to wait for. A deletion is
// not: nothing comes after it.
var waitedFor = []string{"CreateVolume", "AttachVolume", "DetachVolume", "CreateSnapshot", "RegisterImage"}

// cloudSpans are the times in which the cloud worked for a bake: from each call
// to its answer, and from the answer until what was asked for was there.
func cloudSpans(calls []localcloud.Served, model []localcloud.Delay) []span {
	var spans []span
	for _, c := range calls {
		answered := c.Began.Add(time.Duration(c.Seconds * float64(time.Second)))
		to := answered
		if c.Error == "" && slices.Contains(waitedFor, c.Action) {
			i := slices.IndexFunc(model, func(d localcloud.Delay) bool { return d.Action == c.Action })
			if i >= 0 {
				to = answered.Add(model[i].Settle)
			}
		}
		spans = append(spans, span{c.Began, to})
	}
	return spans
}

// accessLog is the access log of the served cloud.
type accessLog struct{ path string }

// since reads the calls of the APIs that were answered after the first skip
// lines, in the order in which they were made, and how many lines there are.
// Instance metadata is not an API that anybody counts or throttles.
func (l accessLog) since(skip int) (calls []localcloud.Served, lines int, err error) {
	f, err := os.Open(l.path)
	if err != nil {
		return nil, 0, fmt.Errorf("read the access log: %w", err)
	}
	defer f.Close()
	for scanner := bufio.NewScanner(f); scanner.Scan(); {
		lines++
		if lines <= skip {
			continue
		}
		var c localcloud.Served
		if err := json.Unmarshal(scanner.Bytes(), &c); err != nil {
			return nil, 0, fmt.Errorf("read the access log, line %d: %w", lines, err)
		}
		if c.Service == "ec2" || c.Service == "sts" {
			calls = append(calls, c)
		}
	}
	slices.SortStableFunc(calls, func(a, b localcloud.Served) int {
		return cmp.Or(a.Began.Compare(b.Began), cmp.Compare(a.Action, b.Action))
	})
	return calls, lines, nil
}
