package localcloud

import (
	"slices"
	"time"
)

type imageXML struct {
	ID             string       `xml:"imageId"`
	Location       string       `xml:"imageLocation"`
	State          string       `xml:"imageState"`
	Owner          string       `xml:"imageOwnerId"`
	Created        string       `xml:"creationDate"`
	Public         bool         `xml:"isPublic"`
	Architecture   string       `xml:"architecture"`
	Type           string       `xml:"imageType"`
	Kernel         string       `xml:"kernelId,omitempty"`
	Ramdisk        string       `xml:"ramdiskId,omitempty"`
	Platform       string       `xml:"platformDetails"`
	Usage          string       `xml:"usageOperation"`
	Name           string       `xml:"name"`
	Description    string       `xml:"description,omitempty"`
	RootType       string       `xml:"rootDeviceType"`
	RootDevice     string       `xml:"rootDeviceName"`
	Mappings       []mapping    `xml:"blockDeviceMapping>item"`
	Virtualization string       `xml:"virtualizationType"`
	Hypervisor     string       `xml:"hypervisor"`
	ENA            bool         `xml:"enaSupport,omitempty"`
	SRIOV          string       `xml:"sriovNetSupport,omitempty"`
	BootMode       string       `xml:"bootMode,omitempty"`
	TPM            string       `xml:"tpmSupport,omitempty"`
	IMDS           string       `xml:"imdsSupport,omitempty"`
	Deprecation    string       `xml:"deprecationTime,omitempty"`
	Protection     string       `xml:"deregistrationProtection"`
	Source         string       `xml:"sourceImageId,omitempty"`
	SourceRegion   string       `xml:"sourceImageRegion,omitempty"`
	ProductCodes   []productXML `xml:"productCodes>item"`
	Tags           []tagXML     `xml:"tagSet>item"`
	ImageAllowed   bool         `xml:"imageAllowed"`
	tags           map[string]string
	created        time.Time
}

type productXML struct {
	Code string `xml:"productCode"`
	Type string `xml:"type"`
}

func productsXML(codes []string) []productXML {
	var out []productXML
	for _, code := range codes {
		out = append(out, productXML{code, "marketplace"})
	}
	return out
}

func (im *image) xml(now time.Time, tags map[string]string) imageXML {
	out := imageXML{
		ID: im.ID, Location: AccountID + "/" + im.Name, State: im.state(now), Owner: AccountID, Created: formatTime(im.Created),
		Public: im.public(), Architecture: im.Architecture, Type: "machine", Kernel: im.Kernel, Ramdisk: im.Ramdisk,
		Platform: "Linux/UNIX", Usage: "RunInstances", Name: im.Name, Description: im.Description,
		RootType: "ebs", RootDevice: im.RootDevice, Mappings: im.Mappings, Virtualization: im.Virt, Hypervisor: "xen",
		ENA: im.ENA, SRIOV: im.SRIOV, BootMode: im.BootMode, TPM: im.TPM, IMDS: im.IMDS, Protection: im.protection(now),
		Source: im.Source, SourceRegion: im.SourceRegion, ProductCodes: productsXML(im.ProductCodes),
		Tags: tagsXML(tags), ImageAllowed: true, tags: tags, created: im.Created,
	}
	if !im.Deprecation.IsZero() {
		out.Deprecation = formatTime(im.Deprecation)
	}
	return out
}

type describeImagesInput struct {
	ImageID           []string
	Owner             []string
	ExecutableBy      []string
	IncludeDeprecated *bool // EC2 leaves out only what is deprecated and not the caller's own
	IncludeDisabled   *bool // images cannot be disabled here
	filtering
	paging
}

type describeImagesOutput struct {
	reply
	Images []imageXML `xml:"imagesSet>item"`
	next
}

