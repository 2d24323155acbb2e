package chroot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"github.com/hashicorp/packer-plugin-sdk/template/config"

	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
)

// check finds out all that can be known before anything is created, and plans
// the image.
func (b *bake) check(ctx context.Context) error {
	if err := checkHost(); err != nil {
		return err
	}
	if err := b.connect(ctx); err != nil {
		return err
	}
	var err error
	if b.host, err = b.client.Host(ctx); err != nil {
		return fmt.Errorf("find out which EC2 instance this is: %w; bakery-chroot runs on an instance in the "+
			"region of the image (or with cloud = \"local\" anywhere)", err)
	}
	if b.host.Region != b.client.Region() {
		return fmt.Errorf("this instance is in %s, the region is %s; bake in the instance's region", b.host.Region, b.client.Region())
	}
	b.account = b.host.Account
	if !b.config.FromScratch {
		if err := b.resolveSource(ctx); err != nil {
			return err
		}
	}
	if err := b.planImage(ctx); err != nil {
		return err
	}
	if err := checkArchitecture(b.image.Architecture); err != nil {
		return err
	}
	info := b.buildInfo()
	b.put(map[string]string{
		"BuildRegion": info.BuildRegion, "SourceAMI": info.SourceAMI, "SourceAMIName": info.SourceAMIName,
		"SourceAMICreationDate": info.SourceAMICreationDate, "SourceAMIOwner": info.SourceAMIOwner,
		"SourceAMIOwnerName": info.SourceAMIOwnerName, "BakeID": b.id,
	})
	if b.config.Reuse {
		if err := b.findEqual(ctx); err != nil || b.equal.found != nil {
			return err
		}
	}
	if !b.config.SkipCreateAMI {
		if err := b.planTargets(ctx); err != nil {
			return err
		}
	}
	return b.checkPermissions(ctx)
}

// checkHost makes sure that this host can bake at all.
func checkHost() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("bakery-chroot mounts disks and needs Linux; this is %s. "+
			"`packer validate`, bakery-ancestor and bakery-lineage work here", runtime.GOOS)
	}
	if os.Geteuid() != 0 {
		return errors.New("bakery-chroot mounts disks and must run as root; start packer with sudo -E")
	}
	for tool, pkg := range map[string]string{"blkid": "util-linux", "mount": "util-linux"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("the program %s is not there; install %s", tool, pkg)
		}
	}
	return nil
}

// resolveSource looks up the image to start from and the snapshot of its root.
func (b *bake) resolveSource(ctx context.Context) error {
	var err error
	if b.source, err = b.config.findSource(ctx, b.client); err != nil {
		return fmt.Errorf("find the source image: %w", err)
	}
	src := b.source
	if src.State != "available" {
		return fmt.Errorf("the source image %s is %s, not available", src.ID, src.State)
	}
	root, ok := src.Root()
	if src.RootDeviceType != "ebs" || !ok || root.SnapshotID == "" {
		return fmt.Errorf("the source image %s has no EBS snapshot as its root device %s (its type is %s); "+
			"bakery-chroot clones snapshots", src.ID, src.RootDevice, src.RootDeviceType)
	}
	if b.sourceSnap, err = b.client.Snapshot(ctx, root.SnapshotID); err != nil {
		return fmt.Errorf("the root snapshot of the source image %s: %w", src.ID, err)
	}
	if size := int32(b.config.RootVolumeSize); size != 0 && size < root.SizeGiB {
		return fmt.Errorf("root_volume_size is %d GiB, but the root of %s has %d GiB; a volume cannot be smaller than its snapshot",
			size, src.ID, root.SizeGiB)
	}
	if err := b.config.encryptRoot(either(b.config.RootDeviceName, src.RootDevice)); err != nil {
		return err
	}
	if err := b.checkEncryption(); err != nil {
		return err
	}
	if len(src.ProductCodes) > 0 {
		return fmt.Errorf("the source image %s has the Marketplace product code %s; EC2 attaches volumes of such images to stopped "+
			"instances only, so they cannot be baked in a chroot; use amazon-ebs", src.ID, src.ProductCodes[0])
	}
	b.ui.Say(fmt.Sprintf("Source: %s (%s), %s", src.ID, src.Name, src.Architecture))
	return nil
}

