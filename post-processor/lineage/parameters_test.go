package lineage

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	registryimage "github.com/hashicorp/packer-plugin-sdk/packer/registry/image"

	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// systemsManager starts a stand-in for AWS and makes it the one that is called.
func systemsManager(t *testing.T) {
	t.Helper()
	path, err := exec.LookPath("moto_server")
	if err != nil {
		t.Skip("needs moto_server on PATH as Systems Manager: pip install 'moto[server]'")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	_, port, _ := net.SplitHostPort(address)
	cmd := exec.CommandContext(t.Context(), path, "-H", "127.0.0.1", "-p", port)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &out, 10*time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("moto_server does not answer: %v", err)
		}
	}
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": "http://" + address, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_SESSION_TOKEN": "",
		"AWS_PROFILE": "", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
}

// onAWS is the artifact of an image in two regions of AWS.
func onAWS(first, second string) *packersdk.MockArtifact {
	return &packersdk.MockArtifact{
		BuilderIdValue: "mitchellh.amazonebs", IdValue: "eu-west-1:" + second + ",us-east-1:" + first,
		StateValues: map[string]any{registryimage.ArtifactStateURI: []any{
			map[any]any{"ImageID": first, "ProviderName": "aws", "ProviderRegion": "us-east-1"},
			map[any]any{"ImageID": second, "ProviderName": "aws", "ProviderRegion": "eu-west-1"},
		}},
	}
}

func TestParameterOfEachRegion(t *testing.T) {
	b := newBench(t)
	systemsManager(t)
	const name = "/images/shop/latest"
	want := func(region, image string) {
		t.Helper()
		client, err := cloud.New(t.Context(), cloud.Config{Region: region})
		if err != nil {
			t.Fatal(err)
		}
		got, err := client.ImageParameter(t.Context(), name)
		if image == "" && errors.Is(err, cloud.ErrNotFound) {
			return
		}
		if err != nil || got != image {
			t.Errorf("the parameter in %s holds %q, %v; want %q", region, got, err, image)
		}
	}
	options := map[string]any{"ssm_parameter": name}

	// What cannot be registered is not published.
	base := b.base("ami-base")
	b.with(func(reg *registry.Registry) {
		if _, err := reg.Mark(t.Context(), registry.Mark{Image: base.ID, Kind: registry.MarkRevoked, Reason: "CVE"}); err != nil {
			t.Fatal(err)
		}
	})
	refused := map[string]any{"ssm_parameter": name, "parent": base.ID}
	if err := b.process(onAWS("ami-0", "ami-0c"), refused); !errors.Is(err, registry.ErrRevoked) {
		t.Fatalf("error is %v, want that the parent is revoked", err)
	}
	want("us-east-1", "")
	want("eu-west-1", "")

	if err := b.process(onAWS("ami-1", "ami-1c"), options); err != nil {
		t.Fatal(err)
	}
	want("us-east-1", "ami-1")
	want("eu-west-1", "ami-1c")
	if err := b.process(onAWS("ami-2", "ami-2c"), options); err != nil {
		t.Fatal(err)
	}
	want("us-east-1", "ami-2")
	if err := b.process(onAWS("ami-3", "ami-3c"), refused); !errors.Is(err, registry.ErrRevoked) {
		t.Fatalf("error is %v, want that the parent is revoked", err)
	}
	want("us-east-1", "ami-2")
	want("eu-west-1", "ami-2c")
}

func TestParameterElsewhere(t *testing.T) {
	b := newBench(t)
	if err := b.process(baked(), map[string]any{"ssm_parameter": "/shop"}); err != nil {
		t.Fatal(err)
	}
	if want := "The local cloud has no parameters: on AWS, /shop in eu-west-1 would hold ami-copy now"; !strings.Contains(b.said(), want) {
		t.Errorf("it said %q, want %q", b.said(), want)
	}
	docker := &packersdk.MockArtifact{StateValues: map[string]any{
		registryimage.ArtifactStateURI: map[any]any{"ImageID": "sha256:1", "ProviderName": "docker"},
	}}
	if err := b.process(docker, map[string]any{"ssm_parameter": "/shop"}); err == nil || !strings.Contains(err.Error(), "is in docker, not in AWS") {
		t.Errorf("error is %v, want that docker has none", err)
	}
}
