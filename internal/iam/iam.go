// Package iam turns the calls that a program makes into the IAM policy that
// permits them and no more.
//
// Which resources and condition keys an action knows is from the Service
// Authorization Reference, "Actions, resources, and condition keys for Amazon
// EC2". Two of its rules shape the policies: of the Describe actions only
// DescribeImageAttribute knows resources, and setting tags in a creating call
// needs ec2:CreateTags beside it.
package iam

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Policy is an IAM policy document.
type Policy struct {
	Version   string
	Statement []Statement
}

// Statement allows actions on resources under conditions.
type Statement struct {
	ID        string `json:"Sid"`
	Effect    string
	Action    []string
	Resource  []string
	Condition map[string]map[string]any `json:",omitempty"`
}

// Actions returns what the policy allows, sorted.
func (p Policy) Actions() []string {
	seen := map[string]bool{}
	for _, s := range p.Statement {
		for _, action := range s.Action {
			seen[action] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// JSON returns the document, indented, with a newline at its end.
func (p Policy) JSON() (string, error) {
	text, err := json.MarshalIndent(p, "", "  ")
	return string(text) + "\n", err
}

// Parse reads a policy document.
func Parse(text []byte) (Policy, error) {
	var p Policy
	if err := json.Unmarshal(text, &p); err != nil {
		return Policy{}, fmt.Errorf("read an IAM policy: %w", err)
	}
	return p, nil
}

// The resources that bakes work on. Images and snapshots have no account in
// their ARNs.
const (
	anything  = "*"
	volumes   = "arn:aws:ec2:*:*:volume/*"
	instances = "arn:aws:ec2:*:*:instance/*"
	images    = "arn:aws:ec2:*::image/*"
	snapshots = "arn:aws:ec2:*::snapshot/*"
	keys      = "arn:aws:kms:*:*:key/*"
)

// kind is a kind of statement. Those that allow the same on the same conditions
// become one.
type kind struct {
	id        string
	resource  string
	condition map[string]map[string]any
}

// Builder makes policies for programs that mark what they create with a tag.
type Builder struct {
	// Owner is the key of that tag. Where EC2 can tell, only what carries the tag
	// may be changed or removed, and nothing may be created without it.
	Owner string
}

func (b Builder) looks() kind { return kind{id: "Look", resource: anything} }

// creates is for what a call makes: the tag is in the call.
func (b Builder) creates(name, resource string) kind {
	return kind{"Create" + name, resource, map[string]map[string]any{"Null": {"aws:RequestTag/" + b.Owner: "false"}}}
}

// owns is for what a call changes: the tag is on it.
func (b Builder) owns(name, resource string) kind {
	return kind{"ChangeOwn" + name, resource, map[string]map[string]any{"Null": {"aws:ResourceTag/" + b.Owner: "false"}}}
}

// uses is for what a call reads, or works on beside what it changes.
func (b Builder) uses(name, resource string) kind { return kind{id: "Use" + name, resource: resource} }

// kinds are the statements that an action needs.
func (b Builder) kinds(action string) ([]kind, error) {
	switch name := strings.TrimPrefix(action, "ec2:"); name {
	case "CreateVolume":
		return []kind{b.creates("Volumes", volumes), b.uses("Snapshots", snapshots)}, nil
	case "AttachVolume", "DetachVolume":
		return []kind{b.owns("Volumes", volumes), b.uses("Instances", instances)}, nil
	case "DeleteVolume":
		return []kind{b.owns("Volumes", volumes)}, nil
	case "CreateSnapshot":
		return []kind{b.creates("Snapshots", snapshots), b.owns("Volumes", volumes)}, nil
	case "DeleteSnapshot", "ModifySnapshotAttribute":
		return []kind{b.owns("Snapshots", snapshots)}, nil
	case "RegisterImage":
		return []kind{b.creates("Images", images), b.uses("Snapshots", snapshots)}, nil
	case "CopyImage":
		// The source of the copy is an image too, so that the tag cannot be asked
		// for; what copies are tagged with is seen to by ec2:CreateTags.
		return []kind{b.uses("Images", images), b.uses("Snapshots", snapshots)}, nil
	case "CreateTags":
		// Of what is there already; on what is being created see For.
		return []kind{b.owns("Volumes", volumes), b.owns("Snapshots", snapshots), b.owns("Images", images)}, nil
	case "DeregisterImage", "ModifyImageAttribute", "EnableImageDeprecation", "DisableImageDeprecation",
		"EnableImageDeregistrationProtection", "DisableImageDeregistrationProtection":
		return []kind{b.owns("Images", images)}, nil
	default:
		if strings.HasPrefix(name, "Describe") && strings.HasPrefix(action, "ec2:") {
			return []kind{b.looks()}, nil
		}
	}
	return nil, fmt.Errorf("make an IAM policy: what %s needs is not known", action)
}

// tagging are the calls that set tags on what they create.
var tagging = []string{"CreateVolume", "CreateSnapshot", "RegisterImage", "CopyImage"}

// For returns the policy that permits the calls, such as "ec2:CreateVolume". Its
// statements are in a fixed order. A call that it does not know is an error.
func (b Builder) For(calls []string) (Policy, error) {
	statements := map[string]*Statement{}
	add := func(k kind, action string) {
		s := statements[k.id]
		if s == nil {
			s = &Statement{ID: k.id, Effect: "Allow", Resource: []string{k.resource}, Condition: k.condition}
			statements[k.id] = s
		}
		if !slices.Contains(s.Action, action) {
			s.Action = append(s.Action, action)
		}
	}
	var tags []string
	for _, call := range slices.Compact(slices.Sorted(slices.Values(calls))) {
		kinds, err := b.kinds(call)
		if err != nil {
			return Policy{}, err
		}
		for _, k := range kinds {
			add(k, call)
		}
		if name := strings.TrimPrefix(call, "ec2:"); slices.Contains(tagging, name) {
			tags = append(tags, name)
		}
	}
	if len(tags) > 0 {
		statements["Tag"] = &Statement{
			ID: "Tag" + strings.Join(tags, ""), Effect: "Allow", Action: []string{"ec2:CreateTags"},
			Resource:  []string{volumes, snapshots, images},
			Condition: map[string]map[string]any{"StringEquals": {"ec2:CreateAction": tags}},
		}
	}
	return ordered(statements), nil
}

// Keys returns the policy for encrypting with KMS keys, which EC2 does on behalf
// of whoever calls it ("Required permissions for Amazon EBS encryption" in the
// EBS user guide).
func Keys() Policy {
	through := map[string]map[string]any{"StringLike": {"kms:ViaService": "ec2.*.amazonaws.com"}}
	return ordered(map[string]*Statement{
		"": {
			ID: "UseKeys", Effect: "Allow", Resource: []string{keys}, Condition: through,
			Action: []string{"kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncrypt*"},
		},
		"grant": {
			ID: "LendKeys", Effect: "Allow", Resource: []string{keys}, Action: []string{"kms:CreateGrant"},
			Condition: map[string]map[string]any{"Bool": {"kms:GrantIsForAWSResource": "true"}, "StringLike": through["StringLike"]},
		},
	})
}

// Join puts policies into one document.
func Join(policies ...Policy) Policy {
	all := Policy{Version: version}
	for _, p := range policies {
		all.Statement = append(all.Statement, p.Statement...)
	}
	return all
}

// version is the version of the policy language.
const version = "2012-10-17"

func ordered(statements map[string]*Statement) Policy {
	p := Policy{Version: version}
	for _, s := range statements {
		slices.Sort(s.Action)
		p.Statement = append(p.Statement, *s)
	}
	slices.SortFunc(p.Statement, func(x, y Statement) int { return cmp.Compare(x.ID, y.ID) })
	return p
}
