package figures

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/imagebakery/packer-plugin-bakery/internal/run"
)

// Machine is what measurements were taken on. It names nothing that would tell
// one machine of its kind from another.
type Machine struct {
	CPU     string  // model
	Cores   int     // that a program can use at once
	Memory  uint64  // bytes
	Kernel  string  // release
	OS      string  // name and version of the distribution
	Virtual bool    // runs under a hypervisor
	Load    float64 // processes that ran or wanted to, as the mean of a minute
}

// ThisMachine describes the machine, as Linux does in /proc. Call it before
// measuring, so that Load is what the machine does beside.
func ThisMachine() (Machine, error) {
	m := Machine{Cores: runtime.NumCPU(), CPU: runtime.GOARCH, OS: runtime.GOOS}
	files := map[string]string{}
	for _, path := range []string{"/proc/cpuinfo", "/proc/meminfo", "/proc/sys/kernel/osrelease", "/proc/loadavg", "/etc/os-release"} {
		text, err := os.ReadFile(path)
		if err != nil {
			return Machine{}, fmt.Errorf("describe this machine: %w", err)
		}
		files[path] = string(text)
	}
	return m, m.read(files)
}

// read takes the facts from the files of Linux.
func (m *Machine) read(files map[string]string) error {
	if model, ok := field(files["/proc/cpuinfo"], "model name", ":"); ok {
		m.CPU = model
	}
	if flags, ok := field(files["/proc/cpuinfo"], "flags", ":"); ok {
		m.Virtual = strings.Contains(" "+flags+" ", " hypervisor ")
	}
	memory, _ := field(files["/proc/meminfo"], "MemTotal", ":")
	kib, err := strconv.ParseUint(strings.TrimSuffix(memory, " kB"), 10, 64)
	if err != nil {
		return fmt.Errorf("describe this machine: MemTotal in /proc/meminfo is %q", memory)
	}
	m.Memory = kib << 10
	m.Kernel = strings.TrimSpace(files["/proc/sys/kernel/osrelease"])
	load, _, _ := strings.Cut(files["/proc/loadavg"], " ")
	if m.Load, err = strconv.ParseFloat(load, 64); err != nil {
		return fmt.Errorf("describe this machine: /proc/loadavg begins with %q", load)
	}
	if name, ok := field(files["/etc/os-release"], "PRETTY_NAME", "="); ok {
		m.OS = strings.Trim(name, `"'`)
	}
	return nil
}

// field returns the value of the first line "name SEP value".
func field(text, name, sep string) (string, bool) {
	for line := range strings.Lines(text) {
		key, value, found := strings.Cut(line, sep)
		if found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}

// String is the machine in one line.
func (m Machine) String() string {
	kind := ""
	if m.Virtual {
		kind = " (virtual machine)"
	}
	return fmt.Sprintf("%s, %d cores, %s memory%s, %s, Linux %s", m.CPU, m.Cores, humanize.IBytes(m.Memory), kind, m.OS, m.Kernel)
}

// Conditions are what measurements were taken under.
type Conditions struct {
	Machine  Machine
	Versions []string // of the programs that were measured: "packer 1.16.0"
	Command  string   // that repeats it
	When     time.Time
}

// Text is the paragraph that a section of docs/benchmarks.md begins with.
func (c Conditions) Text() string {
	return fmt.Sprintf("Measured on %s with `%s`.\n\n- Machine: %s; load before the run %.2f\n- Versions: %s, %s\n",
		c.When.UTC().Format(time.DateOnly), c.Command, c.Machine, c.Machine.Load, strings.Join(c.Versions, ", "), runtime.Version())
}

// FirstLine runs a program that tells its version and returns the first line
// that it writes.
func FirstLine(ctx context.Context, name string, args ...string) (string, error) {
	out, err := run.Output(ctx, name, args...)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return strings.TrimSpace(line), nil
}
