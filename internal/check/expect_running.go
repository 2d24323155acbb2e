package check

import (
	"errors"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
)

func processValues(_ *compiler, b *Expect) []value {
	return []value{{
		name:    "running",
		options: []option{needsBoot(""), reads(func(n *needs) { n.processes = appendNew(n.processes, b.Subject) })},
		read: func(f *facts) (any, verdict) {
			found, v := f.processes(b.Subject)
			return len(found) > 0, v
		},
	}}
}

func kernelParamValues(_ *compiler, b *Expect) []value {
	file := "/proc/sys/" + strings.ReplaceAll(b.Subject, ".", "/")
	return []value{{
		name: "value", options: []option{needsBoot(""), readsText(file)},
		read: func(f *facts) (any, verdict) {
			if f.mode != Booted {
				return nil, undecided("the kernel is the build host's")
			}
			content, v := f.content(file)
			return strings.TrimSpace(string(content)), v
		},
	}}
}

// mountValues are those of what is mounted at a path, on top of all below.
func mountValues(_ *compiler, b *Expect) []value {
	boot := []option{needsBoot(""), readsText(mountInfo)}
	at := func(f *facts) (mountEntry, []string, verdict) {
		if _, v := f.mounted(b.Subject); v.outcome != "" {
			return mountEntry{}, nil, v
		}
		content, v := f.content(mountInfo)
		e, super := ownOptions(string(content), b.Subject)
		return e, super, v
	}
	of := func(name string, get func(e mountEntry, super []string) any) value {
		return value{name: name, options: boot, read: func(f *facts) (any, verdict) {
			e, super, v := at(f)
			if v.outcome != "" {
				return nil, v
			}
			return get(e, super), verdict{}
		}}
	}
	usage := "exec stat -f -c '%b %f' -- " + quote(b.Subject)
	return []value{
		exists(func(f *facts) verdict {
			_, _, v := at(f)
			return v
		}, boot...),
		of("opts", func(e mountEntry, _ []string) any { return e.options }),
		of("vfs-opts", func(_ mountEntry, super []string) any { return super }),
		of("source", func(e mountEntry, _ []string) any { return e.device }),
		of("filesystem", func(e mountEntry, _ []string) any { return e.typ }),
		{
			name: "usage", options: append(slices.Clone(boot), reads(func(n *needs) { n.command(usage, defaultTimeout) })),
			read: func(f *facts) (any, verdict) {
				if _, _, v := at(f); v.outcome != "" {
					return nil, v
				}
				r, v := f.command(usage)
				if r == nil {
					return nil, v
				}
				percent, err := parseUsage(string(r.stdout))
				if err != nil {
					return nil, undecided("the image's stat command says %s: %v", shown(append(r.stdout, r.stderr...)), err)
				}
				return percent, verdict{}
			},
		},
	}
}

// ownOptions returns the topmost mount at a path with its own options, and those
// of its file system: proc_pid_mountinfo(5).
func ownOptions(text, at string) (e mountEntry, super []string) {
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(line, " - ")
		fields, more := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 6 || len(more) < 3 || unescapeOctal(fields[4]) != at {
			continue
		}
		e = mountEntry{device: unescapeOctal(more[1]), path: at, typ: more[0], options: strings.Split(fields[5], ",")}
		super = strings.Split(more[2], ",")
	}
	return e, super
}

// parseUsage reads the blocks of a file system and those that are free, and
// returns the rounded percentage of those in use.
func parseUsage(text string) (int, error) {
	fields := strings.Fields(text)
	if len(fields) != 2 {
		return 0, errors.New("not two numbers")
	}
	blocks, err := strconv.ParseUint(fields[0], 10, 64)
	if err != nil || blocks == 0 {
		return 0, errors.New("no number of blocks")
	}
	free, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil || free > blocks {
		return 0, errors.New("no number of free blocks")
	}
	return int(math.Round((1 - float64(free)/float64(blocks)) * 100)), nil
}

func interfaceValues(_ *compiler, b *Expect) []value {
	dir := path.Join(sysInterfaces, b.Subject)
	boot := []option{needsBoot(""), reads(func(n *needs) {
		n.path(sysInterfaces)
		n.path(dir)
	})}
	show := "exec ip -o addr show dev " + quote(b.Subject)
	return []value{
		exists(func(f *facts) verdict { return f.hasInterface(dir) }, boot...),
		{name: "mtu", options: append(slices.Clone(boot), readsText(dir+"/mtu")), read: func(f *facts) (any, verdict) {
			if v := f.hasInterface(dir); v.outcome != "" {
				return nil, v
			}
			text, v := f.content(dir + "/mtu")
			if v.outcome != "" {
				return nil, v
			}
			mtu, err := strconv.Atoi(strings.TrimSpace(string(text)))
			if err != nil {
				return nil, undecided("%s/mtu says %q", dir, text)
			}
			return mtu, verdict{}
		}},
		{name: "addrs", options: append(slices.Clone(boot), reads(func(n *needs) { n.command(show, defaultTimeout) })), read: func(f *facts) (any, verdict) {
			if v := f.hasInterface(dir); v.outcome != "" {
				return nil, v
			}
			r, v := f.command(show)
			switch {
			case r == nil:
				return nil, v
			case r.exit != 0:
				return nil, undecided("the image's ip command exited with %d: %s", r.exit, shown(r.stderr))
			}
			addrs := []string{}
			for _, p := range parseAddresses(string(r.stdout)) {
				addrs = append(addrs, p.String())
			}
			return addrs, verdict{}
		}},
	}
}
