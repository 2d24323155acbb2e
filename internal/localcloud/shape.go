package localcloud

import (
	"fmt"
	"os"
	"slices"
	"time"
)

// volumeType is what EBS allows of a type of volume: sizes in GiB, performance
// bounds, and how much of it a GiB may have ("Amazon EBS volume types" in the
// EBS user guide).
type volumeType struct {
	minSize, maxSize   int64
	minIOPS, maxIOPS   int64 // 0: cannot be asked for
	iopsPerGiB         int64
	baseIOPS           int64 // without asking; 0: must be asked for, where it can be
	minMiBps, maxMiBps int64 // throughput; 0: cannot be asked for
}

var volumeTypes = map[string]volumeType{
	"standard": {minSize: 1, maxSize: 1024},
	"gp2":      {minSize: 1, maxSize: 16384},
	"gp3":      {minSize: 1, maxSize: 65536, minIOPS: 3000, maxIOPS: 80000, iopsPerGiB: 500, baseIOPS: 3000, minMiBps: 125, maxMiBps: 2000},
	"io1":      {minSize: 4, maxSize: 16384, minIOPS: 100, maxIOPS: 64000, iopsPerGiB: 50},
	"io2":      {minSize: 4, maxSize: 65536, minIOPS: 100, maxIOPS: 256000, iopsPerGiB: 1000},
	"st1":      {minSize: 125, maxSize: 16384},
	"sc1":      {minSize: 125, maxSize: 16384},
}

// checkShape holds a volume's type, size and performance against EBS's rules
// and fills in what is not asked for.
func checkShape(name string, size int64, iops, throughput *int64) (volumeShape, error) {
	shape := volumeShape{Type: name, Size: size}
	rules, ok := volumeTypes[name]
	if !ok {
		return shape, errInvalidValue("volumeType", name, "It must be one of standard, gp2, gp3, io1, io2, sc1, st1.")
	}
	switch {
	case size < rules.minSize:
		return shape, errorf("InvalidParameterValue", "Volume of %dGiB is too small for volume type %s; minimum is %dGiB.", size, name, rules.minSize)
	case size > rules.maxSize:
		return shape, errorf("InvalidParameterValue", "Volume of %dGiB is too large for volume type %s; maximum is %dGiB.", size, name, rules.maxSize)
	}
	if err := shape.setIOPS(rules, iops); err != nil {
		return shape, err
	}
	switch {
	case throughput == nil:
		shape.Throughput = rules.minMiBps
	case rules.minMiBps == 0:
		return shape, errorf("InvalidParameterCombination", "The parameter throughput is not supported for %s volumes.", name)
	case *throughput < rules.minMiBps || *throughput > rules.maxMiBps:
		return shape, errInvalidValue("throughput", fmt.Sprint(*throughput), fmt.Sprintf("It must be between %d and %d MiB/s for %s.", rules.minMiBps, rules.maxMiBps, name))
	case *throughput*4 > shape.IOPS: // at most 0.25 MiB/s for each of the IOPS
		return shape, errorf("InvalidParameterValue", "Throughput (MiBps) to iops ratio of %.6f is too high; maximum is 0.250000 MiBps per iops.", float64(*throughput)/float64(shape.IOPS))
	default:
		shape.Throughput = *throughput
	}
	return shape, nil
}

func (s *volumeShape) setIOPS(rules volumeType, iops *int64) error {
	switch {
	case iops == nil && s.Type == "gp2":
		s.IOPS = min(max(3*s.Size, 100), 16000)
	case iops == nil && rules.maxIOPS > 0 && rules.baseIOPS == 0:
		return errorf("MissingParameter", "The parameter iops must be specified for %s volumes.", s.Type)
	case iops == nil:
		s.IOPS = rules.baseIOPS
	case rules.maxIOPS == 0:
		return errorf("InvalidParameterCombination", "The parameter iops is not supported for %s volumes.", s.Type)
	case *iops < rules.minIOPS || *iops > rules.maxIOPS:
		return errInvalidValue("iops", fmt.Sprint(*iops), fmt.Sprintf("It must be between %d and %d for %s.", rules.minIOPS, rules.maxIOPS, s.Type))
	case *iops > max(rules.baseIOPS, rules.iopsPerGiB*s.Size):
		return errorf("InvalidParameterValue", "Iops to volume size ratio of %.6f is too high; maximum is %d IOPS per GiB.", float64(*iops)/float64(s.Size), rules.iopsPerGiB)
	default:
		s.IOPS = *iops
	}
	return nil
}

type modifyVolumeInput struct {
	VolumeID           string `query:",required"`
	Size               *int64
	VolumeType         string
	Iops               *int64
	Throughput         *int64
	MultiAttachEnabled *bool
}

type modificationXML struct {
	VolumeID           string `xml:"volumeId"`
	State              string `xml:"modificationState"`
	TargetSize         int64  `xml:"targetSize"`
	TargetType         string `xml:"targetVolumeType"`
	TargetIOPS         int64  `xml:"targetIops,omitempty"`
	TargetThroughput   int64  `xml:"targetThroughput,omitempty"`
	OriginalSize       int64  `xml:"originalSize"`
	OriginalType       string `xml:"originalVolumeType"`
	OriginalIOPS       int64  `xml:"originalIops,omitempty"`
	OriginalThroughput int64  `xml:"originalThroughput,omitempty"`
	Progress           int64  `xml:"progress"`
	Start              string `xml:"startTime"`
	End                string `xml:"endTime,omitempty"`

	start time.Time
}

