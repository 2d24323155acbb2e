package localcloud

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"
)

const gib = int64(1) << 30

// volume is a volume as the store keeps it.
type volume struct {
	ID         string
	Region     string
	Zone       string
	Size       int64 // GiB
	Snapshot   string
	Type       string
	IOPS       int64
	Throughput int64
	InitRate   int64
	Encrypted  bool
	KMSKey     string
	Created    time.Time
	Available  time.Time // when it stops being created
	Deleted    time.Time // zero, or when it stops being deleted
	Lost       string    // why the data is gone; the state is error then

	// Synced says that the bytes copied from the snapshot are on the disk and
	// not only in the page cache; Boot is the boot of the machine that this
	// was written in. See heal.
	Synced bool
	Boot   string

	Attachment   *attachment
	Modification *modification
}

func (v *volume) meta() recordMeta {
	return recordMeta{id: v.ID, kind: kindVolume, region: v.Region, created: v.Created}
}

// attachment is a volume's tie to the host's instance. It is stored before the
// first device node is made and removed after the last is gone, so that what
// an interrupted process leaves behind is always known.
type attachment struct {
	Instance            string
	Device              string // as the client named it
	Boot                string // the boot of the machine whose devices these are
	Since               time.Time
	Ready               bool      // the nodes are there
	Attached            time.Time // when it stops being attaching
	Detaching           bool      // asked for; the nodes go when nothing uses them
	Detached            time.Time // when it stops being detaching, once the nodes are gone
	DeleteOnTermination bool
}

// modification is the last change of a volume's size, type or performance.
type modification struct {
	Start, End time.Time
	Original   volumeShape
	Target     volumeShape
}

// volumeShape is what ModifyVolume can change.
type volumeShape struct {
	Size       int64
	Type       string
	IOPS       int64
	Throughput int64
}

func (v *volume) shape() volumeShape {
	return volumeShape{v.Size, v.Type, v.IOPS, v.Throughput}
}

// before reports whether a time that was stored is still to come. A clock that
// was set back must not hold a resource in a state for longer than it is in it.
func before(now, started, ends time.Time) bool {
	return now.Before(ends) && !now.Before(started)
}

func (v *volume) state(now time.Time) string {
	switch {
	case v.Lost != "":
		return "error"
	case !v.Deleted.IsZero():
		return "deleting"
	case before(now, v.Created, v.Available):
		return "creating"
	case v.Attachment.state(now) != "":
		return "in-use"
	}
	return "available"
}

func (a *attachment) state(now time.Time) string {
	switch {
	case a == nil:
		return ""
	case a.Detaching && a.Detached.IsZero():
		// Asked for and not to be had: something on the host has it mounted.
		return "busy"
	case a.Detaching && now.Before(a.Detached):
		return "detaching"
	case a.Detaching:
		return ""
	case !a.Ready || before(now, a.Since, a.Attached):
		return "attaching"
	}
	return "attached"
}

type attachmentXML struct {
	VolumeID            string `xml:"volumeId"`
	InstanceID          string `xml:"instanceId"`
	Device              string `xml:"device"`
	State               string `xml:"status"`
	AttachTime          string `xml:"attachTime"`
	DeleteOnTermination bool   `xml:"deleteOnTermination"`
}

func (v *volume) attachmentXML(state string) attachmentXML {
	a := v.Attachment
	return attachmentXML{v.ID, a.Instance, a.Device, state, formatTime(a.Since), a.DeleteOnTermination}
}

