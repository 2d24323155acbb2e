package check

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// liveCommands are programs whose answer comes from what runs, or from the
// kernel: in a mounted image they answer for the build host, or exit with 0
// without an answer, as systemctl does. The text says what to write instead.
var liveCommands = map[string]string{
	"systemctl":   `a service block, with enabled = true`,
	"service":     `a service block, with enabled = true`,
	"rc-service":  `a service block, with enabled = true`,
	"ss":          `a service block, with enabled = true`,
	"netstat":     `a service block, with enabled = true`,
	"lsof":        `a service block, with enabled = true`,
	"ps":          `a service block, with enabled = true`,
	"pgrep":       `a service block, with enabled = true`,
	"pidof":       `a service block, with enabled = true`,
	"ntpq":        `a file block on the configured servers`,
	"chronyc":     `a file block on the configured servers`,
	"timedatectl": `a file block on /etc/localtime or /etc/timezone`,
	"hostnamectl": `a file block on /etc/hostname`,
	"hostname":    `a file block on /etc/hostname`,
	"loginctl":    ``,
	"lsmod":       `a kernel_module block, with at_boot = true`,
	"sysctl":      `a kernel_param block, with configured`,
	"mount":       `a mount block`,
	"findmnt":     `a mount block`,
	"ip":          `a file block on the network configuration`,
	"ifconfig":    `a file block on the network configuration`,
	"iptables":    `a file block on the saved rules`,
	"ip6tables":   `a file block on the saved rules`,
	"nft":         `a file block on /etc/nftables.conf`,
	"auditctl":    `a file block on /etc/audit/rules.d`,
	"getenforce":  `a file block on /etc/selinux/config`,
	"sestatus":    `a file block on /etc/selinux/config`,
	"crictl":      ``,
	"docker":      ``,
	"podman":      ``,
	"uname":       `a package block on the kernel`,
	"uptime":      ``,
	"dmesg":       ``,
	"journalctl":  ``,
}

// offlineSystemctl are the verbs of systemctl that answer from files; in a
// chroot all others are ignored, with exit status 0: systemctl(1), SYSTEMD_OFFLINE.
var offlineSystemctl = []string{
	"is-enabled", "list-unit-files", "get-default", "is-system-running",
	"enable", "disable", "mask", "unmask", "preset", "preset-all", "set-default", "--version",
}

// wrappers run the program that their arguments name.
var wrappers = []string{"sudo", "env", "exec", "command", "nice", "time", "timeout", "nohup", "setsid", "xargs", "chronic"}

// lintCommand finds what is wrong with the text of a command without running
// it: that it is no shell command, and, for offline ones, that no mounted image
// can answer it.
func lintCommand(text string, offline bool) []string {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "")
	if err != nil {
		return []string{fmt.Sprintf("%q is not a shell command: %v", shortSubject(text), err)}
	}
	if !offline {
		return nil
	}
	functions := map[string]bool{}
	syntax.Walk(file, func(node syntax.Node) bool {
		if f, ok := node.(*syntax.FuncDecl); ok {
			functions[f.Name.Value] = true
		}
		return true
	})
	var problems []string
	syntax.Walk(file, func(node syntax.Node) bool {
		call, ok := node.(*syntax.CallExpr)
		if !ok {
			return true
		}
		words := make([]string, len(call.Args))
		for i, word := range call.Args {
			words[i] = literal(word)
		}
		if program, instead, bad := liveProgram(words); bad && !functions[program] {
			remedy := `write requires = "boot"`
			if instead != "" {
				remedy = "write " + instead + ", or " + `requires = "boot"`
			}
			problems = appendNew(problems, fmt.Sprintf("%s cannot be decided offline: it answers for the build host or not at all while the image is mounted in a chroot; %s; with mode = \"booted\" it is allowed", program, remedy))
		}
		return true
	})
	return problems
}

// alwaysSucceeds tells whether a command exits with 0 whatever it does, because it
// ends with something that cannot fail: foo || true. A plain true is left alone:
// nobody takes that for a check of something else.
func alwaysSucceeds(text string) bool {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "")
	if err != nil || len(file.Stmts) == 0 {
		return false
	}
	if _, plain := file.Stmts[0].Cmd.(*syntax.CallExpr); plain && len(file.Stmts) == 1 {
		return false
	}
	exits := false
	syntax.Walk(file, func(node syntax.Node) bool {
		// With one of these, the end may not be reached.
		if call, ok := node.(*syntax.CallExpr); ok && len(call.Args) > 0 {
			exits = exits || slices.Contains([]string{"exit", "set", "exec", "return", "eval", "."}, literal(call.Args[0]))
		}
		return true
	})
	return !exits && succeeds(file.Stmts[len(file.Stmts)-1])
}

// succeeds tells whether a statement cannot fail.
func succeeds(s *syntax.Stmt) bool {
	if s.Background {
		return true
	}
	if s.Negated || len(s.Redirs) > 0 {
		return false
	}
	switch c := s.Cmd.(type) {
	case *syntax.CallExpr:
		return len(c.Args) > 0 && slices.Contains([]string{"true", ":", "echo", "printf"}, literal(c.Args[0]))
	case *syntax.BinaryCmd:
		switch c.Op {
		case syntax.OrStmt:
			return succeeds(c.X) || succeeds(c.Y)
		case syntax.AndStmt:
			return succeeds(c.X) && succeeds(c.Y)
		case syntax.Pipe, syntax.PipeAll:
			return succeeds(c.Y)
		}
	case *syntax.Block:
		return len(c.Stmts) > 0 && succeeds(c.Stmts[len(c.Stmts)-1])
	case *syntax.Subshell:
		return len(c.Stmts) > 0 && succeeds(c.Stmts[len(c.Stmts)-1])
	}
	return false
}

// literal is the text of a word without expansions, and "" of any other.
func literal(word *syntax.Word) string {
	var text strings.Builder
	for _, part := range word.Parts {
		switch p := part.(type) {
		case *syntax.Lit:
			text.WriteString(strings.ReplaceAll(p.Value, `\`, ""))
		case *syntax.SglQuoted:
			text.WriteString(p.Value)
		case *syntax.DblQuoted:
			for _, inner := range p.Parts {
				lit, ok := inner.(*syntax.Lit)
				if !ok {
					return ""
				}
				text.WriteString(lit.Value)
			}
		default:
			return ""
		}
	}
	return text.String()
}

// liveProgram looks for the program that words run, behind wrappers too.
func liveProgram(words []string) (program, instead string, bad bool) {
	for i, word := range words {
		name := path.Base(word)
		if slices.Contains(wrappers, name) {
			continue
		}
		// Options and values of a wrapper: sudo -n, timeout 5, env A=b.
		if i > 0 && (strings.HasPrefix(word, "-") || strings.Contains(word, "=") || strings.Trim(word, "0123456789.smhd") == "") {
			continue
		}
		instead, bad = liveCommands[name]
		if name == "systemctl" && bad {
			for _, arg := range words[i+1:] {
				if slices.Contains(offlineSystemctl, arg) {
					return name, "", false
				}
			}
		}
		return name, instead, bad
	}
	return "", "", false
}
