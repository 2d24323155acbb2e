package cloud

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/internal/pace"
)

// TestAwaitRemembers waits several times for something that takes as long each
// time: the looks become fewer, and none is made when the answer of the call was
// one.
func TestAwaitRemembers(t *testing.T) {
	const takes = 400 * time.Millisecond
	memory := pace.Open(filepath.Join(t.TempDir(), "pace.json"))
	wait := func(c *Client, w waiting) (looks int, first time.Duration) {
		begin := time.Now()
		err := c.await(t.Context(), w, func(context.Context) (bool, string, error) {
			if looks++; looks == 1 {
				first = time.Since(begin)
			}
			return time.Since(begin) >= takes, "pending", nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return looks, first
	}
	c := &Client{cfg: Config{Pace: memory}, region: "us-east-1"}
	w := waiting{what: "it", after: "CreateIt", answered: true}
	blind, first := wait(c, w)
	if blind < 2 || first < pace.First {
		t.Errorf("nothing known: %d looks, the first after %v", blind, first)
	}
	var looks int
	for range 4 {
		looks, first = wait(c, w)
	}
	if looks > 2 || first < takes/2 {
		t.Errorf("after five waits: %d looks, the first after %v", looks, first)
	}
	// What was not asked for by a call is looked at first of all.
	w.answered = false
	if _, first := wait(c, w); first > 100*time.Millisecond {
		t.Errorf("the first look is after %v", first)
	}
	// What the answer of the call said nothing of is, unless it is known how long
	// it takes.
	w.expected = true
	if _, first := wait(c, w); first < takes/2 {
		t.Errorf("what takes %v is looked at after %v", takes, first)
	}
	if _, first := wait(&Client{region: "us-east-1"}, w); first > 100*time.Millisecond {
		t.Errorf("nothing known: the first look is after %v", first)
	}
	w.answered = true
	for name, other := range map[string]*Client{
		"another region": {cfg: Config{Pace: memory}, region: "eu-west-1"},
		"another cloud":  {cfg: Config{Pace: memory, EndpointEC2: "http://127.0.0.1:1"}, region: "us-east-1"},
		"no memory":      {region: "us-east-1"},
	} {
		if _, first := wait(other, w); first > pace.First+100*time.Millisecond {
			t.Errorf("%s: the first look is after %v", name, first)
		}
	}
	fixed := &Client{cfg: Config{Pace: memory, Polling: Polling{Delay: 30 * time.Millisecond}}, region: "us-east-1"}
	if _, first := wait(fixed, w); first > 200*time.Millisecond {
		t.Errorf("a delay of 30 ms was asked for: the first look is after %v", first)
	}
}
