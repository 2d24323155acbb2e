package chroot

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/internal/access"
)

var (
	accountID = regexp.MustCompile(`^[0-9]{12}$`)
	orgARN    = regexp.MustCompile(`^arn:aws[a-z-]*:organizations::[0-9]{12}:organization/o-[a-z0-9]{10,32}$`)
	ouARN     = regexp.MustCompile(`^arn:aws[a-z-]*:organizations::[0-9]{12}:ou/o-[a-z0-9]{10,32}/ou-[a-z0-9-]{8,68}$`)

	// kmsKey is an id, an alias, or the ARN of either ("CopyImage" in the EC2 API
	// reference).
	kmsKey = regexp.MustCompile(`^(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(key/)?)?((mrk-)?[0-9a-f][0-9a-f-]*|alias/[a-zA-Z0-9:/_-]+)$`)
)

func checkKMSKey(option, key string) error {
	if key == "" || strings.Contains(key, unknown) || kmsKey.MatchString(key) {
		return nil
	}
	return fmt.Errorf("%s is %q; write the id of a KMS key, alias/NAME, or an ARN", option, key)
}

func (c *Config) prepareRegions() []error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for i, name := range c.Regions {
		switch name {
		case "":
			wrong("ami_regions[%d] is empty; name a region", i)
		case unknown:
		default:
			if err := access.CheckRegion(fmt.Sprintf("ami_regions[%d]", i), name, c.SkipRegionValidation); err != nil {
				errs = append(errs, err)
			}
		}
	}
	if c.SkipSaveBuildRegion && len(c.copyRegions(c.Region)) == 0 {
		wrong("skip_save_build_region is set, but ami_regions names no other region; no image would be left")
	}
	if m := c.CopyMinutes; m != 0 && (m < 15 || m > 48*60 || m%15 != 0) {
		wrong("snapshot_copy_duration_minutes is %d; write 15 to 2880 in steps of 15", m)
	}
	errs = append(errs, c.prepareKeys()...)
	return errs
}

// copyRegions are the regions of ami_regions other than the bake's own, each
// once.
func (c *Config) copyRegions(own string) []string {
	list := slices.Sorted(slices.Values(c.Regions))
	return slices.DeleteFunc(slices.Compact(list), func(name string) bool { return name == own })
}

// prepareKeys checks how the image is to be encrypted.
func (c *Config) prepareKeys() []error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	check := func(option, key string) {
		if err := checkKMSKey(option, key); err != nil {
			errs = append(errs, err)
		}
	}
	check("kms_key_id", c.KMSKeyID)
	for _, name := range slices.Sorted(maps.Keys(c.RegionKMSKeyIDs)) {
		check("region_kms_key_ids."+name, c.RegionKMSKeyIDs[name])
		if !slices.Contains(c.Regions, name) && c.Region != "" && c.Region != name {
			wrong("region_kms_key_ids has the region %s, which is not in ami_regions; add it there, or remove it here", name)
		}
	}
	if len(c.RegionKMSKeyIDs) > 0 {
		for _, name := range c.copyRegions(c.Region) {
			if _, has := c.RegionKMSKeyIDs[name]; !has {
				wrong("ami_regions has the region %s, which region_kms_key_ids does not; name its key, or \"\" for the default key", name)
			}
		}
	}
	if c.hasKey() && !c.EncryptBoot.True() {
		wrong("kms_key_id or region_kms_key_ids is set, but encrypt_boot is not true; set it, or remove the keys")
	}
	if c.EncryptBoot.False() && c.RootVolumeEncryptBoot.True() {
		wrong("root_volume_encrypt_boot is true, but encrypt_boot is false; an encrypted snapshot stays encrypted")
	}
	return errs
}

func (c *Config) hasKey() bool {
	for _, key := range c.RegionKMSKeyIDs {
		if key != "" {
			return true
		}
	}
	return c.KMSKeyID != ""
}

func (c *Config) prepareSharing() []error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, list := range []struct {
		option string
		values []string
		form   *regexp.Regexp
		what   string
	}{
		{"ami_users", c.Users, accountID, "an account id of twelve digits"},
		{"snapshot_users", c.SnapshotUsers, accountID, "an account id of twelve digits"},
		{"ami_groups", c.Groups, regexp.MustCompile(`^all$`), "\"all\", the only group that EC2 has"},
		{"snapshot_groups", c.SnapshotGroups, regexp.MustCompile(`^all$`), "\"all\", the only group that EC2 has"},
		{"ami_org_arns", c.OrgARNs, orgARN, "the ARN of an organization, arn:aws:organizations::ACCOUNT:organization/o-ID"},
		{"ami_ou_arns", c.OUARNs, ouARN, "the ARN of an organizational unit, arn:aws:organizations::ACCOUNT:ou/o-ID/ou-ID"},
		{"ami_product_codes", c.ProductCodes, regexp.MustCompile(`^[a-z0-9]+$`), "a product code, small letters and digits"},
	} {
		for i, value := range list.values {
			if !strings.Contains(value, unknown) && !list.form.MatchString(value) {
				wrong("%s[%d] is %q; write %s", list.option, i, value, list.what)
			}
		}
	}
	return append(errs, c.prepareSharedKeys()...)
}

