package e2e

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"
	_ "modernc.org/sqlite" // the driver
)

// world is a local cloud and a registry, empty at first, and the programs that
// work on them.
type world struct {
	home   string
	packer string
	bakery string
	env    []string
}

// newWorld makes a world that must be empty of mounts, loop devices and volumes
// again when the test ends.
func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Getenv("PACKER_ACC") != "1" {
		t.Skip("an end-to-end test: run make testacc")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root: bakes mount disks")
	}
	w := &world{home: t.TempDir(), packer: need(t, "BAKERY_TEST_PACKER"), bakery: need(t, "BAKERY_TEST_BAKERY")}
	w.env = append(slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "BAKERY_") || strings.HasPrefix(kv, "AWS_") || strings.HasPrefix(kv, "PACKER_ACC")
	}), "BAKERY_HOME="+w.home, "BAKERY_CLOUD=local", "CHECKPOINT_DISABLE=1", "PACKER_CONFIG_DIR="+t.TempDir())
	t.Cleanup(func() { w.checkClean(t) })
	return w
}

// need returns the path in an environment variable of scripts/testacc.sh.
func need(t *testing.T, name string) string {
	t.Helper()
	path := os.Getenv(name)
	if path == "" {
		t.Fatalf("%s is not set: run make testacc", name)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return path
}

// result is how a command ended.
type result struct {
	out  string // stdout and stderr, as a terminal shows them
	code int
}

func (w *world) command(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, w.env
	return cmd
}

// run runs a command and returns how it ended.
func (w *world) run(t *testing.T, dir, name string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	out, err := w.command(ctx, dir, name, args...).CombinedOutput()
	code := 0
	if err != nil {
		code = -1
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			code = exit.ExitCode()
		}
	}
	t.Logf("%s %s: exit %d\n%s", filepath.Base(name), strings.Join(args, " "), code, out)
	return result{string(out), code}
}

// must runs a command that has to succeed.
func (w *world) must(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	r := w.run(t, dir, name, args...)
	if r.code != 0 {
		t.Fatalf("%s %s: exit status %d", name, strings.Join(args, " "), r.code)
	}
	return r.out
}

// build runs packer build on an example.
func (w *world) build(t *testing.T, example string, args ...string) result {
	t.Helper()
	return w.run(t, t.TempDir(), w.packer, append(append([]string{"build", "-color=false"}, args...), exampleDir(t, example))...)
}

func exampleDir(t *testing.T, name string) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "example", name))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// importDebian makes the image that the foundation starts from.
func (w *world) importDebian(t *testing.T) {
	t.Helper()
	w.must(t, ".", w.bakery, "local", "import", need(t, "BAKERY_TEST_ROOTFS"), "--name", "debian-bookworm-import-1", "--size", "2GiB")
}

// view is what the tests read of `bakery images ls --output json`.
type view struct {
	ID          string `json:"id"`
	Application string `json:"application"`
	Version     string `json:"version"`
	Layer       string `json:"layer"`
	Parent      string `json:"parent"`
	Artifacts   []struct {
		ImageID   string   `json:"image_id"`
		Snapshots []string `json:"snapshots"`
	} `json:"artifacts"`
	Status string `json:"status"`
}

func (w *world) images(t *testing.T, args ...string) []view {
	t.Helper()
	var views []view
	w.json(t, &views, append([]string{"images", "ls", "--output", "json"}, args...)...)
	return views
}

// json runs the bakery command and decodes what it writes.
func (w *world) json(t *testing.T, into any, args ...string) {
	t.Helper()
	cmd := w.command(t.Context(), ".", w.bakery, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("bakery %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	if err := json.Unmarshal(out, into); err != nil {
		t.Fatalf("bakery %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// cloud lists the data files of the local cloud: what takes up disk.
func (w *world) cloud(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, kind := range []string{"volumes", "snapshots"} {
		entries, err := os.ReadDir(filepath.Join(w.home, "local", kind))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for _, e := range entries {
			files = append(files, kind+"/"+e.Name())
		}
	}
	return files
}

// bakes returns the ids of all bakes of the world, also of those that failed:
// the local cloud remembers the client tokens of volumes, which are these ids.
func (w *world) bakes(t *testing.T) []string {
	t.Helper()
	path := filepath.Join(w.home, "local", "cloud.db")
	if _, err := os.Stat(path); os.IsNotExist(err) {
		return nil
	}
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(context.Background(), "SELECT token FROM token WHERE action = 'CreateVolume'")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return ids
}

// checkClean makes sure that nothing of the world is mounted, attached or
// running, and that no volume is left. What others bake on the host at the same
// time is none of its business.
func (w *world) checkClean(t *testing.T) {
	t.Helper()
	own := []string{w.home}
	for _, id := range w.bakes(t) {
		point := filepath.Join("/mnt/bakery", strings.ToLower(id))
		own = append(own, point)
		if _, err := os.Lstat(point); err == nil {
			t.Errorf("a mount point is left: %s", point)
		}
	}
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return !slices.ContainsFunc(own, func(dir string) bool {
			return m.Mountpoint == dir || strings.HasPrefix(m.Mountpoint, dir+"/")
		}), false
	})
	if err != nil {
		t.Error(err)
	}
	for _, m := range mounts {
		t.Errorf("%s is still mounted", m.Mountpoint)
	}
	backings, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, path := range backings {
		if file, err := os.ReadFile(path); err == nil && strings.HasPrefix(string(file), w.home) {
			t.Errorf("a loop device is left: %s of %s", path, strings.TrimSpace(string(file)))
		}
	}
	for _, file := range w.cloud(t) {
		if strings.HasPrefix(file, "volumes/") {
			t.Errorf("a volume is left: %s", file)
		}
	}
	if journals, _ := filepath.Glob(filepath.Join(w.home, "journal", "*")); len(journals) > 0 {
		t.Errorf("journals are left: %v", journals)
	}
}

// started is a packer build that is still running.
type started struct {
	cmd  *exec.Cmd
	out  *watched
	done chan error
}

// start starts packer build in a process group of its own.
func (w *world) start(t *testing.T, dir string, args ...string) *started {
	t.Helper()
	cmd := w.command(context.WithoutCancel(t.Context()), dir, w.packer, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out := &watched{changed: make(chan struct{}, 1)}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &started{cmd: cmd, out: out, done: make(chan error, 1)}
	go func() { s.done <- cmd.Wait() }()
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	return s
}

// waitFor waits until the output has text.
func (s *started) waitFor(t *testing.T, text string) {
	t.Helper()
	limit := time.After(3 * time.Minute)
	for !strings.Contains(s.out.String(), text) {
		select {
		case <-s.out.changed:
		case err := <-s.done:
			t.Fatalf("packer ended (%v) before it wrote %q:\n%s", err, text, s.out)
		case <-limit:
			t.Fatalf("packer did not write %q:\n%s", text, s.out)
		}
	}
}

// wait waits until packer has ended.
func (s *started) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-s.done:
		return err
	case <-time.After(2 * time.Minute):
		t.Fatalf("packer does not end:\n%s", s.out)
		return nil
	}
}
