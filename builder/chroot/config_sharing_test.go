package chroot

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

// set is a valid template with options changed; nil removes one.
func set(options map[string]any) map[string]any {
	raw := valid()
	for key, value := range options {
		if value == nil {
			delete(raw, key)
		} else {
			raw[key] = value
		}
	}
	return raw
}

func TestPrepareRefusesOneThing(t *testing.T) {
	device := func(options map[string]any) map[string]any {
		d := map[string]any{"device_name": "/dev/sdb", "volume_size": 100}
		maps.Copy(d, options)
		return map[string]any{"ami_block_device_mappings": []map[string]any{d}}
	}
	org := "arn:aws:organizations::111122223333:organization/o-abcdefghij"
	tests := map[string]struct {
		set  map[string]any
		want string
	}{
		"copy to nowhere":             {map[string]any{"ami_regions": []string{"eu-middle-1"}}, `ami_regions[0] is "eu-middle-1"`},
		"copy to an empty name":       {map[string]any{"ami_regions": []string{""}}, "ami_regions[0] is empty"},
		"nothing left":                {map[string]any{"skip_save_build_region": true}, "no image would be left"},
		"only the build region left":  {map[string]any{"skip_save_build_region": true, "ami_regions": []string{"us-east-1"}}, "no image would be left"},
		"odd copy duration":           {map[string]any{"snapshot_copy_duration_minutes": 20}, "snapshot_copy_duration_minutes is 20; write 15 to 2880"},
		"long copy duration":          {map[string]any{"snapshot_copy_duration_minutes": 2895}, "snapshot_copy_duration_minutes is 2895"},
		"key without encryption":      {map[string]any{"kms_key_id": "alias/x"}, "encrypt_boot is not true"},
		"malformed key":               {map[string]any{"kms_key_id": "my key", "encrypt_boot": true}, `kms_key_id is "my key"`},
		"malformed root key":          {map[string]any{"root_volume_kms_key_id": "my key"}, `root_volume_kms_key_id is "my key"`},
		"key of another region":       {map[string]any{"encrypt_boot": true, "region_kms_key_ids": map[string]string{"eu-west-1": "alias/x"}}, "region_kms_key_ids has the region eu-west-1"},
		"region without key":          {map[string]any{"encrypt_boot": true, "ami_regions": []string{"eu-west-1", "eu-west-2"}, "region_kms_key_ids": map[string]string{"eu-west-1": "alias/x"}}, "ami_regions has the region eu-west-2, which region_kms_key_ids does not"},
		"two wishes on encryption":    {map[string]any{"encrypt_boot": false, "root_volume_encrypt_boot": true}, "an encrypted snapshot stays encrypted"},
		"shared with a default key":   {map[string]any{"encrypt_boot": true, "ami_users": []string{"111122223333"}}, "others cannot decrypt with a default key"},
		"shared snapshot, no key":     {map[string]any{"encrypt_boot": true, "snapshot_users": []string{"111122223333"}}, "others cannot decrypt with a default key"},
		"shared copy, no key":         {map[string]any{"encrypt_boot": true, "kms_key_id": "alias/x", "ami_org_arns": []string{org}, "ami_regions": []string{"eu-west-1"}, "region_kms_key_ids": map[string]string{"eu-west-1": ""}}, "region_kms_key_ids.eu-west-1 is empty, but the image is shared"},
		"public and encrypted":        {map[string]any{"encrypt_boot": true, "ami_groups": []string{"all"}}, "makes no encrypted image public"},
		"user by name":                {map[string]any{"ami_users": []string{"bob"}}, `ami_users[0] is "bob"; write an account id`},
		"snapshot user by name":       {map[string]any{"snapshot_users": []string{"bob"}}, `snapshot_users[0] is "bob"`},
		"unknown group":               {map[string]any{"ami_groups": []string{"friends"}}, `ami_groups[0] is "friends"; write "all"`},
		"unknown snapshot group":      {map[string]any{"snapshot_groups": []string{"friends"}}, `snapshot_groups[0] is "friends"`},
		"organization by id":          {map[string]any{"ami_org_arns": []string{"o-abcdefghij"}}, "ami_org_arns[0]"},
		"unit by id":                  {map[string]any{"ami_ou_arns": []string{"ou-abcdefghij"}}, "ami_ou_arns[0]"},
		"malformed product code":      {map[string]any{"ami_product_codes": []string{"A B"}}, `ami_product_codes[0] is "A B"`},
		"deprecated at a word":        {map[string]any{"deprecate_at": "tomorrow"}, `deprecate_at is "tomorrow"; write a time like`},
		"deprecated in the past":      {map[string]any{"deprecate_at": "2020-01-01T00:00:00Z"}, "which is past"},
		"deprecated too late":         {map[string]any{"deprecate_at": "2099-01-01T00:00:00Z"}, "within ten years"},
		"deprecated after a word":     {map[string]any{"deprecate_after": "soon"}, `deprecate_after is "soon"; write a number of hours`},
		"deprecated after nothing":    {map[string]any{"deprecate_after": "0d"}, `deprecate_after is "0d"`},
		"deprecated after an age":     {map[string]any{"deprecate_after": "11y"}, "at most ten years"},
		"public, deprecated too late": {map[string]any{"deprecate_after": "3y", "ami_groups": []string{"all"}}, "two years, because the image is public"},
		"deprecated twice":            {map[string]any{"deprecate_after": "3y", "deprecate_at": "2031-01-01T00:00:00Z"}, "two ways of saying when"},
		"delete without replace":      {map[string]any{"force_delete_snapshot": true}, "force_delete_snapshot is set without force_deregister"},
		"UEFI data for a BIOS":        {map[string]any{"uefi_data": "aGk=", "boot_mode": "legacy-bios"}, "an image with UEFI variables boots by UEFI"},
		"gp3 with too many iops":      {device(map[string]any{"volume_type": "gp3", "iops": 80001}), "iops is 80001; a gp3 volume takes 3000 to 80000"},
		"gp3 with too few iops":       {device(map[string]any{"volume_type": "gp3", "iops": 100}), "iops is 100"},
		"gp3 iops for its size":       {device(map[string]any{"volume_type": "gp3", "iops": 60000}), "takes at most 50000"},
		"gp3 throughput":              {device(map[string]any{"volume_type": "gp3", "iops": 9000, "throughput": 2001}), "throughput is 2001"},
		"gp3 throughput for iops":     {device(map[string]any{"volume_type": "gp3", "throughput": 1000}), "needs iops of at least 4000"},
		"io1 iops for its size":       {device(map[string]any{"volume_type": "io1", "iops": 5001}), "takes at most 5000"},
		"io2 iops":                    {device(map[string]any{"volume_type": "io2", "iops": 256001}), "takes 100 to 256000"},
		"iops of gp2":                 {device(map[string]any{"volume_type": "gp2", "iops": 3000}), "a gp2 volume takes none"},
		"throughput of io2":           {device(map[string]any{"volume_type": "io2", "iops": 300, "throughput": 125}), "throughput is for gp3, not io2"},
		"size of st1":                 {device(map[string]any{"volume_type": "st1"}), "volume_size is 100; a st1 volume has 125 to 16384 GiB"},
		"no such instance store":      {device(map[string]any{"virtual_name": "ephemeral24"}), `virtual_name is "ephemeral24"`},
		"device key, not encrypted":   {device(map[string]any{"encrypted": false, "kms_key_id": "alias/x"}), "kms_key_id is set, but encrypted is false"},
		"encrypted and a snapshot":    {device(map[string]any{"encrypted": true, "snapshot_id": "snap-0123456789abcdef0"}), "do not go together"},
		"no size":                     {device(map[string]any{"volume_size": 0}), "how large shall /dev/sdb be?"},
		"root iops":                   {map[string]any{"root_volume_type": "gp3", "root_volume_iops": 5}, "root_volume_iops is 5"},
		"root throughput":             {map[string]any{"root_volume_type": "gp3", "root_volume_throughput": 5}, "root_volume_throughput is 5"},
		"negative root iops":          {map[string]any{"root_volume_iops": -5}, "root_volume_iops is -5"},
		"root on an instance store":   {map[string]any{"root_device_name": "/dev/sda1", "ami_block_device_mappings": []map[string]any{{"device_name": "/dev/sda1", "virtual_name": "ephemeral0"}}}, "is the root device, which has to be an EBS volume"},
		"root encrypted and not":      {map[string]any{"root_device_name": "/dev/sda1", "root_volume_encrypt_boot": false, "ami_block_device_mappings": []map[string]any{{"device_name": "/dev/sda1", "encrypted": true}}}, "ami_block_device_mappings[0].encrypted is true, but root_volume_encrypt_boot is false"},
		"root not encrypted but":      {map[string]any{"root_device_name": "/dev/sda1", "root_volume_encrypt_boot": true, "ami_block_device_mappings": []map[string]any{{"device_name": "/dev/sda1", "encrypted": false}}}, "ami_block_device_mappings[0].encrypted is false, but root_volume_encrypt_boot is true"},
		"two keys of the root":        {map[string]any{"root_device_name": "/dev/sda1", "root_volume_kms_key_id": "alias/a", "ami_block_device_mappings": []map[string]any{{"device_name": "/dev/sda1", "kms_key_id": "alias/b"}}}, `ami_block_device_mappings[0].kms_key_id is "alias/b", but root_volume_kms_key_id is "alias/a"`},
		"an unknown protection":       {map[string]any{"deregistration_protection": map[string]any{"enable": true}}, "enable"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, err := new(Builder).Prepare(set(test.set))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error = %v\nwant it to have %q", err, test.want)
			}
			var all *packersdk.MultiError
			if errors.As(err, &all) && len(all.Errors) != 1 {
				t.Errorf("%d errors, want one: %v", len(all.Errors), err)
			}
		})
	}
}

