package localcloud

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// AccountID is the one account of the local cloud.
const AccountID = "000000000000"

// copiedVolume is what the volume id of a copied snapshot is: EC2's "arbitrary
// volume ID that you should not use for any purpose".
const copiedVolume = "vol-ffffffff"

// snapshot is a snapshot as the store keeps it. Its data never changes, so that
// copies of it are further names of one file.
type snapshot struct {
	ID          string
	Region      string
	Volume      string
	Size        int64 // GiB
	Description string
	Encrypted   bool
	KMSKey      string
	Bytes       int64 // of data
	Created     time.Time
	Completed   time.Time // when it stops being pending
	Lost        string    // why the data is gone; the state is error then

	// Synced says that the data is on the disk; until then the snapshot is
	// pending. Boot is the boot of the machine that the data was written in.
	Synced bool
	Boot   string

	Users  []string // accounts that may make volumes of it
	Public bool
}

func (s *snapshot) meta() recordMeta {
	return recordMeta{id: s.ID, kind: kindSnapshot, region: s.Region, created: s.Created}
}

func (s *snapshot) state(now time.Time) string {
	switch {
	case s.Lost != "":
		return "error"
	case !s.Synced || before(now, s.Created, s.Completed):
		return "pending"
	}
	return "completed"
}

// usable is EC2's error for making something of a snapshot that is not
// completed.
func (s *snapshot) usable(now time.Time) error {
	if state := s.state(now); state != "completed" {
		return errorf("IncorrectState", "Snapshot %s is in invalid state - %s", s.ID, state)
	}
	return nil
}

type snapshotXML struct {
	ID          string   `xml:"snapshotId"`
	Volume      string   `xml:"volumeId"`
	State       string   `xml:"status"`
	Message     string   `xml:"statusMessage,omitempty"`
	Start       string   `xml:"startTime"`
	Completion  string   `xml:"completionTime,omitempty"`
	Progress    string   `xml:"progress"`
	Owner       string   `xml:"ownerId"`
	Size        int64    `xml:"volumeSize"`
	Bytes       int64    `xml:"fullSnapshotSizeInBytes,omitempty"`
	Description string   `xml:"description"`
	Encrypted   bool     `xml:"encrypted"`
	KMSKey      string   `xml:"kmsKeyId,omitempty"`
	SSE         string   `xml:"sseType,omitempty"`
	Tier        string   `xml:"storageTier"`
	Tags        []tagXML `xml:"tagSet>item"`

	tags    map[string]string
	created time.Time
}

func (s *snapshot) xml(now time.Time, tags map[string]string) snapshotXML {
	out := snapshotXML{
		ID: s.ID, Volume: s.Volume, State: s.state(now), Message: s.Lost, Start: formatTime(s.Created), Progress: "100%",
		Owner: AccountID, Size: s.Size, Bytes: s.Bytes, Description: s.Description, Encrypted: s.Encrypted, KMSKey: s.KMSKey,
		SSE: sseType(s.Encrypted), Tier: "standard", Tags: tagsXML(tags), tags: tags, created: s.Created,
	}
	switch out.State {
	case "completed":
		out.Completion = formatTime(s.Completed)
	case "pending":
		out.Progress = "0%"
		if total := s.Completed.Sub(s.Created); total > 0 {
			out.Progress = fmt.Sprintf("%d%%", min(99, 100*now.Sub(s.Created)/total))
		}
	}
	return out
}

type createSnapshotInput struct {
	VolumeID    string `query:",required"`
	Description string
	tagging
}

type createSnapshotOutput struct {
	reply
	snapshotXML
}

