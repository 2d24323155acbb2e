package localcloud

import (
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// decodeQuery fills the struct that dst points to from the parameters of an EC2
// query request. A field is called like its parameter, in Go's
// spelling (VolumeID for VolumeId), or as its tag
// `query:"Name"` says; `query:"Name,required"` makes it one that must be there.
// Lists are numbered from 1 (`VolumeId.1`), members of structs follow a dot
// (`TagSpecification.1.Tag.2.Key`). Pointers stay nil for what was not given.
//
// A parameter that dst has no place for is refused: the real service knows
// some that the local cloud does not, and to ignore one would be to do
// something else than was asked.
func decodeQuery(form url.Values, dst any) error {
	root := newParamTree(form)
	if err := root.decode(reflect.ValueOf(dst).Elem(), ""); err != nil {
		return err
	}
	for _, name := range slices.Sorted(root.unread) {
		return errorf("UnknownParameter", "The parameter %s is not recognized", name)
	}
	return nil
}

// paramTree is the parameters of a request, split at the dots.
type paramTree struct {
	name     string
	value    string
	given    bool
	read     bool
	children map[string]*paramTree
}

func newParamTree(form url.Values) *paramTree {
	root := &paramTree{children: map[string]*paramTree{}, read: true}
	for name, values := range form {
		if name == "Action" || name == "Version" || len(values) == 0 {
			continue
		}
		at := root
		for part := range strings.SplitSeq(name, ".") {
			next := at.children[part]
			if next == nil {
				next = &paramTree{children: map[string]*paramTree{}}
				at.children[part] = next
			}
			at = next
		}
		at.name, at.value, at.given = name, values[0], true
	}
	return root
}

// unread yields the names of the parameters that nothing has asked for.
func (t *paramTree) unread(yield func(string) bool) {
	t.walkUnread(yield)
}

func (t *paramTree) walkUnread(yield func(string) bool) bool {
	if t.given && !t.read && !yield(t.name) {
		return false
	}
	for _, child := range t.children {
		if !child.walkUnread(yield) {
			return false
		}
	}
	return true
}

var timeType = reflect.TypeFor[time.Time]()

func (t *paramTree) decode(v reflect.Value, name string) error {
	switch {
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return t.decode(v.Elem(), name)
	case v.Type() == timeType:
		t.read = true
		at, err := parseTime(t.value)
		if err != nil {
			return errorf("InvalidParameterValue", "Value (%s) for parameter %s is invalid. Invalid timestamp.", t.value, name)
		}
		v.Set(reflect.ValueOf(at))
		return nil
	case v.Kind() == reflect.Struct:
		return t.decodeStruct(v, name)
	case v.Kind() == reflect.Slice:
		return t.decodeList(v, name)
	}
	t.read = true
	switch v.Kind() {
	case reflect.String:
		v.SetString(t.value)
	case reflect.Bool:
		b, err := strconv.ParseBool(strings.ToLower(t.value))
		if err != nil {
			return errorf("InvalidParameterValue", "Value (%s) for parameter %s is invalid. Invalid boolean value.", t.value, name)
		}
		v.SetBool(b)
	case reflect.Int64:
		n, err := strconv.ParseInt(t.value, 10, 64)
		if err != nil {
			return errorf("InvalidParameterValue", "Value (%s) for parameter %s is invalid. Invalid integer value.", t.value, name)
		}
		v.SetInt(n)
	default:
		panic("localcloud: request field of unsupported kind " + v.Kind().String())
	}
	return nil
}

func (t *paramTree) decodeStruct(v reflect.Value, prefix string) error {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.Anonymous {
			if err := t.decodeStruct(v.Field(i), prefix); err != nil {
				return err
			}
			continue
		}
		tag, required := strings.CutSuffix(field.Tag.Get("query"), ",required")
		if tag == "" {
			tag = parameterName(field.Name)
		}
		name := tag
		if prefix != "" {
			name = prefix + "." + tag
		}
		child := t.children[tag]
		if child == nil || required && child.given && child.value == "" {
			if required {
				return errorf("MissingParameter", "The request must contain the parameter %s", name)
			}
			continue
		}
		if err := child.decode(v.Field(i), name); err != nil {
			return err
		}
	}
	return nil
}

// parameterName is what EC2 calls the parameter that Go's style names so.
func parameterName(field string) string {
	if base, ok := strings.CutSuffix(field, "ID"); ok {
		return base + "Id"
	}
	if base, ok := strings.CutSuffix(field, "URL"); ok {
		return base + "Url"
	}
	return field
}

func (t *paramTree) decodeList(v reflect.Value, prefix string) error {
	// An SDK sends an empty list as the bare name without a value.
	if t.given && t.value == "" {
		t.read = true
	}
	indices := make([]int, 0, len(t.children))
	for part := range t.children {
		if n, err := strconv.Atoi(part); err == nil && n >= 0 && strconv.Itoa(n) == part {
			indices = append(indices, n)
		}
	}
	slices.Sort(indices)
	for _, n := range indices {
		part := strconv.Itoa(n)
		item := reflect.New(v.Type().Elem()).Elem()
		if err := t.children[part].decode(item, prefix+"."+part); err != nil {
			return err
		}
		v.Set(reflect.Append(v, item))
	}
	return nil
}

// parseTime reads the forms of a timestamp that EC2's clients send.
func parseTime(s string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		at, err = time.Parse("2006-01-02T15:04Z", s)
	}
	return at.UTC(), err
}
