package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/crypto/ssh"
)

// sshd is the server's program on Debian, Red Hat and Alpine; it wants to be
// started by its whole path.
const sshd = "/usr/sbin/sshd"

// server is a real sshd on loopback. What runs over it runs in the image.
type server struct {
	port int
	key  string // file with the key of its root
	cmd  *exec.Cmd
}

// serverRoom makes what sshd needs without a trace on this machine: mounts that
// end with it. $1 is the image, $2 a folder with sshd's own files. sshd wants
// nobody else to be able to write to any folder above the root of its sessions,
// which rules out the folder for temporary files.
const serverRoom = `set -e
mount -t tmpfs -o mode=755 tmpfs /run; mkdir /run/sshd
mount -t tmpfs -o mode=755 tmpfs /mnt; mkdir /mnt/image
mount --bind "$1" /mnt/image; mount --rbind /dev /mnt/image/dev; mount -t proc proc /mnt/image/proc
mount --bind "$2/passwd" /etc/passwd; mount --bind "$2/shadow" /etc/shadow
exec ` + sshd + ` -D -e -f "$2/sshd_config"
`

const serverConfig = `Port %d
ListenAddress 127.0.0.1
HostKey %s/key
AuthorizedKeysFile %s/authorized_keys
PermitRootLogin yes
StrictModes no
UsePAM no
PidFile none
ChrootDirectory /mnt/image
Subsystem sftp internal-sftp
MaxStartups 100
`

// serve starts the server and waits until it answers.
func serve(ctx context.Context, w *world) (*server, error) {
	dir := filepath.Join(w.dir, "sshd")
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	s := &server{port: port, key: filepath.Join(dir, "key")}
	// RSA in its oldest form: what Serverspec's client can sign with without
	// further gems, also where its OpenSSL is newer than it.
	key, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	private := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	err = os.Mkdir(dir, 0o755)
	for name, text := range map[string]string{ //nolint:gosec // nobody has a password here
		"key":             string(pem.EncodeToMemory(private)),
		"authorized_keys": string(ssh.MarshalAuthorizedKey(public)),
		"sshd_config":     fmt.Sprintf(serverConfig, port, dir, dir),
		"passwd":          "root:x:0:0:root:/root:/bin/sh\nsshd:x:101:65534::/run/sshd:/usr/sbin/nologin\n",
		"shadow":          "root:*:20000::::::\nsshd:!:20000::::::\n",
	} {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	if err != nil {
		return nil, fmt.Errorf("write the server's files: %w", err)
	}
	// Its end is ordered by close, after that of the clients.
	s.cmd = exec.CommandContext(context.WithoutCancel(ctx), "unshare", "--mount", "--pid", "--fork", "--kill-child",
		"sh", "-c", serverRoom, "sh", w.root, dir)
	var said bytes.Buffer
	s.cmd.Stderr = &said
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start sshd: %w", err)
	}
	if err := s.wait(ctx); err != nil {
		_ = s.close()
		return nil, fmt.Errorf("start sshd: %w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	return s, nil
}

// startTimeout bounds the wait for the server, and for a connection to it.
const startTimeout = 30 * time.Second

// wait looks until the server accepts connections.
func (s *server) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("no answer within %v", startTimeout))
	defer cancel()
	for {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", s.address())
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *server) address() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// close ends the server and with it, as the first process of its namespace, all
// that it has started.
func (s *server) close() error {
	err := s.cmd.Process.Kill()
	_ = s.cmd.Wait() // says that it was killed
	return err
}

// freePort returns a port that nobody listens on.
func freePort(ctx context.Context) (int, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a port for sshd: %w", err)
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}
