package localcloud

import (
	"fmt"
	"time"
)

// delay is how long an action takes: until it is answered, and from then until
// the resource has reached the state that the action leads to. perGiB adds to
// the latter for each GiB of data that the action moves.
type delay struct {
	answer, settle, perGiB time.Duration
}

// latency is a model of delays, by action; "" is every action that has no
// entry of its own.
type latency map[string]delay

func (l latency) of(action string) delay {
	if d, ok := l[action]; ok {
		return d
	}
	return l[""]
}

// settled is when an action of now has led to where it leads.
func (l latency) settled(action string, now time.Time, bytes int64) time.Time {
	d := l.of(action)
	return now.Add(d.answer + d.settle + time.Duration(float64(d.perGiB)*float64(bytes)/float64(gib)))
}

// latencies are the models that a cloud can be opened with.
var latencies = map[string]latency{
	// Just long enough that a client sees the states on the way.
	"none": {"": {settle: 5 * time.Millisecond}},

	// As slow as the real service, as far as that is known. "published": the
	// figure is in the source that is named. "assumed": no figure was found
	// that could be used; the value is a guess within the bounds that are
	// named, and no measurement against AWS backs it.
	"aws": {
		// Assumed: a round trip within the region, signed and answered.
		"": {answer: 80 * time.Millisecond, settle: 20 * time.Millisecond},

		// Assumed: 1 s to 5 s until available. Tools in the field poll for it
		// every few seconds; nobody has published seconds. Blocks load lazily
		// after that, which this model leaves out.
		"CreateVolume": {answer: 150 * time.Millisecond, settle: 3 * time.Second},

		// Assumed, between two published bounds: an EBS volume claim of
		// Kubernetes takes about 15 s with the mount (kubernetes#62119, 2018),
		// and the EBS CSI driver allows 20 s for an attach (its FAQ).
		"AttachVolume": {answer: 200 * time.Millisecond, settle: 5 * time.Second},

		// Assumed: no figure; tools wait up to two minutes.
		"DetachVolume": {answer: 200 * time.Millisecond, settle: 4 * time.Second},
		"DeleteVolume": {answer: 150 * time.Millisecond, settle: 1 * time.Second},

		// Assumed: the lower of the published experiences. "About 3 minutes"
		// for a small snapshot (aws-sdk-ruby#978, 2015); 3 to 6 minutes for a
		// bake's (Aminator mailing list, December 2016). The time grows with
		// the blocks that changed, which EBS has not published either.
		"CreateSnapshot": {answer: 200 * time.Millisecond, settle: 60 * time.Second},

		// Assumed: no data moves when a completed snapshot is registered.
		"RegisterImage": {answer: 300 * time.Millisecond, settle: 2 * time.Second},

		// Published ceiling of one copy: 500 MiB/s (time-based copies,
		// November 2024), hence 2.05 s for each GiB. Assumed: 60 s on top, as
		// for any snapshot.
		"CopySnapshot": {answer: 200 * time.Millisecond, settle: 60 * time.Second, perGiB: 2050 * time.Millisecond},
		"CopyImage":    {answer: 300 * time.Millisecond, settle: 60 * time.Second, perGiB: 2050 * time.Millisecond},

		// Assumed: modifications show as optimizing for a while.
		"ModifyVolume": {answer: 200 * time.Millisecond, settle: 5 * time.Second},
	},
}

func latencyNamed(name string) (latency, error) {
	l, ok := latencies[name]
	if !ok {
		return nil, fmt.Errorf("latency %q is not known: want none or aws", name)
	}
	return l, nil
}
