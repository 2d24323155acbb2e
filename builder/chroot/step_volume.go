package chroot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/journal"
	"github.com/imagebakery/packer-plugin-bakery/internal/volume"
)

// planVolume renders the tags of the volume.
func (b *bake) planVolume() error {
	tags, err := b.renderTags("root_volume_tags", b.config.RootVolumeTags)
	if err != nil {
		return err
	}
	if _, named := tags["Name"]; !named {
		tags["Name"] = "bakery " + b.image.Name
	}
	b.volumeTags = b.ownTags(tags)
	return nil
}

// volumeSpec says what volume to bake on. When the image is to be encrypted, so
// is the volume, and with it the snapshot.
func (b *bake) volumeSpec() cloud.VolumeSpec {
	c, root := b.config, b.rootDevice()
	spec := cloud.VolumeSpec{
		Zone: b.host.Zone, SnapshotID: b.sourceSnap.ID, SizeGiB: root.SizeGiB, Type: root.Type,
		IOPS: root.IOPS, Throughput: root.Throughput,
		Encrypted: c.RootVolumeEncryptBoot.ToBoolPointer(), KMSKeyID: c.RootVolumeKMSKeyID,
		Tags: b.volumeTags, Token: b.id,
	}
	if spec.Encrypted == nil && c.EncryptBoot.True() {
		spec.Encrypted = new(true)
	}
	if spec.KMSKeyID == "" && spec.Encrypted != nil && *spec.Encrypted && c.EncryptBoot.True() {
		spec.KMSKeyID = b.homeKey()
	}
	if spec.KMSKeyID != "" && spec.Encrypted == nil {
		spec.Encrypted = new(true)
	}
	return spec
}

func (b *bake) createVolume(ctx context.Context) error {
	calling, done := graced(ctx)
	defer done()
	spec := b.volumeSpec()
	spec.Tags = beating(spec.Tags)
	id, err := b.client.CreateVolume(calling, spec)
	if err != nil {
		return err
	}
	if err := b.made(&b.volume, journal.Volume, id); err != nil {
		return err
	}
	b.ui.Say("Volume: " + id)
	return b.client.WaitVolumeAvailable(ctx, id)
}

func (b *bake) deleteVolume(ctx context.Context) error { return b.remove(ctx, &b.volume) }

// lockPath is the same for every bake of the host, whatever its BAKERY_HOME.
const lockPath = "/run/lock/bakery/attach.lock"

// attachVolume attaches the volume under a free name. The host's bakes take
// turns at choosing one, and only at that.
func (b *bake) attachVolume(ctx context.Context) error {
	unlock, err := b.lockDevices(ctx)
	if err != nil {
		return err
	}
	err = b.chooseAndAttach(ctx)
	if err := errors.Join(err, unlock()); err != nil {
		return err
	}
	if err := b.client.WaitVolumeAttached(ctx, b.volume.id); err != nil {
		return err
	}
	if b.device = wholeDisk(b.config.NVMEDevicePath); b.device == "" {
		b.device, err = volume.FindDevice(ctx, b.volume.id, b.attachedAs)
	}
	if err != nil {
		return err
	}
	b.put(map[string]string{"Device": b.device})
	b.ui.Say("Device: " + b.device)
	return nil
}

// wholeDisk is the disk of an nvme_device_path: amazon-chroot, which puts the
// number of the partition behind it, wants it to end in p.
func wholeDisk(path string) string {
	disk, partitioned := strings.CutSuffix(path, "p")
	if _, err := os.Stat(path); err == nil || !partitioned {
		return path
	}
	return disk
}

// deviceName is what host commands call the device: the name that it was
// attached under where the host has it, to which commands that were written for
// amazon-chroot add the number of a partition, else the device itself.
func (b *bake) deviceName() string {
	device, err := os.Stat(b.device)
	if err != nil {
		return b.device
	}
	letters := strings.TrimPrefix(strings.TrimPrefix(b.attachedAs, "/dev/sd"), "/dev/xvd")
	for _, name := range []string{"/dev/xvd" + letters, "/dev/sd" + letters} {
		if other, err := os.Stat(name); err == nil && os.SameFile(device, other) {
			return name
		}
	}
	return b.device
}

func (b *bake) lockDevices(ctx context.Context) (unlock func() error, err error) {
	if err := os.MkdirAll(filepath.Dir(lockPath), 0o755); err != nil {
		return nil, fmt.Errorf("lock the device names of this host: %w", err)
	}
	lock := flock.New(lockPath)
	got, err := lock.TryLock()
	if err == nil && !got {
		b.ui.Say("Waiting for another bake of this host to choose its device...")
		_, err = lock.TryLockContext(ctx, 20*time.Millisecond)
	}
	if err != nil {
		return nil, fmt.Errorf("lock the device names of this host (%s): %w", lockPath, err)
	}
	return lock.Unlock, nil
}

func (b *bake) chooseAndAttach(ctx context.Context) error {
	names := []string{b.config.DevicePath}
	if b.config.DevicePath == "" {
		used, err := b.client.AttachedDevices(ctx, b.host.InstanceID)
		if err != nil {
			return err
		}
		names = freeNames(used)
	}
	for _, name := range names {
		// Listed before it is there: a call whose answer is lost has its effect.
		if err := b.made(&b.attachment, journal.Attachment, b.volume.id); err != nil {
			return err
		}
		err := b.client.AttachVolume(ctx, b.volume.id, b.host.InstanceID, name)
		if err == nil {
			b.attachedAs = name
			return nil
		}
		if !errors.Is(err, cloud.ErrDeviceInUse) || b.config.DevicePath != "" {
			return err
		}
		if err := b.journal.Gone(b.attachment.entry); err != nil {
			return err
		}
		b.attachment = resource{}
	}
	return errors.New("every device name of this instance is in use; detach something, or bake elsewhere")
}

// freeNames are the device names that EC2 recommends for EBS volumes of HVM
// instances ("Device names on Linux instances" in its user guide: /dev/sd[f-p],
// then /dev/xvd[b-d][a-z]) without those that the instance or the kernel uses.
func freeNames(used []string) []string {
	var names []string
	for letter := 'f'; letter <= 'p'; letter++ {
		names = append(names, fmt.Sprintf("/dev/sd%c", letter))
	}
	for first := 'b'; first <= 'd'; first++ {
		for second := 'a'; second <= 'z'; second++ {
			names = append(names, fmt.Sprintf("/dev/xvd%c%c", first, second))
		}
	}
	return slices.DeleteFunc(names, func(name string) bool {
		// The kernel may call sdf xvdf.
		other := strings.Replace(name, "/dev/sd", "/dev/xvd", 1)
		if slices.Contains(used, name) || slices.Contains(used, other) {
			return true
		}
		_, errName := os.Lstat(name)
		_, errOther := os.Lstat(other)
		return errName == nil || errOther == nil
	})
}

func (b *bake) detachVolume(ctx context.Context) error { return b.remove(ctx, &b.attachment) }
