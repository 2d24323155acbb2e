package e2e

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/imagebakery/packer-plugin-bakery/internal/loop"
)

// difference is one between an image of amazon-chroot and that of bakery-chroot
// that is meant to be. docs/migrating.md names each.
type difference struct {
	templates    string // in which it shows, with blanks between
	fact         string // a key of facts
	theirs, ours string // "": not there; "*": anything
	why          string // the heading of it in docs/migrating.md
}

var differences = []difference{
	{"basic disks mounts scratch shared", "image us-east-1 tag bakery:bake", "", "*", "Every resource says whose it is"},
	{"basic disks mounts scratch shared", "image us-east-1 tag bakery:heartbeat", "", "=ended", "Every resource says whose it is"},
	{"basic disks mounts shared", "snapshot us-east-1 /dev/xvda tag bakery:bake", "", "*", "Every resource says whose it is"},
	{"basic disks mounts shared", "snapshot us-east-1 /dev/xvda tag bakery:heartbeat", "", "=ended", "Every resource says whose it is"},
	{"scratch", "snapshot us-east-1 xvda tag bakery:bake", "", "*", "Every resource says whose it is"},
	{"scratch", "snapshot us-east-1 xvda tag bakery:heartbeat", "", "=ended", "Every resource says whose it is"},
	{"shared", "image eu-west-1 tag bakery:bake", "", "*", "Every resource says whose it is"},
	{"shared", "image eu-west-1 tag bakery:heartbeat", "", "=ended", "Every resource says whose it is"},
	{"shared", "snapshot eu-west-1 /dev/xvda tag bakery:bake", "", "*", "Every resource says whose it is"},
	{"shared", "snapshot eu-west-1 /dev/xvda tag bakery:heartbeat", "", "=ended", "Every resource says whose it is"},
	{"basic disks mounts scratch", "image us-east-1 ENA", "false", "true", "Attributes are the source's"},
	{"basic disks shared", "file /etc/resolv.conf", "", "*", "Files that are lent come back"},
	{
		"disks", "device us-east-1 /dev/sdb volume", "7 GiB gp2, iops 100, throughput 0, encrypted false, delete false",
		"7 GiB gp2, iops 100, throughput 0, encrypted true, delete false", "Disks are encrypted as asked",
	},
}

// TestMigrate bakes templates like those of amazon-chroot's documentation twice:
// with amazon-chroot, and with nothing changed but the type of the source. The
// images must be the same but for the differences above.
func TestMigrate(t *testing.T) {
	w := newWorld(t)
	peer := need(t, "BAKERY_TEST_AMAZON_PLUGIN")
	rootfs := need(t, "BAKERY_TEST_ROOTFS")
	w.importDebian(t)
	m := &migration{world: w, rootfs: rootfs, endpoint: w.serve(t)}
	plugins := t.TempDir()
	own, _ := filepath.Glob(filepath.Join(os.Getenv("PACKER_PLUGIN_PATH"), "github.com/imagebakery/bakery/*_linux_*"))
	own = slices.DeleteFunc(own, func(path string) bool { return strings.HasSuffix(path, "_SHA256SUM") })
	if len(own) == 0 {
		t.Fatal("the plugin is not installed: run make testacc")
	}
	w.env = append(w.env, "PACKER_PLUGIN_PATH="+plugins, "BAKERY_CLOUD=aws", "AWS_EC2_METADATA_SERVICE_ENDPOINT="+m.endpoint)
	w.must(t, ".", w.packer, "plugins", "install", "--path", peer, "github.com/hashicorp/amazon")
	w.must(t, ".", w.packer, "plugins", "install", "--path", own[len(own)-1], "github.com/imagebakery/bakery")

	templates, err := filepath.Glob("testdata/migrate/*.pkr.hcl")
	if err != nil || len(templates) == 0 {
		t.Fatalf("no templates: %v", err)
	}
	for i, path := range templates {
		name := strings.TrimSuffix(filepath.Base(path), ".pkr.hcl")
		device := fmt.Sprintf("/dev/xvdz%c", 'a'+i)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			theirs := m.bake(t, name, device, string(text))
			ours := m.bake(t, name, device, strings.ReplaceAll(string(text), "amazon-chroot", "bakery-chroot"))
			m.compare(t, name, theirs, ours)
		})
	}
}

// migration bakes on one served cloud.
type migration struct {
	*world
	endpoint string
	rootfs   string
}

// facts are what there is to say of an image, by what it is said of.
type facts map[string]string