type volumeXML struct {
	ID          string          `xml:"volumeId"`
	Size        int64           `xml:"size"`
	Snapshot    string          `xml:"snapshotId"`
	Zone        string          `xml:"availabilityZone"`
	ZoneID      string          `xml:"availabilityZoneId"`
	State       string          `xml:"status"`
	Created     string          `xml:"createTime"`
	Attachments []attachmentXML `xml:"attachmentSet>item"`
	Tags        []tagXML        `xml:"tagSet>item"`
	Type        string          `xml:"volumeType"`
	IOPS        int64           `xml:"iops,omitempty"`
	Throughput  int64           `xml:"throughput,omitempty"`
	InitRate    int64           `xml:"volumeInitializationRate,omitempty"`
	Encrypted   bool            `xml:"encrypted"`
	KMSKey      string          `xml:"kmsKeyId,omitempty"`
	SSE         string          `xml:"sseType,omitempty"`
	MultiAttach bool            `xml:"multiAttachEnabled"`

	tags    map[string]string
	created time.Time
}

func (v *volume) xml(now time.Time, tags map[string]string) volumeXML {
	out := volumeXML{
		ID: v.ID, Size: v.Size, Snapshot: v.Snapshot, Zone: v.Zone, ZoneID: zoneID(v.Zone),
		State: v.state(now), Created: formatTime(v.Created), Tags: tagsXML(tags),
		Type: v.Type, IOPS: v.IOPS, Throughput: v.Throughput, InitRate: v.InitRate,
		Encrypted: v.Encrypted, KMSKey: v.KMSKey, SSE: sseType(v.Encrypted),
		tags: tags, created: v.Created,
	}
	if state := v.Attachment.state(now); state != "" {
		out.Attachments = []attachmentXML{v.attachmentXML(state)}
	}
	return out
}

func sseType(encrypted bool) string {
	if encrypted {
		return "sse-kms"
	}
	return ""
}

// kmsKey is the ARN of the key that a request names; "" is the account's own.
func kmsKey(region, id string) string {
	switch {
	case id == "":
		id = "alias/aws/ebs"
	case len(id) > 4 && id[:4] == "arn:":
		return id
	case len(id) < 6 || id[:6] != "alias/":
		id = "key/" + id
	}
	return "arn:aws:kms:" + region + ":" + AccountID + ":" + id
}

type createVolumeInput struct {
	AvailabilityZone         string
	AvailabilityZoneID       string
	Size                     *int64
	SnapshotID               string
	VolumeType               string
	Iops                     *int64
	Throughput               *int64
	Encrypted                *bool
	KmsKeyID                 string
	VolumeInitializationRate *int64
	MultiAttachEnabled       *bool
	ClientToken              string
	tagging
}

type createVolumeOutput struct {
	reply
	volumeXML
}

func (c *Cloud) createVolume(q *call, in *createVolumeInput) (any, error) {
	v, tags, err := c.newVolume(q, in)
	if err != nil {
		return nil, err
	}
	fingerprint := digest(in)
	made, source, err := c.volumeSource(q, in, v, fingerprint)
	if err != nil {
		return nil, err
	}
	if made == nil {
		made, err = c.makeVolume(q, v, source, in.ClientToken, fingerprint, tags)
	}
	if err != nil {
		return nil, err
	}
	if made.ID != v.ID { // an earlier request with this token made it
		err = c.store.read(q.ctx, func(t *tx) error {
			all, err := t.tags(q.region, made.ID)
			tags = all[made.ID]
			return err
		})
		return &createVolumeOutput{volumeXML: made.xml(q.now, tags)}, err
	}
	c.syncLater(q.ctx, q.region, kindVolume, v.ID)
	return &createVolumeOutput{volumeXML: made.xml(q.now, tags)}, nil
}

