package localcloud

import (
	"encoding/xml"
)

// ec2Operations are the actions of EC2 that the local cloud knows. Any other is
// answered with InvalidAction.
var ec2Operations = map[string]operation{
	"CreateVolume":                 on((*Cloud).createVolume),
	"DeleteVolume":                 on((*Cloud).deleteVolume),
	"DescribeVolumes":              on((*Cloud).describeVolumes),
	"AttachVolume":                 on((*Cloud).attachVolume),
	"DetachVolume":                 on((*Cloud).detachVolume),
	"ModifyVolume":                 on((*Cloud).modifyVolume),
	"DescribeVolumesModifications": on((*Cloud).describeModifications),

	"CreateSnapshot":            on((*Cloud).createSnapshot),
	"DeleteSnapshot":            on((*Cloud).deleteSnapshot),
	"CopySnapshot":              on((*Cloud).copySnapshot),
	"DescribeSnapshots":         on((*Cloud).describeSnapshots),
	"ModifySnapshotAttribute":   on((*Cloud).modifySnapshotAttribute),
	"DescribeSnapshotAttribute": on((*Cloud).describeSnapshotAttribute),
	"ResetSnapshotAttribute":    on((*Cloud).resetSnapshotAttribute),

	"RegisterImage":                        on((*Cloud).registerImage),
	"DeregisterImage":                      on((*Cloud).deregisterImage),
	"CopyImage":                            on((*Cloud).copyImage),
	"DescribeImages":                       on((*Cloud).describeImages),
	"ModifyImageAttribute":                 on((*Cloud).modifyImageAttribute),
	"DescribeImageAttribute":               on((*Cloud).describeImageAttribute),
	"ResetImageAttribute":                  on((*Cloud).resetImageAttribute),
	"EnableImageDeprecation":               on((*Cloud).enableImageDeprecation),
	"DisableImageDeprecation":              on((*Cloud).disableImageDeprecation),
	"EnableImageDeregistrationProtection":  on((*Cloud).enableImageProtection),
	"DisableImageDeregistrationProtection": on((*Cloud).disableImageProtection),

	"CreateTags":   on((*Cloud).createTags),
	"DeleteTags":   on((*Cloud).deleteTags),
	"DescribeTags": on((*Cloud).describeTags),

	"GetEbsEncryptionByDefault":     encryptionByDefault(nil),
	"EnableEbsEncryptionByDefault":  encryptionByDefault(new(true)),
	"DisableEbsEncryptionByDefault": encryptionByDefault(new(false)),

	"DescribeRegions":           on((*Cloud).describeRegions),
	"DescribeAvailabilityZones": on((*Cloud).describeZones),
	"DescribeInstances":         on((*Cloud).describeInstances),
	"DescribeInstanceTypes":     on((*Cloud).describeInstanceTypes),
	"DescribeVpcs":              on((*Cloud).describeVpcs),
	"DescribeSubnets":           on((*Cloud).describeSubnets),
}

// stsOperations are what clients ask STS before they do anything.
var stsOperations = map[string]operation{
	"GetCallerIdentity": on((*Cloud).getCallerIdentity),
}

type returnOutput struct {
	reply
	Return bool `xml:"return"`
}

func returnTrue() *returnOutput { return &returnOutput{Return: true} }

// settingEncryption is whether volumes of a region are encrypted unless they
// say otherwise.
const settingEncryption = "ebs-encryption-by-default"

type encryptionOutput struct {
	reply
	ByDefault bool `xml:"ebsEncryptionByDefault"`
}

// encryptionByDefault reads the setting, or changes it to what is not nil.
func encryptionByDefault(to *bool) operation {
	return on(func(c *Cloud, q *call, _ *struct{}) (any, error) {
		out := &encryptionOutput{}
		if to != nil {
			out.ByDefault = *to
			return out, c.store.write(q.ctx, func(t *tx) error { return t.set(q.region, settingEncryption, boolean(*to)[0]) })
		}
		return out, c.store.read(q.ctx, func(t *tx) error {
			value, err := t.setting(q.region, settingEncryption)
			out.ByDefault = value == "true"
			return err
		})
	})
}

type callerIdentityOutput struct {
	XMLName   xml.Name `xml:"GetCallerIdentityResponse"`
	ARN       string   `xml:"GetCallerIdentityResult>Arn"`
	UserID    string   `xml:"GetCallerIdentityResult>UserId"`
	Account   string   `xml:"GetCallerIdentityResult>Account"`
	RequestID string   `xml:"ResponseMetadata>RequestId"`
}

func (c *Cloud) getCallerIdentity(q *call, _ *struct{}) (any, error) {
	return &callerIdentityOutput{
		ARN: "arn:aws:iam::" + AccountID + ":root", UserID: AccountID, Account: AccountID, RequestID: q.requestID,
	}, nil
}
