package iam

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFor(t *testing.T) {
	p, err := Builder{Owner: "own:er"}.For([]string{"ec2:DescribeImages", "ec2:DeleteVolume", "ec2:CreateVolume", "ec2:DescribeImages", "ec2:AttachVolume"})
	if err != nil {
		t.Fatal(err)
	}
	own := map[string]map[string]any{"Null": {"aws:ResourceTag/own:er": "false"}}
	want := Policy{Version: "2012-10-17", Statement: []Statement{
		{"ChangeOwnVolumes", "Allow", []string{"ec2:AttachVolume", "ec2:DeleteVolume"}, []string{volumes}, own},
		{
			"CreateVolumes", "Allow", []string{"ec2:CreateVolume"}, []string{volumes},
			map[string]map[string]any{"Null": {"aws:RequestTag/own:er": "false"}},
		},
		{"Look", "Allow", []string{"ec2:DescribeImages"}, []string{"*"}, nil},
		{
			"TagCreateVolume", "Allow", []string{"ec2:CreateTags"}, []string{volumes, snapshots, images},
			map[string]map[string]any{"StringEquals": {"ec2:CreateAction": []string{"CreateVolume"}}},
		},
		{"UseInstances", "Allow", []string{"ec2:AttachVolume"}, []string{instances}, nil},
		{"UseSnapshots", "Allow", []string{"ec2:CreateVolume"}, []string{snapshots}, nil},
	}}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	text, err := p.JSON()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse([]byte(text))
	if err != nil || !slices.Equal(again.Actions(), p.Actions()) {
		t.Errorf("%v, %v; want %v", again.Actions(), err, p.Actions())
	}
}

func TestUnknownCalls(t *testing.T) {
	for _, call := range []string{"ec2:RunInstances", "s3:DescribeThings", "sts:GetCallerIdentity", ""} {
		if p, err := (Builder{}).For([]string{"ec2:DescribeImages", call}); err == nil {
			t.Errorf("%q is permitted by %v", call, p)
		}
	}
}

// TestNothingWithoutAReason makes sure that only what can look is allowed on
// everything.
func TestNothingWithoutAReason(t *testing.T) {
	p, err := Builder{Owner: "o"}.For([]string{
		"ec2:CopyImage", "ec2:CreateSnapshot", "ec2:CreateVolume", "ec2:DeleteSnapshot", "ec2:DeregisterImage", "ec2:DescribeImages",
		"ec2:DetachVolume", "ec2:EnableImageDeprecation", "ec2:ModifySnapshotAttribute", "ec2:RegisterImage",
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range Join(p, Keys()).Statement {
		if slices.Contains(s.Resource, "*") && !slices.Equal(s.Action, []string{"ec2:DescribeImages"}) {
			t.Errorf("%v is allowed on everything", s.Action)
		}
		for _, action := range s.Action {
			removes := strings.Contains(action, ":De") && !strings.Contains(action, ":Desc") && !strings.HasPrefix(action, "kms:")
			if removes && s.Condition == nil && s.Resource[0] != instances {
				t.Errorf("%s is allowed without a condition on %v", action, s.Resource)
			}
		}
	}
}
