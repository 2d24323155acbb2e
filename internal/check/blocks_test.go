package check

import (
	"reflect"
	"testing"
)

// Each kind has its place in a template and in suite files, under one name.
func TestKindsHaveTwoHomes(t *testing.T) {
	var blocks Blocks
	value := reflect.ValueOf(&blocks).Elem()
	inTemplates := map[string]bool{}
	for i := range value.NumField() {
		name := value.Type().Field(i).Tag.Get("mapstructure")
		inTemplates[name] = true
		if name == "waiver" {
			continue
		}
		kind, ok := kinds[name]
		if !ok {
			t.Errorf("%s is no kind of suite files", name)
			continue
		}
		if got := kind.new().kind(); got != name {
			t.Errorf("%s makes a block of kind %s", name, got)
		}
		value.Field(i).Set(reflect.MakeSlice(value.Field(i).Type(), 1, 1))
	}
	for name := range kinds {
		if !inTemplates[name] {
			t.Errorf("%s is no block of templates", name)
		}
	}
	suite := blocks.Suite("inline")
	if len(suite.Entries) != len(kinds) {
		t.Errorf("a template with a block of each of the %d kinds makes %d entries", len(kinds), len(suite.Entries))
	}
}
