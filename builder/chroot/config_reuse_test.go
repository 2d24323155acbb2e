package chroot

import (
	"maps"
	"strings"
	"testing"
	"time"
)

func TestPrepareRefusesReuse(t *testing.T) {
	for name, test := range map[string]struct {
		set  map[string]any
		want string
	}{
		"an option without it":  {map[string]any{"reuse_ignore": []string{"reports"}}, "reuse_ignore is set without reuse"},
		"a registry without it": {map[string]any{"registry": "sqlite:x"}, "registry is set without reuse"},
		"no image":              {map[string]any{"reuse": true, "skip_create_ami": true}, "reuse and skip_create_ami contradict"},
		"no inputs":             {map[string]any{"reuse": true, "reuse_inputs": []string{}}, "reuse_inputs is empty"},
		"an empty input":        {map[string]any{"reuse": true, "reuse_inputs": []string{""}}, `reuse_inputs[0] is "": it is empty`},
		"a broken pattern":      {map[string]any{"reuse": true, "reuse_ignore": []string{"a["}}, `reuse_ignore[0] is "a[": syntax error in pattern`},
		"status":                {map[string]any{"reuse": true, "reuse_status": "promoted"}, `reuse_status is "promoted"; write one of tested, built`},
		"age":                   {map[string]any{"reuse": true, "reuse_max_age": "a week"}, `reuse_max_age is "a week"; write a duration such as 168h`},
		"negative age":          {map[string]any{"reuse": true, "reuse_max_age": "-1h"}, "reuse_max_age is -1h"},
		"short lease":           {map[string]any{"reuse": true, "reuse_lease": "1s"}, "reuse_lease is 1s; write a duration such as 90s, 2s at least"},
		"registry":              {map[string]any{"reuse": true, "registry": "mysql:x"}, `registry "mysql:x" is of no known kind`},
	} {
		t.Run(name, func(t *testing.T) {
			raw := valid()
			maps.Copy(raw, test.set)
			if _, _, err := new(Builder).Prepare(raw); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error = %v\nwant it to have %q", err, test.want)
			}
		})
	}
}

func TestPrepareReuse(t *testing.T) {
	b := new(Builder)
	raw := valid()
	raw["reuse"] = true
	if _, _, err := b.Prepare(raw); err != nil {
		t.Fatal(err)
	}
	if c := b.config; c.ReuseStatus != "tested" || c.maxAge != 168*time.Hour || c.lease != 90*time.Second {
		t.Errorf("defaults are %q, %s, %s", c.ReuseStatus, c.maxAge, c.lease)
	}
	raw = valid()
	maps.Copy(raw, map[string]any{
		"reuse": true, "registry": "<unknown>", "reuse_status": "<unknown>", "reuse_max_age": "<unknown>",
		"reuse_inputs": []string{"<unknown>"},
	})
	if _, _, err := new(Builder).Prepare(raw); err != nil {
		t.Errorf("values of data sources at validate: %v", err)
	}
}

// TestWrittenOptions makes sure that what is filled in when a build runs, and
// how the cloud is reached, is not part of a bake key.
func TestWrittenOptions(t *testing.T) {
	read := func(set map[string]any) string {
		raw := valid()
		maps.Copy(raw, set)
		b := new(Builder)
		if _, _, err := b.Prepare(raw); err != nil {
			t.Fatal(err)
		}
		return string(b.config.written)
	}
	named := read(map[string]any{"ami_name": "shop-{{uuid}}", "ami_description": "{{ .SourceAMI }}"})
	if !strings.Contains(named, "shop-{{uuid}}") || !strings.Contains(named, "{{ .SourceAMI }}") {
		t.Errorf("options = %s, want them as they are written", named)
	}
	same := read(map[string]any{
		"ami_name": "shop-{{uuid}}", "ami_description": "{{ .SourceAMI }}", "access_key": "AKIA", "secret_key": "hush",
		"packer_debug": true, "reuse": true, "force_deregister": true, "max_retries": 3,
	})
	if same != named {
		t.Errorf("options = %s\nwant %s", same, named)
	}
	if other := read(map[string]any{"ami_name": "shop-{{uuid}}", "tags": map[string]string{"a": "b"}}); other == named {
		t.Error("tags do not count")
	}
}
