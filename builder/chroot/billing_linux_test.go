package chroot

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// redHat makes images of a bake's cloud ones that are billed as Red Hat
// Enterprise Linux, where billed says so of an answer to DescribeImages. The
// local cloud knows Linux only.
type redHat struct {
	http.RoundTripper
	billed func(region, answer string) bool
}

func (r redHat) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if r.billed(strings.Split(req.URL.Host, ".")[1], string(text)) {
		text = bytes.ReplaceAll(text, []byte("<platformDetails>Linux/UNIX<"), []byte("<platformDetails>Red Hat Enterprise Linux<"))
		text = bytes.ReplaceAll(text, []byte("<usageOperation>RunInstances<"), []byte("<usageOperation>RunInstances:0010<"))
	}
	resp.Body = io.NopCloser(bytes.NewReader(text))
	resp.ContentLength = int64(len(text))
	return resp, nil
}

// An image that EC2 would bill as something else than its source is no result:
// the bake fails, and leaves nothing in any region.
func TestBillingIsThatOfTheSource(t *testing.T) {
	t.Parallel()
	disk := tinyDisk(t)
	for name, test := range map[string]struct {
		billed  func(w *world) func(region, answer string) bool
		options map[string]any
		want    []string // parts of the error; none: the bake ends well
	}{
		"the image has lost it": {
			billed: func(w *world) func(string, string) bool {
				return func(_, answer string) bool { return strings.Contains(answer, "<imageId>"+w.source.ID+"<") }
			},
			want: []string{"register: ", `would be billed as "Linux/UNIX" (RunInstances), its source `, `as "Red Hat Enterprise Linux" (RunInstances:0010)`, "skip_billing_check"},
		},
		"a copy has lost it": {
			billed: func(*world) func(string, string) bool {
				return func(region, _ string) bool { return region == here }
			},
			options: map[string]any{"ami_regions": []string{there, third}},
			want:    []string{"copy: ", "would be billed as"},
		},
		"all have it": {
			billed:  func(*world) func(string, string) bool { return func(string, string) bool { return true } },
			options: map[string]any{"ami_regions": []string{there}},
		},
		"not to be looked at": {
			billed: func(w *world) func(string, string) bool {
				return func(_, answer string) bool { return strings.Contains(answer, "<imageId>"+w.source.ID+"<") }
			},
			options: map[string]any{"skip_billing_check": true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, disk)
			before := w.contents(t)
			billed := test.billed(w)
			out := w.bake(t, attempt{options: test.options, through: func(next http.RoundTripper) http.RoundTripper {
				return redHat{next, billed}
			}})
			if len(test.want) == 0 {
				if out.err != nil {
					t.Errorf("%v\n%s", out.err, out.said)
				}
				return
			}
			if out.err == nil || out.artifact != nil || !containsAll(out.err.Error(), test.want) || strings.Contains(out.err.Error(), "\n") {
				t.Errorf("error = %v\nwant one in one line with %q", out.err, test.want)
			}
			if after := w.contents(t); !slices.Equal(before, after) {
				t.Errorf("there are %v\nwant %v", after, before)
			}
			if left := w.onHost(t); len(left) > 0 {
				t.Errorf("left on the host: %v", left)
			}
		})
	}
}
