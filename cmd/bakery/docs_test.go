package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/syntax"
)

var (
	fenced  = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")
	prompt  = regexp.MustCompile(`(?m)^[#$] `)
	comment = regexp.MustCompile(`(?m)\s+# .*$`)
)

// TestDocumentsUseCommandsThatExist holds every bakery command of the
// documentation to the commands, flags and arguments that there are.
func TestDocumentsUseCommandsThatExist(t *testing.T) {
	checked := 0
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../docs/*/*.mdx", "../../example/*.md", "../../example/*/*.sh"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			blocks := [][]string{{"", "sh", string(text)}}
			if !strings.HasSuffix(file, ".sh") {
				blocks = fenced.FindAllStringSubmatch(string(text), -1)
			}
			for _, block := range blocks {
				if !slices.Contains([]string{"", "sh", "shell", "console"}, block[1]) {
					continue
				}
				for _, args := range bakeryCalls(block[2]) {
					checked++
					if err := accepts(args); err != nil {
						t.Errorf("%s: bakery %s: %v", strings.TrimPrefix(file, "../../"), strings.Join(args, " "), err)
					}
				}
			}
		}
	}
	if checked < 30 {
		t.Errorf("only %d commands were found in the documentation", checked)
	}
}

// accepts parses a command line as the program does, without running it.
func accepts(args []string) error {
	cmd, rest, err := newRoot().Find(args)
	if err != nil {
		return err
	}
	cmd.InitDefaultHelpFlag()
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if help, _ := cmd.Flags().GetBool("help"); help {
		return nil
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		return err
	}
	return cmd.ValidateRequiredFlags()
}

// bakeryCalls finds the arguments of the calls of bakery in shell text. A block
// of a document that has output between its commands is read line by line.
func bakeryCalls(text string) [][]string {
	text = prompt.ReplaceAllString(text, "")
	if calls, err := parseCalls(text); err == nil {
		return calls
	}
	var all [][]string
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\\\n", " "), "\n") {
		if calls, err := parseCalls(comment.ReplaceAllString(line, "")); err == nil {
			all = append(all, calls...)
		}
	}
	return all
}

func parseCalls(text string) ([][]string, error) {
	file, err := syntax.NewParser().Parse(strings.NewReader(text), "")
	if err != nil {
		return nil, err
	}
	var calls [][]string
	syntax.Walk(file, func(node syntax.Node) bool {
		call, ok := node.(*syntax.CallExpr)
		if !ok || len(call.Args) < 2 {
			return true
		}
		if program := word(call.Args[0]); program == "bakery" || strings.HasSuffix(program, "/bakery") {
			var args []string
			for _, arg := range call.Args[1:] {
				args = append(args, word(arg))
			}
			calls = append(calls, args)
		}
		return true
	})
	return calls, nil
}

// word is the text of a word; what only a shell can know of it is an x.
func word(w *syntax.Word) string {
	var text strings.Builder
	var add func([]syntax.WordPart)
	add = func(parts []syntax.WordPart) {
		for _, part := range parts {
			switch part := part.(type) {
			case *syntax.Lit:
				text.WriteString(part.Value)
			case *syntax.SglQuoted:
				text.WriteString(part.Value)
			case *syntax.DblQuoted:
				add(part.Parts)
			default:
				text.WriteString("x")
			}
		}
	}
	add(w.Parts)
	return text.String()
}
