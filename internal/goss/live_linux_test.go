package goss

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/internal/check"
)

// here runs scripts with the shell of this machine.
type here struct{}

func (here) RunScript(ctx context.Context, script io.Reader, stdout, stderr io.Writer) (int, error) {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-s")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = script, stdout, stderr
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// liveSuite asks what only a running system can answer: each question with an
// answer that is right and with one that is not.
const liveSuite = `
interface:
  lo: {exists: true, mtu: {gt: 1000}, addrs: [127.0.0.1/8]}
  wrong lo: {name: lo, exists: true, mtu: 1, addrs: [10.9.8.7/8]}
  nosuch0: {exists: false}
  wanted: {name: nosuch0, exists: true, mtu: 1500}
mount:
  /proc: {exists: true, filesystem: proc, source: proc, opts: [rw], vfs-opts: [rw]}
  /: {exists: true, usage: {and: [{ge: 0}, {le: 100}]}}
  wrong proc: {mountpoint: /proc, exists: true, filesystem: ext4, source: /dev/sda1, opts: [nosuchoption], vfs-opts: [nosuchoption]}
  wrong root: {mountpoint: /, exists: true, usage: {gt: 100}}
  /no/such/mount: {exists: true, filesystem: ext4}
port:
  tcp:PORT: {listening: true, ip: [127.0.0.1]}
  PORT: {listening: true, ip: {consist-of: [127.0.0.1]}}
  wrong address: {port: tcp:PORT, listening: true, ip: [0.0.0.0]}
  tcp6:PORT: {listening: false}
  udp:PORT: {listening: false}
  not wanted: {port: tcp:PORT, listening: false}
process:
  goss.test: {running: true}
  nosuchprocess: {running: false}
  wanted: {comm: nosuchprocess, running: true}
kernel-param:
  kernel.ostype: {value: Linux}
  vm.overcommit_memory: {value: {lt: 3}}
  wrong: {name: kernel.ostype, value: Plan9}
addr:
  tcp://127.0.0.1:PORT: {reachable: true, timeout: 2000}
  127.0.0.1:1: {reachable: false}
  wanted: {address: "tcp://127.0.0.1:1", reachable: true}
dns:
  localhost: {resolvable: true, addrs: [127.0.0.1], timeout: 2000}
  wrong localhost: {resolve: localhost, resolvable: true, addrs: [10.9.8.7], timeout: 2000}
  old name: {resolve: localhost, resolveable: true, timeout: 2000}
http:
  http://127.0.0.1:PORT/ok:
    status: 200
    headers: ["X-Kind: shop", /^Content-Type. text/, "!X-None"]
    body: ["all is well", "!error"]
  whole body: {url: "http://127.0.0.1:PORT/ok", status: {lt: 300}, body: "all is well\n", headers: {contain-substring: "X-Kind: shop"}}
  wrong: {url: "http://127.0.0.1:PORT/ok", status: 404, body: [x]}
  wrong body: {url: "http://127.0.0.1:PORT/ok", status: 200, body: ["!well"], headers: ["X-Kind: none"]}
  http://127.0.0.1:PORT/none: {status: 404}
  followed: {url: "http://127.0.0.1:PORT/away", status: 200, body: [well]}
  not followed: {url: "http://127.0.0.1:PORT/away", status: 302, no-follow-redirects: true, headers: ["Location: /ok"]}
  http://127.0.0.1:PORT/echo:
    status: 200
    method: POST
    request-body: some=thing&else='x'
    request-headers: ["X-Ask: yes", "Content-Type: text/plain"]
    body: ["POST yes some=thing&else='x'"]
  get with a body: {url: "http://127.0.0.1:PORT/echo", status: 200, request-body: abc, body: [/^GET .*abc/]}
  http://127.0.0.1:PORT/secret: {status: 401}
  with a password: {url: "http://127.0.0.1:PORT/secret", status: 200, username: shop, password: "p'w"}
  nobody there: {url: "http://127.0.0.1:1/", status: 200}
  too slow: {url: "http://127.0.0.1:PORT/slow", status: 200, timeout: 1000}
`

func liveServer(t *testing.T) (port string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Kind", "shop")
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintln(w, "all is well")
	})
	mux.Handle("/away", http.RedirectHandler("/ok", http.StatusFound))
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.Header.Get("X-Ask"), body)
	})
	mux.HandleFunc("/secret", func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "shop" || password != "p'w" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// On a booted system, which this machine stands for, the live questions have
// answers, and they are those of goss.
func TestVerdictsOfGossWhenBooted(t *testing.T) {
	binary := realGoss(t)
	for _, program := range []string{"curl", "ip", "getent", "bash"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("needs %s, with which the checks ask: %v", program, err)
		}
	}
	if name, err := os.ReadFile("/proc/self/comm"); err != nil || strings.TrimSpace(string(name)) != "goss.test" {
		t.Skipf("this test is a process called %q (%v), not goss.test", name, err)
	}
	file := filepath.Join(t.TempDir(), "live.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(liveSuite, "PORT", liveServer(t))), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary, "-g", file, "validate", "-f", "json", "-o", "sort")
	cmd.Stdout = &stdout
	if err := cmd.Run(); err != nil {
		if _, failed := errors.AsType[*exec.ExitError](err); !failed {
			t.Fatal(err)
		}
	}
	want := parseVerdicts(t, stdout.Bytes())

	suite, errs := Read(file, Options{})
	plan, wrong := check.Compile([]check.Suite{suite}, check.Booted, time.Now())
	if errs = append(errs, wrong...); len(errs) > 0 {
		t.Fatal(errors.Join(errs...))
	}
	report, err := check.Run(t.Context(), plan, check.Target{Shell: here{}, Mode: check.Booted})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]check.Result{}
	for _, r := range report.Suites[0].Results {
		subject, _, _ := strings.Cut(r.Subject, ": ")
		got[r.Kind+":"+subject+":"+r.Property] = r
	}
	for id, verdict := range want {
		if r, ok := got[id]; !ok {
			t.Errorf("%s: goss says %s, and there is no check of it", id, verdict)
		} else if (verdict == "pass") != (r.Outcome == check.Passed) {
			t.Errorf("%s: %s (%s), and goss says %s", id, r.Outcome, r.Message(), verdict)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d checks, and %d of goss", len(got), len(want))
	}
	t.Logf("%d verdicts compared", len(want))
}

// parseVerdicts reads goss's report: by kind, id and property.
func parseVerdicts(t *testing.T, text []byte) map[string]string {
	t.Helper()
	var report struct {
		Results []struct {
			Type     string `json:"resource-type"`
			ID       string `json:"resource-id"`
			Property string `json:"property"`
			Result   int    `json:"result"`
		} `json:"results"`
	}
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatalf("goss says %q: %v", text, err)
	}
	kinds := map[string]string{"KernelParam": "kernel-param"}
	properties := map[string]string{"linkedto": "linked-to", "version": "versions"}
	verdicts := map[string]string{}
	for _, r := range report.Results {
		kind, property := strings.ToLower(r.Type), strings.ToLower(r.Property)
		if name, ok := kinds[r.Type]; ok {
			kind = name
		}
		if name, ok := properties[property]; ok {
			property = name
		}
		// Of a resource that names its subject, the id.
		id, _, _ := strings.Cut(r.ID, ": ")
		verdicts[kind+":"+id+":"+property] = []string{"pass", "fail", "skip"}[r.Result]
	}
	return verdicts
}
