package localcloud_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/google/go-cmp/cmp"

	"github.com/imagebakery/packer-plugin-bakery/internal/localcloud"
)

// TestAccessLog makes requests of each kind and reads what was noted of them.
func TestAccessLog(t *testing.T) {
	needRoot(t)
	var log bytes.Buffer
	l := newLab(t, localcloud.WithAccessLog(&log), localcloud.WithFaults("DescribeRegions=lose:1", "DescribeRegions=late:20ms:1@2"))
	ctx := t.Context()
	if _, err := l.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{VolumeIds: []string{"vol-0123456789abcdef0"}}); err == nil {
		t.Fatal("a volume that is not there is described")
	}
	if _, err := l.DescribeRegions(ctx, &ec2.DescribeRegionsInput{}); err == nil {
		t.Fatal("the lost answer came")
	}
	if _, err := l.DescribeRegions(ctx, &ec2.DescribeRegionsInput{}); err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://169.254.169.254/latest/meta-data/instance-id", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := l.cloud.Transport().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()

	var got []localcloud.Served
	for lines := json.NewDecoder(&log); lines.More(); {
		var s localcloud.Served
		if err := lines.Decode(&s); err != nil {
			t.Fatal(err)
		}
		if s.Began.IsZero() || s.Seconds <= 0 || s.Service != "imds" && (s.RequestID == "" || !strings.Contains(s.Client, "aws-sdk-go-v2")) {
			t.Errorf("incomplete: %+v", s)
		}
		if s.Action == "DescribeRegions" && s.Status == http.StatusOK && s.Seconds < 0.02 {
			t.Errorf("an answer that was 20 ms late took %v s", s.Seconds)
		}
		got = append(got, localcloud.Served{Service: s.Service, Action: s.Action, Region: s.Region, Status: s.Status, Error: s.Error})
	}
	want := []localcloud.Served{
		{Service: "ec2", Action: "DescribeVolumes", Region: "us-east-1", Status: 200},
		{Service: "ec2", Action: "DescribeVolumes", Region: "us-east-1", Status: 400, Error: "InvalidVolume.NotFound"},
		{Service: "ec2", Action: "DescribeRegions", Region: "us-east-1"},
		{Service: "ec2", Action: "DescribeRegions", Region: "us-east-1", Status: 200},
		{Service: "imds", Action: "/latest/meta-data/instance-id", Status: 200},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestAWSDelays makes sure that each line says what it rests on.
func TestAWSDelays(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range localcloud.AWSDelays() {
		if seen[d.Action] {
			t.Errorf("%q is there twice", d.Action)
		}
		seen[d.Action] = true
		if d.Answer <= 0 || d.Published == "" && d.Assumed == "" {
			t.Errorf("%+v says nothing of its basis", d)
		}
		if !strings.Contains(d.Basis(), "published: ") && !strings.Contains(d.Basis(), "assumed: ") {
			t.Errorf("the basis of %s is %q", d.Action, d.Basis())
		}
	}
	if !seen[""] {
		t.Error("there is no line for the other actions")
	}
}
