// Package secrets finds credentials in text: keys of clouds, tokens, passwords and
// private keys, by the rules of gitleaks.
package secrets

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	ahocorasick "github.com/BobuSumisu/aho-corasick"
	"github.com/rs/zerolog"
	"github.com/zricethezav/gitleaks/v8/detect"
	"github.com/zricethezav/gitleaks/v8/logging"
	"github.com/zricethezav/gitleaks/v8/report"
)

// Finding is a credential that was found.
type Finding struct {
	Rule string // of gitleaks: aws-access-token
	Line int    // on which it begins, from 1; 0 when it is the file as a whole
	// Hint is enough of the secret to find it again, and too little to use it.
	Hint string
}

// PrivateKey is the rule that finds private keys.
const PrivateKey = "private-key"

// Scanner looks for credentials. It may be used by several goroutines at once.
type Scanner struct {
	detector *detect.Detector
	words    *ahocorasick.Trie // what is in any text that a rule can match
}

// Load returns the scanner. The first call takes some 50 ms, for the rules to be
// compiled; programs that look for no secrets need not pay for that.
var Load = sync.OnceValues(func() (*Scanner, error) {
	// It would log to stderr.
	logging.Logger = zerolog.Nop()
	detector, err := detect.NewDetectorDefaultConfig()
	if err != nil {
		return nil, fmt.Errorf("load the rules for secrets: %w", err)
	}
	// The image does not decide what is let pass in it.
	detector.IgnoreGitleaksAllow = true
	words := ahocorasick.NewTrieBuilder()
	for word := range detector.Config.Keywords {
		words.AddString(strings.ToLower(word))
	}
	return &Scanner{detector: detector, words: words.Build()}, nil
})

// sniffed is how much of a file tells whether it is text, as Git has it.
const sniffed = 8000

// Scan returns what is found in a file. Its path counts too: some rules are about
// names, and pictures, lock files of package managers and their like are passed
// over. Of what is no text only the path is looked at. When ctx ends, so does
// the search, and what it returns is not all.
func (s *Scanner) Scan(ctx context.Context, path string, content []byte) []Finding {
	var found []Finding
	look := func(text string, line int) {
		for _, f := range s.detect(ctx, path, text) {
			finding := Finding{Rule: f.RuleID, Hint: hint(f.RuleID, f.Secret)}
			if text != "" {
				finding.Line = line + f.StartLine
			}
			if !slices.Contains(found, finding) {
				found = append(found, finding)
			}
		}
	}
	look("", 0)
	if bytes.IndexByte(content[:min(len(content), sniffed)], 0) >= 0 {
		return found
	}
	line, counted := 1, 0
	for _, w := range s.windows(content) {
		if ctx.Err() != nil {
			break
		}
		line += bytes.Count(content[counted:w.start], newline)
		counted = w.start
		look(string(content[w.start:w.end]), line)
	}
	return found
}

func (s *Scanner) detect(ctx context.Context, path, text string) []report.Finding {
	return s.detector.DetectContext(ctx, detect.Fragment{Raw: text, FilePath: path}) //nolint:staticcheck // v8 has no other way
}

// hint shows the kind of a secret.
func hint(rule, secret string) string {
	const shown, long = 4, 20
	switch {
	case rule == PrivateKey || secret == "":
		return ""
	case len(secret) < long || !utf8.ValidString(secret):
		return fmt.Sprintf("%d characters", len(secret))
	}
	return fmt.Sprintf("%s… of %d characters", secret[:shown], len(secret))
}