func (c *Cloud) describeImages(q *call, in *describeImagesInput) (any, error) {
	var all []imageXML
	err := c.store.read(q.ctx, func(t *tx) error {
		images, err := wanted[image](t, kindImage, q.region, in.ImageID)
		if err != nil {
			return err
		}
		tags, err := t.tags(q.region, in.ImageID...)
		if err != nil {
			return err
		}
		for _, im := range images {
			if isOwner(in.Owner) && im.executable(in.ExecutableBy) {
				all = append(all, im.xml(q.now, tags[im.ID]))
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := &describeImagesOutput{}
	out.Images, err = selectPage(q, all, imageFilters, in.filtering, in.paging, &out.next, in.ImageID,
		func(im imageXML) string { return sortKey(im.created, im.ID) })
	return out, err
}

// executable reports whether one of the accounts asked for, by id, "self" or
// "all", has been given the right to launch the image. Owning it is not that.
func (im *image) executable(by []string) bool {
	return len(by) == 0 || slices.ContainsFunc(im.Launch, func(p launchPermission) bool {
		return slices.ContainsFunc(by, func(who string) bool {
			return p.Group == "all" && who == "all" || p.UserID != "" && (p.UserID == who || who == "self" && p.UserID == AccountID)
		})
	})
}

var imageFilters = filters[imageXML]{
	fields: map[string]func(imageXML) []string{
		"architecture": func(im imageXML) []string { return one(im.Architecture) },
		"block-device-mapping.delete-on-termination": mappingField(func(e *mappingEBS) []string {
			return boolean(e.DeleteOnTermination)
		}),
		"block-device-mapping.device-name": func(im imageXML) []string {
			var names []string
			for _, m := range im.Mappings {
				names = append(names, m.Device)
			}
			return names
		},
		"block-device-mapping.encrypted":   mappingField(func(e *mappingEBS) []string { return boolean(e.Encrypted) }),
		"block-device-mapping.snapshot-id": mappingField(func(e *mappingEBS) []string { return some(e.Snapshot) }),
		"block-device-mapping.volume-size": mappingField(func(e *mappingEBS) []string { return number(e.Size) }),
		"block-device-mapping.volume-type": mappingField(func(e *mappingEBS) []string { return one(e.Type) }),
		"boot-mode":                        func(im imageXML) []string { return some(im.BootMode) },
		"creation-date":                    func(im imageXML) []string { return one(im.Created) },
		"description":                      func(im imageXML) []string { return one(im.Description) },
		"ena-support":                      func(im imageXML) []string { return boolean(im.ENA) },
		"hypervisor":                       func(im imageXML) []string { return one(im.Hypervisor) },
		"image-id":                         func(im imageXML) []string { return one(im.ID) },
		"image-type":                       func(im imageXML) []string { return one(im.Type) },
		"imds-support":                     func(im imageXML) []string { return some(im.IMDS) },
		"is-public":                        func(im imageXML) []string { return boolean(im.Public) },
		"kernel-id":                        func(im imageXML) []string { return some(im.Kernel) },
		"manifest-location":                func(im imageXML) []string { return one(im.Location) },
		"name":                             func(im imageXML) []string { return one(im.Name) },
		"owner-alias":                      func(imageXML) []string { return nil },
		"owner-id":                         func(im imageXML) []string { return one(im.Owner) },
		"platform":                         func(imageXML) []string { return nil }, // only Windows has one
		"platform-details":                 func(im imageXML) []string { return one(im.Platform) },
		"product-code":                     func(im imageXML) []string { return productCodes(im) },
		"ramdisk-id":                       func(im imageXML) []string { return some(im.Ramdisk) },
		"root-device-name":                 func(im imageXML) []string { return one(im.RootDevice) },
		"root-device-type":                 func(im imageXML) []string { return one(im.RootType) },
		"source-image-id":                  func(im imageXML) []string { return some(im.Source) },
		"source-image-region":              func(im imageXML) []string { return some(im.SourceRegion) },
		"sriov-net-support":                func(im imageXML) []string { return some(im.SRIOV) },
		"state":                            func(im imageXML) []string { return one(im.State) },
		"tpm-support":                      func(im imageXML) []string { return some(im.TPM) },
		"usage-operation":                  func(im imageXML) []string { return one(im.Usage) },
		"virtualization-type":              func(im imageXML) []string { return one(im.Virtualization) },
	},
	tags: func(im imageXML) map[string]string { return im.tags },
}

func productCodes(im imageXML) []string {
	var codes []string
	for _, p := range im.ProductCodes {
		codes = append(codes, p.Code)
	}
	return codes
}

func mappingField(field func(*mappingEBS) []string) func(imageXML) []string {
	return func(im imageXML) []string {
		var values []string
		for _, m := range im.Mappings {
			if m.EBS != nil {
				values = append(values, field(m.EBS)...)
			}
		}
		return values
	}
}