// createSnapshot copies the volume as it is at the call. What was written to
// its devices is in it; what a file system on them has not written yet is not,
// as on EC2.
func (c *Cloud) createSnapshot(q *call, in *createSnapshotInput) (any, error) {
	tags, err := in.tags(kindSnapshot)
	if err != nil {
		return nil, err
	}
	if err := checkDescription(in.Description); err != nil {
		return nil, err
	}
	ws, err := c.files.workspace(q.ctx)
	if err != nil {
		return nil, err
	}
	defer ws.remove()
	unlock, err := c.lockVolume(q.ctx, q.region, in.VolumeID)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var v *volume
	if err := c.store.read(q.ctx, func(t *tx) (err error) {
		v, err = find[volume](t, kindVolume, q.region, in.VolumeID)
		return err
	}); err != nil {
		return nil, err
	}
	if state := v.state(q.now); state != "available" && state != "in-use" {
		return nil, errorf("IncorrectState", "The volume '%s' is in the state %s and no snapshot can be made of it.", v.ID, state)
	}
	if err := copyStill(q.ctx, c.files.volume(v.ID), ws.path("snapshot"), v.Size*gib); err != nil {
		return nil, fmt.Errorf("copy volume %s: %w", v.ID, err)
	}
	s := &snapshot{
		ID: newID(kindSnapshot), Region: q.region, Volume: v.ID, Size: v.Size, Description: in.Description,
		Encrypted: v.Encrypted, KMSKey: v.KMSKey, Created: q.now, Boot: c.boot,
	}
	if err := c.storeSnapshot(q, s, ws, tags[kindSnapshot]); err != nil {
		return nil, err
	}
	c.syncLater(q.ctx, q.region, kindSnapshot, s.ID)
	return &createSnapshotOutput{snapshotXML: s.xml(q.now, tags[kindSnapshot])}, nil
}

func checkDescription(s string) error {
	if len(s) > 255 {
		return errorf("InvalidParameterValue", "Value (%s) for parameter description is invalid. Character length exceeds 255.", s)
	}
	return nil
}

// storeSnapshot makes the file "snapshot" of a workspace the data of s, and s
// known.
func (c *Cloud) storeSnapshot(q *call, s *snapshot, ws *workspace, tags map[string]string) error {
	var err error
	if s.Bytes, err = allocated(ws.path("snapshot")); err != nil {
		return err
	}
	s.Completed = c.latency.settled(q.action, q.now, s.Bytes)
	err = c.store.write(q.ctx, func(t *tx) error {
		if err := ws.release(ws.path("snapshot"), c.files.snapshot(s.ID)); err != nil {
			return err
		}
		if err := t.put(s); err != nil {
			return err
		}
		return t.tag(s.Region, s.ID, tags)
	})
	if err != nil {
		_ = c.discard(c.files.snapshot(s.ID)) // no row knows it; Reclaim would find it too
	}
	return err
}

type snapshotInput struct {
	SnapshotID string `query:",required"`
}

func (c *Cloud) deleteSnapshot(q *call, in *snapshotInput) (any, error) {
	err := c.store.write(q.ctx, func(t *tx) error {
		if _, err := find[snapshot](t, kindSnapshot, q.region, in.SnapshotID); err != nil {
			return err
		}
		users, err := imagesOf(t, q.region, in.SnapshotID)
		if err != nil {
			return err
		}
		if len(users) > 0 {
			return errorf("InvalidSnapshot.InUse", "The snapshot %s is currently in use by %s", in.SnapshotID, strings.Join(users, ", "))
		}
		return t.drop(in.SnapshotID)
	})
	if err != nil {
		return nil, err
	}
	return returnTrue(), c.discard(c.files.snapshot(in.SnapshotID))
}

// imagesOf returns the images that a snapshot is part of.
func imagesOf(t *tx, region, snapshotID string) ([]string, error) {
	images, err := list[image](t, kindImage, region)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, im := range images {
		if slices.Contains(im.snapshots(), snapshotID) {
			ids = append(ids, im.ID)
		}
	}
	return ids, nil
}

type copySnapshotInput struct {
	SourceRegion              string `query:",required"`
	SourceSnapshotID          string `query:",required"`
	DestinationRegion         string
	Description               string
	Encrypted                 *bool
	KmsKeyID                  string
	PresignedURL              string
	CompletionDurationMinutes *int64
	tagging
}

