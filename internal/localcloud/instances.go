package localcloud

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// host is this machine as the one instance of the local cloud. It runs in the
// cloud's default region, in zone a.
type host struct {
	id           string
	instanceType string
	architecture string // EC2's name of it
	image        string
	address      string
	name         string
	launched     time.Time
}

// thisHost makes up the instance. Its id follows from the machine's own, so
// that all processes on it agree; the image that it runs from is no image of
// the local cloud.
func thisHost() host {
	seed, err := os.ReadFile("/etc/machine-id")
	if err != nil || len(seed) == 0 {
		name, _ := os.Hostname()
		seed = []byte(name)
	}
	sum := sha256.Sum256(append([]byte("bakery local cloud "), seed...))
	digits := hex.EncodeToString(sum[:])
	h := host{id: "i-0" + digits[:16], image: "ami-0" + digits[16:32], address: hostAddress(), launched: bootTime()}
	h.name = "ip-" + strings.ReplaceAll(h.address, ".", "-") + ".ec2.internal"
	switch runtime.GOARCH {
	case "arm64":
		h.instanceType, h.architecture = "m7g.large", "arm64"
	default:
		h.instanceType, h.architecture = "m7i.large", "x86_64"
	}
	return h
}

func hostAddress() string {
	addrs, _ := net.InterfaceAddrs()
	for _, addr := range addrs {
		if ip, ok := addr.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() && ip.IP.To4() != nil {
			return ip.IP.String()
		}
	}
	return "127.0.0.1"
}

// checkInstance is EC2's error for an id that is not that of the host in its
// region.
func (c *Cloud) checkInstance(region, id string) error {
	if err := checkID(kindInstance, id); err != nil {
		return err
	}
	if id != c.host.id || region != c.region {
		return errNotFound(kindInstance, id)
	}
	return nil
}

type describeInstancesInput struct {
	InstanceID []string
	filtering
	paging
}

type stateXML struct {
	Code int    `xml:"code"`
	Name string `xml:"name"`
}

type instanceMapping struct {
	Device string `xml:"deviceName"`
	EBS    struct {
		VolumeID            string `xml:"volumeId"`
		State               string `xml:"status"`
		AttachTime          string `xml:"attachTime"`
		DeleteOnTermination bool   `xml:"deleteOnTermination"`
	} `xml:"ebs"`
}

type instanceXML struct {
	ID             string            `xml:"instanceId"`
	Image          string            `xml:"imageId"`
	State          stateXML          `xml:"instanceState"`
	PrivateDNS     string            `xml:"privateDnsName"`
	Type           string            `xml:"instanceType"`
	Launched       string            `xml:"launchTime"`
	Zone           string            `xml:"placement>availabilityZone"`
	Tenancy        string            `xml:"placement>tenancy"`
	Monitoring     string            `xml:"monitoring>state"`
	PrivateIP      string            `xml:"privateIpAddress"`
	Architecture   string            `xml:"architecture"`
	RootType       string            `xml:"rootDeviceType"`
	RootDevice     string            `xml:"rootDeviceName"`
	Mappings       []instanceMapping `xml:"blockDeviceMapping>item"`
	Virtualization string            `xml:"virtualizationType"`
	Hypervisor     string            `xml:"hypervisor"`
	ENA            bool              `xml:"enaSupport"`
	Tags           []tagXML          `xml:"tagSet>item"`

	tags map[string]string
}

type reservationXML struct {
	ID        string        `xml:"reservationId"`
	Owner     string        `xml:"ownerId"`
	Instances []instanceXML `xml:"instancesSet>item"`
}

type describeInstancesOutput struct {
	reply
	Reservations []reservationXML `xml:"reservationSet>item"`
	next
}

func (c *Cloud) describeInstances(q *call, in *describeInstancesInput) (any, error) {
	for _, id := range in.InstanceID {
		if err := c.checkInstance(q.region, id); err != nil {
			return nil, err
		}
	}
	var all []instanceXML
	if q.region == c.region {
		if err := c.settleVolumes(q.ctx, q.region, nil); err != nil {
			return nil, err
		}
		instance, err := c.describeHost(q)
		if err != nil {
			return nil, err
		}
		all = append(all, instance)
	}
	out := &describeInstancesOutput{}
	instances, err := selectPage(q, all, instanceFilters, in.filtering, in.paging, &out.next, in.InstanceID,
		func(i instanceXML) string { return i.ID })
	for _, i := range instances {
		out.Reservations = append(out.Reservations, reservationXML{"r-" + strings.TrimPrefix(i.ID, "i-"), AccountID, []instanceXML{i}})
	}
	return out, err
}

func (c *Cloud) describeHost(q *call) (instanceXML, error) {
	i := instanceXML{
		ID: c.host.id, Image: c.host.image, State: stateXML{16, "running"}, PrivateDNS: c.host.name, Type: c.host.instanceType,
		Launched: formatTime(c.host.launched), Zone: c.zone, Tenancy: "default", Monitoring: "disabled", PrivateIP: c.host.address,
		Architecture: c.host.architecture, RootType: "ebs", RootDevice: "/dev/sda1", Virtualization: "hvm", Hypervisor: "xen", ENA: true,
	}
	return i, c.store.read(q.ctx, func(t *tx) error {
		attached, err := c.describeAttachments(t, q.now)
		if err != nil {
			return err
		}
		for _, a := range attached {
			m := instanceMapping{Device: a.Device}
			m.EBS.VolumeID, m.EBS.State, m.EBS.AttachTime, m.EBS.DeleteOnTermination = a.VolumeID, a.State, a.AttachTime, a.DeleteOnTermination
			i.Mappings = append(i.Mappings, m)
		}
		tags, err := t.tags(q.region, c.host.id)
		i.tags = tags[c.host.id]
		i.Tags = tagsXML(i.tags)
		return err
	})
}

