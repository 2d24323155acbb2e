package check

import (
	"fmt"
	"slices"
	"strings"
)

// unitDirs are the places of unit files in the image, the one that wins first:
// systemd.unit(5), "Unit File Load Path", without those below /run.
var unitDirs = []string{"/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

// readsUnitText asks for the text of a unit and of its drop-ins.
func readsUnitText(unit string) option {
	return reads(func(n *needs) {
		for _, dir := range unitDirs {
			p := n.path(dir + "/" + unit)
			p.stat, p.content = true, true
			n.configs(dir + "/" + unit + ".d")
		}
	})
}

// unitSettings are the assignments of a unit, of its file and then of its
// drop-ins, by section.key. An empty assignment drops those before it, as it does
// for the settings of systemd that are lists.
func (f *facts) unitSettings(unit string) (map[string][]string, verdict) {
	text, found := "", false
	for _, dir := range unitDirs {
		file := dir + "/" + unit
		content, there, v := f.text(file)
		if n := f.nodes[file]; n != nil && n.statted && n.typ() == "character" {
			return nil, fail("masked")
		}
		if v.outcome != "" {
			return nil, v
		}
		if there {
			text, found = content, true
			break
		}
	}
	if !found {
		return nil, fail("no such unit")
	}
	values := map[string][]string{}
	addUnitSettings(values, text)
	var dirs []string
	for _, dir := range unitDirs {
		dirs = append(dirs, dir+"/"+unit+".d")
	}
	dropIns, v := f.dropIns(dirs...)
	if v.outcome != "" {
		return nil, v
	}
	for _, file := range dropIns {
		addUnitSettings(values, file.text)
	}
	return values, verdict{}
}

// addUnitSettings reads a unit file: systemd.syntax(7).
func addUnitSettings(values map[string][]string, text string) {
	section, pending := "", ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		if rest, more := strings.CutSuffix(line, `\`); more {
			pending += rest + " "
			continue
		}
		line, pending = pending+line, ""
		if strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") {
			section = line[1 : len(line)-1]
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		key = section + "." + strings.TrimSpace(key)
		if value = strings.TrimSpace(value); value == "" {
			delete(values, key)
			continue
		}
		values[key] = append(values[key], value)
	}
}

// timerElapses are the settings that say when a timer elapses: systemd.timer(5).
var timerElapses = []string{"OnCalendar", "OnBootSec", "OnStartupSec", "OnActiveSec", "OnUnitActiveSec", "OnUnitInactiveSec"}

// timerTimes lists, for people and as timer blocks write them, when a timer
// elapses.
func timerTimes(values map[string][]string) []string {
	var times []string
	for _, key := range timerElapses {
		for _, value := range values["Timer."+key] {
			if key == "OnCalendar" {
				times = append(times, foldSpace(value))
				continue
			}
			times = append(times, fmt.Sprintf("%s=%s", key, foldSpace(value)))
		}
	}
	return times
}

func hasTimes(have, want []string) verdict {
	actual := orNone(have, "it never elapses")
	for _, w := range want {
		if !slices.ContainsFunc(have, func(h string) bool { return strings.EqualFold(h, foldSpace(w)) }) {
			return fail("%s", actual)
		}
	}
	return pass(actual)
}
