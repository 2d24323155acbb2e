package localcloud

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// devicePattern is the device names that EC2 takes for a volume, as clients
// give them: with /dev/ or without, sd or xvd ("Device names for volumes on
// Amazon EC2 instances" in its user guide).
var devicePattern = regexp.MustCompile(`^(/dev/)?(sd|xvd)([a-z][a-z]?)([0-9]{0,2})$`)

// deviceNames are the names under /dev that a volume attached as device gets:
// sdX and xvdX mean the same attachment point. The first is the one asked for.
func deviceNames(device string) ([]string, error) {
	m := devicePattern.FindStringSubmatch(device)
	if m == nil {
		return nil, errorf("InvalidParameterValue", "Value (%s) for parameter device is invalid. %s is not a valid EBS device name.", device, device)
	}
	if letters := m[3]; letters == "a" {
		return nil, errDeviceInUse(device) // the instance's own root
	}
	names := []string{"/dev/sd" + m[3] + m[4], "/dev/xvd" + m[3] + m[4]}
	if m[2] == "xvd" {
		slices.Reverse(names)
	}
	return names, nil
}

func errDeviceInUse(device string) error {
	return errorf("InvalidParameterValue", "Invalid value '%s' for unixDevice. Attachment point %s is already in use", device, device)
}

// attachmentPoint is what a device name comes down to: sdf, /dev/sdf and xvdf
// are one.
func attachmentPoint(device string) string {
	m := devicePattern.FindStringSubmatch(device)
	if m == nil {
		return device
	}
	return m[3] + m[4]
}

type attachVolumeInput struct {
	VolumeID   string `query:",required"`
	InstanceID string `query:",required"`
	Device     string `query:",required"`
}

type attachVolumeOutput struct {
	reply
	attachmentXML
}

func (c *Cloud) attachVolume(q *call, in *attachVolumeInput) (any, error) {
	names, err := deviceNames(in.Device)
	if err != nil {
		return nil, err
	}
	if err := c.checkInstance(q.region, in.InstanceID); err != nil {
		return nil, err
	}
	unlock, err := c.lockVolume(q.ctx, q.region, in.VolumeID)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err := c.reserve(q, in); err != nil {
		return nil, err
	}
	if err := attachNodes(q.ctx, c.files.volume(in.VolumeID), in.VolumeID, names); err != nil {
		// Whatever was made is gone again; so is the reservation, even when
		// it was ctx that ended.
		if undo := c.settle(context.WithoutCancel(q.ctx), q.region, in.VolumeID); undo != nil {
			err = errors.Join(err, undo)
		}
		if errors.Is(err, errNodeExists) {
			return nil, errDeviceInUse(in.Device)
		}
		return nil, err
	}
	out := &attachVolumeOutput{}
	err = c.store.write(q.ctx, func(t *tx) error {
		v, err := find[volume](t, kindVolume, q.region, in.VolumeID)
		if err != nil {
			return err
		}
		v.Attachment.Ready = true
		v.Attachment.Attached = c.latency.settled(q.action, q.now, 0)
		out.attachmentXML = v.attachmentXML("attaching")
		return t.put(v)
	})
	return out, err
}

// reserve stores that a volume is about to be attached.
func (c *Cloud) reserve(q *call, in *attachVolumeInput) (*volume, error) {
	var v *volume
	err := c.store.write(q.ctx, func(t *tx) error {
		var err error
		if v, err = find[volume](t, kindVolume, q.region, in.VolumeID); err != nil {
			return err
		}
		switch v.state(q.now) {
		case "available":
		case "in-use":
			return errorf("VolumeInUse", "%s is already attached to an instance", v.ID)
		default:
			return errorf("IncorrectState", "%s is not 'available'.", v.ID)
		}
		if v.Zone != c.zone {
			return errorf("InvalidVolume.ZoneMismatch", "The volume '%s' is not in the same availability zone as instance '%s'", v.ID, in.InstanceID)
		}
		others, err := list[volume](t, kindVolume, q.region)
		if err != nil {
			return err
		}
		for _, other := range others {
			if other.Attachment.state(q.now) != "" && attachmentPoint(other.Attachment.Device) == attachmentPoint(in.Device) {
				return errDeviceInUse(in.Device)
			}
		}
		v.Attachment = &attachment{Instance: in.InstanceID, Device: in.Device, Boot: c.boot, Since: q.now}
		return t.put(v)
	})
	return v, err
}

type detachVolumeInput struct {
	VolumeID   string `query:",required"`
	InstanceID string
	Device     string
	Force      *bool
}

