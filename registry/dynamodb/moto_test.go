package dynamodb

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// moto is the DynamoDB that the tests run against, started by the first one that
// needs it.
var moto struct {
	once     sync.Once
	endpoint string
	skip     string // why there is none
	err      error
	stop     []func()
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, stop := range moto.stop {
		stop()
	}
	os.Exit(code)
}

// server returns the endpoint of a DynamoDB, with credentials for it in the
// environment.
func server(t *testing.T) string {
	t.Helper()
	moto.once.Do(startMoto)
	if moto.skip != "" {
		t.Skip(moto.skip)
	}
	if moto.err != nil {
		t.Fatal(moto.err)
	}
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_ENDPOINT_URL": "",
	} {
		t.Setenv(name, value)
	}
	return moto.endpoint
}

func startMoto() {
	path, err := exec.LookPath("moto_server")
	if err != nil {
		moto.skip = "needs moto_server on PATH as DynamoDB: pip install 'moto[server]'"
		return
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		moto.err = err
		return
	}
	address := listener.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	listener.Close()

	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "-H", "127.0.0.1", "-p", port)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &out, 10*time.Second
	if moto.err = cmd.Start(); moto.err != nil {
		cancel()
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	moto.stop = append(moto.stop, func() { cancel(); <-ended })

	for deadline := time.Now().Add(time.Minute); ; {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			conn.Close()
			break
		}
		select {
		case err := <-ended:
			moto.err = fmt.Errorf("moto_server ended: %w\n%s", err, out.String())
			ended <- err
			return
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			moto.err = fmt.Errorf("moto_server does not answer: %w", err)
			return
		}
	}
	serve(address)
}

// serve puts a proxy before moto that lets one request through at a time. When a
// transaction of moto fails it puts the table back as it was, and what others
// have written in the meantime would be lost; DynamoDB isolates transactions.
func serve(address string) {
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: address})
	var one sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		one.Lock()
		defer one.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	moto.endpoint = server.URL
	moto.stop = append(moto.stop, server.Close)
}
