package iam

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// authorization is what AWS says of an action: the resources that it works on,
// and the condition keys that it knows there.
type authorization struct {
	required []string
	keys     map[string][]string // by resource; "" of any
}

func readAuthorizations(t *testing.T) map[string]authorization {
	t.Helper()
	text, err := os.ReadFile("testdata/authorization.txt")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]authorization{}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] == "#" {
			continue
		}
		a := all["ec2:"+words[0]]
		if a.keys == nil {
			a.keys = map[string][]string{}
		}
		resource := strings.TrimSuffix(strings.Trim(words[1], "-"), "*")
		a.keys[resource] = words[2:]
		if strings.HasSuffix(words[1], "*") {
			a.required = append(a.required, resource)
		}
		all["ec2:"+words[0]] = a
	}
	return all
}

// resourceOf is the type of resource that an ARN is of; "" for all.
func resourceOf(arn string) string {
	if arn == anything {
		return ""
	}
	name, _, _ := strings.Cut(arn[strings.LastIndex(arn, ":")+1:], "/")
	return name
}

// A condition on a key that an action does not know is never met: the call would
// be refused. So would one whose required resource no statement has.
func TestPoliciesKeepToTheReference(t *testing.T) {
	reference := readAuthorizations(t)
	if len(reference) < 20 {
		t.Fatalf("only %d actions are in the reference", len(reference))
	}
	var calls []string
	for action := range reference {
		calls = append(calls, action)
	}
	p, err := Builder{Owner: "own:er"}.For(calls)
	if err != nil {
		t.Fatal(err)
	}
	covered := map[string][]string{}
	for _, s := range p.Statement {
		for _, action := range s.Action {
			a, known := reference[action]
			if !known {
				t.Errorf("%s is not in the reference", action)
				continue
			}
			for _, arn := range s.Resource {
				resource := resourceOf(arn)
				keys, works := a.keys[resource]
				if !works {
					t.Errorf("%s: %s does not work on %q", s.ID, action, arn)
				}
				covered[action] = append(covered[action], resource)
				keys = append(slices.Clone(keys), a.keys[""]...)
				for _, conditions := range s.Condition {
					for key := range conditions {
						if name, _, _ := strings.Cut(key, "/"); !slices.Contains(keys, name) {
							t.Errorf("%s: %s on %s knows no %s, but %q", s.ID, action, arn, key, keys)
						}
					}
				}
			}
		}
	}
	for action, has := range covered {
		for _, resource := range reference[action].required {
			if !slices.Contains(has, resource) && !slices.Contains(has, "") {
				t.Errorf("%s needs a %s, which no statement has", action, resource)
			}
		}
	}
}
