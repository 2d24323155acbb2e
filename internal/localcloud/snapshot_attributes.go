package localcloud

import "slices"

type volumePermissionParam struct {
	UserID string
	Group  string
}

type modifySnapshotAttributeInput struct {
	SnapshotID             string `query:",required"`
	Attribute              string
	OperationType          string
	UserID                 []string
	UserGroup              []string
	CreateVolumePermission *struct {
		Add    []volumePermissionParam
		Remove []volumePermissionParam
	}
}

func (c *Cloud) modifySnapshotAttribute(q *call, in *modifySnapshotAttributeInput) (any, error) {
	if in.Attribute != "" && in.Attribute != "createVolumePermission" {
		return nil, errInvalidValue("attribute", in.Attribute, "Only createVolumePermission can be modified.")
	}
	var add, remove []volumePermissionParam
	if in.CreateVolumePermission != nil {
		add, remove = in.CreateVolumePermission.Add, in.CreateVolumePermission.Remove
	}
	var flat []volumePermissionParam
	for _, id := range in.UserID {
		flat = append(flat, volumePermissionParam{UserID: id})
	}
	for _, group := range in.UserGroup {
		flat = append(flat, volumePermissionParam{Group: group})
	}
	switch {
	case len(flat) == 0:
	case in.OperationType == "" && in.CreateVolumePermission != nil: // said twice, as for images
	case in.OperationType == "add":
		add = append(add, flat...)
	case in.OperationType == "remove":
		remove = append(remove, flat...)
	default:
		return nil, errInvalidValue("operationType", in.OperationType, "It must be add or remove.")
	}
	if len(add)+len(remove) == 0 {
		return nil, errMissing("createVolumePermission")
	}
	return returnTrue(), c.changeSnapshot(q, in.SnapshotID, func(s *snapshot) error {
		for _, p := range add {
			if err := p.check(s); err != nil {
				return err
			}
			if p.Group == "all" {
				s.Public = true
			} else if !slices.Contains(s.Users, p.UserID) {
				s.Users = append(s.Users, p.UserID)
			}
		}
		for _, p := range remove {
			if err := p.check(nil); err != nil {
				return err
			}
			if p.Group == "all" {
				s.Public = false
			}
			s.Users = slices.DeleteFunc(s.Users, func(id string) bool { return id == p.UserID })
		}
		return nil
	})
}

// check holds a permission against EC2's rules; s is the snapshot that it is
// to be added to, nil when it is to be removed.
func (p volumePermissionParam) check(s *snapshot) error {
	switch {
	case (p.UserID == "") == (p.Group == ""):
		return errorf("InvalidParameterCombination", "A permission names either a user or a group.")
	case p.Group != "" && p.Group != "all":
		return errInvalidValue("group", p.Group, "It must be all.")
	case p.UserID != "" && !accountID.MatchString(p.UserID):
		return errorf("InvalidUserID.Malformed", "Invalid user id: \"%s\"", p.UserID)
	case p.Group == "all" && s != nil && s.Encrypted:
		return errorf("InvalidParameterValue", "The snapshot '%s' is encrypted and cannot be made public.", s.ID)
	}
	return nil
}

func (c *Cloud) changeSnapshot(q *call, id string, change func(*snapshot) error) error {
	return c.store.write(q.ctx, func(t *tx) error {
		s, err := find[snapshot](t, kindSnapshot, q.region, id)
		if err != nil {
			return err
		}
		if err := change(s); err != nil {
			return err
		}
		return t.put(s)
	})
}

type snapshotAttributeInput struct {
	SnapshotID string `query:",required"`
	Attribute  string `query:",required"`
}

type volumePermissionXML struct {
	UserID string `xml:"userId,omitempty"`
	Group  string `xml:"group,omitempty"`
}

type describeSnapshotAttributeOutput struct {
	reply
	ID          string                         `xml:"snapshotId"`
	Permissions *itemsXML[volumePermissionXML] `xml:"createVolumePermission"`
	Products    *itemsXML[productXML]          `xml:"productCodes"`
}

func (c *Cloud) describeSnapshotAttribute(q *call, in *snapshotAttributeInput) (any, error) {
	var s *snapshot
	if err := c.store.read(q.ctx, func(t *tx) (err error) {
		s, err = find[snapshot](t, kindSnapshot, q.region, in.SnapshotID)
		return err
	}); err != nil {
		return nil, err
	}
	out := &describeSnapshotAttributeOutput{ID: s.ID}
	switch in.Attribute {
	case "createVolumePermission":
		out.Permissions = &itemsXML[volumePermissionXML]{}
		if s.Public {
			out.Permissions.Items = append(out.Permissions.Items, volumePermissionXML{Group: "all"})
		}
		for _, id := range s.Users {
			out.Permissions.Items = append(out.Permissions.Items, volumePermissionXML{UserID: id})
		}
	case "productCodes":
		out.Products = &itemsXML[productXML]{}
	default:
		return nil, errInvalidValue("attribute", in.Attribute, "It is no attribute of a snapshot.")
	}
	return out, nil
}

func (c *Cloud) resetSnapshotAttribute(q *call, in *snapshotAttributeInput) (any, error) {
	if in.Attribute != "createVolumePermission" {
		return nil, errInvalidValue("attribute", in.Attribute, "Only createVolumePermission can be reset.")
	}
	return returnTrue(), c.changeSnapshot(q, in.SnapshotID, func(s *snapshot) error {
		s.Users, s.Public = nil, false
		return nil
	})
}
