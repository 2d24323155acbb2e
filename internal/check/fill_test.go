package check

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fill is as mapstructure is, for the types that attributes have.
func TestFill(t *testing.T) {
	values := map[string]any{"path": "/x", "paths": []string{"/a", "/b"}, "exists": false, "mode": "", "xattrs": map[string]string{"user.a": "b"}, "severity": "high"}
	var got, want File
	if err := fill(values, &got); err != nil {
		t.Fatal(err)
	}
	if err := decodeAttributes(values, &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-mapstructure +fill):\n%s", diff)
	}
	for name, k := range kinds {
		block := k.new()
		for attribute := range k.spec() {
			if _, ok := fieldsOf(reflect.TypeOf(block).Elem())[attribute]; !ok {
				t.Errorf("the attribute %s of %s has no field", attribute, name)
			}
		}
	}
	for text, values := range map[string]map[string]any{"no attribute mod": {"mod": "0644"}, "exists is of type string": {"exists": "true"}} {
		if err := fill(values, &got); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v: error %v, want %q", values, err, text)
		}
	}
}
