package localcloud

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// launchPermission names who may launch an image: one of its fields is set.
type launchPermission struct {
	UserID          string `xml:"userId,omitempty"`
	Group           string `xml:"group,omitempty"`
	OrganizationArn string `xml:"organizationArn,omitempty"`
	UnitArn         string `xml:"organizationalUnitArn,omitempty"`
}

type launchPermissionParam struct {
	UserID                string
	Group                 string
	OrganizationArn       string
	OrganizationalUnitArn string
}

func (im *image) public() bool {
	return slices.Contains(im.Launch, launchPermission{Group: "all"})
}

type valueParam struct {
	Value string
}

type modifyImageAttributeInput struct {
	ImageID          string `query:",required"`
	Attribute        string
	Value            string
	Description      *valueParam
	ImdsSupport      *valueParam
	LaunchPermission *struct {
		Add    []launchPermissionParam
		Remove []launchPermissionParam
	}
	OperationType         string
	UserID                []string
	UserGroup             []string
	OrganizationArn       []string
	OrganizationalUnitArn []string
	ProductCode           []string
}

func (c *Cloud) modifyImageAttribute(q *call, in *modifyImageAttributeInput) (any, error) {
	change, err := in.change()
	if err != nil {
		return nil, err
	}
	return returnTrue(), c.changeImage(q, in.ImageID, change)
}

// changeImage changes an image that is available.
func (c *Cloud) changeImage(q *call, id string, change func(*image) error) error {
	return c.store.write(q.ctx, func(t *tx) error {
		im, err := findImage(t, q.region, id)
		if err != nil {
			return err
		}
		if state := im.state(q.now); state != "available" {
			return errorf("IncorrectState", "The image '%s' is in the state %s.", im.ID, state)
		}
		if err := change(im); err != nil {
			return err
		}
		return t.put(im)
	})
}

// change returns what the request does to an image. One request changes one
// attribute.
func (in *modifyImageAttributeInput) change() (func(*image) error, error) {
	var changes []func(*image) error
	if in.Description != nil {
		changes = append(changes, describe(in.Description.Value))
	}
	if in.ImdsSupport != nil {
		changes = append(changes, requireIMDSv2(in.ImdsSupport.Value))
	}
	if in.LaunchPermission != nil {
		changes = append(changes, changeLaunch(in.LaunchPermission.Add, in.LaunchPermission.Remove))
	}
	flat := in.flatLaunchPermissions()
	switch {
	case in.Attribute == "" && len(flat) == 0 && len(in.ProductCode) == 0:
	case in.Attribute == "description":
		changes = append(changes, describe(in.Value))
	case in.Attribute == "imdsSupport":
		changes = append(changes, requireIMDSv2(in.Value))
	case in.Attribute == "productCodes" || in.Attribute == "" && len(in.ProductCode) > 0:
		changes = append(changes, func(im *image) error {
			for _, code := range in.ProductCode {
				if !slices.Contains(im.ProductCodes, code) {
					im.ProductCodes = append(im.ProductCodes, code)
				}
			}
			return nil
		})
	case in.Attribute == "launchPermission" || in.Attribute == "":
		// With the long form of the parameters the attribute may be named beside
		// it. Packer's amazon plugin repeats whom it adds in the short form,
		// without saying what to do, which EC2 accepts.
		if in.LaunchPermission != nil && in.OperationType == "" {
			break
		}
		switch in.OperationType {
		case "add":
			changes = append(changes, changeLaunch(flat, nil))
		case "remove":
			changes = append(changes, changeLaunch(nil, flat))
		default:
			return nil, errInvalidValue("operationType", in.OperationType, "It must be add or remove.")
		}
	default:
		return nil, errInvalidValue("attribute", in.Attribute, "It must be one of description, imdsSupport, launchPermission, productCodes.")
	}
	if len(changes) != 1 {
		return nil, errorf("InvalidParameterCombination", "The request must change exactly one attribute.")
	}
	return changes[0], nil
}

func (in *modifyImageAttributeInput) flatLaunchPermissions() []launchPermissionParam {
	var all []launchPermissionParam
	for _, id := range in.UserID {
		all = append(all, launchPermissionParam{UserID: id})
	}
	for _, group := range in.UserGroup {
		all = append(all, launchPermissionParam{Group: group})
	}
	for _, arn := range in.OrganizationArn {
		all = append(all, launchPermissionParam{OrganizationArn: arn})
	}
	for _, arn := range in.OrganizationalUnitArn {
		all = append(all, launchPermissionParam{OrganizationalUnitArn: arn})
	}
	return all
}

func describe(text string) func(*image) error {
	return func(im *image) error {
		im.Description = text
		return checkDescription(text)
	}
}

