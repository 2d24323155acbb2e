//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type HTTP

package check

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// HTTP checks what a web server answers to a running system. Without any
// assertion it asserts a status below 400. In an image that is mounted in a chroot
// the network is the build host's, and the check is refused unless it asks for that
// with `network`. It uses the image's `curl`, or else its `wget`.
type HTTP struct {
	Common `mapstructure:",squash"`

	// Address to ask for, for example `http://localhost:8080/health`. One of
	// `url` and `urls` is required; in a suite file the block's label is the URL.
	URL string `mapstructure:"url"`
	// Several addresses; the block is about each of them.
	URLs []string `mapstructure:"urls"`
	// Status of the answer: a number, or a constraint such as `"< 400"`.
	Status *string `mapstructure:"status"`
	// Headers of the answer and the value that each must have: a number, a
	// constraint, or text.
	Headers map[string]string `mapstructure:"headers"`
	// Texts that the body must contain, literally. More than 1 MiB of answer is
	// an error.
	Contains []string `mapstructure:"contains"`
	// Texts that the body must not contain.
	NotContains []string `mapstructure:"not_contains"`
	// Regular expressions (RE2), each of which must match some line of the body.
	Matches []string `mapstructure:"matches"`
	// Regular expressions (RE2) that must match no line of the body.
	NotMatches []string `mapstructure:"not_matches"`
	// Method of the request, `GET` by default.
	Method *string `mapstructure:"method"`
	// Headers of the request.
	RequestHeaders map[string]string `mapstructure:"request_headers"`
	// Whether redirections are followed; they are not by default.
	FollowRedirects *bool `mapstructure:"follow_redirects"`
	// Whether a certificate that is not valid will do.
	Insecure *bool `mapstructure:"insecure"`
	// How long the answer may take, for example `"30s"`; whole seconds, 5 by
	// default.
	Timeout *string `mapstructure:"timeout"`
	// `builder`: offline, ask from the build host's network, instead of
	// refusing to: what it answers may not be what an instance will get. On a booted
	// system it has no effect.
	Network *string `mapstructure:"network"`
}

func (b *HTTP) kind() string    { return "http" }
func (b *HTTP) common() *Common { return &b.Common }
func (b *HTTP) subjects() subjects {
	return subjects{one: "url", value: &b.URL, several: "urls", values: b.URLs, validate: func(text string) error {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.ContainsAny(text, " \t\n") {
			return errors.New(`is no address of the web; write for example "http://localhost:8080/"`)
		}
		if u.User != nil {
			return errors.New("has a password in it, which reports would show; write it in request_headers")
		}
		return validText(text)
	}}
}

var (
	httpMethod = regexp.MustCompile(`^[A-Z]+$`)
	httpHeader = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$") // a token of RFC 9110
)

func (b *HTTP) compile(c *compiler, subject string) {
	r := request{
		url: subject, timeout: c.timeout(b.Timeout, networkTimeout),
		follow: b.FollowRedirects != nil && *b.FollowRedirects, insecure: b.Insecure != nil && *b.Insecure,
	}
	if method, ok := c.text("method", b.Method); ok {
		if !httpMethod.MatchString(method) {
			c.problem("method", "%q is no method; write for example \"POST\"", method)
		}
		r.method = method
	}
	for _, name := range slices.Sorted(maps.Keys(b.RequestHeaders)) {
		value := b.RequestHeaders[name]
		if IsUnknown(value) {
			c.plan.Partial = true
			continue
		}
		if !httpHeader.MatchString(name) || strings.ContainsAny(value, "\r\n") {
			c.problem("request_headers", "%q is no name of a header, or its value has several lines", name)
		}
		r.headers = append(r.headers, name+": "+value)
	}
	q := r.question()
	q.builder = c.network(b.Network)
	on := func(property, expected string, decide func(r response) verdict, more ...option) {
		c.assert(property, expected, func(f *facts) verdict { return f.ask(q, r.follow, r.timeout, decide) },
			append(more, asksNetwork(q.builder), reads(q.reads))...)
	}
	b.compileHeaders(c, on)
	body := func(property string, values []string, decide func(content []byte) verdict) {
		if len(values) == 0 {
			return
		}
		on(property, quotedTexts(values), func(r response) verdict {
			if r.noBody != "" {
				return undecided("the body of an answer with status %d is not known: %s", r.status, r.noBody)
			}
			return decide(r.body)
		}, additive)
	}
	contains, notContains := c.list("contains", b.Contains), c.list("not_contains", b.NotContains)
	matches, notMatches := c.patterns("matches", b.Matches), c.patterns("not_matches", b.NotMatches)
	body("contains", contains, func(content []byte) verdict { return containsAll(content, contains) })
	body("not_contains", notContains, func(content []byte) verdict { return containsNone(content, notContains) })
	body("matches", sources(matches), func(content []byte) verdict { return matchesAll(content, matches) })
	body("not_matches", sources(notMatches), func(content []byte) verdict { return matchesNone(content, notMatches) })

	status := b.Status
	if status == nil && c.found == 0 {
		status = new("< 400")
	}
	if want, ok := c.number("status", status); ok {
		on("status", want.String(), func(r response) verdict { return is(want.meets(int64(r.status)), strconv.Itoa(r.status)) })
	}
}

func (b *HTTP) compileHeaders(c *compiler, on func(string, string, func(r response) verdict, ...option)) {
	if b.Headers != nil {
		c.found++
		if len(b.Headers) == 0 {
			c.problem("headers", "an empty map asserts nothing; name at least one header or leave headers out")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.Headers)) {
		if IsUnknown(b.Headers[name]) {
			c.plan.Partial = true
			continue
		}
		want, err := parseSetting(b.Headers[name])
		if err != nil {
			c.problem("headers", "%s: %v", name, err)
			continue
		}
		on("header "+strings.ToLower(name), want.String(), func(r response) verdict {
			values := r.headers[strings.ToLower(name)]
			if len(values) == 0 {
				return fail("no such header")
			}
			return want.decide(strings.Join(values, ", "), "")
		})
	}
}

// ask decides on the answer to a request. That there is none is a failure; that
// it could not be asked is not.
func (f *facts) ask(q question, follow bool, timeout time.Duration, decide func(r response) verdict) verdict {
	result, v := f.answer(q, "curl, wget")
	if result == nil {
		if raw := f.results(q.builder)[q.text]; raw != nil && raw.timedOut {
			return fail("no answer within %v", timeout)
		}
		return v
	}
	if v := result.complete("stdout"); v.outcome != "" {
		return v
	}
	answer, err := parseResponse(result.stdout, result.stderr, follow)
	if err != nil {
		return fail("%v", fmt.Errorf("%w: %s", err, shown(result.stderr)))
	}
	return decide(answer)
}
