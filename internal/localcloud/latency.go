package localcloud

import (
	"fmt"
	"slices"
	"strings"
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

// AWSLatency is the name of the model that is as slow as the real service.
const AWSLatency = "aws"

// latencies are the models that a cloud can be opened with.
var latencies = map[string]latency{
	// Just long enough that a client sees the states on the way.
	"none":     {"": {settle: 5 * time.Millisecond}},
	AWSLatency: awsLatency(),
}

// Delay is a line of the model of the real service.
type Delay struct {
	Action string        // empty: every action that has no line of its own
	Answer time.Duration // until the call returns
	Settle time.Duration // from then until the resource is ready
	PerGiB time.Duration // more of that for each GiB of data that is moved

	// What the line rests on. Published is a figure that somebody has published,
	// and where; Assumed is what no usable figure was found for: a guess within
	// the bounds that are named, which no measurement against AWS backs.
	Published, Assumed string
}

// awsDelays are as slow as the real service, as far as that is known. Blocks of
// a volume load lazily in EC2, which this model leaves out.
var awsDelays = []Delay{
	{
		Answer: 80 * time.Millisecond, Settle: 20 * time.Millisecond,
		Assumed: "a signed round trip in the region",
	},
	{
		Action: "CreateVolume", Answer: 150 * time.Millisecond, Settle: 3 * time.Second,
		Assumed: "1 to 5 s until available: tools in the field poll for it every few seconds, nobody has published seconds",
	},
	{
		Action: "AttachVolume", Answer: 200 * time.Millisecond, Settle: 5 * time.Second,
		Assumed: "below two published bounds: about 15 s for a Kubernetes volume with its mount (kubernetes#62119, 2018), 20 s allowed by the EBS CSI driver (its FAQ)",
	},
	{
		Action: "DetachVolume", Answer: 200 * time.Millisecond, Settle: 4 * time.Second,
		Assumed: "no figure; tools wait up to two minutes",
	},
	{
		Action: "DeleteVolume", Answer: 150 * time.Millisecond, Settle: 1 * time.Second,
		Assumed: "no figure",
	},
	{
		Action: "ModifyVolume", Answer: 200 * time.Millisecond, Settle: 5 * time.Second,
		Assumed: "modifications show as optimizing for a while",
	},
	{
		Action: "CreateSnapshot", Answer: 200 * time.Millisecond, Settle: 60 * time.Second,
		Assumed: "below the published experiences: about 3 min for a small one (aws-sdk-ruby#978, 2015), 3 to 6 min for a bake's (Aminator mailing list, December 2016); it grows with the blocks that changed, by how much is not published",
	},
	{
		Action: "RegisterImage", Answer: 300 * time.Millisecond, Settle: 2 * time.Second,
		Assumed: "no data moves when a completed snapshot is registered",
	},
	{
		Action: "CopySnapshot", Answer: 200 * time.Millisecond, Settle: 60 * time.Second, PerGiB: 2050 * time.Millisecond,
		Published: "500 MiB/s is the ceiling of one copy (time-based copies, November 2024)",
		Assumed:   "the 60 s before that, as for any snapshot",
	},
	{
		Action: "CopyImage", Answer: 300 * time.Millisecond, Settle: 60 * time.Second, PerGiB: 2050 * time.Millisecond,
		Published: "as for CopySnapshot", Assumed: "as for CopySnapshot",
	},
}

// AWSDelays returns the model of the real service, each line with what it rests
// on.
func AWSDelays() []Delay { return slices.Clone(awsDelays) }

func awsLatency() latency {
	model := latency{}
	for _, d := range awsDelays {
		model[d.Action] = delay{answer: d.Answer, settle: d.Settle, perGiB: d.PerGiB}
	}
	return model
}

// Basis is what the delay rests on, in words.
func (d Delay) Basis() string {
	var parts []string
	if d.Published != "" {
		parts = append(parts, "published: "+d.Published)
	}
	if d.Assumed != "" {
		parts = append(parts, "assumed: "+d.Assumed)
	}
	return strings.Join(parts, "; ")
}

func latencyNamed(name string) (latency, error) {
	l, ok := latencies[name]
	if !ok {
		return nil, fmt.Errorf("latency %q is not known: want none or aws", name)
	}
	return l, nil
}
