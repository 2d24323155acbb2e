package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// signalStatus and the number of a signal make the exit status of a command
// that the signal ended, as in a shell.
const signalStatus = 128

// giveUp bounds the wait for guests to die when a sandbox could not be started.
const giveUp = 30 * time.Second

// Sandbox is a running sandbox. Its methods may be called at the same time.
type Sandbox struct {
	config     Config
	wire       *wire
	supervisor *os.Process
	said       *tail
	made       []made
	placed     []placed

	host  tree // the image as the host sees it
	guest tree // the image as guests see it
	run   tree // the private /run, if there is one
	open  openFiles

	gone chan struct{} // closed when the supervisor has been waited for
	fate error         // how it ended; read after gone

	mu     sync.Mutex
	lastID uint64
	runs   map[uint64]*running
	closed bool

	tidied bool // what was put in the image is out again; guarded by closing
	// closing lets one Close run at a time.
	closing sync.Mutex
}

// Start makes a sandbox around a mounted root. It needs root's rights.
//
// When ctx ends, every guest process that then runs is killed; the sandbox
// stays until Close, so that commands which clean up after a cancelled build
// still run. This is how a cancelled build stops its guests: the context of a
// provisioner does not reach the communicator through Packer's RPC.
func Start(ctx context.Context, c Config) (*Sandbox, error) {
	s, err := start(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("start the sandbox in %s: %w", c.Root, err)
	}
	return s, nil
}

func start(ctx context.Context, c Config) (*Sandbox, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("needs root: it makes namespaces and mounts")
	}
	root, err := filepath.Abs(c.Root)
	if err == nil {
		root, err = filepath.EvalSymlinks(root)
	}
	if err != nil {
		return nil, err
	}
	if root == "/" {
		return nil, errors.New("the root is the host's own")
	}
	c.Root = root
	if c.Mounts == nil {
		c.Mounts = DefaultMounts()
	}
	if slices.Contains(c.CopyFiles, resolvConf) {
		c.CopyFiles = slices.DeleteFunc(slices.Clone(c.CopyFiles), func(name string) bool { return name == resolvConf })
		if c.ResolvConf == "" {
			c.ResolvConf = resolvConf
		}
	}
	if c.Log == nil {
		c.Log = func(string) {}
	}
	c.Env = maps.Clone(c.Env)

	s := &Sandbox{config: c, said: &tail{}, gone: make(chan struct{}), runs: map[uint64]*running{}}
	if s.host, err = openTree(root); err != nil {
		return nil, err
	}
	if err := s.launch(); err != nil {
		_ = s.host.Close()
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = s.supervisor.Kill() })
	err = s.furnish()
	if !stop() {
		err = context.Cause(ctx)
	}
	if err == nil {
		go s.receive()
		err = s.place()
	}
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUp)
		defer cancel()
		return nil, errors.Join(err, s.Close(ctx))
	}
	context.AfterFunc(ctx, s.interrupt)
	return s, nil
}

// launch starts the supervisor.
func (s *Sandbox) launch() error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make a socket: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "socket")
	defer theirs.Close()
	if s.wire, err = newWire(os.NewFile(uintptr(pair[0]), "socket")); err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	complaints, stderr, err := os.Pipe()
	if err != nil {
		return err
	}
	defer stderr.Close()
	s.supervisor, err = os.StartProcess("/proc/self/exe", []string{supervisorName}, &os.ProcAttr{
		Files: []*os.File{null, null, stderr, theirs},
		// Garbage is not collected while it starts, which everybody waits for.
		Env: []string{"GOTRACEBACK=single", "GOGC=off"},
		Dir: "/",
		Sys: &unix.SysProcAttr{
			Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
			// Out of the terminal's reach: Ctrl-C is for this process to handle.
			Setsid: true,
		},
	})
	if err != nil {
		complaints.Close()
		_ = s.wire.Close()
		return fmt.Errorf("start the supervisor: %w", err)
	}
	go func() {
		heard := make(chan struct{})
		go func() {
			defer close(heard)
			defer complaints.Close()
			_, _ = io.Copy(s.said, complaints)
		}()
		state, err := s.supervisor.Wait()
		<-heard
		if err != nil {
			s.fate = fmt.Errorf("wait for the supervisor: %w", err)
		} else if !state.Success() {
			s.fate = fmt.Errorf("the supervisor ended with %s%s", state, s.said.suffix())
		}
		close(s.gone)
	}()
	return nil
}