// checkEncryption refuses to take encryption away, which EC2 cannot.
func (b *bake) checkEncryption() error {
	if !b.sourceSnap.Encrypted {
		return nil
	}
	for option, value := range map[string]config.Trilean{
		"encrypt_boot": b.config.EncryptBoot, "root_volume_encrypt_boot": b.config.RootVolumeEncryptBoot,
	} {
		if value.False() {
			return fmt.Errorf("%s is false, but the root snapshot %s of the source %s is encrypted, and stays so in every copy; "+
				"start from an image that is not, or remove the option", option, b.sourceSnap.ID, b.source.ID)
		}
	}
	return nil
}

// planImage says what will be registered: what the source is, unless the
// template says otherwise.
func (b *bake) planImage(ctx context.Context) error {
	c, src := b.config, b.source
	spec := cloud.ImageSpec{
		Name:           c.AMIName,
		Architecture:   either(c.Architecture, src.Architecture, "x86_64"),
		BootMode:       either(c.BootMode, src.BootMode),
		Virtualization: either(c.VirtualizationType, src.Virtualization, "hvm"),
		RootDevice:     either(c.RootDeviceName, src.RootDevice),
		IMDS:           either(c.IMDSSupport, src.IMDS),
		TPM:            either(c.TPMSupport, src.TPM),
		UEFIData:       c.UEFIData,
		ENA:            trilean(c.ENASupport, src.ENA || c.FromScratch),
		KernelID:       src.KernelID,
		RamdiskID:      src.RamdiskID,
	}
	if trilean(c.SRIOVSupport, src.SRIOV == "simple") {
		spec.SRIOV = "simple"
	}
	if spec.UEFIData == "" && src.ID != "" && bootsUEFI(spec) {
		var err error
		if spec.UEFIData, err = b.uefiData(ctx); err != nil {
			return err
		}
	}
	if spec.Virtualization == "hvm" {
		spec.KernelID, spec.RamdiskID = "", ""
	}
	var err error
	if spec.Description, err = b.render("ami_description", c.AMIDescription); err != nil {
		return err
	}
	tags, err := b.renderTags("tags", c.Tags)
	if err != nil {
		return err
	}
	spec.Tags = b.ownTags(tags)
	spec.BlockDevices = b.planDevices(spec.RootDevice)
	b.image = spec
	root := b.rootDevice()
	if root == nil {
		return fmt.Errorf("ami_block_device_mappings has no device %s, which is the root device; add it, or set root_device_name", spec.RootDevice)
	}
	shape := volumeShape{root.Type, int(root.SizeGiB), int(root.IOPS), int(root.Throughput)}
	if problems := shape.problems(); len(problems) > 0 {
		return fmt.Errorf("the root volume: %s", strings.Join(problems, "; "))
	}
	if volumeRules[root.Type].needsIOPS && root.IOPS == 0 {
		return fmt.Errorf("the root volume: volume type %s needs iops; set root_volume_iops", root.Type)
	}
	if err := b.planSnapshotTags(); err != nil {
		return err
	}
	return b.planVolume()
}

// bootsUEFI reports whether instances of the image may boot with UEFI. Where the
// image has no boot mode, that of the instance type counts, which is UEFI for ARM
// and the BIOS for Intel and AMD ("Instance launch behavior with Amazon EC2 boot
// modes", EC2 user guide).
func bootsUEFI(spec cloud.ImageSpec) bool {
	return spec.Virtualization == "hvm" &&
		(strings.HasPrefix(spec.BootMode, "uefi") || spec.BootMode == "" && strings.HasPrefix(spec.Architecture, "arm64"))
}

