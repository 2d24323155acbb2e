package chroot

import (
	"testing"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
)

// testSource is an image as EC2 has them today.
func testSource() cloud.Image {
	yes := true
	return cloud.Image{
		ID: "ami-0123456789abcdef0", Name: "the-source", Owner: "111122223333", State: "available", Architecture: "x86_64",
		BootMode: "uefi-preferred", Virtualization: "hvm", RootDevice: "/dev/xvda", RootDeviceType: "ebs", ENA: true, IMDS: "v2.0",
		Tags: map[string]string{"version": "7"},
		BlockDevices: []cloud.BlockDevice{
			{DeviceName: "/dev/xvda", SnapshotID: "snap-1", SizeGiB: 8, Type: "gp3", IOPS: 4000, Encrypted: &yes, DeleteOnTermination: true},
			{DeviceName: "/dev/sdb", VirtualName: "ephemeral0"},
		},
	}
}

// testBake is a bake that has looked up testSource, of another account.
func testBake(t *testing.T, raw map[string]any) *bake {
	t.Helper()
	var c Config
	if err := c.prepare(raw); err != nil {
		t.Fatal(err)
	}
	client, err := cloud.New(t.Context(), cloud.Config{Region: "us-east-1", AccessKey: "a", SecretKey: "b"})
	if err != nil {
		t.Fatal(err)
	}
	b := newBake(&c, packersdk.TestUi(t))
	b.client, b.source, b.account = client, testSource(), "444455556666"
	return b
}
