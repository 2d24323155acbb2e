package check

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	"mvdan.cc/sh/v3/syntax"
)

// Ways to run a command that mean the same as a shell of its own would, and save
// starting one.
const (
	byShell = ""     // a shell of its own
	byCopy  = "here" // a copy of the shell that runs all commands
	byExec  = "exec" // that copy becomes the program
)

// wayOf says how a command can be run. Another shell cannot tell the difference
// when a text has no expansions, so that no variable or argument of the shell shows,
// and no builtin that tells or changes something of it.
func wayOf(text string) string {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(text), "")
	if err != nil || len(file.Stmts) == 0 {
		return byShell
	}
	for _, s := range file.Stmts {
		if !isPlain(s) {
			return byShell
		}
	}
	only := file.Stmts[0]
	call, isCall := only.Cmd.(*syntax.CallExpr)
	if len(file.Stmts) == 1 && isCall && !only.Negated && only.Pos().Offset() == 0 && !slices.Contains(stateless, literal(call.Args[0])) {
		return byExec
	}
	return byCopy
}

// stateless are the builtins of shells that neither tell nor change anything of the
// shell that could be seen when it ends.
var stateless = []string{"test", "[", "true", "false", "echo", "printf", "cd", "pwd", "exit"}

// stateful are the other builtins of shells, and words that some take for more
// than a program.
var stateful = []string{
	".", ":", "alias", "bg", "bind", "break", "builtin", "caller", "chdir", "command", "compgen", "complete", "compopt", "continue",
	"coproc", "declare", "dirs", "disown", "enable", "eval", "exec", "export", "fc", "fg", "function", "getopts", "hash", "help",
	"history", "jobs", "kill", "let", "local", "logout", "mapfile", "popd", "pushd", "read", "readarray", "readonly", "return",
	"select", "set", "shift", "shopt", "source", "suspend", "time", "times", "trap", "type", "typeset", "ulimit", "umask", "unalias",
	"unset", "wait", "[[",
}

// program matches words that are names of programs, and no syntax of any shell.
var program = regexp.MustCompile(`^(?:[A-Za-z0-9_./+][A-Za-z0-9_./+-]*|\[)$`)

// ownFunctions are the functions of the shell that runs commands: it would take
// them for a program of the same name.
var ownFunctions = sync.OnceValue(func() map[string]bool {
	names := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^(\w+)\(\)`).FindAllStringSubmatch(part("prelude.sh")+part("commands.sh")+commandsFunction, -1) {
		names[m[1]] = true
	}
	return names
})

// isPlain tells whether a statement is made of programs and literal words alone.
func isPlain(s *syntax.Stmt) bool {
	if s.Background || s.Coprocess {
		return false
	}
	for _, r := range s.Redirs {
		if r.Hdoc != nil || r.N != nil && len(r.N.Value) > 1 || !isLiteral(r.Word) ||
			!slices.Contains([]syntax.RedirOperator{syntax.RdrOut, syntax.AppOut, syntax.RdrIn, syntax.DplOut, syntax.DplIn}, r.Op) {
			return false
		}
	}
	switch c := s.Cmd.(type) {
	case *syntax.CallExpr:
		if len(c.Assigns) > 0 || len(c.Args) == 0 || len(c.Args[0].Parts) != 1 {
			return false
		}
		name, ok := c.Args[0].Parts[0].(*syntax.Lit)
		if !ok || !program.MatchString(name.Value) || slices.Contains(stateful, name.Value) || ownFunctions()[name.Value] {
			return false
		}
		return !slices.ContainsFunc(c.Args[1:], func(w *syntax.Word) bool { return !isLiteral(w) })
	case *syntax.BinaryCmd:
		return (c.Op == syntax.AndStmt || c.Op == syntax.OrStmt || c.Op == syntax.Pipe) && isPlain(c.X) && isPlain(c.Y)
	}
	return false
}

// isLiteral tells whether a word has nothing that a shell replaces, except
// patterns of file names.
func isLiteral(w *syntax.Word) bool {
	for _, p := range w.Parts {
		switch p := p.(type) {
		case *syntax.Lit:
			if strings.Contains(p.Value, "~") {
				return false
			}
		case *syntax.SglQuoted:
			if p.Dollar {
				return false
			}
		case *syntax.DblQuoted:
			if p.Dollar || slices.ContainsFunc(p.Parts, func(inner syntax.WordPart) bool { _, ok := inner.(*syntax.Lit); return !ok }) {
				return false
			}
		default:
			return false
		}
	}
	return true
}
