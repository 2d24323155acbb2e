package cloud

import (
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"
)

func TestThrottlingIsWaitedFor(t *testing.T) {
	throttled := &smithy.GenericAPIError{Code: "RequestLimitExceeded"}
	broken := &smithy.GenericAPIError{Code: "InternalError"}
	r := newRetryer(Config{})
	options := ec2.Options{Retryer: r}
	repeatRefusedOnly(&options)
	if o := options.Retryer; o.MaxAttempts() != 0 || !o.IsErrorRetryable(throttled) || o.IsErrorRetryable(broken) {
		t.Error("calls without a client token are to be repeated without limit when refused as too many, and only then")
	}
	if r.MaxAttempts() != 0 {
		t.Errorf("MaxAttempts = %d, want no limit", r.MaxAttempts())
	}
	for _, attempt := range []int{1, usualRetries, usualRetries + 1, 5000} {
		delay, err := r.RetryDelay(attempt, throttled)
		if err != nil || delay < 0 || delay > 30*time.Second {
			t.Errorf("after %d throttled attempts: %v, %v; want a delay of up to 30 s", attempt, delay, err)
		}
	}
	if _, err := r.RetryDelay(usualRetries, broken); err != nil {
		t.Errorf("after %d broken attempts: %v", usualRetries, err)
	}
	_, err := r.RetryDelay(usualRetries+1, broken)
	if exhausted := new(retry.MaxAttemptsError); !errors.As(err, &exhausted) || !errors.Is(err, broken) {
		t.Errorf("after %d broken attempts: %v, want that it is given up", usualRetries+1, err)
	}
	if r := newRetryer(Config{MaxRetries: 2}); r.MaxAttempts() != 3 {
		t.Errorf("MaxAttempts = %d with two retries, want 3", r.MaxAttempts())
	}
}

func TestThrottlingIsTold(t *testing.T) {
	var told []time.Duration
	p := &patient{tell: func(_, _ string, waited time.Duration) { told = append(told, waited) }}
	begin := time.Now()
	for _, second := range []int{0, 5, 14, 15, 20, 31, 200, 214, 215} {
		p.note(begin.Add(time.Duration(second) * time.Second))
	}
	want := []time.Duration{15 * time.Second, 31 * time.Second, 15 * time.Second}
	if len(told) != len(want) {
		t.Fatalf("told %v, want %v", told, want)
	}
	for i := range want {
		if told[i] != want[i] {
			t.Errorf("told %v, want %v", told, want)
		}
	}
}
