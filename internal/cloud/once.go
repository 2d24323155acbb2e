package cloud

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// onceTries bounds how often a call without a client token is made when its
// answers keep getting lost.
const onceTries = 4

// repeatRefusedOnly lets the SDK repeat a call only when EC2 has refused it as
// too many: any other failure may have had its effect.
func repeatRefusedOnly(o *ec2.Options) {
	limit := o.Retryer.MaxAttempts()
	r := retry.NewStandard(func(s *retry.StandardOptions) {
		s.MaxAttempts = limit
		s.RateLimiter = noRateLimit{}
		s.Retryables = []retry.IsErrorRetryable{
			retry.RetryableErrorCode{Codes: retry.DefaultThrottleErrorCodes},
			retry.IsErrorRetryableFunc(func(error) aws.Ternary { return aws.FalseTernary }),
		}
	})
	o.Retryer = r
	if limit == 0 {
		o.Retryer = &patient{Standard: r}
	}
}

// once makes a call that must not have its effect twice and has no client
// token. After an answer that was lost, find says whether the effect is there.
func (c *Client) once(ctx context.Context, call func() error, find func() (bool, error)) error {
	delay := firstDelay
	for try := 1; ; try++ {
		err := call()
		if err == nil || ctx.Err() != nil || !unanswered(err) {
			return err
		}
		// What was made may take a moment to show.
		select {
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		case <-time.After(delay):
		}
		delay *= 2
		found, findErr := find()
		if found {
			return nil
		}
		if findErr != nil {
			return fmt.Errorf("%w; and looking whether it was done after all: %w", err, findErr)
		}
		if try == onceTries {
			return err
		}
	}
}
