package cloud

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
	for _, attempt := range []int{1, 11, 5000} {
		delay, err := r.RetryDelay(attempt, throttled)
		if err != nil || delay < 0 || delay > 30*time.Second {
			t.Errorf("after %d throttled attempts: %v, %v; want a delay of up to 30 s", attempt, delay, err)
		}
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

// answers is a transport that answers each call with the next of some codes of
// errors, and the last of them for ever. An empty code is no answer.
type answers struct {
	codes []string
	calls int
}

func (a *answers) RoundTrip(*http.Request) (*http.Response, error) {
	code := a.codes[min(a.calls, len(a.codes)-1)]
	a.calls++
	if code == "" {
		return nil, io.ErrUnexpectedEOF
	}
	status := http.StatusInternalServerError
	switch code {
	case "RequestLimitExceeded":
		status = http.StatusServiceUnavailable
	case "UnauthorizedOperation":
		status = http.StatusForbidden
	}
	body := fmt.Sprintf("<Response><Errors><Error><Code>%s</Code><Message>no</Message></Error></Errors></Response>", code)
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
}

// Being throttled does not use up what a call may fail otherwise.
func TestThrottledAttemptsDoNotCount(t *testing.T) {
	throttled := slices.Repeat([]string{"RequestLimitExceeded"}, 30)
	for name, test := range map[string]struct {
		codes []string
		calls int
	}{
		"no answer, ever":              {[]string{""}, usualRetries + 1},
		"an error of AWS, ever":        {[]string{"InternalError"}, usualRetries + 1},
		"throttled, then broken":       {append(slices.Clone(throttled), "InternalError"), 30 + usualRetries + 1},
		"throttled, then no answer":    {append(slices.Clone(throttled), ""), 30 + usualRetries + 1},
		"throttled, then denied":       {append(slices.Clone(throttled), "UnauthorizedOperation"), 30 + 1},
		"broken and throttled in turn": {append(slices.Repeat([]string{"InternalError", "RequestLimitExceeded"}, 5), "InternalError"), 2*5 + usualRetries - 5 + 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &answers{codes: test.codes}
				c, err := New(t.Context(), Config{Region: "us-east-1", AccessKey: "a", SecretKey: "b", Transport: a})
				if err != nil {
					t.Fatal(err)
				}
				_, err = c.volumeAt(t.Context(), nil, "vol-0123456789abcdef0")
				if err == nil || strings.Contains(err.Error(), "\n") {
					t.Errorf("error = %v, want one in one line", err)
				}
				if a.calls != test.calls {
					t.Errorf("called %d times, want %d", a.calls, test.calls)
				}
			})
		})
	}
}

// To the SDK, AWS_MAX_ATTEMPTS is how often to make a call; to who comes from
// amazon-chroot, how often to look whether something is done.
func TestAttemptsOfTheEnvironmentAreLooks(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "3")
	t.Setenv("AWS_RETRY_MODE", "adaptive")
	c, err := New(t.Context(), Config{Region: "us-east-1", AccessKey: "a", SecretKey: "b"})
	if err != nil {
		t.Fatal(err)
	}
	if r := c.ec2.Options().Retryer; r.MaxAttempts() != 0 {
		t.Errorf("calls are made at most %d times, want no limit", r.MaxAttempts())
	}
}
