package serverspec

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
)

// convert turns one expectation into blocks of checks.
func convert(e expectation) ([]*block, error) {
	turn, known := resources[e.subject.kind]
	if !known {
		return nil, fmt.Errorf("there is no check for %s", e.subject.kind)
	}
	if len(e.subject.args) == 0 {
		return turn(e, "")
	}
	subject := e.subject.args[0]
	if subject.isList || subject.pattern || subject.key != "" || len(e.subject.args) > 1 {
		return nil, fmt.Errorf("%s of more than a name is not understood", e.subject.kind)
	}
	if subject.text == "" {
		return nil, errors.New("the name is empty")
	}
	return turn(e, subject.text)
}

var resources map[string]func(e expectation, name string) ([]*block, error)

func init() {
	resources = map[string]func(e expectation, name string) ([]*block, error){
		"file": file, "package": pkg, "service": service, "command": command, "user": user, "group": group,
		"port": port, "process": process, "host": host, "kernel_module": kernelModule,
		"linux_kernel_parameter": kernelParameter, "cron": cron, "interface": networkInterface, "selinux": selinux,
	}
}

func one(b *block) ([]*block, error) { return []*block{b}, nil }

// notTurned is the error for a matcher that has no counterpart.
func (e expectation) notTurned() ([]*block, error) {
	var words []string
	if e.property != "" {
		words = append(words, "its "+e.property)
	}
	if e.not {
		words = append(words, "not")
	}
	for _, link := range e.matcher {
		words = append(words, link.name)
	}
	return nil, fmt.Errorf("%s: there is no check for %q", e.subject.kind, strings.Join(words, " "))
}

// plain returns the name of a matcher without links behind it and its only
// argument, if it has one.
func (e expectation) plain() (name string, arg value) {
	if len(e.matcher) != 1 || len(e.matcher[0].args) > 1 || e.property != "" {
		return "", value{}
	}
	if len(e.matcher[0].args) == 1 {
		arg = e.matcher[0].args[0]
	}
	if arg.isList || arg.key != "" || arg.pattern {
		return "", value{}
	}
	return e.matcher[0].name, arg
}

// equals returns the value that a property shall have.
func (e expectation) equals() (string, bool) {
	if len(e.matcher) != 1 || len(e.matcher[0].args) != 1 {
		return "", false
	}
	arg := e.matcher[0].args[0]
	switch e.matcher[0].name {
	case "eq", "eql", "==", "be==", "be":
		return arg.text, !arg.pattern && !arg.isList && arg.key == ""
	}
	return "", false
}

// number is a constraint on a number, in the words of a check.
func (e expectation) number() (string, bool) {
	if v, ok := e.equals(); ok && isNumber(v) {
		if e.not {
			return "!= " + v, true
		}
		return v, true
	}
	if e.not || len(e.matcher) != 1 || len(e.matcher[0].args) != 1 || !isNumber(e.matcher[0].args[0].text) {
		return "", false
	}
	switch name := e.matcher[0].name; name {
	case "be>", "be<", "be>=", "be<=":
		return strings.TrimPrefix(name, "be") + " " + e.matcher[0].args[0].text, true
	}
	return "", false
}

var fileTypes = map[string]string{
	"be_file": "file", "be_directory": "directory", "be_symlink": "link", "be_pipe": "pipe", "be_socket": "socket",
	"be_block_device": "block", "be_character_device": "character",
}

func file(e expectation, path string) ([]*block, error) {
	if !strings.HasPrefix(path, "/") {
		return nil, errors.New("the path is relative")
	}
	if e.property != "" {
		return fileProperty(e, path)
	}
	if e.matcher[0].name == "contain" || e.matcher[0].name == "match" {
		return content(e, path)
	}
	if e.matcher[0].name == "be_mounted" {
		return mount(e, path)
	}
	name, arg := e.plain()
	if kind, ok := fileTypes[name]; ok {
		if e.not {
			return one(newBlock("file", path, yes("exists", false)).
				noted("stricter than Serverspec's: nothing may be there, of whatever type"))
		}
		return one(newBlock("file", path, is("type", kind)))
	}
	switch {
	case name == "exist":
		return one(newBlock("file", path, yes("exists", !e.not)))
	case e.not:
	case name == "be_mode" && arg.text != "":
		return one(newBlock("file", path, is("mode", octal(arg.text))))
	case name == "be_owned_by" && arg.text != "":
		return one(newBlock("file", path, is("owner", arg.text)))
	case name == "be_grouped_into" && arg.text != "":
		return one(newBlock("file", path, is("group", arg.text)))
	case name == "be_linked_to" && arg.text != "":
		return one(newBlock("file", path, is("target", arg.text)))
	}
	return e.notTurned()
}

