package check

import (
	"fmt"
	"strings"
)

// Mode says whether the image runs while it is checked.
type Mode string

// Modes.
const (
	Auto    Mode = "auto"    // find out
	Offline Mode = "offline" // its files are there, nothing of it runs
	Booted  Mode = "booted"  // its init runs
)

// ParseMode reads auto, offline or booted; "" is auto.
func ParseMode(text string) (Mode, error) {
	switch m := Mode(text); m {
	case "":
		return Auto, nil
	case Auto, Offline, Booted:
		return m, nil
	}
	return Auto, fmt.Errorf("%q is not a mode; write auto, offline or booted", text)
}

// inits are the programs that process 1 of a booted system is.
var inits = []string{"systemd", "init", "openrc-init", "busybox", "runit"}

// detect decides the mode from what the probe found. Whatever is not plainly a
// booted system is offline.
func detect(frames []frame) (Mode, string) {
	marks := map[string]string{}
	for _, fr := range frames {
		if fr.tag == "mark" {
			marks[fr.arg(0)] = strings.TrimSpace(string(fr.body))
		}
	}
	if marks["systemd"] == "offline" {
		return Offline, "systemctl says that the system is offline"
	}
	if _, ok := marks["container"]; ok {
		return Offline, "it is a container, whose services an init would start"
	}
	roots := strings.Fields(marks["root"])
	switch {
	case len(roots) != 2:
		return Offline, "the root of process 1 cannot be seen, so nothing shows that the system is booted"
	case roots[0] != roots[1]:
		return Offline, "process 1 has another root: this is a chroot"
	}
	for _, name := range inits {
		if marks["init"] == name {
			return Booted, "process 1 is " + name + " and has this root"
		}
	}
	return Offline, fmt.Sprintf("process 1 is %q, which is no init", marks["init"])
}