// requireIMDSv2 sets the only value that there is; EC2 cannot take it back.
func requireIMDSv2(value string) func(*image) error {
	return func(im *image) error {
		if value != "v2.0" {
			return errInvalidValue("imdsSupport", value, "It must be v2.0.")
		}
		im.IMDS = value
		return nil
	}
}

var accountID = regexp.MustCompile(`^[0-9]{12}$`)

// Compiled when they are needed: with such bounds that takes a while, for which
// each start of a program would wait.
var (
	orgARN = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^arn:aws[a-z-]*:organizations::[0-9]{12}:organization/o-[a-z0-9]{10,32}$`)
	})
	unitARN = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^arn:aws[a-z-]*:organizations::[0-9]{12}:ou/o-[a-z0-9]{10,32}/ou-[a-z0-9-]{8,68}$`)
	})
)

func (p launchPermissionParam) check() (launchPermission, error) {
	set := 0
	for _, s := range []string{p.UserID, p.Group, p.OrganizationArn, p.OrganizationalUnitArn} {
		if s != "" {
			set++
		}
	}
	switch {
	case set != 1:
		return launchPermission{}, errorf("InvalidParameterCombination", "A launch permission names one of a user, a group, an organization and an organizational unit.")
	case p.UserID != "" && !accountID.MatchString(p.UserID):
		return launchPermission{}, errorf("InvalidAMIAttributeItemValue", "Invalid attribute item value \"%s\" for userId item type.", p.UserID)
	case p.Group != "" && p.Group != "all":
		return launchPermission{}, errorf("InvalidAMIAttributeItemValue", "Invalid attribute item value \"%s\" for group item type.", p.Group)
	case p.OrganizationArn != "" && !orgARN().MatchString(p.OrganizationArn):
		return launchPermission{}, errorf("InvalidAMIAttributeItemValue", "Invalid attribute item value \"%s\" for organizationArn item type.", p.OrganizationArn)
	case p.OrganizationalUnitArn != "" && !unitARN().MatchString(p.OrganizationalUnitArn):
		return launchPermission{}, errorf("InvalidAMIAttributeItemValue", "Invalid attribute item value \"%s\" for organizationalUnitArn item type.", p.OrganizationalUnitArn)
	}
	return launchPermission{p.UserID, p.Group, p.OrganizationArn, p.OrganizationalUnitArn}, nil
}

func changeLaunch(add, remove []launchPermissionParam) func(*image) error {
	return func(im *image) error {
		for _, p := range add {
			perm, err := p.check()
			if err != nil {
				return err
			}
			if perm.Group == "all" && slices.ContainsFunc(im.Mappings, func(m mapping) bool { return m.EBS != nil && m.EBS.Encrypted }) {
				return errorf("InvalidParameter", "The image '%s' has encrypted snapshots and cannot be made public.", im.ID)
			}
			if !slices.Contains(im.Launch, perm) {
				im.Launch = append(im.Launch, perm)
			}
		}
		for _, p := range remove {
			perm, err := p.check()
			if err != nil {
				return err
			}
			im.Launch = slices.DeleteFunc(im.Launch, func(has launchPermission) bool { return has == perm })
		}
		return nil
	}
}

type imageAttributeInput struct {
	ImageID   string `query:",required"`
	Attribute string `query:",required"`
}

type valueXML struct {
	Value string `xml:"value,omitempty"`
}

type itemsXML[T any] struct {
	Items []T `xml:"item"`
}

type describeImageAttributeOutput struct {
	reply
	ID           string                      `xml:"imageId"`
	Description  *valueXML                   `xml:"description"`
	Kernel       *valueXML                   `xml:"kernel"`
	Ramdisk      *valueXML                   `xml:"ramdisk"`
	SRIOV        *valueXML                   `xml:"sriovNetSupport"`
	BootMode     *valueXML                   `xml:"bootMode"`
	TPM          *valueXML                   `xml:"tpmSupport"`
	UEFIData     *valueXML                   `xml:"uefiData"`
	IMDS         *valueXML                   `xml:"imdsSupport"`
	LastLaunched *valueXML                   `xml:"lastLaunchedTime"`
	Protection   *valueXML                   `xml:"deregistrationProtection"`
	Launch       *itemsXML[launchPermission] `xml:"launchPermission"`
	Products     *itemsXML[productXML]       `xml:"productCodes"`
	Mappings     *itemsXML[mapping]          `xml:"blockDeviceMapping"`
}

