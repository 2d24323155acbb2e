package check

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// validPortValue accepts a number, or one with tcp, tcp6, udp or udp6 before it.
func validPortValue(text string) error {
	_, _, err := splitPort(text)
	return err
}

func splitPort(text string) (protocol string, number uint16, err error) {
	protocol, digits, ok := strings.Cut(text, ":")
	if !ok {
		protocol, digits = "tcp", text
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 || !slices.Contains([]string{"tcp", "tcp6", "udp", "udp6"}, protocol) {
		return "", 0, errors.New("is not a port; write its number, or with a protocol, as 22, tcp6:22 or udp:53")
	}
	return protocol, uint16(n), nil
}

// portValues are listening and ip, of one protocol and one version of IP.
func portValues(_ *compiler, b *Expect) []value {
	protocol, number, _ := splitPort(b.Subject)
	file := "/proc/net/" + protocol
	boot := []option{needsBoot(""), readsText(file)}
	addresses := func(f *facts) ([]string, verdict) {
		if f.mode != Booted {
			return nil, undecided("the ports are the build host's")
		}
		text, there, v := f.text(file)
		if v.outcome != "" {
			return nil, v
		}
		// A kernel without IPv6 has no list of it.
		if !there && !strings.HasSuffix(protocol, "6") {
			return nil, f.unread(file)
		}
		found := []string{}
		for _, s := range parseSockets(text, strings.TrimSuffix(protocol, "6")) {
			if s.Port() == number {
				found = append(found, strings.ToUpper(s.Addr().String()))
			}
		}
		return found, verdict{}
	}
	return []value{
		{name: "listening", presence: true, options: boot, read: func(f *facts) (any, verdict) {
			found, v := addresses(f)
			return len(found) > 0, v
		}},
		{name: "ip", options: boot, read: func(f *facts) (any, verdict) {
			found, v := addresses(f)
			return found, v
		}},
	}
}

// validAddrValue accepts a host and a port, with tcp:// before it or not.
func validAddrValue(text string) error {
	protocol, address := splitAddr(text)
	if strings.HasPrefix(protocol, "udp") {
		return errors.New("is of UDP, where every address can be sent to, so the check cannot fail; write a command that asks the server for something")
	}
	if protocol != "tcp" {
		return errors.New("is of no known protocol; write for example tcp://db.example.com:5432")
	}
	return validAddress(address)
}

func splitAddr(text string) (protocol, address string) {
	if protocol, address, ok := strings.Cut(text, "://"); ok {
		return protocol, address
	}
	return "tcp", text
}

func addrValues(c *compiler, b *Expect) []value {
	if b.Options.Source != "" {
		c.problem("local-address", "the image's programs cannot choose the address that they connect from; remove it, or write a command with one that can")
	}
	_, address := splitAddr(b.Subject)
	host, port, _ := net.SplitHostPort(address)
	timeout := time.Duration(b.Options.seconds(1)) * time.Second
	q := addrQuestion(host, port, timeout)
	q.builder = b.BuilderNetwork
	return []value{{
		name: "reachable", options: []option{asksNetwork(q.builder), reads(q.reads)},
		read: func(f *facts) (any, verdict) {
			r, v := f.answer(q, "bash, nc with -z")
			if r == nil {
				if raw := f.results(q.builder)[q.text]; raw != nil && raw.timedOut {
					return false, verdict{}
				}
				return nil, v
			}
			return r.exit == 0, verdict{}
		},
	}}
}

// dnsTypes are the records that can be asked for.
var dnsTypes = []string{"A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SRV", "TXT"}

func splitDNS(text string) (record, name string) {
	record, name, ok := strings.Cut(text, ":")
	if !ok || record == "" || strings.Trim(record, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "", text
	}
	return record, name
}

// validDNSValue accepts a name, with the type of its records before it or not.
func validDNSValue(text string) error {
	record, name := splitDNS(text)
	if record != "" && !slices.Contains(dnsTypes, record) {
		return fmt.Errorf("asks for records of no known type; there are %s", strings.Join(dnsTypes, ", "))
	}
	if strings.HasPrefix(name, "@") || strings.HasPrefix(name, "+") {
		return errors.New("is no host name")
	}
	return validName(name)
}

func dnsValues(c *compiler, b *Expect) []value {
	record, name := splitDNS(b.Subject)
	server, port, err := net.SplitHostPort(b.Options.Server)
	if err != nil {
		server, port = b.Options.Server, ""
	}
	switch _, err := netip.ParseAddr(server); {
	case server == "" && record != "":
		c.problem("server", "without a server the addresses of the name are looked up, whatever the type %s says; set server, or remove %s:", record, record)
	case server != "" && err != nil:
		c.problem("server", `%q is not an address; write for example "10.0.0.2"`, server)
	}
	timeout := time.Duration(b.Options.seconds(1)) * time.Second
	q := dnsQuestion(name, server, timeout)
	if record != "" || port != "" {
		q = recordQuestion(record, name, server, port, timeout)
	}
	q.builder = b.BuilderNetwork
	answers := func(f *facts) ([]string, verdict) {
		r, v := f.answer(q, "getent, nslookup, and dig for a server")
		switch {
		case r == nil:
			return nil, v
		case record != "" || port != "":
			return parseRecords(string(r.stdout), record), verdict{}
		}
		found := []string{}
		for _, a := range parseResolved(string(r.stdout)) {
			found = append(found, a.String())
		}
		return found, verdict{}
	}
	options := []option{asksNetwork(q.builder), reads(q.reads)}
	return []value{
		{name: "resolvable", presence: true, options: options, read: func(f *facts) (any, verdict) {
			found, v := answers(f)
			return len(found) > 0, v
		}},
		{name: "addrs", options: options, read: func(f *facts) (any, verdict) {
			found, v := answers(f)
			slices.Sort(found)
			return found, v
		}},
	}
}

// recordQuestion asks a server for records of a type; without one, for addresses.
func recordQuestion(record, name, server, port string, timeout time.Duration) question {
	words := []string{"exec dig +short +tries=1", "+time=" + strconv.Itoa(int(timeout/time.Second)), "-p", quote(cmp.Or(port, "53")), quote("@" + server)}
	switch record {
	case "PTR":
		words = append(words, "-x", quote(name))
	case "":
		words = append(words, "-q", quote(name), "-t A", "-q", quote(name), "-t AAAA")
	default:
		words = append(words, "-q", quote(name), "-t", record)
	}
	return question{text: "command -v dig >/dev/null || exit 127\n" + strings.Join(words, " "), label: "resolve " + name, timeout: timeout}
}

// parseRecords reads what dig +short prints of records of a type: texts are in
// quotes, and what is not of the type is on the way to it.
func parseRecords(text, record string) []string {
	found := []string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		a, err := netip.ParseAddr(line)
		switch {
		case line == "" || line[0] == ';':
		case record == "A" && (err != nil || !a.Is4()), record == "AAAA" && (err != nil || !a.Is6()), record == "" && err != nil:
		case record == "TXT":
			for i, part := range strings.Split(line, `"`) {
				if i%2 == 1 {
					found = append(found, part)
				}
			}
		case record == "CAA":
			found = append(found, strings.ReplaceAll(line, `"`, ""))
		default:
			found = append(found, line)
		}
	}
	return found
}

