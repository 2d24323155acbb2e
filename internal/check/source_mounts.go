package check

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// mountEntry is a line of fstab, or a mount.
type mountEntry struct {
	device  string
	path    string
	typ     string
	options []string
	at      string
}

func (e mountEntry) has(want []string) verdict {
	for _, o := range want {
		if !slices.Contains(e.options, o) {
			return fail("no %s in %s", o, strings.Join(e.options, ","))
		}
	}
	return pass(strings.Join(e.options, ","))
}

func (e mountEntry) hasNot(unwanted []string) verdict {
	for _, o := range unwanted {
		if slices.Contains(e.options, o) {
			return fail("%s in %s", o, strings.Join(e.options, ","))
		}
	}
	return pass(strings.Join(e.options, ","))
}

// fstabEntry returns the entry of fstab for a path. Of several the last one is
// mounted on top.
func (f *facts) fstabEntry(path string) (mountEntry, verdict) {
	text, _, v := f.text(fstab)
	if v.outcome != "" {
		return mountEntry{}, v
	}
	entries := parseFstab(text)
	slices.Reverse(entries)
	for _, e := range entries {
		if e.path == path {
			return e, verdict{}
		}
	}
	return mountEntry{}, fail("no entry in %s", fstab)
}

// parseFstab reads fstab(5).
func parseFstab(text string) []mountEntry {
	var entries []mountEntry
	number := 0
	for line := range strings.Lines(text) {
		number++
		fields := strings.Fields(line)
		if len(fields) < 3 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		e := mountEntry{
			device: unescapeOctal(fields[0]), path: unescapeOctal(fields[1]), typ: fields[2],
			options: []string{"defaults"}, at: fmt.Sprintf("%s:%d", fstab, number),
		}
		if len(e.path) > 1 {
			e.path = strings.TrimRight(e.path, "/")
		}
		if len(fields) > 3 {
			e.options = strings.Split(unescapeOctal(fields[3]), ",")
		}
		entries = append(entries, e)
	}
	return entries
}

// mounted returns what is mounted at a path, on top of all that is below.
func (f *facts) mounted(path string) (mountEntry, verdict) {
	if f.mode != Booted {
		return mountEntry{}, undecided("the mounts are the build host's")
	}
	content, v := f.content(mountInfo)
	if v.outcome != "" {
		return mountEntry{}, v
	}
	mounts := parseMountInfo(string(content))
	slices.Reverse(mounts)
	for _, e := range mounts {
		if e.path == path {
			return e, verdict{}
		}
	}
	return mountEntry{}, fail("nothing is mounted there")
}

// parseMountInfo reads /proc/self/mountinfo: proc_pid_mountinfo(5).
func parseMountInfo(text string) []mountEntry {
	var mounts []mountEntry
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(line, " - ")
		fields, more := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 6 || len(more) < 3 {
			continue
		}
		options := strings.Split(fields[5], ",")
		for o := range strings.SplitSeq(more[2], ",") {
			options = appendNew(options, o)
		}
		mounts = append(mounts, mountEntry{device: unescapeOctal(more[1]), path: unescapeOctal(fields[4]), typ: more[0], options: options})
	}
	return mounts
}

// unescapeOctal replaces \040 and its like, with which both files write white
// space.
func unescapeOctal(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) {
			if code, err := strconv.ParseUint(text[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}
