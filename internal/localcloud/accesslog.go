package localcloud

import (
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"
)

// Served is a request that the cloud has answered: a line of the access log.
type Served struct {
	Began     time.Time `json:"time"`
	Seconds   float64   `json:"seconds"`          // until it was answered
	Service   string    `json:"service"`          // ec2, sts or imds
	Action    string    `json:"action"`           // of imds: the path
	Region    string    `json:"region,omitempty"` // empty of imds
	Status    int       `json:"status,omitempty"` // of HTTP; 0: no answer went out
	Error     string    `json:"error,omitempty"`  // EC2's code
	RequestID string    `json:"request_id,omitempty"`
	Client    string    `json:"client,omitempty"` // what it says it is
}

// metadataService is the service of [Served] for instance metadata.
const metadataService = "imds"

// WithAccessLog writes a line of JSON, a [Served], for each request to w once it
// has been answered. Lines come one at a time.
func WithAccessLog(w io.Writer) Option {
	return func(c *Cloud) error {
		c.access = &accessLog{to: json.NewEncoder(w)}
		return nil
	}
}

// accessLog is where requests are noted; nil notes none.
type accessLog struct {
	mu sync.Mutex
	to *json.Encoder
}

// note adds what is known only when a request has been answered and writes it.
func (l *accessLog) note(s Served, r *http.Request) error {
	if l == nil {
		return nil
	}
	s.Seconds = time.Since(s.Began).Seconds()
	s.Client = r.UserAgent()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.Encode(s)
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements [http.ResponseWriter].
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
