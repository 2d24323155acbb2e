package check

import (
	"fmt"
	"reflect"
	"sync"
)

// fieldsOf are the places of the attributes in a type of block, by the names in the
// fields' tags.
func fieldsOf(block reflect.Type) map[string][]int {
	if known, ok := blockFields.Load(block); ok {
		return known.(map[string][]int)
	}
	fields := map[string][]int{}
	for _, f := range reflect.VisibleFields(block) {
		if name := f.Tag.Get("mapstructure"); f.IsExported() && !f.Anonymous && name != "" {
			fields[name] = f.Index
		}
	}
	blockFields.Store(block, fields)
	return fields
}

var blockFields sync.Map // of map[string][]int, by reflect.Type

// fill sets the attributes of a block to values of their types.
func fill(values map[string]any, block any) error {
	target := reflect.ValueOf(block).Elem()
	fields := fieldsOf(target.Type())
	for name, value := range values {
		index, ok := fields[name]
		if !ok {
			return fmt.Errorf("there is no attribute %s", name)
		}
		field, v := target.FieldByIndex(index), reflect.ValueOf(value)
		if field.Kind() == reflect.Pointer {
			field.Set(reflect.New(field.Type().Elem()))
			field = field.Elem()
		}
		if !v.Type().AssignableTo(field.Type()) {
			return fmt.Errorf("%s is of type %s, not %s", name, v.Type(), field.Type())
		}
		field.Set(v)
	}
	return nil
}
