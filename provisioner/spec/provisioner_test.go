//go:build linux

package spec

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"github.com/jstemmer/go-junit-report/v2/junit"
	"github.com/zclconf/go-cty/cty"

	"github.com/imagebakery/packer-plugin-bakery/internal/check"
	"github.com/imagebakery/packer-plugin-bakery/internal/handoff"
	"github.com/imagebakery/packer-plugin-bakery/internal/home"
)

// prepare configures a provisioner from the body of a provisioner block, as
// Packer does it: decoded by the configuration's own specification.
func prepare(t *testing.T, body string) (*Provisioner, error) {
	t.Helper()
	p := new(Provisioner)
	file, diags := hclsyntax.ParseConfig([]byte(body), "test.pkr.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	value, diags := hcldec.Decode(file.Body, p.ConfigSpec(), nil)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	packer := map[string]any{"packer_build_name": "shop", "packer_builder_type": "bakery-chroot", "packer_core_version": "1.16.0"}
	return p, p.Prepare(value, packer)
}

// localComm runs commands on this machine; uploading would leave files behind,
// which the provisioner must never do.
type localComm struct {
	t        *testing.T
	commands []string
}

func (c *localComm) Start(ctx context.Context, remote *packersdk.RemoteCmd) error {
	c.commands = append(c.commands, remote.Command)
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", remote.Command)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = remote.Stdin, remote.Stdout, remote.Stderr
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = cmd.Wait()
		remote.SetExited(cmd.ProcessState.ExitCode())
	}()
	return nil
}

func (c *localComm) Upload(string, io.Reader, *os.FileInfo) error { return c.refuse("Upload") }
func (c *localComm) UploadDir(string, string, []string) error     { return c.refuse("UploadDir") }
func (c *localComm) Download(string, io.Writer) error             { return c.refuse("Download") }
func (c *localComm) DownloadDir(string, string, []string) error   { return c.refuse("DownloadDir") }

func (c *localComm) refuse(what string) error {
	c.t.Errorf("%s was called", what)
	return errors.New("not here")
}

// provision runs a provisioner block in a build of a chroot builder. It returns
// what was said, what was handed over, and the error.
func provision(t *testing.T, body string) (said string, handed []handoff.Result, err error) {
	t.Helper()
	t.Setenv(home.Env, t.TempDir())
	t.Setenv(handoff.RunEnv, "run-1")
	p, err := prepare(t, body)
	if err != nil {
		t.Fatal(err)
	}
	said, err = provisionOnce(t, p)
	handed, handErr := handoff.ThisBuild("shop").Results("bake-1")
	if handErr != nil {
		t.Fatal(handErr)
	}
	return said, handed, err
}

func provisionOnce(t *testing.T, p *Provisioner) (string, error) {
	t.Helper()
	var out bytes.Buffer
	ui := &packersdk.BasicUi{Reader: strings.NewReader(""), Writer: &out, ErrorWriter: &out}
	comm := &localComm{t: t}
	err := p.Provision(t.Context(), ui, comm, map[string]any{"MountPath": "/mnt/x", handoff.BakeIDKey: "bake-1"})
	if len(comm.commands) > 1 && !p.plan.NeedsFacts() {
		t.Errorf("%d commands were started, want one: %q", len(comm.commands), comm.commands)
	}
	return out.String(), err
}

func readJUnit(t *testing.T, file string) junit.Testsuites {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var suites junit.Testsuites
	if err := xml.Unmarshal(data, &suites); err != nil {
		t.Fatal(err)
	}
	return suites
}

