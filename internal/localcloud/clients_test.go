package localcloud_test

import (
	"bytes"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/imagebakery/packer-plugin-bakery/internal/run"
)

// serveLab serves a lab's cloud on loopback and returns its address and the
// environment that makes AWS's clients use it.
func serveLab(t *testing.T, l *lab) (url string, env []string) {
	t.Helper()
	server := httptest.NewServer(l.cloud.Handler())
	t.Cleanup(server.Close)
	return server.URL, append(os.Environ(),
		"AWS_ENDPOINT_URL_EC2="+server.URL, "AWS_ENDPOINT_URL_STS="+server.URL,
		"AWS_EC2_METADATA_SERVICE_ENDPOINT="+server.URL,
		"AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local",
		"AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1",
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_PAGER=",
		"NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1",
	)
}

// round runs a command that does a round and says so.
func round(t *testing.T, env []string, argv ...string) {
	t.Helper()
	var out bytes.Buffer
	cmd := run.Command{Argv: argv, Env: env, Stdout: &out, Stderr: &out}
	if err := cmd.Run(t.Context()); err != nil || !strings.HasSuffix(out.String(), "round complete\n") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestAWSCommand(t *testing.T) {
	needRoot(t)
	t.Parallel()
	if _, err := exec.LookPath("aws"); err != nil {
		t.Skip("needs the aws command: ", err)
	}
	l := newLab(t)
	_, env := serveLab(t, l)
	mount := t.TempDir()
	t.Cleanup(func() { _ = exec.Command("umount", mount).Run() })
	round(t, append(env, "MOUNT="+mount), "bash", "testdata/aws-round.sh", "/dev/xvdzv")
	l.wantNoFiles()
}

func TestBoto3(t *testing.T) {
	needRoot(t)
	t.Parallel()
	if err := run.Run(t.Context(), "python3", "-c", "import boto3"); err != nil {
		t.Skip("needs python3 with boto3: ", err)
	}
	l := newLab(t)
	url, env := serveLab(t, l)
	round(t, env, "python3", "testdata/boto3_round.py", "/dev/xvdzu", url)
	l.wantNoFiles()
}
