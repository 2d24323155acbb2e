package chroot

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/packer-plugin-sdk/template/config"
)

// ephemeral is what EC2 calls instance store volumes.
var ephemeral = regexp.MustCompile(`^ephemeral([0-9]|1[0-9]|2[0-3])$`)

func (d BlockDevice) prepare(where string, root bool) []error {
	var errs []error
	wrong := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", where, fmt.Sprintf(format, args...)))
	}
	if d.DeviceName == "" {
		wrong("device_name is missing; write the name that instances know it by, such as /dev/sdb")
	}
	if d.VirtualName != "" && d.VirtualName != unknown && !ephemeral.MatchString(d.VirtualName) {
		wrong("virtual_name is %q; write ephemeral0 to ephemeral23, or leave it out for an EBS volume", d.VirtualName)
	}
	if root && (d.NoDevice || d.VirtualName != "") {
		wrong("%s is the root device, which has to be an EBS volume", d.DeviceName)
	}
	if d.NoDevice || d.VirtualName != "" {
		return errs
	}
	if err := oneOf("volume_type", d.VolumeType, volumeTypes()...); err != nil {
		wrong("%v", err)
	}
	if !root && d.SnapshotID == "" && d.VolumeSize == 0 {
		wrong("neither volume_size nor snapshot_id is set; how large shall %s be?", d.DeviceName)
	}
	if d.SnapshotID != "" && d.Encrypted != config.TriUnset {
		wrong("encrypted and snapshot_id do not go together: EC2 takes what the snapshot is")
	}
	if d.KMSKeyID != "" && d.Encrypted.False() {
		wrong("kms_key_id is set, but encrypted is false; a volume with a key is encrypted")
	}
	if err := checkKMSKey("kms_key_id", d.KMSKeyID); err != nil {
		wrong("%v", err)
	}
	shape := volumeShape{d.VolumeType, d.VolumeSize, d.IOPS, d.Throughput}
	for _, problem := range shape.problems() {
		if strings.HasPrefix(problem, "size") {
			problem = "volume_" + problem
		}
		wrong("%s", problem)
	}
	if rules := volumeRules[d.VolumeType]; rules.needsIOPS && d.IOPS == 0 {
		wrong("volume_type %s needs iops", d.VolumeType)
	}
	return errs
}

// encryptRoot takes for the root volume what its block device says of encryption:
// the snapshot of the volume is what the device will be made of.
func (c *Config) encryptRoot(rootName string) error {
	i := slices.IndexFunc(c.AMIMappings, func(d BlockDevice) bool { return d.DeviceName == rootName })
	if i < 0 {
		return nil
	}
	dev, where := c.AMIMappings[i], fmt.Sprintf("ami_block_device_mappings[%d]", i)
	switch {
	case dev.Encrypted.True() && c.RootVolumeEncryptBoot.False():
		return fmt.Errorf("%s.encrypted is true, but root_volume_encrypt_boot is false, and %s is the root device; set one", where, rootName)
	case dev.Encrypted.False() && c.RootVolumeEncryptBoot.True():
		return fmt.Errorf("%s.encrypted is false, but root_volume_encrypt_boot is true, and %s is the root device; set one", where, rootName)
	case dev.KMSKeyID != "" && c.RootVolumeKMSKeyID != "" && dev.KMSKeyID != c.RootVolumeKMSKeyID:
		return fmt.Errorf("%s.kms_key_id is %q, but root_volume_kms_key_id is %q, and %s is the root device; set one",
			where, dev.KMSKeyID, c.RootVolumeKMSKeyID, rootName)
	}
	if dev.Encrypted.True() || dev.KMSKeyID != "" {
		c.RootVolumeEncryptBoot = config.TriTrue
	}
	if c.RootVolumeKMSKeyID == "" {
		c.RootVolumeKMSKeyID = dev.KMSKeyID
	}
	return nil
}

// rules are what EBS allows of a type of volume ("Amazon EBS volume types" in
// its user guide, CreateVolume in the EC2 API reference). Sizes are in GiB,
// throughput in MiB/s.
type rules struct {
	minSize, maxSize             int
	minIOPS, maxIOPS             int // 0: cannot be asked for
	perGiB                       int // IOPS that a GiB may have
	base                         int // IOPS without asking
	needsIOPS                    bool
	minThroughput, maxThroughput int // 0: cannot be asked for
}

var volumeRules = map[string]rules{
	"gp3":      {minSize: 1, maxSize: 65536, minIOPS: 3000, maxIOPS: 80000, perGiB: 500, base: 3000, minThroughput: 125, maxThroughput: 2000},
	"gp2":      {minSize: 1, maxSize: 16384},
	"io2":      {minSize: 4, maxSize: 65536, minIOPS: 100, maxIOPS: 256000, perGiB: 1000, needsIOPS: true},
	"io1":      {minSize: 4, maxSize: 16384, minIOPS: 100, maxIOPS: 64000, perGiB: 50, needsIOPS: true},
	"st1":      {minSize: 125, maxSize: 16384},
	"sc1":      {minSize: 125, maxSize: 16384},
	"standard": {minSize: 1, maxSize: 1024},
}

// volumeTypes are the types of volumes, in the order of their names.
func volumeTypes() []string { return slices.Sorted(maps.Keys(volumeRules)) }

// volumeShape is what a volume is asked to be; zero is what the source has, or
// the type's default.
type volumeShape struct {
	kind                   string
	size, iops, throughput int
}

// problems are what EBS does not allow of the shape. Each begins with the end
// of the name of an option: size, iops, throughput. What depends on a type that
// is not given is left to who knows the source.
func (s volumeShape) problems() []string {
	var list []string
	wrong := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if s.iops < 0 {
		wrong("iops is %d; write how many I/O operations per second", s.iops)
	}
	if s.throughput < 0 {
		wrong("throughput is %d; write how many MiB/s", s.throughput)
	}
	r, known := volumeRules[s.kind]
	if !known || len(list) > 0 {
		return list
	}
	if s.size != 0 && (s.size < r.minSize || s.size > r.maxSize) {
		wrong("size is %d; a %s volume has %d to %d GiB", s.size, s.kind, r.minSize, r.maxSize)
	}
	switch {
	case s.iops == 0:
	case r.maxIOPS == 0:
		wrong("iops is %d, but a %s volume takes none; use gp3, io1 or io2", s.iops, s.kind)
	case s.iops < r.minIOPS || s.iops > r.maxIOPS:
		wrong("iops is %d; a %s volume takes %d to %d", s.iops, s.kind, r.minIOPS, r.maxIOPS)
	case s.size != 0 && s.iops > max(r.base, r.perGiB*s.size):
		wrong("iops is %d, but a %s volume of %d GiB takes at most %d", s.iops, s.kind, s.size, max(r.base, r.perGiB*s.size))
	}
	// EBS gives 0.25 MiB/s of throughput for each of the IOPS.
	const iopsPerMiB = 4
	switch {
	case s.throughput == 0:
	case r.maxThroughput == 0:
		wrong("throughput is %d, but throughput is for gp3, not %s", s.throughput, s.kind)
	case s.throughput < r.minThroughput || s.throughput > r.maxThroughput:
		wrong("throughput is %d; a %s volume takes %d to %d MiB/s", s.throughput, s.kind, r.minThroughput, r.maxThroughput)
	case s.throughput*iopsPerMiB > max(s.iops, r.base):
		wrong("throughput is %d MiB/s, which needs iops of at least %d", s.throughput, s.throughput*iopsPerMiB)
	}
	return list
}
