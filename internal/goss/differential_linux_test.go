package goss

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/internal/check"
)

// realGoss is what the reader is compared with; make goss builds it.
func realGoss(t *testing.T) string {
	t.Helper()
	binary, err := filepath.Abs("../../bin/goss")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(binary); err != nil {
		t.Skipf("NOT COMPARED WITH GOSS: needs bin/goss, which make goss builds: %v", err)
	}
	out, err := exec.CommandContext(t.Context(), binary, "-v").Output()
	if err != nil || strings.TrimSpace(string(out)) != "goss version v0.4.9" {
		t.Fatalf("%s is %q (%v), want v0.4.9; remove it and run make goss", binary, out, err)
	}
	return binary
}

// debian is a Debian root, which is not written to: what a test adds lies in
// memory, over folders of it.
type debian struct {
	root, goss, suites string
	inline             string // variables
	network            bool   // checks have the builder's
}

// setup makes what the gossfiles of the test are about.
const setup = `
set -e
mount --bind "$1" "$1"
cd "$1"
mount -t proc none proc
mount -t tmpfs none tmp
mount -t tmpfs none opt
mount -t tmpfs none mnt
mount --bind "$2" mnt
mount --bind "$3" srv
printf 'first\nlisten = 80\n# listen = 81\nlast\n' >opt/shop.conf
chmod 0640 opt/shop.conf
chown 33:42 opt/shop.conf
ln -s shop.conf opt/link
ln -s nowhere opt/dangling
mkdir opt/dir
chmod 1770 opt/dir
mkfifo opt/pipe
printf '{"name":"shop","ports":[80,443],"tls":{"on":true},"n":1.5}' >opt/shop.json
: >opt/empty
exec chroot . /bin/sh -s
`

func newDebian(t *testing.T) debian {
	t.Helper()
	binary := realGoss(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root: chroot and mounts")
	}
	root := os.Getenv("BAKERY_TEST_ROOTFS")
	if root == "" {
		t.Skip("needs a Debian root file system: set BAKERY_TEST_ROOTFS to one that `debootstrap --variant=minbase bookworm DIR` has made")
	}
	suites, err := filepath.Abs("testdata/verdicts")
	if err != nil {
		t.Fatal(err)
	}
	// Something that listens on the host only.
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return debian{root: root, goss: filepath.Dir(binary), suites: suites, inline: "{inline: two, port: " + port + "}"}
}