// compare takes the differences that are meant to be out of both, and wants the
// rest to be equal. A difference that is not there is a mistake too.
func (m *migration) compare(t *testing.T, template string, theirs, ours facts) {
	t.Helper()
	for _, d := range differences {
		if !slices.Contains(strings.Fields(d.templates), template) {
			continue
		}
		a, b := theirs[d.fact], ours[d.fact]
		if !fits(d.theirs, a) || !fits(d.ours, b) {
			t.Errorf("%s: amazon-chroot has %q, bakery-chroot %q; meant to be %q and %q: %s", d.fact, a, b, d.theirs, d.ours, d.why)
		}
		delete(theirs, d.fact)
		delete(ours, d.fact)
	}
	if diff := gocmp.Diff(theirs, ours); diff != "" {
		t.Errorf("amazon-chroot (-) and bakery-chroot (+):\n%s", diff)
	}
	if len(theirs) < 100 {
		t.Errorf("only %d facts were compared: %v", len(theirs), theirs)
	}
}

func fits(want, got string) bool { return want == got || want == "*" && got != "" }

// bake runs a template and returns what became of it. The image is removed.
func (m *migration) bake(t *testing.T, name, device, template string) facts {
	t.Helper()
	work := t.TempDir()
	file := filepath.Join(work, name+".pkr.hcl")
	if err := os.WriteFile(file, []byte(template), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"build", "-color=false"}
	for name, value := range map[string]string{
		"endpoint": m.endpoint, "work": work, "device": device, "rootfs": m.rootfs, "source_ami": m.source(t),
	} {
		if strings.Contains(template, fmt.Sprintf("variable %q", name)) {
			args = append(args, "-var", name+"="+value)
		}
	}
	m.must(t, work, m.packer, append(args, file)...)
	all := facts{}
	for _, region := range []string{"us-east-1", "eu-west-1"} {
		for _, img := range m.baked(t, region, "example-"+name) {
			m.describe(t, all, region, img)
			if region == "us-east-1" {
				m.files(t, all, aws.ToString(img.ImageId))
			}
			m.remove(t, region, img)
		}
	}
	return all
}

func (m *migration) client(region string) *ec2.Client {
	return ec2.New(ec2.Options{
		Region: region, BaseEndpoint: &m.endpoint, Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	})
}

// source is the id of the image to start from.
func (m *migration) source(t *testing.T) string {
	t.Helper()
	out, err := m.client("us-east-1").DescribeImages(t.Context(), &ec2.DescribeImagesInput{
		Filters: []types.Filter{{Name: aws.String("name"), Values: []string{"debian-bookworm-*"}}},
	})
	if err != nil || len(out.Images) != 1 {
		t.Fatalf("the source image: %v, %v", out, err)
	}
	return aws.ToString(out.Images[0].ImageId)
}

