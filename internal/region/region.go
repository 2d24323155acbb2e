// Package region knows the regions of AWS by name, so that a mistyped one is
// found before anything is asked of the network.
package region

import (
	"slices"

	"github.com/agext/levenshtein"
)

// Default is the region of the local cloud, where none is named.
const Default = "us-east-1"

// known are the regions that EC2 has, by the "Available Regions" table of its
// user guide and those of the China and GovCloud partitions.
var known = []string{
	"af-south-1",
	"ap-east-1", "ap-east-2",
	"ap-northeast-1", "ap-northeast-2", "ap-northeast-3",
	"ap-south-1", "ap-south-2",
	"ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-6", "ap-southeast-7",
	"ca-central-1", "ca-west-1",
	"cn-north-1", "cn-northwest-1",
	"eu-central-1", "eu-central-2",
	"eu-north-1",
	"eu-south-1", "eu-south-2",
	"eu-west-1", "eu-west-2", "eu-west-3",
	"il-central-1",
	"me-central-1", "me-south-1",
	"mx-central-1",
	"sa-east-1",
	"us-east-1", "us-east-2",
	"us-gov-east-1", "us-gov-west-1",
	"us-west-1", "us-west-2",
}

// Names returns the known regions in alphabetical order.
func Names() []string { return slices.Clone(known) }

// Known reports whether name is a region that this release knows.
func Known(name string) bool {
	_, found := slices.BinarySearch(known, name)
	return found
}

// Nearest returns the known region that is spelt most like name.
func Nearest(name string) string {
	return slices.MinFunc(known, func(a, b string) int {
		return levenshtein.Distance(name, a, nil) - levenshtein.Distance(name, b, nil)
	})
}