func (c *Cloud) describeImageAttribute(q *call, in *imageAttributeInput) (any, error) {
	var im *image
	if err := c.store.read(q.ctx, func(t *tx) (err error) {
		im, err = findImage(t, q.region, in.ImageID)
		return err
	}); err != nil {
		return nil, err
	}
	out := &describeImageAttributeOutput{ID: im.ID}
	switch in.Attribute {
	case "description":
		out.Description = &valueXML{im.Description}
	case "kernel":
		out.Kernel = &valueXML{im.Kernel}
	case "ramdisk":
		out.Ramdisk = &valueXML{im.Ramdisk}
	case "sriovNetSupport":
		out.SRIOV = &valueXML{im.SRIOV}
	case "bootMode":
		out.BootMode = &valueXML{im.BootMode}
	case "tpmSupport":
		out.TPM = &valueXML{im.TPM}
	case "uefiData":
		out.UEFIData = &valueXML{im.UEFIData}
	case "imdsSupport":
		out.IMDS = &valueXML{im.IMDS}
	case "lastLaunchedTime":
		out.LastLaunched = &valueXML{} // nothing is ever launched here
	case "deregistrationProtection":
		out.Protection = &valueXML{im.protection(q.now)}
	case "launchPermission":
		out.Launch = &itemsXML[launchPermission]{im.Launch}
	case "productCodes":
		out.Products = &itemsXML[productXML]{productsXML(im.ProductCodes)}
	case "blockDeviceMapping":
		out.Mappings = &itemsXML[mapping]{im.Mappings}
	default:
		return nil, errInvalidValue("attribute", in.Attribute, "It is no attribute of an image.")
	}
	return out, nil
}

func (c *Cloud) resetImageAttribute(q *call, in *imageAttributeInput) (any, error) {
	if in.Attribute != "launchPermission" {
		return nil, errInvalidValue("attribute", in.Attribute, "Only launchPermission can be reset.")
	}
	return returnTrue(), c.changeImage(q, in.ImageID, func(im *image) error {
		im.Launch = nil
		return nil
	})
}

type imageInput struct {
	ImageID string `query:",required"`
}

type enableDeprecationInput struct {
	ImageID     string     `query:",required"`
	DeprecateAt *time.Time `query:",required"`
}

func (c *Cloud) enableImageDeprecation(q *call, in *enableDeprecationInput) (any, error) {
	at := in.DeprecateAt.Round(time.Minute) // EC2: "rounds the seconds to the nearest minute"
	if !at.After(q.now) || at.After(q.now.AddDate(10, 0, 0)) {
		return nil, errInvalidValue("deprecateAt", formatTime(*in.DeprecateAt), "It must be in the future and within ten years.")
	}
	return returnTrue(), c.changeImage(q, in.ImageID, func(im *image) error {
		im.Deprecation = at
		return nil
	})
}

func (c *Cloud) disableImageDeprecation(q *call, in *imageInput) (any, error) {
	return returnTrue(), c.changeImage(q, in.ImageID, func(im *image) error {
		im.Deprecation = time.Time{}
		return nil
	})
}

const (
	protectionOff      = "disabled"
	protectionOn       = "enabled-without-cooldown"
	protectionCooldown = "enabled-with-cooldown"

	// cooldown is how long protection goes on after it was switched off.
	cooldown = 24 * time.Hour
)

// protection is EC2's word for the state of the deregistration protection.
func (im *image) protection(now time.Time) string {
	if im.Protection == protectionCooldown && !im.ProtectedUntil.IsZero() {
		if now.Before(im.ProtectedUntil) {
			return "disabled-after-" + formatTime(im.ProtectedUntil)
		}
		return protectionOff
	}
	return im.Protection
}

func (im *image) protected(now time.Time) bool { return im.protection(now) != protectionOff }

type enableProtectionInput struct {
	ImageID      string `query:",required"`
	WithCooldown *bool
}

type returnStringOutput struct {
	reply
	Return string `xml:"return"`
}

func (c *Cloud) enableImageProtection(q *call, in *enableProtectionInput) (any, error) {
	out := &returnStringOutput{}
	return out, c.changeImage(q, in.ImageID, func(im *image) error {
		im.Protection, im.ProtectedUntil = protectionOn, time.Time{}
		if in.WithCooldown != nil && *in.WithCooldown {
			im.Protection = protectionCooldown
		}
		out.Return = im.Protection
		return nil
	})
}

func (c *Cloud) disableImageProtection(q *call, in *imageInput) (any, error) {
	out := &returnStringOutput{}
	return out, c.changeImage(q, in.ImageID, func(im *image) error {
		switch {
		case im.Protection != protectionCooldown:
			im.Protection = protectionOff
		case im.ProtectedUntil.IsZero():
			im.ProtectedUntil = q.now.Add(cooldown)
		}
		out.Return = im.protection(q.now)
		return nil
	})
}

// validUEFIData says whether a UEFI variable store is the base64 that EC2 takes.
func validUEFIData(s string) bool {
	data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(s))
	return err == nil && len(data) <= 64<<10
}