// octal writes a mode with four digits: Serverspec compares what stat says, which
// has no zero in front.
func octal(mode string) string { return strings.Repeat("0", max(0, 4-len(mode))) + mode }

func fileProperty(e expectation, path string) ([]*block, error) {
	if e.property == "content" {
		return content(e, path)
	}
	if size, ok := e.number(); ok && e.property == "size" {
		return one(newBlock("file", path, is("size", size)))
	}
	v, ok := e.equals()
	if !ok || e.not {
		return e.notTurned()
	}
	switch e.property {
	case "mode":
		return one(newBlock("file", path, is("mode", octal(v))))
	case "owner", "group":
		return one(newBlock("file", path, is(e.property, v)))
	case "link_target":
		return one(newBlock("file", path, is("target", v)))
	case "md5sum":
		return one(newBlock("file", path, is("md5", v)))
	case "sha256sum":
		return one(newBlock("file", path, is("sha256", v)))
	}
	return e.notTurned()
}

// content turns what a file contains, or its(:content) of it.
func content(e expectation, path string) ([]*block, error) {
	if v, ok := e.equals(); ok && !e.not {
		sum := sha256.Sum256([]byte(v))
		return one(newBlock("file", path, is("sha256", hex.EncodeToString(sum[:]))).noted("the digest of the content that was written out"))
	}
	a, err := e.texts("", e.property == "")
	if err != nil {
		return nil, err
	}
	return one(newBlock("file", path, a))
}

// texts turns contain, match and include into an attribute for contents, whose
// name begins with prefix. grep says that the text of contain is a pattern of
// grep, or else the text itself.
func (e expectation) texts(prefix string, grep bool) (attr, error) {
	if len(e.matcher) != 1 || len(e.matcher[0].args) != 1 {
		_, err := e.notTurned()
		return attr{}, err
	}
	not := ""
	if e.not {
		not = "not_"
	}
	arg := e.matcher[0].args[0]
	switch name := e.matcher[0].name; {
	case arg.isList || arg.key != "" || arg.text == "":
	case name == "match" && arg.pattern:
		re, err := re2(arg.text, arg.flags)
		return has(prefix+not+"matches", re), err
	case name == "match":
		re, err := re2(arg.text, "")
		return has(prefix+not+"matches", re), err
	case name == "contain" && arg.pattern:
		re, err := re2(arg.text, arg.flags)
		return has(prefix+not+"matches", re), err
	case name == "contain" && grep && special(arg.text):
		re, err := fromGrep(arg.text)
		return has(prefix+not+"matches", re), err
	case (name == "contain" || name == "include") && !arg.pattern:
		return has(prefix+not+"contains", arg.text), nil
	}
	_, err := e.notTurned()
	return attr{}, err
}

func mount(e expectation, path string) ([]*block, error) {
	if len(e.matcher) == 1 {
		return one(newBlock("mount", path, yes("mounted", !e.not)).booted())
	}
	if e.not || len(e.matcher) != 2 || e.matcher[1].name != "with" {
		return e.notTurned()
	}
	b := newBlock("mount", path, yes("mounted", true)).booted().noted("type and device are those of the entry in /etc/fstab")
	for _, arg := range e.matcher[1].args {
		if arg.key != "type" && arg.key != "device" || arg.isList {
			return e.notTurned()
		}
		b.attrs = append(b.attrs, is(arg.key, arg.text))
	}
	return one(b)
}

func pkg(e expectation, name string) ([]*block, error) {
	if e.property == "version" {
		return pkgVersion(e, name)
	}
	if e.property != "" || e.matcher[0].name != "be_installed" || len(e.matcher[0].args) > 0 {
		return e.notTurned()
	}
	switch {
	case len(e.matcher) == 1:
		return one(newBlock("package", name, yes("installed", !e.not)))
	case len(e.matcher) == 2 && len(e.matcher[1].args) == 1 && !e.not:
		arg := e.matcher[1].args[0].text
		switch e.matcher[1].name {
		case "with_version":
			return one(newBlock("package", name, is("version", "= "+arg)))
		case "by":
			return nil, fmt.Errorf("what %s has installed is not looked into: write a command that fails without it", arg)
		}
	}
	return e.notTurned()
}

