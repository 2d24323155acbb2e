package volume

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxUsers is how many processes are named; more would hide the message.
const maxUsers = 10

// findUsers names the processes that keep the mount at target busy, and what
// they hold. A file belongs to the mount by its device number, which is right in
// every mount namespace and chroot, or by its path, for what is mounted below.
func findUsers(target string, devices []uint64) []string {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	var users []string
	seen := map[string]bool{} // mount namespaces
	own, _ := os.Readlink("/proc/self/ns/mnt")
	seen[own] = true
	for _, dir := range dirs {
		p := process{dir: dir, target: target, devices: devices}
		holds := p.holds()
		if namespace, err := os.Readlink(dir + "/ns/mnt"); err == nil && !seen[namespace] {
			if seen[namespace] = true; p.mounts() {
				holds = append(holds, "has it in its mount namespace")
			}
		}
		if len(holds) == 0 {
			continue
		}
		if len(users) == maxUsers {
			return append(users, "and others")
		}
		users = append(users, fmt.Sprintf("process %s (%s: %s)", filepath.Base(dir), p.command(), strings.Join(holds, ", ")))
	}
	return users
}

// process is a folder of /proc. Processes may go while they are looked at, so
// what cannot be read counts as not there.
type process struct {
	dir     string
	target  string
	devices []uint64
}

func (p process) command() string {
	name, _ := os.ReadFile(p.dir + "/comm")
	// A process may call itself what it likes.
	quoted := strconv.Quote(strings.TrimSpace(string(name)))
	return strings.Trim(quoted, `"`)
}

// holds says by what the process keeps the mount busy.
func (p process) holds() []string {
	var holds []string
	for name, meaning := range map[string]string{"cwd": "working directory", "root": "root directory", "exe": "program"} {
		if path, ok := p.inside(name); ok {
			holds = append(holds, meaning+" "+path)
		}
	}
	slices.Sort(holds)
	entries, _ := os.ReadDir(p.dir + "/fd")
	for _, entry := range entries {
		if path, ok := p.inside("fd/" + entry.Name()); ok {
			return append(holds, "open file "+path)
		}
	}
	if path, ok := p.maps(); ok && len(holds) == 0 {
		holds = append(holds, "mapped file "+path)
	}
	return holds
}

// inside tells whether a link of the process leads into the mount.
func (p process) inside(link string) (path string, ok bool) {
	path, err := os.Readlink(filepath.Join(p.dir, link))
	if err != nil {
		return "", false
	}
	if p.below(path) {
		return path, true
	}
	var st unix.Stat_t
	if unix.Stat(filepath.Join(p.dir, link), &st) != nil {
		return "", false
	}
	return path, slices.Contains(p.devices, st.Dev)
}

// maps tells whether the process has mapped a file of the mount.
func (p process) maps() (path string, ok bool) {
	text, _ := os.ReadFile(p.dir + "/maps")
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		path, device, ok := parseMap(lines.Text())
		if ok && (p.below(path) || slices.Contains(p.devices, device)) {
			return path, true
		}
	}
	return "", false
}

// parseMap reads a line of /proc/PID/maps (proc_pid_maps(5)): address range,
// permissions, offset, device, inode, path. It is not ok without a file.
func parseMap(line string) (path string, device uint64, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 6 {
		return "", 0, false
	}
	high, low, ok := strings.Cut(fields[3], ":")
	major, err1 := strconv.ParseUint(high, 16, 32)
	minor, err2 := strconv.ParseUint(low, 16, 32)
	if !ok || err1 != nil || err2 != nil || fields[4] == "0" {
		return "", 0, false
	}
	_, path, _ = strings.Cut(line, fields[4]+" ")
	return strings.TrimLeft(path, " "), unix.Mkdev(uint32(major), uint32(minor)), true
}

// mounts tells whether the process sees a mount of one of the devices.
func (p process) mounts() bool {
	text, _ := os.ReadFile(p.dir + "/mountinfo")
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		high, low, _ := strings.Cut(fields[2], ":")
		major, err1 := strconv.ParseUint(high, 10, 32)
		minor, err2 := strconv.ParseUint(low, 10, 32)
		if err1 == nil && err2 == nil && slices.Contains(p.devices, unix.Mkdev(uint32(major), uint32(minor))) {
			return true
		}
	}
	return false
}

func (p process) below(path string) bool {
	return path == p.target || strings.HasPrefix(path, p.target+"/")
}
