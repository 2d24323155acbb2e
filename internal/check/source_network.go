package check

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What a running system reaches is asked with its own programs, which run as
// commands do, with a timeout. No text of a check gets into these unquoted.

// noTool is the exit status of a question for which the image has no program;
// it is also that of a shell that cannot find one.
const noTool = 127

// killed is what a shell adds to the number of the signal that ended a program.
const killed = 128

const networkTimeout = 5 * time.Second

// timeout reads how long an answer may take.
func (c *compiler) timeout(value *string, otherwise time.Duration) time.Duration {
	text, ok := c.text("timeout", value)
	if !ok {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		c.problem("timeout", "%q is not a duration; write for example \"30s\"", text)
	case d < time.Second || d > maxTimeout || d%time.Second != 0:
		c.problem("timeout", "%q is not between 1s and %v, in whole seconds", text, maxTimeout)
	default:
		return d
	}
	return otherwise
}

// question is a command that asks the network, and how it is called in messages.
type question struct {
	text, label string
	timeout     time.Duration
	builder     bool // offline it is asked from the builder's network
}

func (q question) reads(n *needs) {
	n.commandFrom(q.text, q.timeout, q.builder)
	for _, cmd := range n.commands {
		if cmd.text == q.text && cmd.builder == q.builder {
			cmd.label = q.label
		}
	}
}

// answer returns what came of a question; tools are the programs that could
// have asked it.
func (f *facts) answer(q question, tools string) (*commandResult, verdict) {
	if f.mode != Booted && !q.builder {
		return nil, undecided("the network is the build host's")
	}
	r, v := f.commandFrom(q.text, q.builder)
	switch {
	case r == nil:
	case r.exit == noTool:
		return nil, undecided("the image has none of the programs that could tell: %s", tools)
	case r.exit > killed:
		return nil, undecided("the program that asked was killed by signal %d", r.exit-killed)
	}
	return r, v
}

// addrQuestion asks whether something accepts connections.
func addrQuestion(host, port string, timeout time.Duration) question {
	h, p, t := quote(host), quote(port), strconv.Itoa(int(timeout/time.Second))
	return question{
		text: `if command -v bash >/dev/null; then exec bash -c 'exec 3<>"/dev/tcp/$0/$1"' ` + h + " " + p + "\n" +
			`elif command -v nc >/dev/null && nc -h 2>&1 | grep -q -e '-z'; then exec nc -z -w ` + t + " " + h + " " + p + "\n" +
			// That of busybox runs a program when it is connected.
			`elif command -v nc >/dev/null && nc --help 2>&1 | grep -q -e '-e PROG'; then exec nc -w ` + t + " " + h + " " + p + " -e true\n" +
			"fi\nexit 127",
		label: "connect to " + host + " " + port, timeout: timeout,
	}
}

// dnsQuestion asks for the addresses of a name: the image's name services, or a
// server. Its first line of output names the program that answers.
func dnsQuestion(name, server string, timeout time.Duration) question {
	host, t := quote(name), strconv.Itoa(int(timeout/time.Second))
	text := "if command -v getent >/dev/null; then echo getent; exec getent ahosts " + host + "\n" +
		"elif command -v nslookup >/dev/null; then echo nslookup; exec nslookup " + host + "\nfi\nexit 127"
	if server != "" {
		s := quote(server)
		text = "if command -v dig >/dev/null; then echo dig; exec dig +short +tries=1 +time=" + t + " " + quote("@"+server) + " -q " + host + " -t A -q " + host + " -t AAAA\n" +
			"elif command -v nslookup >/dev/null; then echo nslookup; exec nslookup " + host + " " + s + "\nfi\nexit 127"
	}
	return question{text: text, label: "resolve " + name, timeout: timeout}
}

// parseResolved reads what getent ahosts, dig +short or nslookup print.
func parseResolved(text string) []netip.Addr {
	tool, rest, _ := strings.Cut(text, "\n")
	if tool == "nslookup" {
		// First comes the server's own address.
		_, after, ok := strings.Cut(rest, "\nName:")
		if !ok {
			return nil
		}
		rest = after
	}
	var found []netip.Addr
	for line := range strings.Lines(rest) {
		words := strings.Fields(line)
		if tool == "nslookup" {
			// "Address: A", or of older busyboxes "Address 1: A NAME".
			_, after, ok := strings.Cut(line, ": ")
			if !ok || !strings.HasPrefix(line, "Address") {
				continue
			}
			words = strings.Fields(after)
		}
		if len(words) == 0 {
			continue
		}
		if a, err := netip.ParseAddr(words[0]); err == nil {
			found = appendNew(found, a.Unmap().WithZone(""))
		}
	}
	slices.SortFunc(found, netip.Addr.Compare)
	return found
}