// validURL accepts addresses of the web without a password in them.
func validURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.ContainsAny(text, " \t\n") {
		return errors.New(`is no address of the web; write for example "http://localhost:8080/"`)
	}
	if u.User != nil {
		return errors.New("has a password in it, which reports would show; write it as username and password")
	}
	return validText(text)
}

// httpValues are status, headers and body.
func httpValues(c *compiler, b *Expect) []value {
	o := b.Options
	r := request{
		url: b.Subject, method: o.Method, follow: !o.NoFollow, insecure: o.Insecure,
		timeout: time.Duration(o.seconds(int(networkTimeout/time.Second))) * time.Second,
	}
	if o.Method != "" && !httpMethod.MatchString(o.Method) {
		c.problem("method", "%q is no method; write for example \"POST\"", o.Method)
	}
	for _, h := range o.Headers {
		name, _, ok := strings.Cut(h, ": ")
		if !ok || !httpHeader.MatchString(name) || strings.ContainsAny(h, "\r\n") {
			c.problem("request-headers", `%q is no header; write for example "Accept: text/plain"`, name)
			continue
		}
		r.headers = append(r.headers, h)
	}
	for _, extra := range []struct{ option, value string }{
		{"--data-binary", o.Body}, {"--cacert", o.CAFile}, {"--cert", o.CertFile}, {"--key", o.KeyFile}, {"--proxy", o.Proxy},
	} {
		if extra.value != "" {
			r.curl = append(r.curl, extra.option, quote(extra.value))
		}
	}
	if strings.HasPrefix(o.Body, "@") {
		c.problem("request-body", "a body that begins with @ is not known to be sent as it is")
	}
	if o.User != "" || o.Password != "" {
		r.curl = append(r.curl, "--user", quote(o.User+":"+o.Password))
	}
	if o.Body != "" && o.Method == "" {
		// Other than curl, which posts what has a body.
		r.method = "GET"
	}
	q := r.question()
	q.builder = b.BuilderNetwork
	ask := func(f *facts, get func(r response) (any, verdict)) (found any, v verdict) {
		v = f.ask(q, r.follow, r.timeout, func(answer response) verdict {
			var outcome verdict
			found, outcome = get(answer)
			return outcome
		})
		return found, v
	}
	of := func(name string, stream bool, get func(r response) (any, verdict)) value {
		v := value{
			name: name, stream: stream, options: []option{asksNetwork(q.builder), reads(q.reads)},
			read: func(f *facts) (any, verdict) { return ask(f, get) },
		}
		if stream {
			v.show = func(_ *facts, found any) string { return shown([]byte(asString(found))) }
		}
		return v
	}
	return []value{
		of("status", false, func(r response) (any, verdict) { return r.status, verdict{} }),
		of("headers", true, func(r response) (any, verdict) {
			var lines []string
			for _, name := range slices.Sorted(maps.Keys(r.headers)) {
				for _, v := range r.headers[name] {
					lines = append(lines, textproto.CanonicalMIMEHeaderKey(name)+": "+v)
				}
			}
			slices.Sort(lines)
			return strings.Join(lines, "\n"), verdict{}
		}),
		of("body", true, func(r response) (any, verdict) {
			if r.noBody != "" {
				return nil, undecided("the body of an answer with status %d is not known: %s", r.status, r.noBody)
			}
			return string(r.body), verdict{}
		}),
	}
}
