package localcloud

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"
)

// maxRequest bounds the body of a query request; EC2's own limit is lower.
const maxRequest = 1 << 20

// call is one request to an API, on its way through a handler.
type call struct {
	ctx       context.Context
	service   string
	region    string
	action    string
	requestID string
	now       time.Time
}

// pageMin is the least MaxResults that the action takes.
func (q *call) pageMin() int64 {
	if q.action == "DescribeImages" {
		return 1
	}
	return 5
}

// idParameter is what the action calls its list of ids in error messages.
func (q *call) idParameter() string {
	noun := strings.TrimSuffix(strings.TrimPrefix(q.action, "Describe"), "s")
	return strings.ToLower(noun[:1]) + noun[1:] + "Ids"
}

// operation is one action of an API: it decodes, does and answers.
type operation func(c *Cloud, q *call, form url.Values) (any, error)

// on makes an operation of a method. DryRun is seen to here: parameters are
// read and checked for form, nothing is looked up.
func on[In any](do func(*Cloud, *call, *In) (any, error)) operation {
	return func(c *Cloud, q *call, form url.Values) (any, error) {
		dry := strings.EqualFold(form.Get("DryRun"), "true")
		form.Del("DryRun")
		in := new(In)
		if err := decodeQuery(form, in); err != nil {
			return nil, err
		}
		if dry {
			return nil, errorf("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
		}
		return do(c, q, in)
	}
}

// service is an API that shares the endpoint, told apart by the scope of the
// request's signature.
type service struct {
	namespace  string // of its XML, with the version
	operations map[string]operation
}

var services = map[string]service{
	"ec2": {namespace: "http://ec2.amazonaws.com/doc/2016-11-15/", operations: ec2Operations},
	"sts": {namespace: "https://sts.amazonaws.com/doc/2011-06-15/", operations: stsOperations},
}

// reply is embedded in the answers; the server fills it in.
type reply struct {
	RequestID string `xml:"requestId"`
}

func (r *reply) setRequestID(id string) { r.RequestID = id }

// Transport returns the cloud as a transport of HTTP clients in this process:
// every host of AWS's is served by it, 169.254.169.254 is the instance
// metadata, and nothing goes to any network.
func (c *Cloud) Transport() http.RoundTripper { return transport{c} }

type transport struct{ cloud *Cloud }

// RoundTrip implements [http.RoundTripper].
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var body io.ReadCloser = http.NoBody
	if r.Body != nil {
		body = r.Body
	}
	defer func() { _ = body.Close() }()
	// A RoundTripper must not change the request, and a handler reads what a
	// server has parsed.
	served := r.Clone(r.Context())
	served.Body = body
	served.RequestURI = r.URL.RequestURI()
	if served.Host == "" {
		served.Host = r.URL.Host
	}
	w := &buffered{header: http.Header{}, status: http.StatusOK}
	if err := t.cloud.serve(w, served); err != nil {
		return nil, err
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()),
		Request: r,
	}, nil
}

// buffered is an answer kept in memory.
type buffered struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements [http.ResponseWriter].
func (b *buffered) Header() http.Header { return b.header }

// WriteHeader implements [http.ResponseWriter].
func (b *buffered) WriteHeader(status int) { b.status = status }

func (b *buffered) Write(p []byte) (int, error) { return b.body.Write(p) }

// Handler returns the cloud as an HTTP handler for a listener on loopback. It
// answers only requests addressed to a loopback name, and the APIs only to
// requests that carry a signature: a web page in a browser of this machine can
// have neither, nor can it read answers.
func (c *Cloud) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopback(r.Host) {
			http.Error(w, "the local cloud answers only to loopback addresses", http.StatusMisdirectedRequest)
			return
		}
		if err := c.serve(w, r); err != nil {
			// The client sees its connection end without an answer.
			panic(http.ErrAbortHandler)
		}
	})
}

func isLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	host = strings.Trim(host, "[]")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// serve answers one request and notes it; an error means that no answer goes out.
func (c *Cloud) serve(w http.ResponseWriter, r *http.Request) error {
	out := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	seen := Served{Began: time.Now(), Service: metadataService, Action: r.URL.Path}
	var err error
	if isMetadataPath(r.URL.Path) {
		c.serveMetadata(out, r)
	} else {
		r.Body = io.NopCloser(io.LimitReader(r.Body, maxRequest))
		err = c.serveQuery(out, r, &seen)
	}
	if err == nil {
		seen.Status = out.status
	}
	if logErr := c.access.note(seen, r); logErr != nil {
		c.logf("access log: %v", logErr)
	}
	return err
}

// scopePattern finds key, region and service in a Signature Version 4 header.
var scopePattern = regexp.MustCompile(`Credential=([^/,\s]+)/\d{8}/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request`)

// serveQuery answers a request to one of the APIs and fills in what was seen.
func (c *Cloud) serveQuery(w http.ResponseWriter, r *http.Request, seen *Served) error {
	q := &call{ctx: r.Context(), requestID: uuid.NewString(), now: c.now()}
	answer, namespace, err := c.query(q, r)
	seen.Service, seen.Action, seen.Region, seen.RequestID = q.service, q.action, q.region, q.requestID
	if errors.Is(err, errAnswerLost) {
		return err
	}
	if gone := context.Cause(r.Context()); gone != nil {
		return gone // so has the client
	}
	if err != nil {
		api := asAPIError(err)
		seen.Error = api.Code
		c.logf("%s in %s: %v", q.action, q.region, err)
		return writeXML(w, api.status(), xml.StartElement{Name: xml.Name{Local: "Response"}}, api.reply(q.requestID))
	}
	if with, ok := answer.(interface{ setRequestID(string) }); ok {
		with.setRequestID(q.requestID)
	}
	return writeXML(w, http.StatusOK, xml.StartElement{
		Name: xml.Name{Local: q.action + "Response"},
		Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: namespace}},
	}, answer)
}

// query finds the operation of a request and carries it out, with the delays
// and faults that the cloud was opened with.
func (c *Cloud) query(q *call, r *http.Request) (answer any, namespace string, err error) {
	if err := r.ParseForm(); err != nil {
		return nil, "", errorf("InvalidRequest", "The request received was invalid: %v", err)
	}
	scope := scopePattern.FindStringSubmatch(r.Header.Get("Authorization"))
	if scope == nil {
		return nil, "", errorf("MissingAuthenticationToken", "Request is missing Authentication Token")
	}
	q.action, q.region, q.service = r.Form.Get("Action"), scope[2], scope[3]
	if _, ok := regions[q.region]; !ok {
		return nil, "", errorf("AuthFailure", "Credential should be scoped to a valid region, not '%s'.", q.region)
	}
	api, ok := services[q.service]
	if !ok {
		return nil, "", errorf("InvalidAction", "The local cloud has no service %s", q.service)
	}
	if q.action == "" {
		return nil, "", errorf("MissingAction", "The request is missing an action")
	}
	do, ok := api.operations[q.action]
	if !ok {
		return nil, "", errorf("InvalidAction", "The action %s is not valid for this web service.", q.action)
	}
	fault := c.faults.next(q.action)
	if err := fault.before(); err != nil {
		return nil, "", err
	}
	begin := time.Now()
	answer, err = do(c, q, r.Form)
	if err := wait(q.ctx, c.latency.of(q.action).answer-time.Since(begin)); err != nil {
		return nil, "", err
	}
	if err != nil {
		return nil, "", err
	}
	return answer, api.namespace, fault.after(q.ctx)
}

func writeXML(w http.ResponseWriter, status int, start xml.StartElement, v any) error {
	var body bytes.Buffer
	body.WriteString(xml.Header)
	if err := xml.NewEncoder(&body).EncodeElement(v, start); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.WriteHeader(status)
	_, err := w.Write(body.Bytes())
	return err
}

// wait sleeps for d unless ctx ends first; it returns why ctx ended.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