// detachVolume takes the device away at once when nothing has it mounted.
// Otherwise it goes when it is unmounted: the attachment shows as busy, as on
// EC2. Force changes nothing about that, for no kernel lets a loop device go
// that is mounted.
func (c *Cloud) detachVolume(q *call, in *detachVolumeInput) (any, error) {
	unlock, err := c.lockVolume(q.ctx, q.region, in.VolumeID)
	if err != nil {
		return nil, err
	}
	defer unlock()
	out := &attachVolumeOutput{}
	err = c.store.write(q.ctx, func(t *tx) error {
		v, err := find[volume](t, kindVolume, q.region, in.VolumeID)
		if err != nil {
			return err
		}
		a := v.Attachment
		switch {
		case v.state(q.now) != "in-use" || a.Detaching && !a.Detached.IsZero():
			return errorf("IncorrectState", "Volume '%s' is in the '%s' state.", v.ID, v.state(q.now))
		case in.InstanceID != "" && in.InstanceID != a.Instance,
			in.Device != "" && attachmentPoint(in.Device) != attachmentPoint(a.Device):
			return errorf("InvalidAttachment.NotFound", "The volume '%s' is not attached to instance '%s' as device '%s'", v.ID, in.InstanceID, in.Device)
		}
		a.Detaching = true
		out.attachmentXML = v.attachmentXML("detaching")
		return t.put(v)
	})
	if err != nil {
		return nil, err
	}
	// From here on the detaching is a fact, whatever becomes of this request.
	return out, c.settle(context.WithoutCancel(q.ctx), q.region, in.VolumeID)
}

// settleVolumes carries on what a look at the host's devices can: detachments
// that waited for an unmount, and what interrupted processes and reboots have
// left. ids empty is every volume of the region, region "" every region. Volumes that another process
// is busy with are left to it.
func (c *Cloud) settleVolumes(ctx context.Context, region string, ids []string) error {
	var loose []*volume
	if err := c.store.read(ctx, func(t *tx) error {
		volumes, err := list[volume](t, kindVolume, region)
		if err != nil {
			return err
		}
		for _, v := range volumes {
			if (len(ids) == 0 || slices.Contains(ids, v.ID)) && c.unsettled(v) {
				loose = append(loose, v)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for _, v := range loose {
		unlock, err := tryLockFile(c.files.volume(v.ID))
		if errors.Is(err, errLocked) || errors.Is(err, errNoFile) {
			continue
		}
		if err != nil {
			return fmt.Errorf("lock volume %s: %w", v.ID, err)
		}
		err = c.settle(ctx, v.Region, v.ID)
		unlock()
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
	}
	return nil
}

// unsettled reports whether a volume may not be what its record says.
func (c *Cloud) unsettled(v *volume) bool {
	a := v.Attachment
	if !v.Synced && v.Boot != c.boot && v.Lost == "" {
		return true
	}
	switch {
	case a == nil:
		return false
	case a.Detaching:
		return a.Detached.IsZero() || !c.now().Before(a.Detached)
	}
	return !a.Ready || a.Boot != c.boot || !hasNodes(c.files.volume(v.ID))
}

// settle makes a volume's record and the host's devices agree. The caller
// holds the volume's lock, so an attachment that is not ready is one that a
// killed process has begun; it is taken back.
func (c *Cloud) settle(ctx context.Context, region, id string) error {
	var v *volume
	if err := c.store.read(ctx, func(t *tx) (err error) {
		v, err = get[volume](t, region, id)
		return err
	}); err != nil {
		return err
	}
	if !c.unsettled(v) {
		return nil
	}
	busy := false
	if a := v.Attachment; a != nil && a.Detached.IsZero() {
		names, err := deviceNames(a.Device)
		if err != nil {
			return err
		}
		err = detachNodes(c.files.volume(id), id, names)
		if busy = errors.Is(err, errNodesBusy); err != nil && !busy {
			return fmt.Errorf("detach volume %s: %w", id, err)
		}
	}
	return c.store.write(ctx, func(t *tx) error {
		v, err := get[volume](t, region, id)
		if err != nil {
			return err
		}
		v.heal(c.boot)
		switch a := v.Attachment; {
		case a == nil:
		case !a.Detached.IsZero(): // detached before, and shown so for long enough
			v.Attachment = nil
		case busy:
			a.Detaching = true
		case a.Detaching:
			a.Detached = c.latency.settled("DetachVolume", c.now(), 0)
		default: // interrupted, or from before a reboot: nobody waits to see it detach
			v.Attachment = nil
		}
		return t.put(v)
	})
}

// heal gives up a volume whose bytes were still on their way to the disk when
// the machine went down: they may be anything now.
func (v *volume) heal(boot string) {
	if !v.Synced && v.Boot != boot && v.Lost == "" {
		v.Lost = "the machine went down before the volume was on its disk"
	}
}

// describeAttachments lists what is attached to the host's instance, for
// DescribeInstances.
func (c *Cloud) describeAttachments(t *tx, now time.Time) ([]attachmentXML, error) {
	volumes, err := list[volume](t, kindVolume, c.region)
	if err != nil {
		return nil, err
	}
	var all []attachmentXML
	for _, v := range volumes {
		if state := v.Attachment.state(now); state != "" {
			all = append(all, v.attachmentXML(state))
		}
	}
	slices.SortFunc(all, func(a, b attachmentXML) int { return strings.Compare(a.Device, b.Device) })
	return all, nil
}