type copySnapshotOutput struct {
	reply
	ID   string   `xml:"snapshotId"`
	Tags []tagXML `xml:"tagSet>item"`
}

func (c *Cloud) copySnapshot(q *call, in *copySnapshotInput) (any, error) {
	tags, err := in.tags(kindSnapshot)
	if err != nil {
		return nil, err
	}
	if err := checkDescription(in.Description); err != nil {
		return nil, err
	}
	if in.DestinationRegion != "" && in.DestinationRegion != q.region {
		return nil, errorf("InvalidParameterValue", "Value (%s) for parameter destinationRegion is invalid. The call goes to the region %s.", in.DestinationRegion, q.region)
	}
	if m := in.CompletionDurationMinutes; m != nil && (*m < 15 || *m > 2880 || *m%15 != 0) {
		return nil, errInvalidValue("completionDurationMinutes", fmt.Sprint(*m), "It must be a multiple of 15 between 15 and 2880.")
	}
	encryption := copyEncryption{in.Encrypted, in.KmsKeyID}
	var s *snapshot
	err = c.store.write(q.ctx, func(t *tx) error {
		source, err := find[snapshot](t, kindSnapshot, in.SourceRegion, in.SourceSnapshotID)
		if err != nil {
			return err
		}
		if s, err = c.duplicate(q, t, source, in.Description, encryption); err != nil {
			return err
		}
		return t.tag(q.region, s.ID, tags[kindSnapshot])
	})
	if err != nil {
		return nil, err
	}
	return &copySnapshotOutput{ID: s.ID, Tags: tagsXML(tags[kindSnapshot])}, nil
}

// copyEncryption is what a request for a copy says of encryption.
type copyEncryption struct {
	encrypted *bool
	key       string
}

// apply settles it for the copy of what is or is not encrypted: a copy can
// become encrypted, never the reverse.
func (e copyEncryption) apply(region string, encrypted, byDefault bool) (bool, string, error) {
	asked := e.encrypted != nil && *e.encrypted
	switch {
	case e.key != "" && !asked:
		return false, "", errorf("InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set.")
	case encrypted && e.encrypted != nil && !asked:
		return false, "", errorf("InvalidParameterValue", "You cannot create an unencrypted copy of an encrypted snapshot.")
	case encrypted || asked || byDefault:
		return true, kmsKey(region, e.key), nil
	}
	return false, "", nil
}

// duplicate makes a copy of a snapshot of any region in the call's region.
func (c *Cloud) duplicate(q *call, t *tx, source *snapshot, description string, encryption copyEncryption) (*snapshot, error) {
	if err := source.usable(q.now); err != nil {
		return nil, err
	}
	byDefault, err := t.setting(q.region, settingEncryption)
	if err != nil {
		return nil, err
	}
	s := &snapshot{
		ID: newID(kindSnapshot), Region: q.region, Volume: copiedVolume, Size: source.Size, Description: description,
		Bytes: source.Bytes, Created: q.now, Completed: c.latency.settled(q.action, q.now, source.Bytes),
		Synced: true, Boot: c.boot,
	}
	if s.Encrypted, s.KMSKey, err = encryption.apply(q.region, source.Encrypted, byDefault == "true"); err != nil {
		return nil, err
	}
	if err := linkFile(c.files.snapshot(source.ID), c.files.snapshot(s.ID)); err != nil {
		return nil, fmt.Errorf("copy snapshot %s: %w", source.ID, err)
	}
	return s, t.put(s)
}

type describeSnapshotsInput struct {
	SnapshotID   []string
	Owner        []string
	RestorableBy []string
	filtering
	paging
}

type describeSnapshotsOutput struct {
	reply
	Snapshots []snapshotXML `xml:"snapshotSet>item"`
	next
}

