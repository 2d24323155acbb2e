package cloud

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/internal/pace"
	"github.com/imagebakery/packer-plugin-bakery/internal/together"
)

// Polling overrides how often and how long states are asked for. The zero value
// looks when [pace] says, for as long as it takes.
type Polling struct {
	Delay       time.Duration // between two looks, when not growing
	MaxAttempts int           // looks before giving up
}

const (
	// firstDelay is how long a call whose answer was lost is given to show its
	// effect.
	firstDelay = 250 * time.Millisecond

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

// waiting is what a wait is for.
type waiting struct {
	what string // for people

	// desk is where processes of this host ask together; nil: this one alone.
	desk *together.Desk

	// after is the call that has led to the wait, such as "CreateVolume". How
	// long that takes is remembered. Empty: not to be remembered.
	after string
	// answered says that there is no need to look at once: the answer of the call
	// has said "not yet".
	answered bool
	// expected says that there is none when it is known how long it takes: the
	// answer of the call said nothing.
	expected bool
}

// await calls see until it is done, fails, or ctx ends. ErrNotFound is taken as
// "not visible yet" for a while.
func (c *Client) await(ctx context.Context, w waiting, see look) error {
	what, begin := w.what, time.Now()
	pacing := c.pacing(w.after)
	reported := begin
	for attempt, state := 1, "just begun"; ; attempt++ {
		if attempt > 1 || !w.answered && (!w.expected || !pacing.Known()) || c.cfg.Polling.Delay > 0 {
			if err := w.desk.HoldBack(ctx); err != nil {
				return fmt.Errorf("wait for %s, last seen %s: %w", what, state, err)
			}
			looked := time.Since(begin)
			var done bool
			var err error
			done, state, err = see(ctx)
			switch {
			case errors.Is(err, ErrNotFound) && time.Since(begin) < visibleWithin:
				state = "not visible yet"
			case err != nil:
				return fmt.Errorf("wait for %s: %w", what, err)
			case done:
				pacing.Done(ctx, looked)
				return nil
			}
			pacing.Looked(looked)
		}
		if limit := c.cfg.Polling.MaxAttempts; limit > 0 && attempt >= limit {
			return fmt.Errorf("wait for %s: still %s after %d looks in %v; raise aws_polling.max_attempts",
				what, state, attempt, time.Since(begin).Round(time.Second))
		}
		if c.cfg.OnWait != nil && time.Since(reported) >= reportEvery {
			reported = time.Now()
			c.cfg.OnWait(what, state, time.Since(begin))
		}
		delay := pacing.Next(time.Since(begin))
		if c.cfg.Polling.Delay > 0 {
			delay = c.cfg.Polling.Delay
		}
		timer := time.NewTimer(delay)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("wait for %s, last seen %s: %w", what, state, context.Cause(ctx))
		case <-timer.C:
		}
	}
}

// pacing says when to look after a call. Equal calls take about equally long in
// one region of one cloud.
func (c *Client) pacing(after string) *pace.Wait {
	memory := c.cfg.Pace
	if after == "" || c.cfg.Polling.Delay > 0 {
		memory = nil
	}
	return memory.Begin(c.where() + " " + c.region + " " + after)
}

// where is the cloud that c works in, as far as it can be told without asking.
func (c *Client) where() string {
	switch {
	case c.cfg.Transport != nil:
		return "local"
	case c.cfg.EndpointEC2 != "":
		return c.cfg.EndpointEC2
	}
	return "aws"
}
