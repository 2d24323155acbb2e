package match

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// decode reads a value as a gossfile of YAML has it: whole numbers are integers.
func decode(t *testing.T, text string) any {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return FromPortable(value)
}

// Each verdict is that of goss v0.4.9.
func TestVerdicts(t *testing.T) {
	for _, test := range []struct {
		matcher, value string
		want           string // holds, fails, or error
	}{
		{`"abc"`, `"abc"`, "holds"}, {`"abc"`, `"abd"`, "fails"}, {`"1"`, `1`, "holds"}, {`"true"`, `true`, "holds"},
		{`1`, `"1.0"`, "holds"}, {`1`, `" 1 "`, "holds"}, {`1`, `"x"`, "error"}, {`5`, `["5"]`, "error"}, {`1.5`, `1.5`, "holds"}, {`1`, `true`, "error"},
		{`true`, `true`, "holds"}, {`true`, `"true"`, "fails"}, {`false`, `true`, "fails"},
		{`["b"]`, `["a", "b"]`, "holds"}, {`["b", "b"]`, `["a", "b"]`, "fails"}, {`["a"]`, `"a"`, "error"}, {`[{"have-prefix": "a"}, "ab"]`, `["ab", "ac"]`, "holds"},
		{`{"equal": 1}`, `1`, "holds"}, {`{"equal": 1}`, `"1"`, "fails"}, {`{"equal": 1.0}`, `1`, "fails"}, {`{"equal": null}`, `null`, "error"}, {`{"equal": [1, "a"]}`, `[1, "a"]`, "holds"},
		{`{"have-prefix": "a"}`, `"abc"`, "holds"}, {`{"have-suffix": "b"}`, `"abc"`, "fails"}, {`{"contain-substring": "b"}`, `"abc"`, "holds"},
		{`{"match-regexp": "^b"}`, `"a\nb"`, "fails"}, {`{"match-regexp": "(?m)^b"}`, `["a", "b"]`, "holds"},
		{`{"have-len": 6}`, `"héllo"`, "holds"}, {`{"have-len": 2.0}`, `{"a": 1}`, "fails"}, {`{"have-len": 1}`, `5`, "error"},
		{`{"have-patterns": ["b", "!c", "/^a$/"]}`, `"a\nb"`, "holds"}, {`{"have-patterns": ["!/A/", "A"]}`, `"xA"`, "fails"},
		{`{"have-key": "a"}`, `{"a": 1}`, "holds"}, {`{"have-key": {"have-prefix": "b"}}`, `{"a": 1}`, "fails"}, {`{"have-key": "a"}`, `["a"]`, "error"}, {`{"have-key": {"gt": 1}}`, `{"a": 1}`, "error"},
		{`{"contain-element": "b"}`, `"a\nb"`, "holds"}, {`{"contain-element": {"gt": 1}}`, `["a", 2]`, "holds"}, {`{"contain-element": {"gt": 3}}`, `["a", 2]`, "error"}, {`{"contain-element": "v"}`, `{"k": "v"}`, "holds"},
		{`{"contain-elements": ["c"]}`, `"a\nb"`, "fails"}, {`{"contain-elements": ["a"]}`, `5`, "error"},
		{`{"consist-of": ["b", {"have-prefix": "a"}]}`, `["ab", "b"]`, "holds"}, {`{"consist-of": ["a"]}`, `["a", "b"]`, "fails"}, {`{"consist-of": []}`, `[]`, "holds"}, {`{"consist-of": ["a"]}`, `"a"`, "error"},
		{`{"not": "a"}`, `"b"`, "holds"}, {`{"not": {"gt": 1}}`, `"x"`, "error"}, {`{"and": ["a", {"gt": 1}]}`, `"b"`, "fails"}, {`{"and": [{"gt": 1}, "b"]}`, `"b"`, "error"},
		{`{"or": ["x", "b"]}`, `"b"`, "holds"}, {`{"or": [{"gt": 1}, "b"]}`, `"b"`, "error"}, {`{"or": ["x", "y"]}`, `"b"`, "fails"},
		{`{"gt": 1}`, `2`, "holds"}, {`{"ge": 2}`, `2`, "holds"}, {`{"lt": 2}`, `2`, "fails"}, {`{"le": 2.5}`, `"2"`, "holds"}, {`{"gt": 1}`, `"nan"`, "fails"},
		{`{"semver-constraint": ">=1.2.0 <2.0.0"}`, `"1.2.3"`, "holds"}, {`{"semver-constraint": ">=1.2.0"}`, `["1.2.3", "1.1.0"]`, "fails"}, {`{"semver-constraint": ">1.0.0"}`, `"1.2"`, "error"}, {`{"semver-constraint": ">1.0.0"}`, `[]`, "error"}, {`{"semver-constraint": ">1.0.0"}`, `[1]`, "error"},
		{`{"gjson": {"a.b.1": 2}}`, `"{\"a\":{\"b\":[1,2]}}"`, "holds"}, {`{"gjson": {"a": 2}}`, `"{\"a\":1}"`, "fails"}, {`{"gjson": {"b": 2}}`, `"{\"a\":1}"`, "error"}, {`{"gjson": {"b": 2}}`, `"{"`, "error"}, {`{"gjson": {"b": 2}}`, `1`, "error"},
	} {
		m, err := Parse(decode(t, test.matcher))
		if err != nil {
			t.Errorf("%s: %v", test.matcher, err)
			continue
		}
		got := "fails"
		if holds, _, err := m.Match(decode(t, test.value)); err != nil {
			got = "error"
		} else if holds {
			got = "holds"
		}
		if got != test.want {
			t.Errorf("%s of %s: %s, want %s", test.matcher, test.value, got, test.want)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, test := range []struct {
		patterns, text string
		why            string // empty when they hold
	}{
		{`["a", "/^b$/", "!c", "!/^d/"]`, "xax\nb\n", ""},
		{`["a", "b"]`, "a\n", `no line has "b"`},
		{`["!b", "c"]`, "a\nb\n", `"b" is in line 2, no line has "c"`},
		{`["\\!a", "\\/b/"]`, "!a\n/b/\n", ""},
		{`["/usr/bin"]`, "usr/bin", ""}, // what a text begins with does not count
		{`["", "!x"]`, "", ""},
		{`["/^$/"]`, "", `no line has "/^$/"`},
		{`["a", "a"]`, "a", ""},
		{`["/^a$/"]`, "a\r\n", ""},
	} {
		data, _ := decode(t, test.patterns).([]any)
		m, err := Patterns(data)
		if err != nil {
			t.Errorf("%s: %v", test.patterns, err)
			continue
		}
		if holds, why, err := m.Match(test.text); err != nil || why != test.why || holds != (test.why == "") {
			t.Errorf("%s of %q: %t %q %v, want %q", test.patterns, test.text, holds, why, err, test.why)
		}
	}
	m, err := Patterns([]any{"a"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.Match(strings.Repeat("b", lineLimit+1)); err == nil {
		t.Error("a line that is too long was looked through")
	}
}

func TestMistakes(t *testing.T) {
	for _, text := range []string{
		`{}`, `{"a": 1, "b": 2}`, `{"none": 1}`, `{"have-prefix": 1}`, `{"match-regexp": "("}`, `{"have-len": "1"}`, `{"have-patterns": "a"}`, `{"have-patterns": [1]}`,
		`{"have-patterns": ["/"]}`, `{"have-patterns": ["!/"]}`, `{"have-patterns": ["/(/"]}`, `{"contain-element": ["a"]}`, `{"contain-elements": "a"}`, `{"and": "a"}`, `{"or": [null]}`,
		`{"not": null}`, `{"gt": "1"}`, `{"semver-constraint": 1}`, `{"semver-constraint": "new"}`, `{"gjson": "a"}`, `{"gjson": {"a": {"none": 1}}}`, `[{"none": 1}]`,
	} {
		if m, err := Parse(decode(t, text)); err == nil {
			t.Errorf("%s is %s, want an error", text, m)
		}
	}
	if _, err := Parse(nil); !errors.Is(err, ErrMissing) {
		t.Errorf("nothing: %v", err)
	}
}

func TestVacuous(t *testing.T) {
	for text, want := range map[string]bool{
		`[]`: true, `{"and": []}`: true, `{"or": []}`: false, `{"not": {"or": []}}`: true, `{"match-regexp": ""}`: true, `{"have-patterns": [""]}`: true,
		`{"and": [[], {"have-prefix": ""}]}`: true, `{"or": ["a", {"contain-substring": ""}]}`: true, `{"not": {"and": []}}`: false, `{"gjson": {}}`: true,
		`""`: false, `"a"`: false, `0`: false, `{"consist-of": []}`: false, `{"not": "a"}`: false, `{"have-patterns": ["", "a"]}`: false,
	} {
		m, err := Parse(decode(t, text))
		if err != nil {
			t.Fatal(err)
		}
		if Vacuous(m) != want {
			t.Errorf("%s: vacuous is %t", text, !want)
		}
	}
}

// The versions of packages are not semantic: where the two orders differ, a
// constraint decides nothing.
func TestVersionsOfPackages(t *testing.T) {
	compare := func(version, bound string) (int, error) {
		if version == "9.9.9-broken" {
			return 0, errors.New("is none")
		}
		return strings.Compare(version, bound), nil
	}
	for _, test := range []struct{ constraint, version, want string }{
		{">=1.4.0", "1.4.2", "holds"}, {"<1.4.0", "1.4.2", "fails"},
		{">=1.4.0 <1.5.0", "1.4.2-1", "holds"}, {">=1.5.0", "1.4.2-1", "fails"},
		{">=1.4.2", "1.4.2-1", "error"}, {"<1.4.2", "1.4.2-1", "error"},
		{">=1.0.0", "1:2.0", "error"}, {">=9.9.9", "9.9.9-broken", "error"},
	} {
		m, err := Parse(map[string]any{"semver-constraint": test.constraint})
		if err != nil {
			t.Fatal(err)
		}
		for _, wrapped := range []Matcher{m, all{parts: []Matcher{m}}, not{part: not{part: m}}} {
			got := "fails"
			if holds, _, err := wrapped.Match(Versions{List: []string{test.version}, System: "dpkg", Compare: compare}); err != nil {
				got = "error"
			} else if holds {
				got = "holds"
			}
			if got != test.want {
				t.Errorf("%s of %s: %s, want %s", test.constraint, test.version, got, test.want)
			}
		}
	}
	m, err := Parse([]any{map[string]any{"have-prefix": "1."}})
	if err != nil {
		t.Fatal(err)
	}
	if holds, _, err := m.Match(Versions{List: []string{"1.2-3"}}); !holds || err != nil {
		t.Errorf("a list of versions: %t, %v", holds, err)
	}
}

func TestPortable(t *testing.T) {
	value := map[string]any{"a": 1, "b": 1.0, "c": []any{2.5, "x", true, nil, 1e30}}
	text, err := json.Marshal(Portable(value))
	if err != nil {
		t.Fatal(err)
	}
	if back := decode(t, string(text)); !cmp.Equal(back, value) {
		t.Errorf("%s: %s", text, cmp.Diff(value, back))
	}
}

// FuzzMatch has whatever matcher decide on whatever value.
func FuzzMatch(f *testing.F) {
	for _, seed := range [][2]string{
		{`{"semver-constraint": ">1.0.0 || <2"}`, `"1.2.3"`}, {`{"gjson": {"a.#(b==1)#|@values": 1}}`, `"{\"a\":[{\"b\":1}]}"`}, {`[{"and": [{"have-key": "a"}, {"not": {"gt": 1}}]}]`, `[{"a": null}]`},
		{`{"have-patterns": ["!/x/", "\\\\a"]}`, `"a\nb"`}, {`{"consist-of": [{"contain-element": 1}, null]}`, `[[1], 1.5]`}, {`{"equal": {"a": [1]}}`, `{"a": [1]}`},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(_ *testing.T, matcher, value string) {
		var data, actual any
		if json.Unmarshal([]byte(matcher), &data) != nil || json.Unmarshal([]byte(value), &actual) != nil {
			return
		}
		m, err := Parse(FromPortable(data))
		if err != nil {
			return
		}
		_, _, _ = m.Match(actual)
		if list, ok := data.([]any); ok {
			if p, err := Patterns(list); err == nil {
				_, _, _ = p.Match(actual)
			}
		}
		_ = m.String()
	})
}
