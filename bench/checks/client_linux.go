package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	sshcomm "github.com/hashicorp/packer-plugin-sdk/sdk-internals/communicator/ssh"
	"golang.org/x/crypto/ssh"

	"github.com/imagebakery/packer-plugin-bakery/provisioner/spec"
)

// clientWord makes this program a client that checks an image over ssh: it
// connects with Packer's communicator, and then is bakery-spec, or does with goss
// what a provisioner does that brings it along. So whatever connecting takes is
// the same for both.
const clientWord = "over-ssh"

// client is told by its arguments: TOOL ADDRESS KEY SUITE [GOSS]. It writes what
// the tool says, and fails when that does.
func client(ctx context.Context, args []string) error {
	if len(args) < 4 {
		return errors.New("usage: " + clientWord + " TOOL ADDRESS KEY SUITE [GOSS]")
	}
	comm, err := connect(args[1], args[2])
	if err != nil {
		return fmt.Errorf("connect to %s: %w", args[1], err)
	}
	switch args[0] {
	case bakery:
		return provision(ctx, comm, args[3])
	case goss:
		return validate(ctx, comm, args[3], "")
	case gossUploaded:
		if len(args) == 5 {
			return validate(ctx, comm, args[3], args[4])
		}
	}
	return fmt.Errorf("%q is no tool of the client", args[0])
}

func connect(address, keyFile string) (packersdk.Communicator, error) {
	key, err := os.ReadFile(keyFile) //nolint:gosec // the benchmark names it
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		return nil, err
	}
	return sshcomm.New(address, &sshcomm.Config{
		SSHConfig: &ssh.ClientConfig{
			User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, Timeout: startTimeout,
			HostKeyCallback: ssh.InsecureIgnoreHostKey(), //nolint:gosec // a server of this benchmark, on loopback
		},
		Connection: sshcomm.ConnectFunc("tcp", address), DisableAgentForwarding: true, UseSftp: true,
	})
}

// provision runs the provisioner bakery-spec.
func provision(ctx context.Context, comm packersdk.Communicator, suiteFile string) error {
	var p spec.Provisioner
	if err := p.Prepare(map[string]any{"packer_build_name": "bench", "suite": []string{suiteFile}}); err != nil {
		return err
	}
	sent := &counter{}
	ui := &packersdk.BasicUi{Reader: strings.NewReader(""), Writer: os.Stdout, ErrorWriter: os.Stdout}
	err := p.Provision(ctx, ui, counting{comm, sent}, map[string]any{"ConnType": "ssh"})
	fmt.Printf("%s%d\n", sentPrefix, sent.bytes)
	return err
}

// validate runs goss with a suite that it uploads. binary is goss itself, where
// that is uploaded too.
func validate(ctx context.Context, comm packersdk.Communicator, suiteFile, binary string) error {
	program := gossInImage
	sent := &counter{}
	uploads := [][2]string{{suiteFile, "/tmp/goss.yaml"}}
	if binary != "" {
		program = "/tmp/goss"
		uploads = append(uploads, [2]string{binary, program})
	}
	for _, u := range uploads {
		if err := upload(comm, u[0], u[1], sent); err != nil {
			return fmt.Errorf("upload %s: %w", filepath.Base(u[0]), err)
		}
	}
	command := fmt.Sprintf("chmod +x %[1]s && %[1]s -g /tmp/goss.yaml validate", program)
	if binary != "" {
		command += fmt.Sprintf("; status=$?; rm -f /tmp/goss.yaml %s; exit $status", program)
	}
	cmd := &packersdk.RemoteCmd{Command: command, Stdout: os.Stdout, Stderr: os.Stderr}
	if err := comm.Start(ctx, cmd); err != nil {
		return fmt.Errorf("start goss: %w", err)
	}
	fmt.Printf("%s%d\n", sentPrefix, sent.bytes)
	if status := cmd.Wait(); status != 0 {
		return fmt.Errorf("goss ended with %d", status)
	}
	return nil
}

func upload(comm packersdk.Communicator, from, to string, sent *counter) error {
	f, err := os.Open(from) //nolint:gosec // the benchmark names it
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return comm.Upload(path.Clean(to), io.TeeReader(f, sent), &info)
}

// sentPrefix begins the line in which a client says how many bytes it has sent:
// files, and what commands read from standard input.
const sentPrefix = "bytes sent: "

// counter counts what is written to it.
type counter struct{ bytes int }

func (c *counter) Write(p []byte) (int, error) {
	c.bytes += len(p)
	return len(p), nil
}

// counting counts what commands read from standard input.
type counting struct {
	packersdk.Communicator
	sent *counter
}

func (c counting) Start(ctx context.Context, cmd *packersdk.RemoteCmd) error {
	cmd.Stdin = io.TeeReader(cmd.Stdin, c.sent)
	return c.Communicator.Start(ctx, cmd)
}
