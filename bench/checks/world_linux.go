package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/imagebakery/packer-plugin-bakery/internal/run"
)

// programs are what the benchmark runs, and the root that it starts from.
// serverspec is empty where rspec is not wanted.
type programs struct {
	self, bakery, goss, serverspec, rootfs string
}

// world is an image as a folder, with a server of ssh whose sessions are in it,
// and what the tools need to check it.
type world struct {
	dir  string // all of it, under the folder for temporary files
	root string // the image
	programs
	applications []application
	packages     []installed
	ssh          *server
}

// application is something that runs in the image: what checks are about.
type application struct {
	name, config, program, state string
	setting, says                string // a line of its configuration; its version
	id                           int    // of its user and of its group
}

// installed is a package of the image.
type installed struct{ name, version string }

// gossInImage is where goss lies in the image for checks in a chroot.
const gossInImage = "/usr/local/bin/goss"

// newWorld makes a world for suites of up to checks checks; close it in any case.
func newWorld(ctx context.Context, p programs, checks int) (*world, error) {
	dir, err := os.MkdirTemp("", "bakery-bench-checks-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the benchmark: %w", err)
	}
	w := &world{dir: dir, root: filepath.Join(dir, "root"), programs: p}
	return w, w.fill(ctx, checks)
}

func (w *world) fill(ctx context.Context, checks int) error {
	if err := run.Run(ctx, "cp", "-a", "--reflink=auto", w.rootfs+"/.", w.root); err != nil {
		return err
	}
	if err := w.copyIn(w.goss, gossInImage, 0o755); err != nil {
		return err
	}
	var err error
	if w.packages, err = packagesOf(w.root); err != nil {
		return err
	}
	for i := range (checks + perApplication - 1) / perApplication {
		if err := w.install(i); err != nil {
			return fmt.Errorf("install an application: %w", err)
		}
	}
	if need := 2 * len(w.applications); len(w.packages) < need {
		return fmt.Errorf("%s has %d packages, and checks want %d", w.rootfs, len(w.packages), need)
	}
	w.ssh, err = serve(ctx, w)
	return err
}

func (w *world) copyIn(from, to string, mode os.FileMode) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return w.write(to, string(data), mode)
}

// write makes a file of the image. Nothing of the image leads out of it: it is
// fresh from debootstrap.
func (w *world) write(path, text string, mode os.FileMode) error {
	path = filepath.Join(w.root, path)
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode)) //nolint:gosec // in a folder that this program has made
}

// install puts the i-th application into the image, as a package of it would.
func (w *world) install(i int) error {
	name := fmt.Sprintf("app-%02d", i)
	a := application{
		name: name, config: "/etc/" + name + "/" + name + ".conf", program: "/usr/local/bin/" + name, state: "/var/lib/" + name,
		setting: fmt.Sprintf("listen = 127.0.0.1:%d", 8000+i), says: fmt.Sprintf("%s 1.0.%d", name, i), id: 900 - i,
	}
	w.applications = append(w.applications, a)
	const unit = "/etc/systemd/system/"
	err := errors.Join(
		w.write(a.config, "# settings of "+name+"\n"+a.setting+"\nworkers = 4\n", 0o640),
		os.Chown(filepath.Join(w.root, a.config), a.id, a.id),
		w.write(a.program, "#!/bin/sh\necho '"+a.says+"'\n", 0o755),
		os.MkdirAll(filepath.Join(w.root, a.state), 0o755),
		w.write(unit+name+".service", "[Service]\nExecStart="+a.program+"\n[Install]\nWantedBy=multi-user.target\n", 0o644),
		os.MkdirAll(filepath.Join(w.root, unit, "multi-user.target.wants"), 0o755),
		os.Symlink(unit+name+".service", filepath.Join(w.root, unit, "multi-user.target.wants", name+".service")),
	)
	for file, line := range map[string]string{
		"etc/passwd": fmt.Sprintf("%s:x:%d:%d::%s:/usr/sbin/nologin\n", name, a.id, a.id, a.state),
		"etc/group":  fmt.Sprintf("%s:x:%d:\n", name, a.id),
		"etc/shadow": fmt.Sprintf("%s:!:20000::::::\n", name),
	} {
		err = errors.Join(err, appendTo(filepath.Join(w.root, file), line))
	}
	return err
}

func appendTo(path, line string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Close())
}

// packagesOf reads what dpkg has installed in a root.
func packagesOf(root string) ([]installed, error) {
	f, err := os.Open(filepath.Join(root, "var/lib/dpkg/status"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []installed
	var name string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "Package: "); ok {
			name = value
		} else if value, ok := strings.CutPrefix(lines.Text(), "Version: "); ok {
			list = append(list, installed{name, value})
		}
	}
	return list, lines.Err()
}

// suites writes the files of a suite for all tools and returns what they begin
// with.
func (w *world) suites(name string, s suite) (string, error) {
	base := filepath.Join(w.dir, name)
	chroot := fmt.Sprintf("set :backend, :exec\nset :shell, %q\n", filepath.Join(w.dir, "in-chroot"))
	ssh := fmt.Sprintf("set :backend, :ssh\nset :host, '127.0.0.1'\n"+
		"set :ssh_options, user: 'root', port: %d, keys: [%q], keys_only: true, config: false, verify_host_key: :never\n", w.ssh.port, w.ssh.key)
	return base, errors.Join(
		os.WriteFile(base+".spec.hcl", []byte(s.spec()), 0o644),
		os.WriteFile(base+".yaml", []byte(s.goss()), 0o644),
		os.WriteFile(filepath.Join(w.root, "root", name+".yaml"), []byte(s.goss()), 0o644),
		os.WriteFile(base+"_chroot_spec.rb", []byte(s.serverspec(chroot)), 0o644),
		os.WriteFile(base+"_ssh_spec.rb", []byte(s.serverspec(ssh)), 0o644),
		// Serverspec has no backend for a chroot; this is a shell of the image.
		os.WriteFile(filepath.Join(w.dir, "in-chroot"), []byte("#!/bin/sh\nexec chroot "+run.Quote([]string{w.root})+` /bin/sh "$@"`+"\n"), 0o755),
	)
}

// close ends the server and removes the world.
func (w *world) close() error {
	var errs []error
	if w.ssh != nil {
		errs = append(errs, w.ssh.close())
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	errs = append(errs, err)
	if slices.ContainsFunc(strings.Fields(string(mounts)), func(field string) bool { return strings.HasPrefix(field, w.dir+"/") }) {
		return errors.Join(append(errs, fmt.Errorf("clean up: something is still mounted in %s", w.dir))...)
	}
	return errors.Join(append(errs, os.RemoveAll(w.dir))...)
}