var instanceFilters = filters[instanceXML]{
	fields: map[string]func(instanceXML) []string{
		"architecture":      func(i instanceXML) []string { return one(i.Architecture) },
		"availability-zone": func(i instanceXML) []string { return one(i.Zone) },
		"block-device-mapping.device-name": func(i instanceXML) []string {
			var names []string
			for _, m := range i.Mappings {
				names = append(names, m.Device)
			}
			return names
		},
		"block-device-mapping.volume-id": func(i instanceXML) []string {
			var ids []string
			for _, m := range i.Mappings {
				ids = append(ids, m.EBS.VolumeID)
			}
			return ids
		},
		"image-id":            func(i instanceXML) []string { return one(i.Image) },
		"instance-id":         func(i instanceXML) []string { return one(i.ID) },
		"instance-state-code": func(i instanceXML) []string { return number(int64(i.State.Code)) },
		"instance-state-name": func(i instanceXML) []string { return one(i.State.Name) },
		"instance-type":       func(i instanceXML) []string { return one(i.Type) },
		"private-dns-name":    func(i instanceXML) []string { return one(i.PrivateDNS) },
		"private-ip-address":  func(i instanceXML) []string { return one(i.PrivateIP) },
		"root-device-type":    func(i instanceXML) []string { return one(i.RootType) },
		"virtualization-type": func(i instanceXML) []string { return one(i.Virtualization) },
	},
	tags: func(i instanceXML) map[string]string { return i.tags },
}

type describeInstanceTypesInput struct {
	InstanceType []string
	filtering
	paging
}

type instanceTypeXML struct {
	Type           string   `xml:"instanceType"`
	Current        bool     `xml:"currentGeneration"`
	Bare           bool     `xml:"bareMetal"`
	Hypervisor     string   `xml:"hypervisor"`
	Architectures  []string `xml:"processorInfo>supportedArchitectures>item"`
	VCPUs          int      `xml:"vCpuInfo>defaultVCpus"`
	RootTypes      []string `xml:"supportedRootDeviceTypes>item"`
	Virtualization []string `xml:"supportedVirtualizationTypes>item"`
	BootModes      []string `xml:"supportedBootModes>item"`
	ENA            string   `xml:"networkInfo>enaSupport"`
}

type describeInstanceTypesOutput struct {
	reply
	Types []instanceTypeXML `xml:"instanceTypeSet>item"`
	next
}

var instanceTypeFilters = filters[instanceTypeXML]{fields: map[string]func(instanceTypeXML) []string{
	"instance-type":                         func(i instanceTypeXML) []string { return one(i.Type) },
	"processor-info.supported-architecture": func(i instanceTypeXML) []string { return i.Architectures },
	"supported-boot-mode":                   func(i instanceTypeXML) []string { return i.BootModes },
}}

// describeInstanceTypes knows the type of the host and no other.
func (c *Cloud) describeInstanceTypes(q *call, in *describeInstanceTypesInput) (any, error) {
	t := instanceTypeXML{
		Type: c.host.instanceType, Current: true, Hypervisor: "nitro", Architectures: []string{c.host.architecture},
		VCPUs: runtime.NumCPU(), RootTypes: []string{"ebs"}, Virtualization: []string{"hvm"}, BootModes: []string{"uefi"}, ENA: "required",
	}
	if c.host.architecture == "x86_64" {
		t.BootModes = []string{"legacy-bios", "uefi"}
	}
	for _, name := range in.InstanceType {
		if name != t.Type {
			return nil, errorf("InvalidInstanceType", "The following supplied instance types do not exist: [%s]", name)
		}
	}
	out := &describeInstanceTypesOutput{}
	var err error
	out.Types, err = selectPage(q, []instanceTypeXML{t}, instanceTypeFilters, in.filtering, in.paging, &out.next, nil,
		func(i instanceTypeXML) string { return i.Type })
	return out, err
}

// The local cloud has no network. Clients that look for one find none.

type describeNetworkInput struct {
	VpcID    []string
	SubnetID []string
	filtering
	paging
}

type describeVpcsOutput struct {
	reply
	VPCs itemsXML[struct{}] `xml:"vpcSet"`
}

type describeSubnetsOutput struct {
	reply
	Subnets itemsXML[struct{}] `xml:"subnetSet"`
}

func (c *Cloud) describeVpcs(_ *call, in *describeNetworkInput) (any, error) {
	if id := slices.Concat(in.VpcID, in.SubnetID); len(id) > 0 {
		return nil, errorf("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", id[0])
	}
	return &describeVpcsOutput{}, nil
}

func (c *Cloud) describeSubnets(_ *call, in *describeNetworkInput) (any, error) {
	if id := slices.Concat(in.SubnetID, in.VpcID); len(id) > 0 {
		return nil, errorf("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", id[0])
	}
	return &describeSubnetsOutput{}, nil
}
