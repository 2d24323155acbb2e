package chroot

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestThrottledAllTheTime has EC2 refuse what a bake cannot do without as one
// call too many, again and again. The bake takes longer and
// succeeds, with each thing made once.
func TestThrottledAllTheTime(t *testing.T) {
	w := newWorld(t, tinyDisk(t))
	var faults []string
	for _, call := range []string{"CreateVolume", "CreateSnapshot", "DetachVolume", "RegisterImage", "CopyImage", "DescribeVolumes"} {
		faults = append(faults, call+"=throttle:2")
	}
	out := w.bake(t, attempt{
		options: map[string]any{"ami_regions": []string{there}}, faults: faults,
	})
	if out.err != nil {
		t.Fatalf("%v\n%s", out.err, out.said)
	}
	want := []string{there + " image baked", there + " snapshot", here + " image baked", here + " image tiny", here + " snapshot"}
	if diff := cmp.Diff(want, w.kinds(t)); diff != "" {
		t.Errorf("in the cloud (-want +got):\n%s", diff)
	}
	if list := w.onHost(t); len(list) > 0 {
		t.Errorf("left on the host: %v", list)
	}
}
