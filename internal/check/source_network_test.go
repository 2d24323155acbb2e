package check

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestParseResolved(t *testing.T) {
	for text, want := range map[string]string{
		"getent\n127.0.0.1       STREAM localhost\n127.0.0.1       DGRAM\n::1 RAW\n": "127.0.0.1, ::1",
		"getent\n": "",
		"dig\nalias.example.com.\n192.0.2.1\n2001:db8::1\n;; connection timed out\n":                                             "192.0.2.1, 2001:db8::1",
		"nslookup\nServer:\t\t192.0.2.53\nAddress:\t192.0.2.53#53\n\nName:\tx.example\nAddress: 192.0.2.1\nAddress: 192.0.2.2\n": "192.0.2.1, 192.0.2.2",
		"nslookup\nServer:    192.0.2.53\nAddress 1: 192.0.2.53 a\n\nName:      x\nAddress 1: 192.0.2.1 x.example\n":             "192.0.2.1",
		"nslookup\nServer:\t\t192.0.2.53\nAddress:\t192.0.2.53#53\n\n** server can't find x: NXDOMAIN\n":                         "",
	} {
		var got []string
		for _, a := range parseResolved(text) {
			got = append(got, a.String())
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestParseResponse(t *testing.T) {
	for name, tc := range map[string]struct {
		stdout, stderr string
		follow         bool
		want           string
	}{
		"plain":            {"HTTP/1.1 200 OK\r\nServer: a: b\r\n\r\nbody\r\n\r\nmore", "", false, "200 [a: b] body\r\n\r\nmore"},
		"no reason":        {"HTTP/2 404 \r\n\r\n", "", false, "404 [] "},
		"interim":          {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n\r\nx", "", false, "201 [] x"},
		"redirect":         {"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\nHTTP/1.1 is a protocol", "", false, "302 [] HTTP/1.1 is a protocol"},
		"followed":         {"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx", "", true, "200 [] x"},
		"body like a head": {"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 500 no\r\n\r\nx", "", true, "200 [] HTTP/1.1 500 no\r\n\r\nx"},
		"refused":          {"", "curl: (7) Failed to connect", false, "no answer of HTTP"},
		"cut off":          {"HTTP/1.1 200 OK\r\nServer", "", false, "no answer of HTTP"},
		"wget":             {"wget\nbody", "--x--\n  HTTP/1.1 200 OK\n  Server: a\n", false, "200 [a] body"},
		"wget, redirect":   {"wget\nbody", "  HTTP/1.1 301 Moved\n  Location: /x\n  HTTP/1.1 200 OK\n", false, "301 []  no body"},
		"wget, followed":   {"wget\nbody", "  HTTP/1.1 301 Moved\n  Location: /x\n  HTTP/1.1 200 OK\n", true, "200 [] body"},
		"wget, error":      {"wget\n", "  HTTP/1.1 503 Busy\nwget: server returned error\n", false, "503 []  no body"},
		"wget, refused":    {"wget\n", "wget: can't connect\n", false, "no answer of HTTP"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := parseResponse([]byte(tc.stdout), []byte(tc.stderr), tc.follow)
			got := fmt.Sprintf("%d %v %s", r.status, r.headers["server"], r.body)
			if r.noBody != "" {
				got += " no body"
			}
			if err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func TestParseAddresses(t *testing.T) {
	got := parseAddresses("1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever\n2: e    inet6 fe80::1/64 scope link\n3: p inet 10.0.0.1 peer 10.0.0.2/32\n4: x inet\n")
	want := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("fe80::1/64"), netip.MustParsePrefix("10.0.0.1/32")}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestProcessNames(t *testing.T) {
	for _, tc := range []struct {
		status, name string
		arguments    []string
		want         bool
	}{
		{"Name:\tnginx\nState:\tS (sleeping)\nUid:\t0\t33\t0\t0\n", "nginx", nil, true},
		{"Name:\tnginx\nState:\tZ (zombie)\nUid:\t0\t0\t0\t0\n", "nginx", nil, false},
		{"Name:\tconsul-template\nState:\tS\nUid:\t0\t0\t0\t0\n", "consul", nil, false},
		{"Name:\tsystemd-journal\nState:\tS\nUid:\t0\t0\t0\t0\n", "systemd-journald", []string{"/lib/systemd/systemd-journald"}, true},
		{"Name:\tsystemd-journal\nState:\tS\nUid:\t0\t0\t0\t0\n", "systemd-journalx", []string{"/lib/systemd/systemd-journald"}, false},
		{"", "nginx", nil, false},
	} {
		p := parseProcess(tc.status)
		p.arguments = tc.arguments
		if p.is(tc.name) != tc.want {
			t.Errorf("%q is %q: %v, want %v", tc.status, tc.name, !tc.want, tc.want)
		}
	}
	if p := parseProcess("Name:\tnginx\nState:\tS (sleeping)\nUid:\t0\t33\t0\t0\n"); p.uid != 33 {
		t.Errorf("uid %d, want the effective one, 33", p.uid)
	}
}

func FuzzNetwork(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nA: b\r\n\r\nx", "  HTTP/1.1 200 OK\n A: b\n")
	f.Add("wget\nx", "  HTTP/1.1 200 OK\n A: b\n")
	f.Add("nslookup\nx\nName:\nAddress: 1.1.1.1", "1: lo inet 127.0.0.1/8")
	f.Fuzz(func(t *testing.T, stdout, stderr string) {
		for _, follow := range []bool{true, false} {
			if r, err := parseResponse([]byte(stdout), []byte(stderr), follow); err == nil && (r.status < 100 || r.status > 999) {
				t.Errorf("status %d", r.status)
			}
		}
		parseResolved(stdout)
		parseAddresses(stderr)
		parseProcess(stdout).is("x")
	})
}
