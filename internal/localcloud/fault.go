package localcloud

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// errAnswerLost is the fault where all went well and nobody hears of it.
var errAnswerLost = errors.New("the connection was lost before the answer came (a fault that was asked for)")

// faultRule makes calls go wrong. Its text form is
//
//	ACTION=KIND[:ARGUMENT][:COUNT[@FIRST]]
//
// ACTION is an API action or * for all. KIND is one of
//
//	error:CODE   answer with that error, do nothing
//	throttle     answer RequestLimitExceeded, do nothing
//	late:DELAY   do it at once, answer after DELAY (a Go duration: 300ms, 5s)
//	lose         do it, then drop the connection instead of answering
//
// COUNT is how many matching calls go wrong (all when left out), FIRST the
// number of the call that is the first to (1 when left out).
type faultRule struct {
	action string
	kind   string
	code   string
	delay  time.Duration
	count  int // 0: no end
	first  int

	seen int
}

var faultPattern = regexp.MustCompile(`^(\*|[A-Z][A-Za-z0-9]*)=(error:([A-Za-z][A-Za-z0-9.]*)|throttle|late:([0-9][0-9a-z.µ]*)|lose)(:([0-9]+)(@([0-9]+))?)?$`)

func parseFault(rule string) (*faultRule, error) {
	m := faultPattern.FindStringSubmatch(rule)
	if m == nil {
		return nil, fmt.Errorf("fault %q is not ACTION=error:CODE, ACTION=throttle, ACTION=late:DELAY or ACTION=lose, each with an optional :COUNT or :COUNT@FIRST", rule)
	}
	kind, _, _ := strings.Cut(m[2], ":")
	f := &faultRule{action: m[1], kind: kind, code: m[3], first: 1}
	var err error
	if m[4] != "" {
		if f.delay, err = time.ParseDuration(m[4]); err != nil {
			return nil, fmt.Errorf("fault %q: %w", rule, err)
		}
	}
	for _, n := range []struct {
		text string
		into *int
	}{{m[6], &f.count}, {m[8], &f.first}} {
		if n.text == "" {
			continue
		}
		if *n.into, err = strconv.Atoi(n.text); err != nil || *n.into < 1 {
			return nil, fmt.Errorf("fault %q: COUNT and FIRST are numbers from 1", rule)
		}
	}
	if f.action != "*" && !knownAction(f.action) {
		return nil, fmt.Errorf("fault %q: the local cloud has no action %s", rule, f.action)
	}
	return f, nil
}

func knownAction(action string) bool {
	for _, api := range services {
		if _, ok := api.operations[action]; ok {
			return true
		}
	}
	return false
}

// faults are the rules of a cloud. Calls are counted per process.
type faults struct {
	mu    sync.Mutex
	rules []*faultRule
}

// fault is what happens to one call; the zero value is nothing.
type fault struct {
	err   error
	delay time.Duration
	lose  bool
}

// next counts a call against every rule that matches it and returns the fault
// of the first rule that strikes.
func (f *faults) next(action string) fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	var struck *faultRule
	for _, rule := range f.rules {
		if rule.action != "*" && rule.action != action {
			continue
		}
		rule.seen++
		if struck == nil && rule.seen >= rule.first && (rule.count == 0 || rule.seen < rule.first+rule.count) {
			struck = rule
		}
	}
	switch {
	case struck == nil:
		return fault{}
	case struck.kind == "error":
		return fault{err: errorf(struck.code, "A fault that was asked for.")}
	case struck.kind == "throttle":
		return fault{err: errorf("RequestLimitExceeded", "Request limit exceeded.")}
	case struck.kind == "late":
		return fault{delay: struck.delay}
	}
	return fault{lose: true}
}

// before is what happens instead of the operation.
func (f fault) before() error { return f.err }

// after is what happens once the operation is done.
func (f fault) after(ctx context.Context) error {
	if f.lose {
		return errAnswerLost
	}
	return wait(ctx, f.delay)
}