func TestAllChecksPass(t *testing.T) {
	dir := t.TempDir()
	suite := filepath.Join(dir, "shop.spec.hcl")
	if err := os.WriteFile(suite, []byte("user \"root\" { uid = 0 }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	report := filepath.Join(dir, "reports", "{{ build_name }}.xml")
	said, handed, err := provision(t, `
suite = ["`+suite+`"]
junit = "`+report+`"
file {
  path   = "/etc/passwd"
  mode   = 0644
  exists = true
}
command {
  run         = "printf '%s' '{{json .}}'"
  stdout      = "{{json .}}"
  exit_status = 0
}
`)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	for _, want := range []string{"5 checks (suites: shop)", "offline: it is mounted in a chroot", "suite shop: 1 check: 1 passed", "5 passed"} {
		if !strings.Contains(said, want) {
			t.Errorf("nobody said %q:\n%s", want, said)
		}
	}
	got := readJUnit(t, filepath.Join(dir, "reports", "shop.xml"))
	if got.Tests != 5 || got.Failures+got.Errors+got.Skipped != 0 || len(got.Suites) != 2 {
		t.Errorf("JUnit: %+v", got)
	}
	if len(handed) != 2 || handed[0].Suite != "inline" || handed[1].Suite != "shop" {
		t.Fatalf("handed over: %+v", handed)
	}
	for _, r := range handed {
		if r.Outcome != "passed" || r.Mode != "offline" || r.BakeID != "bake-1" || len(r.SuiteDigest) != 64 || !strings.HasPrefix(r.Tool, "bakery-spec ") || r.Started.IsZero() {
			t.Errorf("result %+v", r)
		}
	}
	if diff := cmp.Diff([]handoff.Check{{ID: "user:root:uid", Outcome: "passed"}}, handed[1].Checks); diff != "" {
		t.Errorf("checks of shop (-want +got):\n%s", diff)
	}
}

const failing = `
file {
  path     = "/etc/passwd"
  contains = ["no such line"]
  mode     = "0644"
}
`

func TestFailureFailsTheBuild(t *testing.T) {
	report := filepath.Join(t.TempDir(), "shop.xml")
	said, handed, err := provision(t, failing+`junit = "`+report+`"`)
	want := `1 of 2 checks failed: file:/etc/passwd:contains: expected "no such line", got no "no such line" in `
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error = %v\nwant      %s…", err, want)
	}
	for _, line := range []string{"failed file:/etc/passwd:contains", `  expected: "no such line"`, `  actual:   no "no such line" in`, "1 passed, 1 failed"} {
		if !strings.Contains(said, line) {
			t.Errorf("nobody said %q:\n%s", line, said)
		}
	}
	if got := readJUnit(t, report); got.Tests != 2 || got.Failures != 1 {
		t.Errorf("JUnit: %+v", got)
	}
	if len(handed) != 1 || handed[0].Outcome != "failed" || len(handed[0].Checks) != 2 || !strings.Contains(handed[0].Checks[1].Message, "no such line") {
		t.Errorf("handed over: %+v", handed)
	}
}

func TestFailureOfASuiteFileNamesTheLine(t *testing.T) {
	suite := filepath.Join(t.TempDir(), "shop.spec.hcl")
	if err := os.WriteFile(suite, []byte("\nfile \"/etc/passwd\" {\n  mode = 0600\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	said, _, err := provision(t, `suite = ["`+suite+`"]`)
	if err == nil || !strings.Contains(err.Error(), "("+suite+":3)") || !strings.Contains(said, "at:       "+suite+":3") {
		t.Errorf("error %v, said\n%s", err, said)
	}
}

func TestOnFailureWarn(t *testing.T) {
	said, handed, err := provision(t, failing+`on_failure = "warn"`)
	if err != nil || !strings.Contains(said, "does not count as tested") || handed[0].Outcome != "failed" {
		t.Errorf("error %v, handed over %+v, said\n%s", err, handed, said)
	}
	// What could not be decided is no failure of the image.
	_, handed, err = provision(t, `
on_failure = "warn"
command {
  run         = "sleep 60"
  exit_status = 0
  timeout     = "1s"
}`)
	if err == nil || handed[0].Outcome != "error" {
		t.Errorf("undecided: error %v, handed over %+v", err, handed)
	}
}

func TestFailOn(t *testing.T) {
	said, handed, err := provision(t, failing+`fail_on = "high"`)
	if err != nil || handed[0].Outcome != "passed" || !strings.Contains(said, "below fail_on") {
		t.Errorf("error %v, handed over %+v, said\n%s", err, handed, said)
	}
	_, _, err = provision(t, `
fail_on = "high"
file {
  path     = "/no/such/file"
  severity = "critical"
}`)
	if err == nil {
		t.Error("a critical failure passed")
	}
}

func TestRefusedOffline(t *testing.T) {
	report := filepath.Join(t.TempDir(), "shop.xml")
	_, handed, err := provision(t, `
junit = "`+report+`"
service {
  name    = "nslcd"
  running = true
}
file {
  path = "/etc/passwd"
}`)
	if err == nil || !strings.Contains(err.Error(), `Write enabled = true to check that it starts at boot, or requires = "boot"`) {
		t.Errorf("error = %v", err)
	}
	if got := readJUnit(t, report); got.Errors != 1 || got.Tests != 1 {
		t.Errorf("JUnit: %+v", got)
	}
	if len(handed) != 1 || handed[0].Outcome != "error" {
		t.Errorf("handed over: %+v", handed)
	}
}

func TestDeferred(t *testing.T) {
	file := filepath.Join(t.TempDir(), "reports", "deferred.json")
	said, handed, err := provision(t, `
deferred = "`+file+`"
service {
  name     = "nslcd"
  running  = true
  requires = "boot"
}`)
	if err != nil || !strings.Contains(said, "deferred service:nslcd:running") {
		t.Errorf("error %v, said\n%s", err, said)
	}
	if len(handed) != 0 {
		t.Errorf("nothing was decided, and handed over was %+v", handed)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var saved struct{ Checks []struct{ Kind string } }
	if err := json.Unmarshal(data, &saved); err != nil || len(saved.Checks) != 1 || saved.Checks[0].Kind != "service" {
		t.Errorf("deferred file: %v\n%s", err, data)
	}
	if _, err := prepare(t, `
mode  = "booted"
suite = ["`+file+`"]`); err != nil {
		t.Errorf("the booted run cannot read it: %v", err)
	}
}

// A report of an earlier run must not stand for one that found out nothing.
func TestStaleReportsAreRemoved(t *testing.T) {
	report := filepath.Join(t.TempDir(), "shop.xml")
	if err := os.WriteFile(report, []byte("<testsuites/>"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := provision(t, `
junit           = "`+report+`"
execute_command = "exit 3"
file { path = "/etc/passwd" }`)
	if err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error = %v", err)
	}
	if _, err := os.Stat(report); !os.IsNotExist(err) {
		t.Errorf("the old report is still there: %v", err)
	}
}

func TestOutsideOfPackerOnlyWarns(t *testing.T) {
	t.Setenv(home.Env, t.TempDir())
	t.Setenv(handoff.RunEnv, "")
	p, err := prepare(t, `file { path = "/etc/passwd" }`)
	if err != nil {
		t.Fatal(err)
	}
	said, err := provisionOnce(t, p)
	if err != nil || !strings.Contains(said, "not handed over to bakery-lineage") {
		t.Errorf("error %v, said\n%s", err, said)
	}
}

// Two provisioners of a build have inline checks of their own, and a retry has
// the same again: neither may hide the other's failure, and the retry counts.
func TestInlineSuitesOfOneBuild(t *testing.T) {
	t.Setenv(home.Env, t.TempDir())
	t.Setenv(handoff.RunEnv, "run-1")
	for _, body := range []string{`file { path = "/no/such" }`, `file { path = "/etc/passwd" }`, `file { path = "/no/such" }`} {
		p, err := prepare(t, body)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = provisionOnce(t, p)
	}
	handed, err := handoff.ThisBuild("shop").Results("bake-1")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range handed {
		got = append(got, r.Suite+" "+r.Outcome)
	}
	if diff := cmp.Diff([]string{"inline failed", "inline-2 passed", "inline failed"}, got); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
}

func TestMistakesComeAtOnce(t *testing.T) {
	_, err := prepare(t, `
mode       = "chroot"
fail_on    = "huge"
on_failure = "ignore"
junit      = "{{ nosuchfunction }}"
suite      = ["no/such.spec.hcl", ""]
file {
  path = "relative"
  mode = "rw"
}
package {}
service { name = "x" }
command {
  run         = "ntpq -pn"
  exit_status = 0
}
`)
	if err == nil {
		t.Fatal("all of this was accepted")
	}
	for _, want := range []string{
		`mode: "chroot" is not a mode; write auto, offline or booted`, `fail_on: "huge" is not a severity`, `on_failure: "ignore" is not fail or warn`,
		`junit: "{{ nosuchfunction }}"`, `no/such.spec.hcl`, `suite: "" names no file`,
		`file: path: "relative" is not an absolute path`, `file: mode: "rw" is not a file mode`, `package: names nothing to check; set name or names`,
		`service "x": asserts nothing`, `command "ntpq -pn": run: ntpq cannot be decided offline`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
	if n := strings.Count(err.Error(), "\n* "); n != 11 {
		t.Errorf("%d mistakes, want 11:\n%v", n, err)
	}
}

func TestNoChecks(t *testing.T) {
	for _, body := range []string{"", "suite = []", `mode = "offline"`} {
		if _, err := prepare(t, body); err == nil || !strings.Contains(err.Error(), "no checks") {
			t.Errorf("%q: error = %v", body, err)
		}
	}
}

func TestModeBootedAllowsLiveCommands(t *testing.T) {
	if _, err := prepare(t, `
mode = "booted"
command {
  run         = "ntpq -pn"
  exit_status = 0
}`); err != nil {
		t.Error(err)
	}
}

func TestSuitesOfOneName(t *testing.T) {
	dir := t.TempDir()
	var files []string
	for _, folder := range []string{"a", "b"} {
		file := filepath.Join(dir, folder, "base.spec.hcl")
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("user \"root\" {}"), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	if _, err := prepare(t, `suite = ["`+strings.Join(files, `", "`)+`"]`); err == nil || !strings.Contains(err.Error(), "have the same name, base") {
		t.Errorf("error = %v", err)
	}
}

// Packer prepares a provisioner when it validates, with what it does not know
// yet marked, and again before it runs.
func TestPrepareTwice(t *testing.T) {
	p := new(Provisioner)
	value := func(version string) cty.Value {
		file, diags := hclsyntax.ParseConfig([]byte(`
suite = ["`+version+`"]
package {
  name    = "bash"
  version = "`+version+`"
}
`), "test.pkr.hcl", hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		v, diags := hcldec.Decode(file.Body, p.ConfigSpec(), nil)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		return v
	}
	if err := p.Prepare(value(check.Unknown)); err != nil {
		t.Fatal(err)
	}
	if !p.plan.Partial {
		t.Error("the plan is not partial")
	}
	if err := p.Prepare(value("not a version")); err == nil {
		t.Error("the second time, nothing was validated")
	}
	if p.plan != nil {
		t.Error("the first plan is still there")
	}
}

func TestMounted(t *testing.T) {
	for _, tc := range []struct {
		data map[string]any
		want bool
	}{
		{map[string]any{"MountPath": "/mnt"}, true},
		{map[string]any{"MountPath": "/mnt", "ConnType": ""}, true},
		{map[string]any{"ConnType": "ssh"}, false},
		{map[string]any{"MountPath": "/mnt", "ConnType": "ssh"}, false},
		{map[string]any{"MountPath": ""}, false},
		{nil, false},
	} {
		if got := mounted(tc.data); got != tc.want {
			t.Errorf("mounted(%v) = %v", tc.data, got)
		}
	}
}

// Maps arrive from templates as they do from suite files.
func TestConfigBlock(t *testing.T) {
	file := filepath.Join(t.TempDir(), "shop.json")
	if err := os.WriteFile(file, []byte(`{"port": 8080, "tls": {"min": "1.2"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, handed, err := provision(t, `
config {
  path    = "`+file+`"
  values  = { port = ">= 1024", "tls.min" = "1.3" }
  not_set = ["debug"]
}`)
	if err == nil || !strings.Contains(err.Error(), "1 of 3 checks failed: config:"+file+":tls.min: expected 1.3") {
		t.Errorf("error: %v", err)
	}
	if len(handed) != 1 || len(handed[0].Checks) != 3 {
		t.Errorf("handed over: %+v", handed)
	}
}

// The builder's own files over the image's are seen through.
func TestCovered(t *testing.T) {
	t.Setenv(home.Env, t.TempDir())
	t.Setenv(handoff.RunEnv, "run-1")
	guard := filepath.Join(t.TempDir(), "policy-rc.d")
	if err := os.WriteFile(guard, []byte("exit 101\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := prepare(t, `
file {
  path   = "`+guard+`"
  exists = false
}`)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("exit 101\n"))
	text, err := handoff.EncodeCovered([]handoff.Covered{{Path: guard, SHA256: hex.EncodeToString(sum[:])}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		value any
		want  string
	}{
		{text, ""},
		{nil, "it exists"},
		{"", "it exists"},
		{"nonsense", "decode SandboxFiles"},
	} {
		ui := &packersdk.BasicUi{Reader: strings.NewReader(""), Writer: io.Discard, ErrorWriter: io.Discard}
		err := p.Provision(t.Context(), ui, &localComm{t: t}, map[string]any{"MountPath": "/mnt/x", handoff.CoveredKey: tc.value})
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: %v, want %q", tc.value, err, tc.want)
		}
	}
}

func TestCancel(t *testing.T) {
	p, err := prepare(t, `
command {
  run         = "sleep 7"
  exit_status = 0
}`)
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("asked to stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(200*time.Millisecond, func() { cancel(stop) })
	begin := time.Now()
	err = p.Provision(ctx, packersdk.TestUi(t), &localComm{t: t}, map[string]any{"MountPath": "/mnt"})
	if !errors.Is(err, stop) || time.Since(begin) > 5*time.Second {
		t.Errorf("error %v after %v", err, time.Since(begin))
	}
}