// prepareSharedKeys refuses to share what others could not decrypt: a default
// key cannot be shared, and nobody shares with everybody what is encrypted.
func (c *Config) prepareSharedKeys() []error {
	var errs []error
	encrypted := c.EncryptBoot.True() || c.RootVolumeEncryptBoot.True()
	public := len(c.Groups)+len(c.SnapshotGroups) > 0
	shared := len(c.Users)+len(c.OrgARNs)+len(c.OUARNs)+len(c.SnapshotUsers) > 0
	if encrypted && public {
		errs = append(errs, errors.New("ami_groups and snapshot_groups do not go with encryption: EC2 makes no encrypted image public"))
	}
	if !encrypted || !shared {
		return errs
	}
	const remedy = "others cannot decrypt with a default key; name a key of your own"
	if c.KMSKeyID == "" && c.RootVolumeKMSKeyID == "" && len(c.RegionKMSKeyIDs) == 0 {
		errs = append(errs, fmt.Errorf("the image is shared and encrypted, but kms_key_id is not set; %s", remedy))
	}
	for _, name := range slices.Sorted(maps.Keys(c.RegionKMSKeyIDs)) {
		if c.RegionKMSKeyIDs[name] == "" {
			errs = append(errs, fmt.Errorf("region_kms_key_ids.%s is empty, but the image is shared; %s", name, remedy))
		}
	}
	return errs
}

func (c *Config) prepareDeprecation(now time.Time) []error {
	if c.Protection.WithCooldown {
		c.Protection.Enabled = true
	}
	if c.DeprecateAt != "" && c.DeprecateAfter != "" {
		return []error{errors.New("deprecate_at and deprecate_after are two ways of saying when; set one")}
	}
	if c.DeprecateAt == unknown || c.DeprecateAfter == unknown {
		return nil
	}
	if _, err := c.deprecation(now); err != nil {
		return []error{err}
	}
	return nil
}

// age is a number of hours, days, weeks or years.
var age = regexp.MustCompile(`^([0-9]{1,6})([hdwy])$`)

// deprecation returns when an image that is made now is deprecated: the zero
// time for never.
func (c *Config) deprecation(now time.Time) (time.Time, error) {
	// EC2 takes at most ten years, two for a public image.
	years, what := 10, "ten years"
	if len(c.Groups) > 0 {
		years, what = 2, "two years, because the image is public"
	}
	latest := now.AddDate(years, 0, 0)
	switch {
	case c.DeprecateAt != "":
		at, err := time.Parse(time.RFC3339, c.DeprecateAt)
		switch {
		case err != nil:
			return time.Time{}, fmt.Errorf("deprecate_at is %q; write a time like 2031-01-31T00:00:00Z", c.DeprecateAt)
		case !at.After(now):
			return time.Time{}, fmt.Errorf("deprecate_at is %s, which is past; write a time to come", c.DeprecateAt)
		case at.After(latest):
			return time.Time{}, fmt.Errorf("deprecate_at is %s; write a time within %s", c.DeprecateAt, what)
		}
		return at, nil
	case c.DeprecateAfter != "":
		m := age.FindStringSubmatch(c.DeprecateAfter)
		n := 0
		if m != nil {
			n, _ = strconv.Atoi(m[1])
		}
		if n == 0 {
			return time.Time{}, fmt.Errorf("deprecate_after is %q; write a number of hours, days, weeks or years: 12h, 90d, 6w, 2y", c.DeprecateAfter)
		}
		at := map[string]time.Time{
			"h": now.Add(time.Duration(n) * time.Hour), "d": now.AddDate(0, 0, n), "w": now.AddDate(0, 0, 7*n), "y": now.AddDate(n, 0, 0),
		}[m[2]]
		if at.After(latest) {
			return time.Time{}, fmt.Errorf("deprecate_after is %q; write at most %s", c.DeprecateAfter, what)
		}
		return at, nil
	}
	return time.Time{}, nil
}
