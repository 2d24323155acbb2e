package check

import (
	"crypto/rand"
	"embed"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

//go:embed script/*.sh
var parts embed.FS

// part returns a piece of the script without its comments, which would only
// cost time on the way.
func part(name string) string {
	data, err := parts.ReadFile("script/" + name)
	if err != nil {
		panic(fmt.Sprintf("check: the script's part %s was not built in: %v", name, err))
	}
	var text strings.Builder
	for line := range strings.Lines(string(data)) {
		line = strings.TrimLeft(line, "\t")
		if line != "\n" && !strings.HasPrefix(line, "#") {
			text.WriteString(line)
		}
	}
	return text.String()
}

// script is what a shell of the image runs: definitions, and then calls with
// quoted words.
type script struct {
	nonce       string
	definitions strings.Builder
	calls       strings.Builder
	batches     [][]*pathNeed
}

// newNonce returns a word that nobody can guess.
func newNonce() string {
	var random [16]byte
	// Read never fails: https://pkg.go.dev/crypto/rand#Read.
	_, _ = rand.Read(random[:])
	return "bakery-" + hex.EncodeToString(random[:])
}

func (s *script) part(name string) { s.definitions.WriteString(part(name)) }

// call adds a call of a function of the script. The arguments are words, with
// whatever characters.
func (s *script) call(function string, args ...string) {
	s.calls.WriteString(function)
	for _, a := range args {
		s.calls.WriteByte(' ')
		s.calls.WriteString(quote(a))
	}
	s.calls.WriteByte('\n')
}

// files remembers a batch of paths and returns the number that its frames bear.
func (s *script) files(batch []*pathNeed) string {
	s.batches = append(s.batches, batch)
	return strconv.Itoa(len(s.batches) - 1)
}

// text is the whole script. It runs only when it arrived whole: the calls are
// the body of a function, which the last line calls.
func (s *script) text() string {
	var b strings.Builder
	// A terminal on the way shows at once, before it can garble long lines.
	fmt.Fprintf(&b, "n=%s\nprintf '\\n%%s hello\\n' $n\n", s.nonce)
	b.WriteString(part("prelude.sh"))
	b.WriteString(s.definitions.String())
	b.WriteString("bakery() {\nuid=$(id -u 2>/dev/null)\nframe begin \"$uid\"\nfile os-release /etc/os-release\n")
	b.WriteString(s.calls.String())
	b.WriteString("frame done\n}\nbakery </dev/null\nexit\n")
	return b.String()
}

// quote makes one word of a POSIX shell of any text.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// newScript writes the script that reads what n asks for.
func newScript(nonce string, n *needs, mode Mode) *script {
	s := &script{nonce: nonce}
	scriptAccounts(s, n, mode)
	scriptPackages(s, n)
	scriptServices(s, n)
	scriptFiles(s, n)
	scriptLinks(s, n)
	scriptConfigs(s, n)
	scriptProcesses(s, n)
	scriptHygiene(s, n)
	scriptSecrets(s, n)
	scriptCovered(s, n)
	scriptCommands(s, n, mode)
	return s
}

// newFactsProbe writes the script that finds out what the image is.
func newFactsProbe(nonce string) *script {
	s := &script{nonce: nonce}
	s.part("facts.sh")
	s.call("facts")
	return s
}

// newProbe writes the script that finds out whether the image runs.
func newProbe(nonce string) *script {
	s := &script{nonce: nonce}
	s.part("probe.sh")
	s.call("probe")
	return s
}
