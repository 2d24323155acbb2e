package cloud

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Polling overrides how often and how long states are asked for. The zero value
// looks at once, then after a quarter of a second, then ever less often up to
// once in five seconds, for as long as it takes.
type Polling struct {
	Delay       time.Duration // between two looks, when not growing
	MaxAttempts int           // looks before giving up
}

const (
	firstDelay  = 250 * time.Millisecond
	maxDelay    = 5 * time.Second
	delayGrowth = 1.5

	// reportEvery is how often a wait tells that it is alive.
	reportEvery = 15 * time.Second

	// visibleWithin is how long EC2 may take to show a resource that it has
	// acknowledged ("Ensuring idempotency" and "eventual consistency" in EC2's
	// developer guide speak of seconds, rarely minutes).
	visibleWithin = 2 * time.Minute
)

// A look is what one poll found: whether the wait is over, and the state that
// was seen, for people.
type look func(ctx context.Context) (done bool, state string, err error)

// await calls see until it is done, fails, or ctx ends. ErrNotFound is taken as
// "not visible yet" for a while.
func (c *Client) await(ctx context.Context, what string, see look) error {
	begin := time.Now()
	delay, growth := firstDelay, delayGrowth
	if c.cfg.Polling.Delay > 0 {
		delay, growth = c.cfg.Polling.Delay, 1
	}
	reported := begin
	for attempt := 1; ; attempt++ {
		done, state, err := see(ctx)
		switch {
		case errors.Is(err, ErrNotFound) && time.Since(begin) < visibleWithin:
			state = "not visible yet"
		case err != nil:
			return fmt.Errorf("wait for %s: %w", what, err)
		case done:
			return nil
		}
		if limit := c.cfg.Polling.MaxAttempts; limit > 0 && attempt >= limit {
			return fmt.Errorf("wait for %s: still %s after %d looks in %v; raise aws_polling.max_attempts",
				what, state, attempt, time.Since(begin).Round(time.Second))
		}
		if c.cfg.OnWait != nil && time.Since(reported) >= reportEvery {
			reported = time.Now()
			c.cfg.OnWait(what, state, time.Since(begin))
		}
		timer := time.NewTimer(delay)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("wait for %s, last seen %s: %w", what, state, context.Cause(ctx))
		case <-timer.C:
		}
		delay = min(time.Duration(float64(delay)*growth), max(maxDelay, delay))
	}
}
