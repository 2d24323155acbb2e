package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/moby/sys/mountinfo"

	"github.com/imagebakery/packer-plugin-bakery/internal/localcloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/loop"
	"github.com/imagebakery/packer-plugin-bakery/internal/run"
)

// payload is the size of what the package holds. It is written twice: uploaded,
// and unpacked.
const payload = 20_000_000

// world is a local cloud that is served to the builders, with what they bake.
type world struct {
	dir      string // all of it, under the folder for temporary files
	bakery   string
	env      []string
	endpoint string
	source   string // id of the image to start from
	pkg      string // path of the package to install
	log      accessLog
	server   *exec.Cmd
}

// tools are the programs that the benchmark runs and the root that it starts
// from.
type tools struct {
	packer, bakery, peer, plugin, rootfs string
}

// newWorld makes a world; close it in any case.
func newWorld(ctx context.Context, t tools) (*world, error) {
	dir, err := os.MkdirTemp("", "bakery-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the benchmark: %w", err)
	}
	w := &world{dir: dir, bakery: t.bakery, pkg: filepath.Join(dir, "bench.deb"), log: accessLog{filepath.Join(dir, "calls.log")}}
	return w, w.fill(ctx, t)
}

func (w *world) fill(ctx context.Context, t tools) error {
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "BAKERY_") && !strings.HasPrefix(kv, "AWS_") && !strings.HasPrefix(kv, "PACKER_") {
			w.env = append(w.env, kv)
		}
	}
	w.env = append(w.env, "BAKERY_HOME="+filepath.Join(w.dir, "home"), "BAKERY_CLOUD=aws", "CHECKPOINT_DISABLE=1",
		"PACKER_CONFIG_DIR="+filepath.Join(w.dir, "packer"))
	for _, p := range []struct{ forType, source, path string }{
		{peer.Type, "github.com/hashicorp/amazon", t.peer}, {bakery.Type, "github.com/imagebakery/bakery", t.plugin},
	} {
		err := run.Command{
			Argv: []string{t.packer, "plugins", "install", "--path", p.path, p.source}, Env: append(slices.Clip(w.env), w.plugins(p.forType)),
		}.Run(ctx)
		if err != nil {
			return err
		}
	}
	if err := w.buildPackage(ctx); err != nil {
		return err
	}
	id, err := w.output(ctx, w.bakery, "local", "import", t.rootfs, "--name", "bench-source", "--size", "2GiB")
	if err != nil {
		return err
	}
	w.source = id
	return w.serve(ctx)
}

// plugins is the variable that names the plugins for a type of source: Packer
// asks all that there are what they are, so each builder has only its own.
func (w *world) plugins(forType string) string {
	return "PACKER_PLUGIN_PATH=" + filepath.Join(w.dir, "plugins", forType)
}

// output runs a command in the world and returns what it wrote, trimmed.
func (w *world) output(ctx context.Context, name string, args ...string) (string, error) {
	var out strings.Builder
	err := run.Command{Argv: append([]string{name}, args...), Env: w.env, Stdout: &out}.Run(ctx)
	return strings.TrimSpace(out.String()), err
}

// buildPackage makes a Debian package of data that nothing can compress.
func (w *world) buildPackage(ctx context.Context) error {
	tree := filepath.Join(w.dir, "package")
	data := make([]byte, payload)
	noise := rand.NewChaCha8([32]byte{1}) // always the same
	_, _ = noise.Read(data)               // never fails
	const control = "Package: bench\nVersion: 1\nArchitecture: all\nMaintainer: bench <bench@example.com>\nDescription: what is baked in\n"
	for path, content := range map[string][]byte{"DEBIAN/control": []byte(control), "opt/bench/data": data} {
		path = filepath.Join(tree, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o644)); err != nil {
			return fmt.Errorf("build the package: %w", err)
		}
	}
	return run.Run(ctx, "dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, w.pkg)
}

var endpointPattern = regexp.MustCompile(`AWS_ENDPOINT_URL_EC2=(\S+)`)

// serve starts the server and finds out where it is.
func (w *world) serve(ctx context.Context) error {
	// Its end is ordered by close, after that of the bakes.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), w.bakery, "local", "serve",
		"--listen", "127.0.0.1:0", "--latency", localcloud.AWSLatency, "--access-log", w.log.path)
	cmd.Env, cmd.Stderr = w.env, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is not for it
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("serve the local cloud: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("serve the local cloud: %w", err)
	}
	w.server = cmd
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := endpointPattern.FindStringSubmatch(lines.Text()); m != nil {
			w.endpoint = m[1]
			w.env = append(w.env, "AWS_EC2_METADATA_SERVICE_ENDPOINT="+w.endpoint)
			return nil
		}
	}
	return errors.New("bakery local serve does not say where it is")
}

// removeImages makes room: images of earlier bakes.
func (w *world) removeImages(ctx context.Context, names ...string) error {
	var errs []error
	for _, name := range names {
		_, err := w.output(ctx, w.bakery, "local", "rm", "--force", name)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// close ends the server and removes the world. What the builders have left
// mounted or attached is removed too, and is an error.
func (w *world) close() error {
	var errs []error
	if w.server != nil {
		errs = append(errs, w.server.Process.Signal(syscall.SIGTERM), w.server.Wait())
	}
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(w.dir))
	errs = append(errs, err)
	for _, m := range mounts {
		errs = append(errs, fmt.Errorf("%s was left mounted", m.Mountpoint), syscall.Unmount(m.Mountpoint, syscall.MNT_DETACH))
	}
	devices, err := loop.List()
	errs = append(errs, err)
	for _, d := range devices {
		if strings.HasPrefix(d.Backing, w.dir+"/") {
			errs = append(errs, fmt.Errorf("%s was left attached", d.Backing), d.Detach())
		}
	}
	errs = append(errs, os.RemoveAll(w.dir))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	return nil
}

// endOf bounds how long builders may take to clean up after they were told to
// stop.
const endOf = 5 * time.Minute
