package check

import (
	"fmt"
	"strings"
	"time"
)

// facts is the state of an image as it was read.
type facts struct {
	mode       Mode
	now        time.Time
	root       bool              // the script ran as root
	os         map[string]string // of os-release
	nodes      map[string]*node
	leads      map[string][]byte // of a path: whether it leads to each covered file
	configs    map[configNeed]*configDir
	accounts   accounts
	packages   packages
	services   services
	commands   map[string]*commandResult
	outside    map[string]*commandResult // of those that had the builder's network
	running    processList
	remains    map[string]remains // by rule of hygiene
	secrets    searchedSecrets
	owned      packagedFiles
	candidates []candidate // for a search for secrets, until it is over
	chatter    string      // what the shell said on stderr outside of any command
	warnings   []string
}

func newFacts(mode Mode) *facts {
	return &facts{
		mode: mode, now: time.Now(), os: map[string]string{}, nodes: map[string]*node{}, leads: map[string][]byte{}, configs: map[configNeed]*configDir{},
		commands: map[string]*commandResult{}, outside: map[string]*commandResult{}, services: newServices(), remains: map[string]remains{}, owned: newPackagedFiles(),
	}
}

// osName names the operating system for people: debian 12.
func (f *facts) osName() string {
	return strings.TrimSpace(f.os["ID"] + " " + f.os["VERSION_ID"])
}

// unread is the verdict on state that the script did not deliver.
func (f *facts) unread(what string) verdict {
	if f.chatter != "" {
		return undecided("%s could not be read: the shell said %q", what, lastLine(f.chatter))
	}
	return undecided("%s could not be read", what)
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// parseOSRelease reads os-release(5), whose values are shell words.
func parseOSRelease(data string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(data) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		values[key] = strings.NewReplacer(`\"`, `"`, `\$`, `$`, `\\`, `\`, "\\`", "`").Replace(value)
	}
	return values
}

// state is whether a source of state could be read.
type state string

const (
	stateUnread state = ""       // the script said nothing of it
	stateRead   state = "read"   //
	stateAbsent state = "absent" // there is no such thing
	stateDenied state = "denied" // it may not be read
	stateBroken state = "broken" // reading it went wrong
)

func (s state) explain(what string) string {
	switch s {
	case stateAbsent:
		return fmt.Sprintf("the image has no %s", what)
	case stateDenied:
		return fmt.Sprintf("%s may not be read; run the checks as root, for example with execute_command = \"sudo -n /bin/sh -s\"", what)
	}
	return fmt.Sprintf("%s could not be read", what)
}