// request is what an http block asks.
type request struct {
	url, method string
	headers     []string // NAME: VALUE
	follow      bool
	insecure    bool
	curl        []string // further options of curl, quoted; nothing else will do then
	timeout     time.Duration
}

func (r request) question() question {
	t := strconv.Itoa(int(r.timeout / time.Second))
	curl := []string{"exec curl -q -sS -i --max-time", t}
	// The time of the command is wget's too: some of busybox cannot take -T.
	wget := []string{"exec wget -S -O -"}
	if r.method != "" {
		curl = append(curl, "-X", quote(r.method))
	}
	if r.method == "HEAD" {
		curl = append(curl, "-I")
	}
	if r.follow {
		curl = append(curl, "-L")
	}
	if r.insecure {
		curl, wget = append(curl, "-k"), append(wget, "--no-check-certificate")
	}
	for _, h := range r.headers {
		curl, wget = append(curl, "-H", quote(h)), append(wget, "--header", quote(h))
	}
	curl = append(curl, r.curl...)
	curl, wget = append(curl, "--", quote(r.url)), append(wget, quote(r.url))
	text := "if command -v curl >/dev/null; then " + strings.Join(curl, " ") + "\n"
	// The wget of busybox has no methods.
	if cmp.Or(r.method, "GET") == "GET" && len(r.curl) == 0 {
		text += "elif command -v wget >/dev/null; then echo wget; " + strings.Join(wget, " ") + "\n"
	}
	return question{text: text + "fi\nexit 127", label: "ask " + r.url, timeout: r.timeout}
}

// response is the answer to an http request.
type response struct {
	status  int
	headers map[string][]string // by name in lower case
	body    []byte
	noBody  string // why the body is not known
}

// parseResponse reads what curl or wget print. With an error there was no answer.
func parseResponse(stdout, stderr []byte, follow bool) (response, error) {
	if body, ok := bytes.CutPrefix(stdout, []byte("wget\n")); ok {
		return parseWget(body, string(stderr), follow)
	}
	rest := stdout
	for {
		head, body, ok := bytes.Cut(rest, []byte("\r\n\r\n"))
		r, isHead := parseHead(string(head))
		if !ok || !isHead {
			return response{}, fmt.Errorf("no answer of HTTP")
		}
		interim := r.status < 200 || follow && r.status >= 300 && r.status < 400 && len(r.headers["location"]) > 0
		if !interim || !bytes.HasPrefix(body, []byte("HTTP/")) {
			r.body = body
			return r, nil
		}
		rest = body
	}
}

// parseWget reads the headers that wget prints on stderr, those of each answer on
// the way. It follows redirections, asked or not.
func parseWget(body []byte, stderr string, follow bool) (response, error) {
	var answers []response
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(line)
		if r, ok := parseHead(line); ok {
			answers = append(answers, r)
			continue
		}
		if name, value, ok := strings.Cut(line, ": "); ok && len(answers) > 0 {
			h := answers[len(answers)-1].headers
			h[strings.ToLower(name)] = append(h[strings.ToLower(name)], value)
		}
	}
	if len(answers) == 0 {
		return response{}, fmt.Errorf("no answer of HTTP")
	}
	r, last := answers[0], answers[len(answers)-1]
	if follow {
		r = last
	}
	r.body = body
	if r.status < 200 || r.status > 299 {
		r.body, r.noBody = nil, "wget shows it of a success only; the image has no curl"
	}
	return r, nil
}

// parseHead reads a status line and the headers below it.
func parseHead(text string) (response, bool) {
	first, rest, _ := strings.Cut(text, "\n")
	words := strings.Fields(first)
	if len(words) < 2 || !strings.HasPrefix(words[0], "HTTP/") {
		return response{}, false
	}
	status, err := strconv.Atoi(words[1])
	if err != nil || status < 100 || status > 999 {
		return response{}, false
	}
	r := response{status: status, headers: map[string][]string{}}
	for line := range strings.Lines(rest) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			name = strings.ToLower(name)
			r.headers[name] = append(r.headers[name], strings.TrimSpace(value))
		}
	}
	return r, true
}
