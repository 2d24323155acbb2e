package chroot

import (
	"os"
	"slices"
	"testing"

	"github.com/imagebakery/packer-plugin-bakery/internal/disk/disktest"
)

// TestPartitionsOfASmallImage bakes an image of 2 GiB that boots by BIOS and by
// UEFI, with no option that says where its root is.
func TestPartitionsOfASmallImage(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: loop devices and mounts")
	}
	disktest.NeedTools(t, "mkfs.ext4", "mkfs.vfat", "blkid", "mount")
	root := tinyRoot(t)
	disk := disktest.Partitioned(t, 2048*disktest.MiB, `label: gpt
size=124M, type=U
size=3M, type=21686148-6449-6E6F-744E-656564454649
type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709
`, map[int][]string{1: {"mkfs.vfat"}, 3: {"mkfs.ext4", "-q", "-d", root}})
	w := newWorld(t, disk)
	// The file that the provisioner of the first bake wrote is
	// where the next bake finds it.
	first := w.must(t, nil)
	out := w.bake(t, attempt{options: map[string]any{
		"source_ami": first.artifact.bake.Images[0].ID, "ami_name": "again",
		"post_mount_commands": []string{`test "$(cat {{.MountPath}}/etc/baked)" = yes`},
	}})
	if out.err != nil {
		t.Fatalf("%v\n%s", out.err, out.said)
	}
	want := []string{here + " image again", here + " image baked", here + " image tiny", here + " snapshot", here + " snapshot"}
	if got := w.kinds(t); !slices.Equal(got, want) {
		t.Errorf("in the cloud is %v, want %v", got, want)
	}
	if list := w.onHost(t); len(list) > 0 {
		t.Errorf("left on the host: %v", list)
	}
}