// furnish tells the supervisor what to mount.
func (s *Sandbox) furnish() error {
	err := s.wire.send(&request{Setup: &setup{
		Root:    s.config.Root,
		Mounts:  s.config.Mounts,
		Devices: s.config.Devices,
	}})
	var answer reply
	var files []*os.File
	if err == nil {
		files, err = s.wire.receive(&answer)
	}
	if err != nil {
		_ = s.wire.Close()
		<-s.gone
		return errors.Join(fmt.Errorf("talk to the supervisor: %w", err), s.fate)
	}
	if answer.Ready == nil {
		closeAll(files)
		return errors.New("the supervisor's first answer is not about its setup")
	}
	s.made = answer.Ready.Made
	if answer.Ready.Error != "" {
		return errors.New(answer.Ready.Error)
	}
	if len(files) != 1 {
		closeAll(files)
		return fmt.Errorf("the supervisor passed %d files, not the root alone", len(files))
	}
	s.guest = tree{files[0]}
	return nil
}

// receive hands the supervisor's answers on until it ends.
func (s *Sandbox) receive() {
	for {
		var answer reply
		files, err := s.wire.receive(&answer)
		if err != nil {
			break
		}
		closeAll(files)
		s.mu.Lock()
		switch {
		case answer.Started != nil:
			if r := s.runs[answer.Started.ID]; r != nil {
				r.started <- answer.Started.Error
			}
		case answer.Ended != nil:
			if r := s.runs[answer.Ended.ID]; r != nil {
				r.ended <- answer.Ended.Status
			}
		}
		s.mu.Unlock()
	}
	// Half a conversation is of no use: without the socket the supervisor ends.
	_ = s.wire.Close()
}

// interrupt kills every guest process.
func (s *Sandbox) interrupt() {
	_ = s.wire.send(&request{Interrupt: true}) // fails when all are dead anyhow
}

// PID is the process of the host that holds the sandbox's namespaces, for
// nsenter(1) and the like. The image with all mounts that guests see is at
// /proc/PID/root/image.
func (s *Sandbox) PID() int { return s.supervisor.Pid }

// Root is the directory of the host where the image's root is mounted, without
// symbolic links.
func (s *Sandbox) Root() string { return s.config.Root }

// Close ends the sandbox: it kills every guest process, waits until all are
// gone, and puts back what was put in the image. After that nothing of the
// sandbox uses the image's file system. When ctx ends first, Close returns an
// error that names the processes that remain, and can be called again. Closing
// again is no error.
func (s *Sandbox) Close(ctx context.Context) error {
	s.closing.Lock()
	defer s.closing.Unlock()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	if s.tidied {
		return nil
	}
	_ = s.wire.Close() // twice is no harm
	select {
	case <-s.gone:
	case <-ctx.Done():
		return fmt.Errorf("close the sandbox in %s: %w; still alive: %s", s.config.Root, context.Cause(ctx), s.survivors())
	}
	s.open.closeAll()
	err := errors.Join(s.putBack(), s.keepRunFolders())
	for _, t := range []tree{s.run, s.guest, s.host} {
		if t.root != nil {
			err = errors.Join(err, t.Close())
		}
	}
	s.tidied = true
	if err != nil {
		return fmt.Errorf("close the sandbox in %s: %w", s.config.Root, err)
	}
	return nil
}

// isClosed reports whether Close was called.
func (s *Sandbox) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// survivors names the processes of the sandbox, for a message.
func (s *Sandbox) survivors() string {
	own := fmt.Sprintf("/proc/%d/ns/pid", s.PID())
	name, err := os.Readlink(own)
	if err != nil {
		return "processes that cannot be listed"
	}
	var names []string
	namespaces, _ := filepath.Glob("/proc/[0-9]*/ns/pid")
	for _, path := range namespaces {
		if other, err := os.Readlink(path); err == nil && other == name {
			dir := strings.TrimSuffix(path, "/ns/pid")
			comm, _ := os.ReadFile(dir + "/comm")
			names = append(names, fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(comm)), filepath.Base(dir)))
		}
	}
	return strings.Join(names, ", ")
}

// tail keeps the beginning of what the supervisor says on stderr, which is
// where a panic names its cause.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	const limit = 4096
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p[:min(len(p), limit-len(t.text))]...)
	return len(p), nil
}

// suffix is what was said, to be added to a message.
func (t *tail) suffix() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if text := strings.TrimSpace(string(t.text)); text != "" {
		return ": " + text
	}
	return ""
}

// openFiles are the files of the image that transfers hold open: while one is,
// the image's file system cannot be unmounted for good.
type openFiles struct {
	mu    sync.Mutex
	files map[*os.File]bool
	shut  bool
}

// add registers f, and closes it at once when the sandbox has closed.
func (o *openFiles) add(f *os.File) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.shut {
		f.Close()
		return ErrClosed
	}
	if o.files == nil {
		o.files = map[*os.File]bool{}
	}
	o.files[f] = true
	return nil
}

// close closes f.
func (o *openFiles) close(f *os.File) error {
	o.mu.Lock()
	delete(o.files, f)
	o.mu.Unlock()
	return f.Close()
}

// closeAll closes every file, now and from now on.
func (o *openFiles) closeAll() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.shut = true
	for f := range o.files {
		f.Close()
	}
	clear(o.files)
}