func pkgVersion(e expectation, name string) ([]*block, error) {
	if len(e.matcher) != 1 || len(e.matcher[0].args) != 1 || e.not {
		return e.notTurned()
	}
	operator := strings.TrimPrefix(e.matcher[0].name, "be")
	switch e.matcher[0].name {
	case "eq", "==", "be==":
		operator = "="
	case "be>", "be<", "be>=", "be<=":
	default:
		return e.notTurned()
	}
	return one(newBlock("package", name, is("version", operator+" "+e.matcher[0].args[0].text)))
}

func service(e expectation, name string) ([]*block, error) {
	if len(e.matcher) > 1 || len(e.matcher[0].args) > 0 || e.property != "" {
		return e.notTurned()
	}
	switch e.matcher[0].name {
	case "be_enabled":
		return one(newBlock("service", name, yes("enabled", !e.not)))
	case "be_running":
		return one(newBlock("service", name, yes("running", !e.not)).booted())
	}
	return e.notTurned()
}

func command(e expectation, run string) ([]*block, error) {
	switch e.property {
	case "exit_status":
		if status, ok := e.number(); ok {
			return one(newBlock("command", run, is("exit_status", status)))
		}
	case "stdout", "stderr":
		if v, ok := e.equals(); ok && !e.not {
			return one(newBlock("command", run, is(e.property, v)))
		}
		a, err := e.texts(e.property+"_", false)
		if err != nil {
			return nil, err
		}
		return one(newBlock("command", run, a))
	}
	return e.notTurned()
}

func user(e expectation, name string) ([]*block, error) {
	if n, ok := e.number(); ok && e.property == "uid" {
		return one(newBlock("user", name, is("uid", n)))
	}
	matcher, arg := e.plain()
	switch {
	case matcher == "exist":
		return one(newBlock("user", name, yes("exists", !e.not)))
	case e.not || arg.text == "":
	case matcher == "have_uid":
		return one(newBlock("user", name, is("uid", arg.text)))
	case matcher == "belong_to_group":
		return one(newBlock("user", name, has("groups", arg.text)))
	case matcher == "have_home_directory":
		return one(newBlock("user", name, is("home", arg.text)))
	case matcher == "have_login_shell":
		return one(newBlock("user", name, is("shell", arg.text)))
	}
	return e.notTurned()
}

func group(e expectation, name string) ([]*block, error) {
	if n, ok := e.number(); ok && e.property == "gid" {
		return one(newBlock("group", name, is("gid", n)))
	}
	switch matcher, arg := e.plain(); {
	case matcher == "exist":
		return one(newBlock("group", name, yes("exists", !e.not)))
	case matcher == "have_gid" && !e.not && arg.text != "":
		return one(newBlock("group", name, is("gid", arg.text)))
	}
	return e.notTurned()
}

func port(e expectation, number string) ([]*block, error) {
	if e.property != "" || e.matcher[0].name != "be_listening" {
		return e.notTurned()
	}
	var addresses []string
	for _, link := range e.matcher[1:] {
		if len(link.args) != 1 {
			return e.notTurned()
		}
		switch arg := link.args[0].text; {
		case link.name == "with" && (arg == "tcp" || arg == "udp"):
			number = arg + ":" + number
		case link.name == "on" && net.ParseIP(arg) != nil:
			addresses = append(addresses, arg)
		default:
			return e.notTurned()
		}
	}
	switch {
	case len(addresses) > 0 && e.not:
		return one(newBlock("port", number, has("not_addresses", addresses...)).booted())
	case len(addresses) > 0:
		return one(newBlock("port", number, has("addresses", addresses...)).booted())
	}
	return one(newBlock("port", number, yes("listening", !e.not)).booted())
}

func process(e expectation, name string) ([]*block, error) {
	if n, ok := e.number(); ok && e.property == "count" {
		return one(newBlock("process", name, is("count", n)).booted())
	}
	if v, ok := e.equals(); ok && e.property == "user" && !e.not {
		return one(newBlock("process", name, is("user", v)).booted())
	}
	if matcher, _ := e.plain(); matcher == "be_running" {
		return one(newBlock("process", name, yes("running", !e.not)).booted())
	}
	return e.notTurned()
}