func (m *modification) xml(id string, now time.Time) modificationXML {
	out := modificationXML{
		VolumeID: id, State: "completed", Progress: 100, Start: formatTime(m.Start), End: formatTime(m.End), start: m.Start,
		TargetSize: m.Target.Size, TargetType: m.Target.Type, TargetIOPS: m.Target.IOPS, TargetThroughput: m.Target.Throughput,
		OriginalSize: m.Original.Size, OriginalType: m.Original.Type, OriginalIOPS: m.Original.IOPS, OriginalThroughput: m.Original.Throughput,
	}
	if before(now, m.Start, m.End) {
		out.State, out.Progress, out.End = "modifying", 0, ""
	}
	return out
}

type modifyVolumeOutput struct {
	reply
	Modification modificationXML `xml:"volumeModification"`
}

func (c *Cloud) modifyVolume(q *call, in *modifyVolumeInput) (any, error) {
	if in.MultiAttachEnabled != nil && *in.MultiAttachEnabled {
		return nil, errorf("UnsupportedOperation", "The local cloud has one instance and no multi-attach.")
	}
	if in.Size == nil && in.VolumeType == "" && in.Iops == nil && in.Throughput == nil {
		return nil, errorf("InvalidParameterCombination", "At least one of size, volumeType, iops and throughput must be specified.")
	}
	unlock, err := c.lockVolume(q.ctx, q.region, in.VolumeID)
	if err != nil {
		return nil, err
	}
	defer unlock()
	out := &modifyVolumeOutput{}
	err = c.store.write(q.ctx, func(t *tx) error {
		v, err := find[volume](t, kindVolume, q.region, in.VolumeID)
		if err != nil {
			return err
		}
		if err := c.modify(q, v, in); err != nil {
			return err
		}
		// The file grows before the row says so; a file that is too long only
		// for a killed process is none the worse.
		if v.Size > v.Modification.Original.Size {
			file := c.files.volume(v.ID)
			if err := os.Truncate(file, v.Size*gib); err != nil {
				return err
			}
			if err := growNodes(file); err != nil {
				return err
			}
		}
		out.Modification = v.Modification.xml(v.ID, q.now)
		return t.put(v)
	})
	return out, err
}

// modify changes v's shape as asked, if it may.
func (c *Cloud) modify(q *call, v *volume, in *modifyVolumeInput) error {
	if state := v.state(q.now); state != "available" && state != "in-use" {
		return errorf("IncorrectState", "The volume '%s' is in the state %s and cannot be modified.", v.ID, state)
	}
	if m := v.Modification; m != nil && before(q.now, m.Start, m.End) {
		return errorf("IncorrectModificationState", "Volume %s has not reached the completed state of its last modification", v.ID)
	}
	original := v.shape()
	size, name, iops, throughput := v.Size, v.Type, in.Iops, in.Throughput
	if in.Size != nil {
		if size = *in.Size; size < v.Size {
			return errorf("InvalidParameterValue", "New size cannot be smaller than existing size")
		}
	}
	if in.VolumeType != "" {
		name = in.VolumeType
	}
	// What is not asked for stays, where the new type has it.
	if rules := volumeTypes[name]; name == v.Type {
		if iops == nil && rules.maxIOPS > 0 {
			iops = &v.IOPS
		}
		if throughput == nil && rules.maxMiBps > 0 {
			throughput = &v.Throughput
		}
	}
	shape, err := checkShape(name, size, iops, throughput)
	if err != nil {
		return err
	}
	v.Size, v.Type, v.IOPS, v.Throughput = shape.Size, shape.Type, shape.IOPS, shape.Throughput
	v.Modification = &modification{
		Start: q.now, End: c.latency.settled(q.action, q.now, 0), Original: original, Target: shape,
	}
	return nil
}

type describeModificationsInput struct {
	VolumeID []string
	filtering
	paging
}

type describeModificationsOutput struct {
	reply
	Modifications []modificationXML `xml:"volumeModificationSet>item"`
	next
}

var modificationFilters = filters[modificationXML]{fields: map[string]func(modificationXML) []string{
	"modification-state":   func(m modificationXML) []string { return one(m.State) },
	"original-size":        func(m modificationXML) []string { return number(m.OriginalSize) },
	"original-volume-type": func(m modificationXML) []string { return one(m.OriginalType) },
	"start-time":           func(m modificationXML) []string { return one(m.Start) },
	"target-size":          func(m modificationXML) []string { return number(m.TargetSize) },
	"target-volume-type":   func(m modificationXML) []string { return one(m.TargetType) },
	"volume-id":            func(m modificationXML) []string { return one(m.VolumeID) },
}}

func (c *Cloud) describeModifications(q *call, in *describeModificationsInput) (any, error) {
	var all []modificationXML
	err := c.store.read(q.ctx, func(t *tx) error {
		volumes, err := wanted[volume](t, kindVolume, q.region, in.VolumeID)
		if err != nil {
			return err
		}
		for _, v := range volumes {
			switch {
			case v.Modification != nil && v.Deleted.IsZero():
				all = append(all, v.Modification.xml(v.ID, q.now))
			case slices.Contains(in.VolumeID, v.ID):
				return errorf("InvalidVolumeModification.NotFound", "Modification for volume '%s' does not exist.", v.ID)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b modificationXML) int { return a.start.Compare(b.start) })
	out := &describeModificationsOutput{}
	out.Modifications, err = selectPage(q, all, modificationFilters, in.filtering, in.paging, &out.next, in.VolumeID,
		func(m modificationXML) string { return sortKey(m.start, m.VolumeID) })
	return out, err
}