func TestPrepareAccepts(t *testing.T) {
	for name, options := range map[string]map[string]any{
		"everything about copies": {
			"ami_regions": []string{"eu-west-1", "us-east-1", "eu-west-1"}, "encrypt_boot": true, "snapshot_copy_duration_minutes": 15,
			"region_kms_key_ids":     map[string]string{"eu-west-1": "mrk-1234abcd12ab34cd56ef1234567890ab", "us-east-1": "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"},
			"skip_save_build_region": true, "ami_users": []string{"111122223333"}, "snapshot_users": []string{"111122223333"},
		},
		"a new region": {"ami_regions": []string{"eu-middle-1"}, "skip_region_validation": true},
		"sharing": {
			"ami_groups": []string{"all"}, "snapshot_groups": []string{"all"}, "ami_product_codes": []string{"abc1"},
			"ami_ou_arns": []string{"arn:aws:organizations::111122223333:ou/o-abcdefghij/ou-abcd-12345678"}, "deprecate_after": "2y",
			"deregistration_protection": map[string]any{"enabled": true, "with_cooldown": true},
		},
		"a key by alias":      {"encrypt_boot": true, "kms_key_id": "alias/bakery"},
		"a fast gp3":          {"root_volume_type": "gp3", "root_volume_size": 200, "root_volume_iops": 80000, "root_volume_throughput": 2000},
		"iops of a type kept": {"root_volume_iops": 4000},
		"not known yet":       {"ami_users": []string{unknown}, "deprecate_at": unknown, "kms_key_id": unknown, "encrypt_boot": true, "ami_regions": []string{unknown}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := new(Builder).Prepare(set(options)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestForceOfPackerReplaces(t *testing.T) {
	var c Config
	if err := c.prepare(set(map[string]any{"packer_force": true})); err != nil || !c.ForceDeregister {
		t.Errorf("force_deregister = %v, error %v; want -force to set it", c.ForceDeregister, err)
	}
}

func TestCooldownMeansProtection(t *testing.T) {
	var c Config
	if err := c.prepare(set(map[string]any{"deregistration_protection": map[string]any{"with_cooldown": true}})); err != nil || !c.Protection.Enabled {
		t.Errorf("protection = %+v, error %v", c.Protection, err)
	}
}

func TestCopyRegions(t *testing.T) {
	c := Config{Regions: []string{"eu-west-1", "us-east-1", "eu-central-1", "eu-west-1"}}
	if diff := cmp.Diff([]string{"eu-central-1", "eu-west-1"}, c.copyRegions("us-east-1")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDeprecation(t *testing.T) {
	now := time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC)
	for after, want := range map[string]time.Time{
		"12h": now.Add(12 * time.Hour), "90d": now.AddDate(0, 0, 90), "6w": now.AddDate(0, 0, 42), "10y": now.AddDate(10, 0, 0), "": {},
	} {
		if got, err := (&Config{DeprecateAfter: after}).deprecation(now); err != nil || !got.Equal(want) {
			t.Errorf("deprecate_after %q: %v, %v; want %v", after, got, err, want)
		}
	}
	if got, err := (&Config{DeprecateAt: "2030-06-01T00:00:00+02:00"}).deprecation(now); err != nil || !got.Equal(time.Date(2030, 5, 31, 22, 0, 0, 0, time.UTC)) {
		t.Errorf("deprecate_at: %v, %v", got, err)
	}
}