func host(e expectation, name string) ([]*block, error) {
	if v, ok := e.equals(); ok && !e.not && (e.property == "ipaddress" || e.property == "ipv4_address" || e.property == "ipv6_address") {
		return one(newBlock("dns", name, has("addresses", v)).booted())
	}
	if e.property != "" {
		return e.notTurned()
	}
	switch {
	case e.matcher[0].name == "be_resolvable" && len(e.matcher) == 1:
		return one(newBlock("dns", name, yes("resolvable", !e.not)).booted())
	case e.matcher[0].name == "be_reachable" && len(e.matcher) == 2 && e.matcher[1].name == "with":
		number := ""
		for _, arg := range e.matcher[1].args {
			switch {
			case arg.key == "port":
				number = arg.text
			case arg.key == "proto" && arg.text == "tcp", arg.key == "timeout":
			default:
				return e.notTurned()
			}
		}
		if number != "" {
			return one(newBlock("addr", net.JoinHostPort(name, number), yes("reachable", !e.not)).booted())
		}
	case e.matcher[0].name == "be_reachable":
		return nil, errors.New("there is no check that pings: name a port with .with(port: …)")
	}
	return e.notTurned()
}

func kernelModule(e expectation, name string) ([]*block, error) {
	if matcher, _ := e.plain(); matcher == "be_loaded" {
		return one(newBlock("kernel_module", name, yes("loaded", !e.not)).booted())
	}
	return e.notTurned()
}

func kernelParameter(e expectation, name string) ([]*block, error) {
	if n, ok := e.number(); ok && e.property == "value" {
		return one(newBlock("kernel_param", name, is("live", n)).booted())
	}
	if v, ok := e.equals(); ok && e.property == "value" && !e.not {
		return one(newBlock("kernel_param", name, is("live", v)).booted())
	}
	return e.notTurned()
}

// cron has no name in Serverspec; an entry is its schedule and its command, of
// root unless a user is named.
func cron(e expectation, _ string) ([]*block, error) {
	if e.property != "" || e.matcher[0].name != "have_entry" || len(e.matcher[0].args) != 1 || len(e.matcher) > 2 {
		return e.notTurned()
	}
	fields := strings.Fields(e.matcher[0].args[0].text)
	times := 5
	if len(fields) > 0 && strings.HasPrefix(fields[0], "@") {
		times = 1
	}
	if len(fields) <= times {
		return nil, errors.New("the entry is not a schedule and a command")
	}
	schedule, run, owner := strings.Join(fields[:times], " "), strings.Join(fields[times:], " "), "root"
	if len(e.matcher) == 2 {
		if e.matcher[1].name != "with_user" || len(e.matcher[1].args) != 1 {
			return e.notTurned()
		}
		owner = e.matcher[1].args[0].text
	}
	if e.not {
		return one(newBlock("cron", run, yes("exists", false)).
			noted("stricter than Serverspec's: whenever and whoever it would run as"))
	}
	return one(newBlock("cron", run, is("schedule", schedule), is("user", owner)))
}

func networkInterface(e expectation, name string) ([]*block, error) {
	if n, ok := e.number(); ok && e.property == "mtu" {
		return one(newBlock("interface", name, is("mtu", n)).booted())
	}
	switch matcher, arg := e.plain(); {
	case matcher == "exist":
		return one(newBlock("interface", name, yes("exists", !e.not)).booted())
	case matcher == "be_up":
		return one(newBlock("interface", name, yes("up", !e.not)).booted())
	case (matcher == "have_ipv4_address" || matcher == "have_ipv6_address") && !e.not && arg.text != "":
		return one(newBlock("interface", name, has("addresses", arg.text)).booted())
	}
	return e.notTurned()
}

func selinux(e expectation, _ string) ([]*block, error) {
	mode := map[string]string{"be_enforcing": "enforcing", "be_permissive": "permissive", "be_disabled": "disabled"}[e.matcher[0].name]
	if mode == "" || e.not || e.property != "" {
		return e.notTurned()
	}
	b := newBlock("selinux", "", is("configured", mode))
	for _, link := range e.matcher[1:] {
		if link.name != "with_policy" || len(link.args) != 1 {
			return e.notTurned()
		}
		b.attrs = append(b.attrs, is("policy", link.args[0].text))
	}
	return one(b)
}