// RunScript runs a shell of the root in a chroot that is a mount point, in
// namespaces that go with it.
func (d debian) RunScript(ctx context.Context, script io.Reader, stdout, stderr io.Writer) (int, error) {
	cmd := exec.CommandContext(ctx, "unshare", "-m", "sh", "-c", setup, "sh", d.root, d.goss, d.suites)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = script, stdout, stderr
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// gossVerdicts are those of goss itself: by kind, id and property.
func (d debian) gossVerdicts(t *testing.T, file string) map[string]string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	script := "cd /srv && exec /mnt/goss -g " + file + " --vars vars.yaml --vars-inline '" + d.inline + "' validate -f json -o sort\n"
	if _, err := d.RunScript(t.Context(), strings.NewReader(script), &stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	if stdout.Len() == 0 {
		t.Fatalf("goss says nothing but %q", stderr.String())
	}
	return parseVerdicts(t, stdout.Bytes())
}

// ourVerdicts are those of the checks that are made of the same file.
func (d debian) ourVerdicts(t *testing.T, file string) (map[string]string, map[string]check.Result) {
	t.Helper()
	suite, errs := Read(filepath.Join("testdata/verdicts", file), Options{
		VarsFile: "testdata/verdicts/vars.yaml", VarsInline: d.inline, WarnVacuous: true, DeferBoot: true, BuilderNetwork: d.network,
	})
	plan, wrong := check.Compile([]check.Suite{suite}, check.Auto, time.Now())
	for _, err := range append(errs, wrong...) {
		t.Errorf("%v", err)
	}
	if t.Failed() {
		t.FailNow()
	}
	report, err := check.Run(t.Context(), plan, check.Target{Shell: d, Mounted: true})
	if err != nil {
		t.Fatal(err)
	}
	verdicts, results := map[string]string{}, map[string]check.Result{}
	for _, r := range report.Suites[0].Results {
		// Of a resource that names its subject, its id.
		subject, _, _ := strings.Cut(r.Subject, ": ")
		id := r.Kind + ":" + subject + ":" + r.Property
		verdicts[id], results[id] = string(r.Outcome), r
	}
	return verdicts, results
}

// falsePasses are the assertions that goss passes in a chroot and that do not
// hold, or that it cannot know, with what is reported instead.
var falsePasses = map[string]struct {
	outcome check.Outcome
	reason  string
}{
	"service:systemd-journald:enabled":    {check.Failed, "a static unit is not enabled: it starts when another asks for it"},
	"kernel-param:kernel.ostype:value":    {check.Deferred, "the kernel is the build host's"},
	"process:goss.test:running":           {check.Deferred, "the processes are the build host's: this test is one"},
	"port:of the test:listening":          {check.Deferred, "the ports are the build host's: this test listens"},
	"port:of the test:ip":                 {check.Deferred, "the ports are the build host's: this test listens"},
	"addr:of the test:reachable":          {check.Deferred, "the network is the build host's: this test listens"},
	"process:nosuchprocess:running":       {check.Deferred, "the processes are the build host's"},
	"port:tcp:1:listening":                {check.Deferred, "the ports are the build host's"},
	"mount:/proc:exists":                  {check.Deferred, "the mounts are the build host's"},
	"interface:lo:exists":                 {check.Deferred, "the interfaces are the build host's"},
	"interface:nosuch0:exists":            {check.Deferred, "the interfaces are the build host's"},
	"addr:tcp://127.0.0.1:1:reachable":    {check.Deferred, "the network is the build host's"},
	"service:nosuch-running:running":      {check.Deferred, "nothing runs in a mounted image"},
	"file:/proc/sys/kernel/ostype:exists": {check.Deferred, "/proc is the build host's"},
}

// Each verdict is that of goss, but for those that are named above.
func TestVerdictsOfGoss(t *testing.T) {
	d := newDebian(t)
	files := []string{"files.yaml", "system.yaml", "commands.yaml", "matchers.yaml", "matchers.json", "live.yaml", "network.yaml", "templates.yaml"}
	compared := 0
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			if _, err := os.Stat(filepath.Join(d.root, "usr/bin/systemctl")); err != nil && file == "live.yaml" {
				t.Skipf("needs systemd in %s: %v", d.root, err)
			}
			d.network = file == "network.yaml"
			known := falsePasses
			if d.network {
				known = nil
			}
			want := d.gossVerdicts(t, file)
			got, results := d.ourVerdicts(t, file)
			for id, verdict := range want {
				outcome, ok := got[id]
				pass, isKnown := known[id]
				switch {
				case !ok:
					t.Errorf("%s: goss says %s, and there is no check of it", id, verdict)
				case isKnown && verdict != "pass":
					t.Errorf("%s: goss says %s, so it is no false pass", id, verdict)
				case isKnown && outcome != string(pass.outcome):
					t.Errorf("%s: %s (%s), want %s: %s", id, outcome, results[id].Message(), pass.outcome, pass.reason)
				case isKnown:
				case (verdict == "pass") != (outcome == string(check.Passed)):
					t.Errorf("%s: %s (%s), and goss says %s", id, outcome, results[id].Message(), verdict)
				}
			}
			for id, outcome := range got {
				if _, ok := want[id]; !ok {
					t.Errorf("%s: %s, and goss says nothing of it", id, outcome)
				}
			}
			compared += len(want)
		})
	}
	t.Logf("%d verdicts compared", compared)
}
