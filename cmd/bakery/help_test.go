package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// notForPrograms are the commands without --output, and why.
var notForPrograms = map[string]string{
	"bakery local serve":  "it serves until it is interrupted; programs read the APIs",
	"bakery spec learn":   "it writes a suite file",
	"bakery spec convert": "it writes a suite file",
	"bakery images sbom":  "it writes CycloneDX's JSON",
}

// TestEveryCommandHelps holds what the help of a command owes its reader.
func TestEveryCommandHelps(t *testing.T) {
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() && sub.Name() != "completion" && sub.Name() != "help" {
				visit(sub)
			}
		}
		path := cmd.CommandPath()
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: its short help is %q; want a phrase", path, cmd.Short)
		}
		for line := range strings.Lines(cmd.Long) {
			if len([]rune(line)) > 90 {
				t.Errorf("%s: a line of its help is too long for a terminal: %q", path, line)
			}
		}
		if cmd.HasSubCommands() {
			return
		}
		if !strings.Contains(cmd.Example, "  bakery ") || !strings.Contains(cmd.Example, " "+cmd.Name()) {
			t.Errorf("%s: its help shows no example of it", path)
		}
		_, excused := notForPrograms[path]
		if has := cmd.Flags().Lookup("output") != nil; has == excused {
			t.Errorf("%s: --output is there: %v; want the opposite", path, has)
		}
	}
	root := newRoot()
	visit(root)
	names := []string{}
	for _, cmd := range root.Commands() {
		names = append(names, cmd.Name())
	}
	for _, want := range []string{"images", "local", "promote", "reap", "registry", "revoke", "spec", "test"} {
		if !slices.Contains(names, want) {
			t.Errorf("there is no command %s", want)
		}
	}
}
