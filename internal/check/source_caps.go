package check

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// noCaps is how a check says that a file has no capabilities.
const noCaps = "none"

// capClause is a clause of cap_from_text(3): names, an operator and flags. No
// names mean all of them.
var capClause = regexp.MustCompile(`^((?:cap_[a-z_0-9]+|all)(?:,cap_[a-z_0-9]+)*|)([=+-])([eip]*)$`)

// canonicalCaps writes capabilities in one way: cap_chown,cap_net_raw=ep. The
// names and flags may come in any order, and older tools write + for =.
func canonicalCaps(text string) (string, error) {
	flags := map[string]string{}
	for clause := range strings.FieldsSeq(text) {
		parts := capClause.FindStringSubmatch(clause)
		if parts == nil {
			return "", fmt.Errorf("%q is not a set of capabilities", clause)
		}
		names := strings.Split(parts[1], ",")
		if parts[1] == "" {
			names = []string{"all"}
		}
		for _, name := range names {
			old, given := flags[name], parts[3]
			switch parts[2] {
			case "+":
				given += old
			case "-":
				given = strings.Map(func(r rune) rune {
					if strings.ContainsRune(parts[3], r) {
						return -1
					}
					return r
				}, old)
			}
			if flags[name] = sortedFlags(given); flags[name] == "" {
				delete(flags, name)
			}
		}
	}
	if len(flags) == 0 {
		return noCaps, nil
	}
	byFlags := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		byFlags[flags[name]] = append(byFlags[flags[name]], name)
	}
	var clauses []string
	for _, f := range slices.Sorted(maps.Keys(byFlags)) {
		clauses = append(clauses, strings.Join(byFlags[f], ",")+"="+f)
	}
	return strings.Join(clauses, " "), nil
}

func sortedFlags(flags string) string {
	letters := slices.Compact(slices.Sorted(strings.SplitSeq(flags, "")))
	return strings.Join(letters, "")
}

// readCaps takes what getcap prints of a file: its path and, when it has any,
// its capabilities, since version 2.42 without a = between them.
func (n *node) readCaps(fr frame) {
	switch fr.tag {
	case "caps-path":
		n.capsPath = string(fr.body)
	case "caps":
		n.caps = string(fr.body)
	case "caps-end":
		n.capsRead = state(fr.arg(1))
	}
}

// capabilities returns those of a file, in one way of writing them, or the
// verdict when they cannot be had.
func (f *facts) capabilities(path string) (string, verdict) {
	n, v := f.statted(path)
	switch {
	case n == nil:
		return "", v
	case n.typ() != "file":
		return "", fail("a %s, which has no capabilities", n.typ())
	case n.capsRead == stateAbsent:
		return "", undecided("the image has no getcap command, which reads them (Debian: libcap2-bin, Red Hat: libcap, Alpine: libcap-getcap)")
	case n.capsRead != stateRead || n.capsPath == "":
		return "", f.unread("the file's capabilities, by the image's getcap command,")
	}
	said := strings.TrimSuffix(n.caps, "\n")
	if said == "" {
		return noCaps, verdict{}
	}
	said, ok := strings.CutPrefix(said, n.capsPath+" ")
	if !ok {
		return "", undecided("getcap said %q", n.caps)
	}
	caps, err := canonicalCaps(strings.TrimPrefix(said, "= "))
	if err != nil {
		return "", undecided("getcap: %v", err)
	}
	return caps, verdict{}
}
