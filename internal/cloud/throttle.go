package cloud

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go/middleware"
)

// usualRetries is how often a call is repeated that got no answer, or one that
// blames AWS, when the configuration does not say.
const usualRetries = 10

// newRetryer repeats throttled and broken calls with growing, jittered delays.
// The client-side token bucket of the SDK is off: it makes a bake that has time
// fail when many bakes are throttled together.
func newRetryer(cfg Config) aws.Retryer {
	r := retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = cfg.MaxRetries + 1
		o.RateLimiter = noRateLimit{}
		o.MaxBackoff = 30 * time.Second
	})
	if cfg.MaxRetries > 0 {
		return r
	}
	return &patient{Standard: r, tell: cfg.OnWait}
}

// patient repeats throttled calls for as long as their contexts last: that the
// account makes too many calls passes, and is no reason to throw a bake away.
// What else can be repeated is given up after usualRetries.
type patient struct {
	*retry.Standard
	tell func(what, state string, waited time.Duration)

	mu    sync.Mutex
	since time.Time // the first of the throttled calls in a row
	last  time.Time // the last of them
	told  time.Time
}

var throttleCodes = retry.ThrottleErrorCode{Codes: retry.DefaultThrottleErrorCodes}

// failuresKey is of the context value that counts how often a call has failed
// for another reason than that it was throttled.
type failuresKey struct{}

// countFailures gives each call its count. The SDK's own number of an attempt
// counts throttled ones too: a call that was throttled for a while would not be
// repeated when it then gets no answer.
func countFailures(stack *middleware.Stack) error {
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("countFailures",
		func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			return next.HandleInitialize(context.WithValue(ctx, failuresKey{}, new(atomic.Int32)), in)
		}), middleware.Before)
}

// GetRetryToken implements [aws.Retryer]: it gives a call up that has failed too
// often.
func (p *patient) GetRetryToken(ctx context.Context, err error) (func(error) error, error) {
	if throttleCodes.IsErrorThrottle(err).Bool() {
		return p.Standard.GetRetryToken(ctx, err)
	}
	failures, counted := ctx.Value(failuresKey{}).(*atomic.Int32)
	if !counted {
		return nil, &retry.MaxAttemptsError{Attempt: 1, Err: err}
	}
	if n := failures.Add(1); n > usualRetries {
		return nil, &retry.MaxAttemptsError{Attempt: int(n), Err: err}
	}
	return p.Standard.GetRetryToken(ctx, err)
}

// RetryDelay implements [aws.Retryer].
func (p *patient) RetryDelay(attempt int, err error) (time.Duration, error) {
	if throttleCodes.IsErrorThrottle(err).Bool() {
		p.note(time.Now())
	}
	return p.Standard.RetryDelay(attempt, err)
}

// MaxAttempts implements [aws.Retryer]: zero is no limit.
func (*patient) MaxAttempts() int { return 0 }

// A row of throttled calls ends when none was throttled for calm; what goes on
// is told every tellEvery.
const (
	calm      = time.Minute
	tellEvery = 15 * time.Second
)

func (p *patient) note(now time.Time) {
	p.mu.Lock()
	if now.Sub(p.last) > calm {
		p.since, p.told = now, now
	}
	p.last = now
	due := now.Sub(p.told) >= tellEvery
	if due {
		p.told = now
	}
	waited := now.Sub(p.since)
	p.mu.Unlock()
	if due && p.tell != nil {
		p.tell("EC2 to accept more calls of this account", "throttled", waited)
	}
}