// newVolume makes the volume that a request asks for, as far as the request
// alone decides it.
func (c *Cloud) newVolume(q *call, in *createVolumeInput) (*volume, map[string]string, error) {
	zone := in.AvailabilityZone
	if in.AvailabilityZoneID != "" {
		if zone != "" {
			return nil, nil, errorf("InvalidParameterCombination", "The parameters AvailabilityZone and AvailabilityZoneId cannot be used together")
		}
		if zone = zoneByID(q.region, in.AvailabilityZoneID); zone == "" {
			return nil, nil, errorf("InvalidZone.NotFound", "The zone '%s' does not exist.", in.AvailabilityZoneID)
		}
	}
	if zone == "" {
		return nil, nil, errMissing("availabilityZone")
	}
	if err := checkZone(q.region, zone); err != nil {
		return nil, nil, err
	}
	if in.MultiAttachEnabled != nil && *in.MultiAttachEnabled {
		return nil, nil, errorf("UnsupportedOperation", "The local cloud has one instance and no multi-attach.")
	}
	if in.KmsKeyID != "" && (in.Encrypted == nil || !*in.Encrypted) {
		return nil, nil, errorf("InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set.")
	}
	if r := in.VolumeInitializationRate; r != nil && (*r < 100 || *r > 300) {
		return nil, nil, errInvalidValue("volumeInitializationRate", fmt.Sprint(*r), "It must be between 100 and 300 MiB/s.")
	}
	tags, err := in.tags(kindVolume)
	if err != nil {
		return nil, nil, err
	}
	v := &volume{
		ID: newID(kindVolume), Region: q.region, Zone: zone, Snapshot: in.SnapshotID,
		Type: "gp2", Created: q.now, Boot: c.boot,
	}
	if in.VolumeType != "" {
		v.Type = in.VolumeType
	}
	if in.Size != nil {
		v.Size = *in.Size
	}
	if in.VolumeInitializationRate != nil {
		v.InitRate = *in.VolumeInitializationRate
	}
	return v, tags[kindVolume], nil
}

// volumeSource settles what of a new volume depends on the store: the snapshot
// that it comes from and encryption. When an earlier request with the same
// token has made the volume, it is returned instead.
func (c *Cloud) volumeSource(q *call, in *createVolumeInput, v *volume, fingerprint string) (made *volume, source *snapshot, err error) {
	err = c.store.read(q.ctx, func(t *tx) error {
		id, err := t.claimed(q, in.ClientToken, fingerprint)
		if err != nil {
			return err
		}
		if id != "" {
			made, err = get[volume](t, q.region, id)
			return err
		}
		if in.SnapshotID != "" {
			if source, err = find[snapshot](t, kindSnapshot, q.region, in.SnapshotID); err != nil {
				return err
			}
			if err := source.usable(q.now); err != nil {
				return err
			}
		}
		byDefault, err := t.setting(q.region, settingEncryption)
		if err != nil {
			return err
		}
		return v.encrypt(in, source, byDefault == "true")
	})
	if err != nil || made != nil {
		return made, source, err
	}
	switch {
	case source == nil && in.Size == nil:
		return nil, nil, errorf("MissingParameter", "The request must contain the parameter size/snapshotId")
	case in.Size == nil:
		v.Size = source.Size
	case source != nil && v.Size < source.Size:
		return nil, nil, errorf("InvalidParameterValue", "Volume of size %dGB is smaller than snapshot '%s', expect size >= %dGB", v.Size, source.ID, source.Size)
	}
	shape, err := checkShape(v.Type, v.Size, in.Iops, in.Throughput)
	if err != nil {
		return nil, nil, err
	}
	v.IOPS, v.Throughput = shape.IOPS, shape.Throughput
	return nil, source, nil
}

// encrypt settles whether a volume counts as encrypted and by which key: as
// the request says, else by the account's default; what comes from an
// encrypted snapshot always is. The bytes on this machine never are.
func (v *volume) encrypt(in *createVolumeInput, source *snapshot, byDefault bool) error {
	v.Encrypted = byDefault
	if in.Encrypted != nil {
		v.Encrypted = *in.Encrypted || byDefault
	}
	if source != nil && source.Encrypted {
		if in.Encrypted != nil && !*in.Encrypted {
			return errorf("InvalidParameter", "The snapshot '%s' is encrypted; a volume made of it cannot be unencrypted.", source.ID)
		}
		v.Encrypted = true
	}
	switch {
	case !v.Encrypted:
	case in.KmsKeyID == "" && source != nil && source.Encrypted:
		v.KMSKey = source.KMSKey
	default:
		v.KMSKey = kmsKey(v.Region, in.KmsKeyID)
	}
	return nil
}