func (c *Cloud) describeSnapshots(q *call, in *describeSnapshotsInput) (any, error) {
	var all []snapshotXML
	err := c.store.read(q.ctx, func(t *tx) error {
		snapshots, err := wanted[snapshot](t, kindSnapshot, q.region, in.SnapshotID)
		if err != nil {
			return err
		}
		tags, err := t.tags(q.region, in.SnapshotID...)
		if err != nil {
			return err
		}
		for _, s := range snapshots {
			if !s.Synced && s.Lost == "" {
				c.syncLater(q.ctx, q.region, kindSnapshot, s.ID)
			}
			if isOwner(in.Owner) && s.restorable(in.RestorableBy) {
				all = append(all, s.xml(q.now, tags[s.ID]))
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := &describeSnapshotsOutput{}
	out.Snapshots, err = selectPage(q, all, snapshotFilters, in.filtering, in.paging, &out.next, in.SnapshotID,
		func(s snapshotXML) string { return sortKey(s.created, s.ID) })
	return out, err
}

// isOwner reports whether the account is among the owners asked for.
func isOwner(owners []string) bool {
	return len(owners) == 0 || slices.Contains(owners, "self") || slices.Contains(owners, AccountID)
}

func (s *snapshot) restorable(by []string) bool {
	return len(by) == 0 || slices.ContainsFunc(by, func(account string) bool {
		return account == "self" || account == AccountID || slices.Contains(s.Users, account) || account == "all" && s.Public
	})
}

var snapshotFilters = filters[snapshotXML]{
	fields: map[string]func(snapshotXML) []string{
		"completion-time": func(s snapshotXML) []string { return some(s.Completion) },
		"description":     func(s snapshotXML) []string { return one(s.Description) },
		"encrypted":       func(s snapshotXML) []string { return boolean(s.Encrypted) },
		"owner-alias":     func(snapshotXML) []string { return nil },
		"owner-id":        func(s snapshotXML) []string { return one(s.Owner) },
		"progress":        func(s snapshotXML) []string { return one(s.Progress) },
		"snapshot-id":     func(s snapshotXML) []string { return one(s.ID) },
		"start-time":      func(s snapshotXML) []string { return one(s.Start) },
		"status":          func(s snapshotXML) []string { return one(s.State) },
		"storage-tier":    func(s snapshotXML) []string { return one(s.Tier) },
		"volume-id":       func(s snapshotXML) []string { return one(s.Volume) },
		"volume-size":     func(s snapshotXML) []string { return number(s.Size) },
	},
	tags: func(s snapshotXML) map[string]string { return s.tags },
}

// syncLater brings the data of a new volume or snapshot to the disk, beside
// the answer; Close waits for it. When this process is killed first, the next
// that looks at the snapshot sees to it.
func (c *Cloud) syncLater(ctx context.Context, region string, k kind, id string) {
	ctx = context.WithoutCancel(ctx)
	c.behind.start(id, func() {
		if err := c.syncData(ctx, region, k, id); err != nil {
			c.logf("bring %s to the disk: %v", id, err)
		}
	})
}

func (c *Cloud) syncData(ctx context.Context, region string, k kind, id string) error {
	file := c.files.snapshot(id)
	if k == kindVolume {
		file = c.files.volume(id)
	}
	if err := syncFile(file); err != nil {
		return ignoreNotExist(err) // deleted meanwhile
	}
	return c.store.write(ctx, func(t *tx) error {
		if k == kindVolume {
			v, err := get[volume](t, region, id)
			if err != nil || v.Lost != "" || v.Boot != c.boot {
				return ignoreNoRows(err)
			}
			v.Synced = true
			return t.put(v)
		}
		s, err := get[snapshot](t, region, id)
		if err != nil {
			return ignoreNoRows(err)
		}
		if s.Synced = s.Boot == c.boot; !s.Synced {
			s.Lost = "the machine went down before the snapshot was on its disk"
		}
		return t.put(s)
	})
}