// baked are the images that a template has made.
func (m *migration) baked(t *testing.T, region, name string) []types.Image {
	t.Helper()
	out, err := m.client(region).DescribeImages(t.Context(), &ec2.DescribeImagesInput{
		Owners: []string{"self"}, IncludeDeprecated: aws.Bool(true),
		Filters: []types.Filter{{Name: aws.String("name"), Values: []string{name}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Images
}

// describe notes what EC2 says of an image and of its snapshots. Ids and times
// are left out: no two images share them.
func (m *migration) describe(t *testing.T, all facts, region string, img types.Image) {
	t.Helper()
	ctx, c, on := t.Context(), m.client(region), "image "+region+" "
	note := func(key string, value any) {
		if text := fmt.Sprint(value); text != "" && text != "<nil>" {
			all[key] = text
		}
	}
	for key, value := range map[string]any{
		"architecture": img.Architecture, "boot mode": img.BootMode, "ENA": aws.ToBool(img.EnaSupport), "hypervisor": img.Hypervisor,
		"type": img.ImageType, "IMDS": img.ImdsSupport, "description": aws.ToString(img.Description), "name": aws.ToString(img.Name),
		"platform": aws.ToString(img.PlatformDetails), "usage": aws.ToString(img.UsageOperation), "public": aws.ToBool(img.Public),
		"root": aws.ToString(img.RootDeviceName), "root type": img.RootDeviceType, "SR-IOV": aws.ToString(img.SriovNetSupport),
		"state": img.State, "TPM": img.TpmSupport, "virtualization": img.VirtualizationType, "deprecated at": aws.ToString(img.DeprecationTime),
		"protection": aws.ToString(img.DeregistrationProtection), "product codes": len(img.ProductCodes),
	} {
		note(on+key, value)
	}
	noteTags := func(on string, tags []types.Tag) {
		for _, tag := range tags {
			note(on+"tag "+aws.ToString(tag.Key), "="+aws.ToString(tag.Value))
		}
	}
	noteTags(on, img.Tags)
	launch, err := c.DescribeImageAttribute(ctx, &ec2.DescribeImageAttributeInput{
		ImageId: img.ImageId, Attribute: types.ImageAttributeNameLaunchPermission,
	})
	if err != nil {
		t.Fatal(err)
	}
	var who []string
	for _, p := range launch.LaunchPermissions {
		who = append(who, cmp.Or(aws.ToString(p.UserId), string(p.Group), aws.ToString(p.OrganizationArn), aws.ToString(p.OrganizationalUnitArn)))
	}
	note(on+"launch permissions", slices.Sorted(slices.Values(who)))
	for _, device := range img.BlockDeviceMappings {
		name := aws.ToString(device.DeviceName)
		on := "device " + region + " " + name + " "
		note(on+"virtual", aws.ToString(device.VirtualName))
		if device.Ebs == nil {
			continue
		}
		ebs := device.Ebs
		note(on+"volume", fmt.Sprintf("%d GiB %s, iops %d, throughput %d, encrypted %t, delete %t", aws.ToInt32(ebs.VolumeSize), ebs.VolumeType,
			aws.ToInt32(ebs.Iops), aws.ToInt32(ebs.Throughput), aws.ToBool(ebs.Encrypted), aws.ToBool(ebs.DeleteOnTermination)))
		if ebs.SnapshotId == nil {
			continue
		}
		on = "snapshot " + region + " " + name + " "
		out, err := c.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{*ebs.SnapshotId}})
		if err != nil {
			t.Fatal(err)
		}
		snap := out.Snapshots[0]
		note(on+"state", fmt.Sprintf("%s, %d GiB, encrypted %t", snap.State, aws.ToInt32(snap.VolumeSize), aws.ToBool(snap.Encrypted)))
		noteTags(on, snap.Tags)
		create, err := c.DescribeSnapshotAttribute(ctx, &ec2.DescribeSnapshotAttributeInput{
			SnapshotId: ebs.SnapshotId, Attribute: types.SnapshotAttributeNameCreateVolumePermission,
		})
		if err != nil {
			t.Fatal(err)
		}
		var who []string
		for _, p := range create.CreateVolumePermissions {
			who = append(who, cmp.Or(aws.ToString(p.UserId), string(p.Group)))
		}
		note(on+"permissions", slices.Sorted(slices.Values(who)))
	}
}

// files notes what is in the root of an image: of each file its kind, mode,
// owner and content.
func (m *migration) files(t *testing.T, all facts, image string) {
	t.Helper()
	disk := filepath.Join(t.TempDir(), "disk.raw")
	m.must(t, ".", m.bakery, "local", "export", image, disk)
	offset := int64(1 << 20)
	if all["image us-east-1 name"] == "example-scratch" {
		offset = 0
	}
	device, err := loop.Attach(disk, loop.Options{Offset: offset, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := device.Detach(); err != nil {
			t.Error(err)
		}
	}()
	root := t.TempDir()
	if err := syscall.Mount(device.Path, root, "ext4", syscall.MS_RDONLY, "noload"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Unmount(root, 0); err != nil {
			t.Error(err)
		}
	}()
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		text, err := fileFacts(path, d)
		all["file "+strings.TrimPrefix(path, root)] = text
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func fileFacts(path string, d fs.DirEntry) (string, error) {
	info, err := d.Info()
	if err != nil {
		return "", err
	}
	stat := info.Sys().(*syscall.Stat_t)
	text := fmt.Sprintf("%v %d:%d", info.Mode(), stat.Uid, stat.Gid)
	switch {
	case info.Mode().IsRegular():
		content, err := os.ReadFile(path)
		return fmt.Sprintf("%s %d bytes %x", text, len(content), sha256.Sum256(content)), err
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		return text + " " + target, err
	case info.Mode()&fs.ModeDevice != 0:
		return fmt.Sprintf("%s device %x", text, stat.Rdev), nil
	}
	return text, nil
}

// remove makes the name free again.
func (m *migration) remove(t *testing.T, region string, img types.Image) {
	t.Helper()
	ctx, c := t.Context(), m.client(region)
	if aws.ToString(img.DeregistrationProtection) != "disabled" {
		if _, err := c.DisableImageDeregistrationProtection(ctx, &ec2.DisableImageDeregistrationProtectionInput{ImageId: img.ImageId}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: img.ImageId}); err != nil {
		t.Fatal(err)
	}
	for _, device := range img.BlockDeviceMappings {
		if device.Ebs == nil || device.Ebs.SnapshotId == nil {
			continue
		}
		if _, err := c.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: device.Ebs.SnapshotId}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDifferencesAreDocumented makes sure that whoever migrates can read of each
// difference.
func TestDifferencesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/migrating.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences {
		if !strings.Contains(string(text), "\n### "+d.why+"\n") {
			t.Errorf("docs/migrating.md has no heading %q, for %s", d.why, d.fact)
		}
	}
}
