package localcloud_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/imagebakery/packer-plugin-bakery/internal/localcloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/run"
)

// rootTree makes a folder with as much of a root file system as an import reads.
func rootTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	shell, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"etc/os-release":         []byte("ID=debian\nVERSION_ID=\"12\"\n"),
		"usr/lib/os-release":     []byte("ID=debian\nVERSION_ID=\"12\"\n"),
		"bin/sh":                 shell,
		"usr/share/doc/hello.md": []byte("hello from the image\n"),
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestImportTreeAttachesWithPartition(t *testing.T) {
	needRoot(t)
	l := newLab(t)
	im, err := l.cloud.Import(t.Context(), localcloud.ImportInput{
		Source: rootTree(t), Size: 1 << 30, Tags: map[string]string{"application": "foundation"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if im.Name != "debian-12-x86_64" && im.Name != "debian-12-arm64" {
		t.Errorf("name is %q", im.Name)
	}
	out := must(l.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{im.ID}}))(t)
	got := out.Images[0]
	if got.State != "available" || !aws.ToBool(got.EnaSupport) || len(got.Tags) != 1 {
		t.Errorf("imported image is %+v", got)
	}
	snap := *got.BlockDeviceMappings[0].Ebs.SnapshotId

	vol := l.createVolume(&ec2.CreateVolumeInput{SnapshotId: &snap})
	l.attach(vol, "/dev/xvdzw")
	mount := t.TempDir()
	if err := run.Run(t.Context(), "mount", "/dev/xvdzw1", mount); err != nil {
		t.Fatal(err)
	}
	text, readErr := os.ReadFile(filepath.Join(mount, "usr/share/doc/hello.md"))
	if err := run.Run(t.Context(), "umount", mount); err != nil {
		t.Fatal(err)
	}
	if readErr != nil || string(text) != "hello from the image\n" {
		t.Errorf("the partition has %q, %v", text, readErr)
	}
	l.detach(vol)

	_, err = l.cloud.Remove(t.Context(), im.ID, "", false)
	if !errors.Is(err, localcloud.ErrImageInUse) {
		t.Errorf("removing an image in use: %v", err)
	}
	must(l.DeleteVolume(t.Context(), &ec2.DeleteVolumeInput{VolumeId: &vol}))(t)
	if _, err := l.cloud.Remove(t.Context(), im.Name, "", false); err != nil {
		t.Error(err)
	}
	l.wantNoFiles()
}

func TestImportExportRawAndQCOW2(t *testing.T) {
	needRoot(t)
	l := newLab(t)
	dir := t.TempDir()
	raw := filepath.Join(dir, "disk.raw")
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	disk := make([]byte, 8<<20)
	copy(disk[3<<20:], want)
	if err := os.WriteFile(raw, disk, 0o644); err != nil {
		t.Fatal(err)
	}
	im, err := l.cloud.Import(t.Context(), localcloud.ImportInput{Source: raw, Name: "a disk", Architecture: "arm64", Region: "eu-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	if im.Region != "eu-west-1" || im.Architecture != "arm64" || im.Size != 1<<30 || im.Used > 4<<20 {
		t.Errorf("imported %+v", im)
	}
	if _, err := l.cloud.Import(t.Context(), localcloud.ImportInput{Source: raw, Name: "a disk", Architecture: "arm64", Region: "eu-west-1"}); !errors.Is(err, localcloud.ErrDuplicateName) {
		t.Errorf("second import of the name: %v", err)
	}

	out := filepath.Join(dir, "out.raw")
	if _, err := l.cloud.Export(t.Context(), localcloud.ExportInput{Image: "a disk", File: out}); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(disk))
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, disk) {
		t.Errorf("the exported disk differs: %v", err)
	}
	if _, err := l.cloud.Export(t.Context(), localcloud.ExportInput{Image: im.ID, File: out}); !errors.Is(err, os.ErrExist) {
		t.Errorf("export over a file: %v", err)
	}
	if _, err := l.cloud.Export(t.Context(), localcloud.ExportInput{Image: "ami-00000000000000000", File: out + "2"}); !errors.Is(err, localcloud.ErrNoImage) {
		t.Errorf("export of nothing: %v", err)
	}

	qcow := filepath.Join(dir, "out.qcow2")
	if _, err := l.cloud.Export(t.Context(), localcloud.ExportInput{Image: im.ID, File: qcow, Format: "qcow2"}); err != nil {
		t.Fatal(err)
	}
	back, err := l.cloud.Import(t.Context(), localcloud.ImportInput{Source: qcow, Name: "back again", Architecture: "arm64"})
	if err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(dir, "again.raw")
	if _, err := l.cloud.Export(t.Context(), localcloud.ExportInput{Image: back.ID, File: again}); err != nil {
		t.Fatal(err)
	}
	if err := run.Run(t.Context(), "cmp", out, again); err != nil {
		t.Error(err)
	}
}