// makeVolume makes the file of a volume and stores the volume.
func (c *Cloud) makeVolume(q *call, v *volume, source *snapshot, token, fingerprint string, tags map[string]string) (*volume, error) {
	ws, err := c.files.workspace(q.ctx)
	if err != nil {
		return nil, err
	}
	defer ws.remove()
	file := ws.path("volume")
	if source != nil {
		_, err = copyFile(q.ctx, c.files.snapshot(source.ID), file, v.Size*gib)
	} else {
		err = makeEmpty(file, v.Size*gib)
		v.Synced = err == nil // nothing that could be lost
	}
	if errors.Is(err, errNoFile) { // deleted in between
		return nil, errNotFound(kindSnapshot, source.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("make volume %s: %w", v.ID, err)
	}
	made := v
	err = c.store.write(q.ctx, func(t *tx) error {
		switch id, err := t.claimed(q, token, fingerprint); {
		case err != nil:
			return err
		case id != "": // a request with the same token was quicker
			made, err = get[volume](t, q.region, id)
			return err
		}
		v.Available = c.latency.settled(q.action, q.now, v.Size*gib)
		if err := ws.release(file, c.files.volume(v.ID)); err != nil {
			return err
		}
		if err := t.put(v); err != nil {
			return err
		}
		if err := t.tag(q.region, v.ID, tags); err != nil {
			return err
		}
		return t.claim(q, token, fingerprint, v.ID)
	})
	if err != nil {
		_ = c.discard(c.files.volume(v.ID)) // no row knows it; Reclaim would find it too
		return nil, err
	}
	return made, nil
}

type volumeInput struct {
	VolumeID string `query:",required"`
}

func (c *Cloud) deleteVolume(q *call, in *volumeInput) (any, error) {
	unlock, err := c.lockVolume(q.ctx, q.region, in.VolumeID)
	if err != nil {
		return nil, err
	}
	defer unlock()
	err = c.store.write(q.ctx, func(t *tx) error {
		v, err := find[volume](t, kindVolume, q.region, in.VolumeID)
		if err != nil {
			return err
		}
		switch state := v.state(q.now); state {
		case "in-use":
			return errorf("VolumeInUse", "Volume %s is currently attached to %s", v.ID, v.Attachment.Instance)
		case "available", "error":
		default:
			return errorf("IncorrectState", "The volume '%s' is not in a deletable state: %s", v.ID, state)
		}
		v.Deleted = c.latency.settled(q.action, q.now, 0)
		return t.put(v)
	})
	if err != nil {
		return nil, err
	}
	// The row goes on for as long as the volume shows as deleting; its file is
	// of no use to anyone any more.
	if err := c.discard(c.files.volume(in.VolumeID)); err != nil {
		return nil, err
	}
	return returnTrue(), nil
}

type describeVolumesInput struct {
	VolumeID []string
	filtering
	paging
}

type describeVolumesOutput struct {
	reply
	Volumes []volumeXML `xml:"volumeSet>item"`
	next
}

func (c *Cloud) describeVolumes(q *call, in *describeVolumesInput) (any, error) {
	if err := c.settleVolumes(q.ctx, q.region, in.VolumeID); err != nil {
		return nil, err
	}
	var all []volumeXML
	err := c.store.read(q.ctx, func(t *tx) error {
		volumes, err := wanted[volume](t, kindVolume, q.region, in.VolumeID)
		if err != nil {
			return err
		}
		tags, err := t.tags(q.region, in.VolumeID...)
		if err != nil {
			return err
		}
		for _, v := range volumes {
			if v.deleted(q.now) {
				if slices.Contains(in.VolumeID, v.ID) {
					return errNotFound(kindVolume, v.ID)
				}
				continue
			}
			all = append(all, v.xml(q.now, tags[v.ID]))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := &describeVolumesOutput{}
	out.Volumes, err = selectPage(q, all, volumeFilters, in.filtering, in.paging, &out.next, in.VolumeID,
		func(v volumeXML) string { return sortKey(v.created, v.ID) })
	return out, err
}

func (v *volume) deleted(now time.Time) bool { return !v.Deleted.IsZero() && !now.Before(v.Deleted) }

// wanted reads the resources with these ids, or all of the kind without any.
// Ids that are not there are an error, all of them in one, as EC2 has it.
func wanted[T any](t *tx, k kind, region string, ids []string) ([]*T, error) {
	if len(ids) == 0 {
		return list[T](t, k, region)
	}
	var found []*T
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		v, err := find[T](t, k, region, id)
		if err != nil {
			return nil, err
		}
		found = append(found, v)
	}
	return found, nil
}

// sortKey orders resources as list does.
func sortKey(created time.Time, id string) string {
	return fmt.Sprintf("%020d/%s", created.UnixMicro(), id)
}

var volumeFilters = filters[volumeXML]{
	fields: map[string]func(volumeXML) []string{
		"attachment.attach-time": attachmentField(func(a attachmentXML) string { return a.AttachTime }),
		"attachment.delete-on-termination": attachmentField(func(a attachmentXML) string {
			return boolean(a.DeleteOnTermination)[0]
		}),
		"attachment.device":      attachmentField(func(a attachmentXML) string { return a.Device }),
		"attachment.instance-id": attachmentField(func(a attachmentXML) string { return a.InstanceID }),
		"attachment.status":      attachmentField(func(a attachmentXML) string { return a.State }),
		"availability-zone":      func(v volumeXML) []string { return one(v.Zone) },
		"availability-zone-id":   func(v volumeXML) []string { return one(v.ZoneID) },
		"create-time":            func(v volumeXML) []string { return one(v.Created) },
		"encrypted":              func(v volumeXML) []string { return boolean(v.Encrypted) },
		"multi-attach-enabled":   func(v volumeXML) []string { return boolean(v.MultiAttach) },
		"size":                   func(v volumeXML) []string { return number(v.Size) },
		"snapshot-id":            func(v volumeXML) []string { return some(v.Snapshot) },
		"status":                 func(v volumeXML) []string { return one(v.State) },
		"volume-id":              func(v volumeXML) []string { return one(v.ID) },
		"volume-type":            func(v volumeXML) []string { return one(v.Type) },
	},
	tags: func(v volumeXML) map[string]string { return v.tags },
}

func attachmentField(field func(attachmentXML) string) func(volumeXML) []string {
	return func(v volumeXML) []string {
		var values []string
		for _, a := range v.Attachments {
			values = append(values, field(a))
		}
		return values
	}
}

// lockVolume takes the lock under which a volume's devices and file change. It
// has looked that the volume is there, and has put right what an interrupted
// process left of it.
func (c *Cloud) lockVolume(ctx context.Context, region, id string) (unlock func(), err error) {
	if err := c.store.read(ctx, func(t *tx) error {
		v, err := find[volume](t, kindVolume, region, id)
		if err == nil && !v.Deleted.IsZero() {
			return errNotFound(kindVolume, id)
		}
		return err
	}); err != nil {
		return nil, err
	}
	unlock, err = lockFile(ctx, c.files.volume(id))
	if errors.Is(err, errNoFile) {
		return nil, errNotFound(kindVolume, id)
	}
	if err != nil {
		return nil, fmt.Errorf("lock volume %s: %w", id, err)
	}
	if err := c.settle(ctx, region, id); err != nil {
		unlock()
		if errors.Is(err, sql.ErrNoRows) {
			return nil, errNotFound(kindVolume, id)
		}
		return nil, err
	}
	return unlock, nil
}
