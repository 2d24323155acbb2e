package check

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// moduleName is a module's name as the kernel writes it.
func moduleName(name string) string { return strings.ReplaceAll(name, "-", "_") }

// modprobeRules returns what modprobe.d says of a module: file and line of the
// last "blacklist" of it, and of the last "install" that keeps it from being
// loaded.
func (f *facts) modprobeRules(name string) (map[string]string, verdict) {
	files, v := f.dropIns(vendorDirs("modprobe.d", f.mode)...)
	if v.outcome != "" {
		return nil, v
	}
	rules := map[string]string{}
	for _, file := range files {
		for number, words := range modprobeLines(file.text) {
			if len(words) < 2 || moduleName(words[1]) != name {
				continue
			}
			at := fmt.Sprintf("%s:%d", file.path, number)
			switch words[0] {
			case "blacklist":
				rules["blacklist"] = at
			case "install":
				// The last one counts; another program may well load it.
				delete(rules, "install")
				if len(words) > 2 && slices.Contains([]string{"true", "false"}, path.Base(words[2])) {
					rules["install"] = at
				}
			}
		}
	}
	return rules, verdict{}
}

// modprobeLines yields the commands of a file of modprobe.d with the numbers of
// their lines. A backslash at the end of a line continues it: modprobe.d(5).
func modprobeLines(text string) func(yield func(int, []string) bool) {
	return func(yield func(int, []string) bool) {
		command, number, start := "", 0, 1
		for line := range strings.Lines(text) {
			number++
			line = strings.TrimRight(line, "\r\n")
			if command == "" {
				start = number
			}
			if rest, more := strings.CutSuffix(line, `\`); more {
				command += rest + " "
				continue
			}
			words := strings.Fields(command + line)
			command = ""
			if len(words) > 0 && !strings.HasPrefix(words[0], "#") && !yield(start, words) {
				return
			}
		}
		if words := strings.Fields(command); len(words) > 0 {
			yield(start, words)
		}
	}
}

// loadsAtBoot tells whether a module is loaded at boot, and why.
func (f *facts) loadsAtBoot(name string) (loads bool, why string, v verdict) {
	files, v := f.dropIns(vendorDirs("modules-load.d", f.mode)...)
	if v.outcome != "" {
		return false, "", v
	}
	text, there, v := f.text(etcModules)
	if v.outcome != "" {
		return false, "", v
	}
	systemd, v := f.bootsSystemd()
	if v.outcome != "" {
		return false, "", v
	}
	// On Debian systemd gets to it by a link in modules-load.d.
	if there && !systemd {
		files = append(files, configFile{path: etcModules, text: text})
	}
	at := ""
	for _, file := range files {
		number := 0
		for line := range strings.Lines(file.text) {
			number++
			words := strings.Fields(line)
			// Debian's /etc/modules may have parameters after the name.
			if len(words) > 0 && !strings.ContainsAny(words[0][:1], "#;") && moduleName(words[0]) == name {
				at = fmt.Sprintf("%s:%d", file.path, number)
			}
		}
	}
	if at == "" {
		return false, "neither modules-load.d nor " + etcModules + " names it", verdict{}
	}
	rules, v := f.modprobeRules(name)
	for _, verb := range []string{"blacklist", "install"} {
		if rules[verb] != "" {
			return false, at + " names it, but " + rules[verb] + " keeps it from being loaded", v
		}
	}
	return true, at, v
}
