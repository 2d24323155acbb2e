package localcloud

import (
	"maps"
	"slices"
	"strings"
)

// regions are AWS's commercial regions, with the short form that zone ids
// start with ("Regions and Zones" in the EC2 user guide). Each has zones a, b
// and c here.
var regions = map[string]string{
	"af-south-1": "afs1", "ap-east-1": "ape1", "ap-northeast-1": "apne1", "ap-northeast-2": "apne2",
	"ap-northeast-3": "apne3", "ap-south-1": "aps1", "ap-south-2": "aps2", "ap-southeast-1": "apse1",
	"ap-southeast-2": "apse2", "ap-southeast-3": "apse3", "ap-southeast-4": "apse4", "ca-central-1": "cac1",
	"ca-west-1": "caw1", "eu-central-1": "euc1", "eu-central-2": "euc2", "eu-north-1": "eun1",
	"eu-south-1": "eus1", "eu-south-2": "eus2", "eu-west-1": "euw1", "eu-west-2": "euw2",
	"eu-west-3": "euw3", "il-central-1": "ilc1", "me-central-1": "mec1", "me-south-1": "mes1",
	"sa-east-1": "sae1", "us-east-1": "use1", "us-east-2": "use2", "us-west-1": "usw1", "us-west-2": "usw2",
}

const zoneLetters = "abc"

// checkZone says whether a region has an availability zone.
func checkZone(region, zone string) error {
	letter, ok := strings.CutPrefix(zone, region)
	if ok && len(letter) == 1 && strings.Contains(zoneLetters, letter) {
		return nil
	}
	return errorf("InvalidZone.NotFound", "The zone '%s' does not exist.", zone)
}

func zoneID(zone string) string {
	region, letter := zone[:len(zone)-1], zone[len(zone)-1]
	return regions[region] + "-az" + string('1'+letter-'a')
}

// zoneByID is the reverse of zoneID; "" when the region has no such zone.
func zoneByID(region, id string) string {
	for _, letter := range zoneLetters {
		if zone := region + string(letter); zoneID(zone) == id {
			return zone
		}
	}
	return ""
}

type describeRegionsInput struct {
	RegionName []string
	AllRegions *bool
	filtering
}

type regionXML struct {
	Name     string `xml:"regionName"`
	Endpoint string `xml:"regionEndpoint"`
	OptIn    string `xml:"optInStatus"`
}

type describeRegionsOutput struct {
	reply
	Regions []regionXML `xml:"regionInfo>item"`
}

var regionFilters = filters[regionXML]{fields: map[string]func(regionXML) []string{
	"endpoint":      func(r regionXML) []string { return one(r.Endpoint) },
	"opt-in-status": func(r regionXML) []string { return one(r.OptIn) },
	"region-name":   func(r regionXML) []string { return one(r.Name) },
}}

func (c *Cloud) describeRegions(q *call, in *describeRegionsInput) (any, error) {
	for _, name := range in.RegionName {
		if _, ok := regions[name]; !ok {
			return nil, errorf("InvalidParameterValue", "Invalid region name: '%s'", name)
		}
	}
	matches, err := regionFilters.compile(in.Filter)
	if err != nil {
		return nil, err
	}
	out := &describeRegionsOutput{}
	for _, name := range slices.Sorted(maps.Keys(regions)) {
		r := regionXML{Name: name, Endpoint: "ec2." + name + ".amazonaws.com", OptIn: "opt-in-not-required"}
		if (len(in.RegionName) == 0 || slices.Contains(in.RegionName, name)) && matches(r) {
			out.Regions = append(out.Regions, r)
		}
	}
	return out, nil
}

type describeZonesInput struct {
	ZoneName             []string
	ZoneID               []string
	AllAvailabilityZones *bool
	filtering
}

type zoneXML struct {
	OptIn  string `xml:"optInStatus"`
	Region string `xml:"regionName"`
	Name   string `xml:"zoneName"`
	ID     string `xml:"zoneId"`
	Group  string `xml:"groupName"`
	Border string `xml:"networkBorderGroup"`
	Type   string `xml:"zoneType"`
	State  string `xml:"zoneState"`
}

type describeZonesOutput struct {
	reply
	Zones []zoneXML `xml:"availabilityZoneInfo>item"`
}

var zoneFilters = filters[zoneXML]{fields: map[string]func(zoneXML) []string{
	"group-name":    func(z zoneXML) []string { return one(z.Group) },
	"opt-in-status": func(z zoneXML) []string { return one(z.OptIn) },
	"region-name":   func(z zoneXML) []string { return one(z.Region) },
	"state":         func(z zoneXML) []string { return one(z.State) },
	"zone-id":       func(z zoneXML) []string { return one(z.ID) },
	"zone-name":     func(z zoneXML) []string { return one(z.Name) },
	"zone-type":     func(z zoneXML) []string { return one(z.Type) },
}}

func (c *Cloud) describeZones(q *call, in *describeZonesInput) (any, error) {
	for _, name := range in.ZoneName {
		if err := checkZone(q.region, name); err != nil {
			return nil, errorf("InvalidParameterValue", "Invalid availability zone: [%s]", name)
		}
	}
	for _, id := range in.ZoneID {
		if zoneByID(q.region, id) == "" {
			return nil, errorf("InvalidParameterValue", "Invalid availability zone-id: [%s]", id)
		}
	}
	matches, err := zoneFilters.compile(in.Filter)
	if err != nil {
		return nil, err
	}
	out := &describeZonesOutput{}
	for _, letter := range zoneLetters {
		name := q.region + string(letter)
		z := zoneXML{
			OptIn: "opt-in-not-required", Region: q.region, Name: name, ID: zoneID(name),
			Group: q.region, Border: q.region, Type: "availability-zone", State: "available",
		}
		asked := len(in.ZoneName) == 0 && len(in.ZoneID) == 0 ||
			slices.Contains(in.ZoneName, name) || slices.Contains(in.ZoneID, z.ID)
		if asked && matches(z) {
			out.Zones = append(out.Zones, z)
		}
	}
	return out, nil
}
