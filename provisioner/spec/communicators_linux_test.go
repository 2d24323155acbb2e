package spec

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/packer-plugin-sdk/chroot"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	sshcomm "github.com/hashicorp/packer-plugin-sdk/sdk-internals/communicator/ssh"
	"golang.org/x/crypto/ssh"

	"github.com/imagebakery/packer-plugin-bakery/internal/handoff"
	"github.com/imagebakery/packer-plugin-bakery/internal/home"
)

// imageRoot is a root with files of its own and the programs of this machine. Its
// user shop may not read everything, and may become root with sudo.
func imageRoot(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: chroot and mounts")
	}
	for _, tool := range []string{"/usr/sbin/sshd", "/usr/bin/sudo", "/usr/bin/busybox", "/usr/bin/dash", "/usr/bin/bash"} {
		if _, err := os.Stat(tool); err != nil {
			t.Skipf("needs %s on this machine: %v", filepath.Base(tool), err)
		}
	}
	root := t.TempDir()
	for _, dir := range []string{"dev", "proc", "usr", "tmp", "run/sshd", "etc/ssh", "etc/pam.d", "etc/security", "root", "srv", "var/lib/dpkg"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		if target, err := os.Readlink("/" + name); err == nil {
			if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, text := range map[string]string{
		"etc/os-release":      "ID=debian\nVERSION_ID=\"12\"\n",
		"etc/passwd":          "root:x:0:0:root:/root:/bin/sh\nsshd:x:101:65534::/run/sshd:/usr/sbin/nologin\nshop:x:1042:1042::/srv:/bin/sh\n",
		"etc/group":           "root:x:0:\nnogroup:x:65534:\nshop:x:1042:\n",
		"etc/shadow":          "root:*:1::::::\nshop:*:1::::::\nsshd:!:1::::::\n",
		"etc/sudoers":         "shop ALL=(ALL) NOPASSWD: ALL\nroot ALL=(ALL) NOPASSWD: ALL\n",
		"etc/pam.d/sudo":      "account required pam_permit.so\nauth required pam_permit.so\nsession required pam_permit.so\n",
		"etc/secret":          "key = value\n",
		"var/lib/dpkg/status": "Package: shop\nStatus: install ok installed\nArchitecture: all\nVersion: 1.4\n",
	} {
		mode := os.FileMode(0o644)
		switch name {
		case "etc/shadow", "etc/secret":
			mode = 0o600
		case "etc/sudoers":
			mode = 0o440
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// inNamespace is the beginning of a command that runs in the root, with mounts
// that end with it; $1 is the root.
const inNamespace = `set -e
mount --bind "$1" "$1"; mount --rbind /dev "$1/dev"; mount --bind /usr "$1/usr"; mount -t proc proc "$1/proc"
`

// mountedRoot mounts what a chroot builder mounts, on this machine.
func mountedRoot(t *testing.T, root string) {
	t.Helper()
	for _, m := range [][2]string{{root, root}, {"/usr", root + "/usr"}, {"/dev", root + "/dev"}} {
		if err := syscall.Mount(m[0], m[1], "", syscall.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := syscall.Unmount(m[1], syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
	}
}

// serveSSH runs a real sshd in the root and returns a way to connect to it.
func serveSSH(t *testing.T, root string) func(user string, pty bool) packersdk.Communicator {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	for name, text := range map[string]string{
		"etc/ssh/host_key":        string(pem.EncodeToMemory(block)),
		"etc/ssh/authorized_keys": string(ssh.MarshalAuthorizedKey(key)),
		"etc/ssh/sshd_config": "ListenAddress 127.0.0.1\nPort " + port + "\nHostKey /etc/ssh/host_key\nAuthorizedKeysFile /etc/ssh/authorized_keys\n" +
			"PermitRootLogin yes\nStrictModes no\nUsePAM no\nPidFile none\n",
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(root, "etc/ssh/authorized_keys"), 0o644); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	server := exec.Command("unshare", "-m", "-p", "-f", "--kill-child", "sh", "-c", inNamespace+`exec chroot "$1" /usr/sbin/sshd -D -e -f /etc/ssh/sshd_config`, "sh", root)
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	for deadline := time.Now().Add(30 * time.Second); ; {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("sshd does not listen: %v: %s", err, log.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
	return func(user string, pty bool) packersdk.Communicator {
		comm, err := sshcomm.New(address, &sshcomm.Config{
			SSHConfig: &ssh.ClientConfig{
				User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 30 * time.Second,
			},
			Connection: sshcomm.ConnectFunc("tcp", address), Pty: pty, DisableAgentForwarding: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		return comm
	}
}

// checkOver runs a provisioner block over a communicator, as a build with a
// connection of that type does.
func checkOver(t *testing.T, comm packersdk.Communicator, connection, body string) (string, error) {
	t.Helper()
	t.Setenv(home.Env, t.TempDir())
	t.Setenv(handoff.RunEnv, "run-1")
	p, err := prepare(t, body)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	ui := &packersdk.BasicUi{Reader: strings.NewReader(""), Writer: &out, ErrorWriter: &out}
	data := map[string]any{"MountPath": "/mnt/x"}
	if connection != "" {
		data = map[string]any{"ConnType": connection}
	}
	err = p.Provision(t.Context(), ui, comm, data)
	return out.String(), err
}

// good is what holds on imageRoot for whoever sees all of it. It is more than one
// packet, one pipe and one argument of a program can hold.
func good() string {
	var paths []string
	for i := range 3000 {
		paths = append(paths, fmt.Sprintf("%q", fmt.Sprintf("/etc/nothing/of/this/name/%04d", i)))
	}
	return `
file {
  path     = "/etc/secret"
  mode     = 0600
  contains = ["key = value"]
}
file {
  paths  = [` + strings.Join(paths, ", ") + `]
  exists = false
}
package {
  name    = "shop"
  version = ">= 1.4"
}
user {
  name   = "shop"
  locked = true
}
command {
  run    = "printf '%s' \"$HOME\" | wc -l; echo '$HOME' $(echo \"it's\")"
  stdout = "0\n$HOME it's"
}
`
}

const goodCount = 3005 // assertions

func expectGood(t *testing.T, said string, err error) {
	t.Helper()
	if err != nil || !strings.Contains(said, fmt.Sprintf("%d checks", goodCount)) || !strings.Contains(said, fmt.Sprintf(": %d passed", goodCount)) {
		t.Errorf("error %v; said:\n%.2000s", err, said)
	}
}

func TestSSH(t *testing.T) {
	root := imageRoot(t)
	connect := serveSSH(t, root)
	for name, command := range map[string]string{
		"default": "", "dash": "dash -s", "bash": "bash -s", "busybox": "busybox sh -s", "bash as sh": "exec -a sh bash -s",
	} {
		t.Run(name, func(t *testing.T) {
			body := good()
			if command == "exec -a sh bash -s" {
				command = `bash -c "exec -a sh bash -s"`
			}
			if command != "" {
				body += fmt.Sprintf("execute_command = %q\n", command)
			}
			said, err := checkOver(t, connect("root", false), "ssh", body)
			expectGood(t, said, err)
		})
	}
	t.Run("without rights", func(t *testing.T) {
		said, err := checkOver(t, connect("shop", false), "ssh", good())
		if err == nil || !strings.Contains(err.Error(), "2 of 3005 checks could not be decided") || !strings.Contains(said, "execute_command") {
			t.Errorf("error %v; said:\n%.2000s", err, said)
		}
		if strings.Contains(said, "failed file:/etc/secret") {
			t.Errorf("what may not be read has failed:\n%.2000s", said)
		}
	})
	t.Run("sudo", func(t *testing.T) {
		said, err := checkOver(t, connect("shop", false), "ssh", good()+`execute_command = "sudo -n /bin/sh -s"`)
		expectGood(t, said, err)
	})
	t.Run("terminal", func(t *testing.T) {
		_, err := checkOver(t, connect("root", true), "ssh", `file { path = "/etc/passwd" }`)
		if err == nil || !strings.Contains(err.Error(), "ssh_pty = false") {
			t.Errorf("error %v, want the remedy", err)
		}
	})
	t.Run("not booted", func(t *testing.T) {
		said, err := checkOver(t, connect("root", false), "ssh", `file { path = "/etc/passwd" }`)
		if err != nil || !strings.Contains(said, "The image is offline") {
			t.Errorf("error %v; said:\n%s", err, said)
		}
	})
}

// The communicator of amazon-chroot, with and without a command_wrapper.
func TestAmazonChroot(t *testing.T) {
	root := imageRoot(t)
	mountedRoot(t, root)
	for name, wrapper := range map[string]func(string) (string, error){
		"plain": func(command string) (string, error) { return command, nil },
		"sudo":  func(command string) (string, error) { return "sudo -n " + command, nil },
	} {
		t.Run(name, func(t *testing.T) {
			said, err := checkOver(t, &chroot.Communicator{Chroot: root, CmdWrapper: wrapper}, "", good())
			expectGood(t, said, err)
		})
	}
}

// dockerComm starts commands as Packer's docker communicator does: the command in
// parentheses as one argument of the image's shell, standard input copied through
// a pipe that is closed at its end, one command at a time.
type dockerComm struct {
	localComm
	root string
	lock sync.Mutex
}

func (c *dockerComm) Start(ctx context.Context, remote *packersdk.RemoteCmd) error {
	cmd := exec.Command("chroot", c.root, "/bin/sh", "-c", fmt.Sprintf("(%s)", remote.Command))
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin", "container=docker"}
	cmd.Stdout, cmd.Stderr = remote.Stdout, remote.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	c.lock.Lock()
	if err := cmd.Start(); err != nil {
		c.lock.Unlock()
		return err
	}
	go func() {
		defer c.lock.Unlock()
		_, _ = io.Copy(stdin, remote.Stdin)
		_ = stdin.Close()
		_ = cmd.Wait()
		remote.SetExited(cmd.ProcessState.ExitCode())
	}()
	return nil
}

func TestDocker(t *testing.T) {
	root := imageRoot(t)
	mountedRoot(t, root)
	said, err := checkOver(t, &dockerComm{localComm: localComm{t: t}, root: root}, "docker", good())
	expectGood(t, said, err)
	if !strings.Contains(said, "The image is offline") {
		t.Errorf("said:\n%.1000s", said)
	}
}

// clean is what hygiene finds nothing wrong with on imageRoot, for whoever is root.
// /usr is this machine's, and sshd has keys of the test.
const clean = `
hygiene {
  rules  = ["secrets", "credentials", "histories", "passwords", "logs"]
  except = ["/usr"]
}
`

// Secrets are found over any communicator, with root's eyes, and are shown by none.
func TestHygieneOverCommunicators(t *testing.T) {
	root := imageRoot(t)
	connect := serveSSH(t, root)
	mountedRoot(t, root)
	planted := filepath.Join(root, "srv/shop.env")
	key := "AKIA" + "QYLPMN5HHHFPZAM2"
	for name, c := range map[string]struct {
		comm       packersdk.Communicator
		connection string
		body       string
	}{
		"ssh as root":   {connect("root", false), "ssh", clean},
		"ssh with sudo": {connect("shop", false), "ssh", clean + `execute_command = "sudo -n /bin/sh -s"`},
		"chroot":        {&chroot.Communicator{Chroot: root, CmdWrapper: func(command string) (string, error) { return command, nil }}, "", clean},
		"docker":        {&dockerComm{localComm: localComm{t: t}, root: root}, "docker", clean},
	} {
		t.Run(name, func(t *testing.T) {
			said, err := checkOver(t, c.comm, c.connection, c.body)
			if err != nil || !strings.Contains(said, "5 checks: 5 passed") {
				t.Fatalf("error %v; said:\n%.2000s", err, said)
			}
			if err := os.WriteFile(planted, []byte("AWS_KEY="+key+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			defer os.Remove(planted)
			said, err = checkOver(t, c.comm, c.connection, c.body)
			if err == nil || !strings.Contains(said, "/srv/shop.env:1 aws-access-token") {
				t.Errorf("error %v; said:\n%.2000s", err, said)
			}
			if err != nil && strings.Contains(said+err.Error(), key[4:]) {
				t.Errorf("the secret is shown:\n%.2000s", said)
			}
			waived := c.body + `
waiver {
  check  = "hygiene:secrets:/srv/shop.env"
  until  = "2999-01-01"
  reason = "the test's"
}
`
			if said, err = checkOver(t, c.comm, c.connection, waived); err != nil || !strings.Contains(said, "1 waived") {
				t.Errorf("waived: error %v; said:\n%.2000s", err, said)
			}
		})
	}
	t.Run("ssh without rights", func(t *testing.T) {
		said, err := checkOver(t, connect("shop", false), "ssh", clean)
		if err == nil || !strings.Contains(err.Error(), "5 of 5 checks could not be decided") || !strings.Contains(said, "execute_command") {
			t.Errorf("error %v; said:\n%.2000s", err, said)
		}
	})
}
