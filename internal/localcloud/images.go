package localcloud

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// image is an AMI as the store keeps it.
type image struct {
	ID           string
	Region       string
	Name         string
	Description  string
	Architecture string
	Virt         string
	BootMode     string
	TPM          string
	IMDS         string
	ENA          bool
	SRIOV        string
	UEFIData     string
	Kernel       string
	Ramdisk      string
	RootDevice   string
	Mappings     []mapping
	Created      time.Time
	Available    time.Time // when it stops being pending
	Deprecation  time.Time

	// Protection is EC2's word for whether the image may be deregistered;
	// ProtectedUntil is when a cooldown ends.
	Protection     string
	ProtectedUntil time.Time

	Source       string // the image that this is a copy of
	SourceRegion string
	Launch       []launchPermission
	ProductCodes []string
}

func (im *image) meta() recordMeta {
	return recordMeta{id: im.ID, kind: kindImage, region: im.Region, name: im.Name, created: im.Created}
}

func (im *image) state(now time.Time) string {
	if before(now, im.Created, im.Available) {
		return "pending"
	}
	return "available"
}

// snapshots are the snapshots that the image is made of.
func (im *image) snapshots() []string {
	var ids []string
	for _, m := range im.Mappings {
		if m.EBS != nil && m.EBS.Snapshot != "" {
			ids = append(ids, m.EBS.Snapshot)
		}
	}
	return ids
}

// root is the mapping of the root device, nil when there is none.
func (im *image) root() *mapping {
	i := slices.IndexFunc(im.Mappings, func(m mapping) bool { return m.Device == im.RootDevice })
	if i < 0 {
		return nil
	}
	return &im.Mappings[i]
}

// mapping is a block device of an image; the tags are EC2's names of its parts.
type mapping struct {
	Device   string      `xml:"deviceName"`
	Virtual  string      `xml:"virtualName,omitempty"`
	NoDevice *string     `xml:"noDevice"`
	EBS      *mappingEBS `xml:"ebs"`
}

type mappingEBS struct {
	Snapshot            string `xml:"snapshotId,omitempty"`
	Size                int64  `xml:"volumeSize"`
	Type                string `xml:"volumeType"`
	IOPS                int64  `xml:"iops,omitempty"`
	Throughput          int64  `xml:"throughput,omitempty"`
	DeleteOnTermination bool   `xml:"deleteOnTermination"`
	Encrypted           bool   `xml:"encrypted"`
	KMSKey              string `xml:"kmsKeyId,omitempty"`
}

type mappingParam struct {
	DeviceName  string
	VirtualName string
	NoDevice    *string
	Ebs         *struct {
		SnapshotID          string
		VolumeSize          *int64
		VolumeType          string
		Iops                *int64
		Throughput          *int64
		DeleteOnTermination *bool
		Encrypted           *bool
		KmsKeyID            string
	}
}

type registerImageInput struct {
	Name               string `query:",required"`
	Description        string
	Architecture       string
	VirtualizationType string
	BootMode           string
	TpmSupport         string
	ImdsSupport        string
	EnaSupport         *bool
	SriovNetSupport    string
	UefiData           string
	KernelID           string
	RamdiskID          string
	RootDeviceName     string
	BlockDeviceMapping []mappingParam
	tagging
}

// imageName is what EC2 allows in the name of an image ("RegisterImage" in its
// API reference).
var imageName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9()\[\] ./\-'@_]{3,128}$`) })

func checkImageName(name string) error {
	if !imageName().MatchString(name) {
		return errorf("InvalidAMIName.Malformed", "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', ')', '[', ']', ' ', '.', '/', '-', ''', '@' and '_'")
	}
	return nil
}

type imageIDOutput struct {
	reply
	ID string `xml:"imageId"`
}

func (c *Cloud) registerImage(q *call, in *registerImageInput) (any, error) {
	im, err := in.image(q)
	if err != nil {
		return nil, err
	}
	tags, err := in.tags(kindImage)
	if err != nil {
		return nil, err
	}
	im.Available = c.latency.settled(q.action, q.now, 0)
	err = c.store.write(q.ctx, func(t *tx) error {
		if err := nameFree(t, q.region, im.Name); err != nil {
			return err
		}
		for _, p := range in.BlockDeviceMapping {
			m, err := p.mapping(t, q)
			if err != nil {
				return err
			}
			im.Mappings = append(im.Mappings, m)
		}
		root := im.root()
		if root == nil || root.EBS == nil || root.EBS.Snapshot == "" {
			return errorf("InvalidBlockDeviceMapping", "No snapshot is mapped to the root device '%s'.", im.RootDevice)
		}
		if err := t.put(im); err != nil {
			return err
		}
		return t.tag(q.region, im.ID, tags[kindImage])
	})
	return &imageIDOutput{ID: im.ID}, err
}

