package goss

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/imagebakery/packer-plugin-bakery/internal/check"
)

// kind is a kind of resource.
type kind struct {
	subject  string   // attribute that stands for the id
	values   []string // what is asserted, in goss's order
	required string   // of values: without it goss fails the resource
	example  string   // of it
	numbers  []string // of values: a text is read as a number
	options  map[string]func(*check.Options) any
	remedies map[string]string
	clean    func(subject string) string // as goss does with it
}

// kinds are all of goss v0.4.9, but gossfile.
var kinds = map[string]kind{
	"file": {
		subject: "path", required: "exists", example: "true", clean: path.Clean,
		values: []string{"exists", "mode", "owner", "uid", "group", "gid", "linked-to", "filetype", "contains", "contents", "size", "md5", "sha256", "sha512"},
	},
	"package": {subject: "name", required: "installed", example: "true", values: []string{"installed", "versions"}},
	"service": {
		subject: "name", values: []string{"enabled", "running", "runlevels"},
		remedies: map[string]string{"running": "enabled: true to check that it starts at boot"},
	},
	"command": {
		subject: "exec", required: "exit-status", example: "0", values: []string{"exit-status", "stdout", "stderr"}, numbers: []string{"exit-status"},
		options: map[string]func(*check.Options) any{"timeout": milliseconds},
	},
	"user": {
		subject: "username", required: "exists", example: "true", values: []string{"exists", "uid", "gid", "home", "groups", "shell"},
		numbers: []string{"uid", "gid"},
	},
	"group":   {subject: "groupname", required: "exists", example: "true", values: []string{"exists", "gid"}, numbers: []string{"gid"}},
	"process": {subject: "comm", required: "running", example: "true", values: []string{"running"}, remedies: map[string]string{"running": startsAtBoot}},
	"port": {
		subject: "port", required: "listening", example: "true", values: []string{"listening", "ip"},
		remedies: map[string]string{"listening": startsAtBoot, "ip": startsAtBoot},
	},
	"addr": {
		subject: "address", required: "reachable", example: "true", values: []string{"reachable"},
		options: map[string]func(*check.Options) any{"timeout": milliseconds, "local-address": func(o *check.Options) any { return &o.Source }},
	},
	"dns": {
		subject: "resolve", required: "resolvable", example: "true", values: []string{"resolvable", "addrs"},
		options: map[string]func(*check.Options) any{"timeout": milliseconds, "server": func(o *check.Options) any { return &o.Server }},
	},
	"http": {
		subject: "url", required: "status", example: "200", values: []string{"status", "headers", "body"},
		options: map[string]func(*check.Options) any{
			"timeout":             milliseconds,
			"method":              func(o *check.Options) any { return &o.Method },
			"allow-insecure":      func(o *check.Options) any { return &o.Insecure },
			"no-follow-redirects": func(o *check.Options) any { return &o.NoFollow },
			"request-headers":     func(o *check.Options) any { return &o.Headers },
			"request-body":        func(o *check.Options) any { return &o.Body },
			"username":            func(o *check.Options) any { return &o.User },
			"password":            func(o *check.Options) any { return &o.Password },
			"ca-file":             func(o *check.Options) any { return &o.CAFile },
			"cert-file":           func(o *check.Options) any { return &o.CertFile },
			"key-file":            func(o *check.Options) any { return &o.KeyFile },
			"proxy":               func(o *check.Options) any { return &o.Proxy },
		},
	},
	"interface": {subject: "name", required: "exists", example: "true", values: []string{"exists", "addrs", "mtu"}},
	"kernel-param": {
		subject: "name", required: "value", example: `"1"`, values: []string{"value"},
		remedies: map[string]string{"value": "a kernel_param block with configured (in the template or a suite file)"},
	},
	"mount": {
		subject: "mountpoint", required: "exists", example: "true", values: []string{"exists", "opts", "vfs-opts", "source", "filesystem", "usage"},
		options: map[string]func(*check.Options) any{"timeout": milliseconds},
		remedies: map[string]string{
			"exists": mountedAtBoot, "opts": mountedAtBoot, "vfs-opts": mountedAtBoot, "source": mountedAtBoot, "filesystem": mountedAtBoot,
		},
	},
	"matching": {
		required: "matches", example: `"a text"`, values: []string{"matches"},
		options: map[string]func(*check.Options) any{
			"content":   func(o *check.Options) any { return &o.Content },
			"as-reader": func(o *check.Options) any { return &o.Lines },
		},
	},
}

const (
	startsAtBoot  = "a service with enabled: true"
	mountedAtBoot = "a mount block (in the template or a suite file) to check fstab"
)

func milliseconds(o *check.Options) any { return &o.Milliseconds }

func kindNames() string {
	names := append(slices.Collect(maps.Keys(kinds)), "gossfile")
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// severities are those that meta may name; goss has none.
var severities = []string{"low", "medium", "high", "critical"}

// attribute reads one attribute of a resource.
func (k kind) attribute(e *check.Expect, values map[string]check.Expected, skip *bool, d *document, attr field) error {
	switch attr.key {
	case "title":
		var title string
		return attr.value.Decode(&title)
	case "skip":
		return attr.value.Decode(skip)
	case "meta":
		return readMeta(e, attr)
	case "resolveable":
		if e.Of == "dns" {
			if _, ok := values["resolvable"]; !ok {
				attr.key = "resolvable"
			}
		}
	}
	if attr.key == k.subject && k.subject != "" {
		var subject string
		if err := attr.value.Decode(&subject); err != nil {
			return err
		}
		if subject != "" {
			e.Subject = subject
		}
		return nil
	}
	if option, ok := k.options[attr.key]; ok {
		return attr.value.Decode(option(&e.Options))
	}
	if !slices.Contains(k.values, attr.key) {
		return fmt.Errorf("is nothing that a %s has; there are %s", e.Of, strings.Join(k.attributes(), ", "))
	}
	want := check.Expected{Name: attr.key, Line: d.line(attr.line)}
	if err := attr.value.Decode(&want.Want); err != nil {
		return err
	}
	if text, ok := want.Want.(string); ok && slices.Contains(k.numbers, attr.key) {
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a number", text)
		}
		want.Want = float64(n)
	}
	values[attr.key] = want
	return nil
}

// attributes are the names of all that a resource may have.
func (k kind) attributes() []string {
	names := slices.Concat(k.values, slices.Collect(maps.Keys(k.options)), []string{"meta", "skip", "title"})
	if k.subject != "" {
		names = append(names, k.subject)
	}
	slices.Sort(names)
	return names
}

// readMeta reads what meta says to us: goss carries it without a meaning, so a
// suite may have it and still run with goss.
func readMeta(e *check.Expect, attr field) error {
	var meta map[string]any
	if err := attr.value.Decode(&meta); err != nil {
		return err
	}
	if text, ok := meta["severity"].(string); ok && slices.Contains(severities, text) {
		e.Severity = &text
	}
	switch requires := meta["requires"].(type) {
	case nil:
	case string:
		if requires == "boot" {
			e.Requires = &requires
		}
	default:
		return errors.New(`requires is not a text; write "boot" to leave the resource to the booted run`)
	}
	return nil
}
