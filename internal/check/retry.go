package check

import (
	"context"
	"fmt"
	"time"
)

// Pauses between the attempts of checks that try again: short at first, because
// most of what is waited for comes up at once.
const (
	firstPause = 250 * time.Millisecond
	lastPause  = 5 * time.Second
)

// retry decides the assertions that did not hold again, each until it does or
// until its time is over.
func (r *Report) retry(ctx context.Context, p *Plan, t Target) error {
	pause := firstPause
	for attempt := 2; ; attempt++ {
		pending := r.pending(time.Now())
		if len(pending) == 0 {
			return nil
		}
		if t.Progress != nil && attempt == 2 {
			t.Progress(fmt.Sprintf("trying again: %s did not hold", CountChecks(len(pending))))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
		f, err := read(ctx, p, t, r.Mode, func(a *Assertion) bool { return pending[a] != nil })
		if err != nil {
			return err
		}
		for a, result := range pending {
			*result = p.decideOne(a, f, r.Mode)
			result.Attempts = attempt
		}
	}
}

// pending returns the results that are worth another attempt.
func (r *Report) pending(now time.Time) map[*Assertion]*Result {
	pending := map[*Assertion]*Result{}
	for i := range r.Suites {
		for j := range r.Suites[i].Results {
			result := &r.Suites[i].Results[j]
			open := result.Outcome == Failed || result.Outcome == Errored
			if open && result.Assertion.retry > 0 && now.Before(r.Started.Add(result.Assertion.retry)) {
				pending[result.Assertion] = result
			}
		}
	}
	return pending
}