// nameFree is EC2's error for a name that another image of the region has.
func nameFree(t *tx, region, name string) error {
	images, err := list[image](t, kindImage, region)
	if err != nil {
		return err
	}
	for _, im := range images {
		if im.Name == name {
			return errorf("InvalidAMIName.Duplicate", "AMI name %s is already in use by AMI %s", name, im.ID)
		}
	}
	return nil
}

// image makes the image that a request asks for, without its block devices.
func (in *registerImageInput) image(q *call) (*image, error) {
	if err := checkImageName(in.Name); err != nil {
		return nil, err
	}
	if err := checkDescription(in.Description); err != nil {
		return nil, err
	}
	im := &image{
		ID: newID(kindImage), Region: q.region, Name: in.Name, Description: in.Description,
		// The defaults are EC2's, as out of date as they are.
		Architecture: or(in.Architecture, "i386"), Virt: or(in.VirtualizationType, "paravirtual"),
		BootMode: in.BootMode, TPM: in.TpmSupport, IMDS: in.ImdsSupport, SRIOV: in.SriovNetSupport, UEFIData: in.UefiData,
		ENA: in.EnaSupport != nil && *in.EnaSupport, Kernel: in.KernelID, Ramdisk: in.RamdiskID,
		RootDevice: in.RootDeviceName, Created: q.now, Protection: "disabled",
	}
	for _, p := range []struct {
		name, value string
		allowed     []string
	}{
		{"architecture", im.Architecture, []string{"i386", "x86_64", "arm64", "x86_64_mac", "arm64_mac"}},
		{"virtualizationType", im.Virt, []string{"hvm", "paravirtual"}},
		{"bootMode", im.BootMode, []string{"", "legacy-bios", "uefi", "uefi-preferred"}},
		{"tpmSupport", im.TPM, []string{"", "v2.0"}},
		{"imdsSupport", im.IMDS, []string{"", "v2.0"}},
		{"sriovNetSupport", im.SRIOV, []string{"", "simple"}},
	} {
		if !slices.Contains(p.allowed, p.value) {
			return nil, errInvalidValue(p.name, p.value, "It must be one of "+strings.TrimPrefix(strings.Join(p.allowed, ", "), ", ")+".")
		}
	}
	switch uefi := strings.HasPrefix(im.BootMode, "uefi"); {
	case in.RootDeviceName == "":
		return nil, errMissing("rootDeviceName")
	case len(in.BlockDeviceMapping) == 0:
		return nil, errMissing("blockDeviceMapping")
	case im.ENA && im.Virt != "hvm":
		return nil, errorf("InvalidParameterCombination", "Enhanced networking (enaSupport) requires the virtualization type hvm.")
	case im.Architecture == "arm64" && im.Virt != "hvm":
		return nil, errorf("InvalidParameterCombination", "The architecture arm64 requires the virtualization type hvm.")
	case im.Architecture == "arm64" && im.BootMode != "" && im.BootMode != "uefi":
		return nil, errorf("InvalidParameterCombination", "The architecture arm64 supports only the boot mode uefi.")
	case uefi && im.Virt != "hvm":
		return nil, errorf("InvalidParameterCombination", "The boot mode %s requires the virtualization type hvm.", im.BootMode)
	case im.TPM != "" && im.BootMode != "uefi":
		return nil, errorf("InvalidParameterCombination", "tpmSupport requires the boot mode uefi.")
	case im.UEFIData != "" && !validUEFIData(im.UEFIData):
		return nil, errorf("InvalidParameterValue", "Value for parameter uefiData is invalid. It must be base64 of at most 64 KB.")
	case im.UEFIData != "" && !uefi:
		return nil, errorf("InvalidParameterCombination", "uefiData requires a boot mode with UEFI.")
	}
	return im, nil
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// mapping makes one block device of an image that is being registered.
func (p mappingParam) mapping(t *tx, q *call) (mapping, error) {
	m := mapping{Device: p.DeviceName, Virtual: p.VirtualName, NoDevice: p.NoDevice}
	if p.DeviceName == "" {
		return m, errMissing("deviceName")
	}
	if p.Ebs == nil {
		if p.VirtualName == "" && p.NoDevice == nil {
			return m, errorf("InvalidBlockDeviceMapping", "The mapping of '%s' says neither a volume nor an instance store nor no device.", p.DeviceName)
		}
		return m, nil
	}
	if p.VirtualName != "" || p.NoDevice != nil {
		return m, errorf("InvalidBlockDeviceMapping", "The mapping of '%s' says more than one thing.", p.DeviceName)
	}
	e := &mappingEBS{Snapshot: p.Ebs.SnapshotID, DeleteOnTermination: true}
	if p.Ebs.DeleteOnTermination != nil {
		e.DeleteOnTermination = *p.Ebs.DeleteOnTermination
	}
	if p.Ebs.VolumeSize != nil {
		e.Size = *p.Ebs.VolumeSize
	}
	switch {
	case e.Snapshot != "":
		if p.Ebs.Encrypted != nil {
			return m, errorf("InvalidParameter", "The parameter Encrypted cannot be given for '%s' together with a snapshot.", p.DeviceName)
		}
		if err := e.takeFrom(t, q); err != nil {
			return m, err
		}
	case p.Ebs.VolumeSize == nil:
		return m, errMissing("volumeSize")
	case p.Ebs.Encrypted != nil && *p.Ebs.Encrypted:
		e.Encrypted, e.KMSKey = true, kmsKey(q.region, p.Ebs.KmsKeyID)
	}
	if p.Ebs.KmsKeyID != "" && !e.Encrypted {
		return m, errorf("InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set.")
	}
	shape, err := checkShape(or(p.Ebs.VolumeType, "standard"), e.Size, p.Ebs.Iops, p.Ebs.Throughput)
	if err != nil {
		return m, err
	}
	e.Type, e.IOPS, e.Throughput = shape.Type, shape.IOPS, shape.Throughput
	m.EBS = e
	return m, nil
}

// takeFrom settles what a mapping has from its snapshot.
func (e *mappingEBS) takeFrom(t *tx, q *call) error {
	s, err := find[snapshot](t, kindSnapshot, q.region, e.Snapshot)
	if err != nil {
		return err
	}
	if err := s.usable(q.now); err != nil {
		return err
	}
	if e.Size == 0 {
		e.Size = s.Size
	}
	if e.Size < s.Size {
		return errorf("InvalidBlockDeviceMapping", "Volume of size %dGB is smaller than snapshot '%s', expect size>= %dGB", e.Size, s.ID, s.Size)
	}
	e.Encrypted, e.KMSKey = s.Encrypted, s.KMSKey
	return nil
}

type deregisterImageInput struct {
	ImageID                   string `query:",required"`
	DeleteAssociatedSnapshots *bool
}

type deletedSnapshot struct {
	ID     string `xml:"snapshotId"`
	Result string `xml:"returnCode"`
}

type deregisterImageOutput struct {
	reply
	Return  bool              `xml:"return"`
	Deleted []deletedSnapshot `xml:"deleteSnapshotResultSet>item"`
}

func (c *Cloud) deregisterImage(q *call, in *deregisterImageInput) (any, error) {
	out := &deregisterImageOutput{Return: true}
	var drop []string
	err := c.store.write(q.ctx, func(t *tx) error {
		im, err := findImage(t, q.region, in.ImageID)
		if err != nil {
			return err
		}
		if im.protected(q.now) {
			return errorf("OperationNotPermitted", "The image %s has deregistration protection: %s.", im.ID, im.Protection)
		}
		if err := t.deregister(im.ID); err != nil {
			return err
		}
		if in.DeleteAssociatedSnapshots == nil || !*in.DeleteAssociatedSnapshots {
			return nil
		}
		for _, id := range im.snapshots() {
			users, err := imagesOf(t, q.region, id)
			if err != nil {
				return err
			}
			if len(users) > 0 {
				out.Deleted = append(out.Deleted, deletedSnapshot{id, "skipped"})
				continue
			}
			if err := t.drop(id); err != nil {
				return err
			}
			drop = append(drop, id)
			out.Deleted = append(out.Deleted, deletedSnapshot{id, "success"})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, id := range drop {
		if err := c.discard(c.files.snapshot(id)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// deregister makes an image one that was.
func (t *tx) deregister(id string) error {
	if _, err := t.ExecContext(t.ctx, "DELETE FROM tag WHERE resource = ?", id); err != nil {
		return err
	}
	_, err := t.ExecContext(t.ctx, "UPDATE resource SET gone = 1, doc = '{}' WHERE id = ?", id)
	return err
}

// findImage is find with EC2's error for an image that was deregistered.
func findImage(t *tx, region, id string) (*image, error) {
	im, err := find[image](t, kindImage, region, id)
	if !hasCode(err, "InvalidAMIID.NotFound") {
		return im, err
	}
	var n int
	if err := t.QueryRowContext(t.ctx, "SELECT count(*) FROM resource WHERE id = ? AND region = ? AND gone = 1", id, region).Scan(&n); err != nil {
		return nil, err
	}
	if n > 0 {
		return nil, errorf("InvalidAMIID.Unavailable", "The image ID '%s' is no longer available", id)
	}
	return nil, err
}

type copyImageInput struct {
	SourceRegion                          string `query:",required"`
	SourceImageID                         string `query:",required"`
	Name                                  string `query:",required"`
	Description                           string
	Encrypted                             *bool
	KmsKeyID                              string
	CopyImageTags                         *bool
	ClientToken                           string
	SnapshotCopyCompletionDurationMinutes *int64
	tagging
}

func (c *Cloud) copyImage(q *call, in *copyImageInput) (any, error) {
	tags, err := in.tags(kindImage, kindSnapshot)
	if err != nil {
		return nil, err
	}
	if err := checkImageName(in.Name); err != nil {
		return nil, err
	}
	if err := checkDescription(in.Description); err != nil {
		return nil, err
	}
	if m := in.SnapshotCopyCompletionDurationMinutes; m != nil && (*m < 15 || *m > 2880 || *m%15 != 0) {
		return nil, errInvalidValue("snapshotCopyCompletionDurationMinutes", fmt.Sprint(*m), "It must be a multiple of 15 between 15 and 2880.")
	}
	out := &imageIDOutput{}
	fingerprint := digest(in)
	var made []string
	err = c.store.write(q.ctx, func(t *tx) error {
		if out.ID, err = t.claimed(q, in.ClientToken, fingerprint); err != nil || out.ID != "" {
			return err
		}
		im, err := c.copyOf(q, t, in, tags[kindSnapshot])
		if im != nil {
			made = im.snapshots()
		}
		if err != nil {
			return err
		}
		out.ID = im.ID
		if in.CopyImageTags != nil && *in.CopyImageTags {
			all, err := t.tags(in.SourceRegion, in.SourceImageID)
			if err != nil {
				return err
			}
			if err := t.tag(q.region, im.ID, all[in.SourceImageID]); err != nil {
				return err
			}
		}
		if err := t.tag(q.region, im.ID, tags[kindImage]); err != nil {
			return err
		}
		return t.claim(q, in.ClientToken, fingerprint, im.ID)
	})
	if err != nil {
		for _, id := range made {
			_ = c.discard(c.files.snapshot(id)) // no row knows it; Reclaim would find it too
		}
		return nil, err
	}
	return out, nil
}

// copyOf stores the copy of an image and of its snapshots. With an error it
// still returns the copy when files have been made for it.
func (c *Cloud) copyOf(q *call, t *tx, in *copyImageInput, snapshotTags map[string]string) (*image, error) {
	source, err := findImage(t, in.SourceRegion, in.SourceImageID)
	if err != nil {
		return nil, err
	}
	if source.state(q.now) != "available" {
		return nil, errorf("InvalidAMIID.Unavailable", "The image ID '%s' is not available", source.ID)
	}
	if err := nameFree(t, q.region, in.Name); err != nil {
		return nil, err
	}
	im := *source
	im.ID, im.Region, im.Name, im.Description = newID(kindImage), q.region, in.Name, in.Description
	im.Created, im.Source, im.SourceRegion = q.now, source.ID, in.SourceRegion
	// EC2 copies none of these.
	im.Launch, im.Deprecation, im.Protection, im.ProtectedUntil = nil, time.Time{}, "disabled", time.Time{}
	im.Mappings = nil
	var moved int64
	for _, m := range source.Mappings {
		if m.EBS != nil && m.EBS.Snapshot != "" {
			s, err := find[snapshot](t, kindSnapshot, in.SourceRegion, m.EBS.Snapshot)
			if err != nil {
				return &im, err
			}
			moved += s.Bytes
			description := fmt.Sprintf("Copied for DestinationAmi %s from SourceAmi %s for SourceSnapshot %s.", im.ID, source.ID, s.ID)
			if s, err = c.duplicate(q, t, s, description, copyEncryption{in.Encrypted, in.KmsKeyID}); err != nil {
				return &im, err
			}
			ebs := *m.EBS
			ebs.Snapshot, ebs.Encrypted, ebs.KMSKey = s.ID, s.Encrypted, s.KMSKey
			m.EBS = &ebs
			im.Mappings = append(im.Mappings, m)
			if err := t.tag(q.region, s.ID, snapshotTags); err != nil {
				return &im, err
			}
			continue
		}
		im.Mappings = append(im.Mappings, m)
	}
	im.Available = c.latency.settled(q.action, q.now, moved)
	return &im, t.put(&im)
}