// uefiData returns the source's variable store. Only the owner of an image may
// read it; of somebody else's the store is taken as empty, as it is in nearly
// every public image.
func (b *bake) uefiData(ctx context.Context) (string, error) {
	if b.source.Owner != b.account {
		return "", nil
	}
	data, err := b.client.UEFIData(ctx, b.source.ID)
	if err != nil {
		return "", fmt.Errorf("read the UEFI variables of the source: %w", err)
	}
	return data, nil
}

// planDevices returns the block devices of the image; the root's snapshot is
// filled in when there is one.
func (b *bake) planDevices(rootName string) []cloud.BlockDevice {
	c := b.config
	var devices []cloud.BlockDevice
	if len(c.AMIMappings) > 0 {
		for _, d := range c.AMIMappings {
			devices = append(devices, cloud.BlockDevice{
				DeviceName: d.DeviceName, VirtualName: d.VirtualName, NoDevice: d.NoDevice, SnapshotID: d.SnapshotID,
				SizeGiB: int32(d.VolumeSize), Type: d.VolumeType, IOPS: int32(d.IOPS), Throughput: int32(d.Throughput),
				Encrypted: d.Encrypted.ToBoolPointer(), KMSKeyID: d.KMSKeyID, DeleteOnTermination: d.DeleteOnTermination,
			})
		}
	} else {
		devices = append(devices, b.source.BlockDevices...)
	}
	for i := range devices {
		dev := &devices[i]
		if dev.DeviceName != rootName {
			continue
		}
		if c.RootVolumeType != "" && c.RootVolumeType != dev.Type {
			// Limits of one type mean nothing to another.
			dev.Type, dev.IOPS, dev.Throughput = c.RootVolumeType, 0, 0
		}
		if dev.Type == "" && c.FromScratch {
			dev.Type = "gp3"
		}
		if r := volumeRules[dev.Type]; r.maxIOPS == 0 {
			// Of a gp2 EC2 tells what follows from its size.
			dev.IOPS, dev.Throughput = 0, 0
		}
		if c.RootVolumeIOPS != 0 {
			dev.IOPS = int32(c.RootVolumeIOPS)
		}
		if c.RootVolumeThroughput != 0 {
			dev.Throughput = int32(c.RootVolumeThroughput)
		}
		dev.SizeGiB = max(dev.SizeGiB, int32(c.RootVolumeSize), b.sourceSnap.SizeGiB)
		// The snapshot of this bake decides.
		dev.SnapshotID, dev.Encrypted, dev.KMSKeyID = "", nil, ""
	}
	return devices
}

// rootDevice returns the planned root device of the image.
func (b *bake) rootDevice() *cloud.BlockDevice {
	for i := range b.image.BlockDevices {
		if b.image.BlockDevices[i].DeviceName == b.image.RootDevice {
			return &b.image.BlockDevices[i]
		}
	}
	return nil
}

// hostArchitectures are EC2's words for what Go calls its architectures, and
// what else such a processor runs.
var hostArchitectures = map[string][]string{
	"amd64": {"x86_64", "i386", "x86_64_mac"},
	"arm64": {"arm64", "arm64_mac"},
}

// checkArchitecture makes sure that programs of the image run on this host,
// natively or by an emulator that the kernel knows of.
func checkArchitecture(image string) error {
	if slices.Contains(hostArchitectures[runtime.GOARCH], image) {
		return nil
	}
	emulator := map[string]string{"x86_64": "qemu-x86_64", "arm64": "qemu-aarch64", "i386": "qemu-i386"}[image]
	if emulator != "" {
		if data, err := os.ReadFile("/proc/sys/fs/binfmt_misc/" + emulator); err == nil && strings.HasPrefix(string(data), "enabled") {
			return nil
		}
	}
	return fmt.Errorf("the image is for %s, and programs of it do not run on this host (%s); bake on a host of that "+
		"architecture, or register %s with binfmt_misc", image, runtime.GOARCH, emulator)
}

// either returns the first value that is not empty.
func either(values ...string) string {
	for _, value := range values {
		if value != "" {
			return value
		}
	}
	return ""
}

func trilean(option config.Trilean, otherwise bool) bool {
	if value := option.ToBoolPointer(); value != nil {
		return *value
	}
	return otherwise
}
