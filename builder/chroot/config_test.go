package chroot

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"github.com/hashicorp/packer-plugin-sdk/template/config"
)

// valid is the least that a template has to say.
func valid() map[string]any {
	return map[string]any{"cloud": "local", "source_ami": "ami-0123456789abcdef0", "ami_name": "shop-1.4.2"}
}

func TestPrepareRefuses(t *testing.T) {
	tests := map[string]struct {
		set  map[string]any
		want string // part of the error
	}{
		"no name":               {map[string]any{"ami_name": nil}, "ami_name is missing"},
		"name with a colon":     {map[string]any{"ami_name": "shop:1"}, `()[] ./-'@_ ("shop-1" would do)`},
		"name too short":        {map[string]any{"ami_name": "ab"}, `ami_name is "ab"; EC2 takes 3 to 128 letters, digits, and ()[] ./-'@_`},
		"no source":             {map[string]any{"source_ami": nil}, "set source_ami, source_ami_filter, or from_scratch"},
		"malformed source":      {map[string]any{"source_ami": "foundation"}, `source_ami is "foundation"; write the id of an image`},
		"filter without owners": {map[string]any{"source_ami": nil, "source_ami_filter": map[string]any{"filters": map[string]string{"name": "x"}}}, "source_ami_filter has no owners"},
		"scratch without size":  {map[string]any{"source_ami": nil, "from_scratch": true}, "root_volume_size is required with from_scratch"},
		"bad cloud":             {map[string]any{"cloud": "azure"}, `cloud is "azure"; write "aws" or "local"`},
		"bad region":            {map[string]any{"region": "us-eest-1"}, `did you mean "us-east-1"?`},
		"no region at all":      {map[string]any{"region": "Frankfurt"}, `region is "Frankfurt", which is no name of a region`},
		"half a key":            {map[string]any{"access_key": "AKIA"}, "access_key is set without secret_key"},
		"bad boot mode":         {map[string]any{"boot_mode": "bios"}, `boot_mode is "bios"; write one of legacy-bios, uefi, uefi-preferred`},
		"TPM without UEFI":      {map[string]any{"tpm_support": "v2.0", "boot_mode": "legacy-bios"}, `tpm_support needs boot_mode = "uefi"`},
		"bad volume type":       {map[string]any{"root_volume_type": "gp4"}, `root_volume_type is "gp4"`},
		"negative size":         {map[string]any{"root_volume_size": -1}, "root_volume_size is -1"},
		"bad UEFI data":         {map[string]any{"uefi_data": "%%%"}, "uefi_data is not base64"},
		"relative mount path":   {map[string]any{"mount_path": "mnt/x"}, `mount_path is "mnt/x"; write an absolute path`},
		"broken mount path":     {map[string]any{"mount_path": "/mnt/{{.Device"}, "mount_path"},
		"half a mount":          {map[string]any{"chroot_mounts": [][]string{{"bind", "/srv"}}}, "chroot_mounts[0] has 2 parts"},
		"useless wrapper":       {map[string]any{"command_wrapper": "sudo"}, "command_wrapper is \"sudo\", which never runs the command"},
		"root not in mappings":  {map[string]any{"root_device_name": "/dev/xvda"}, "ami_block_device_mappings has no device of that name"},
		"io2 without iops":      {map[string]any{"ami_block_device_mappings": []map[string]any{{"device_name": "/dev/sdb", "volume_size": 1, "volume_type": "io2"}}}, "ami_block_device_mappings[0]: volume_type io2 needs iops"},
		"key but unencrypted":   {map[string]any{"root_volume_kms_key_id": "k", "root_volume_encrypt_boot": false}, "root_volume_encrypt_boot is false"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			raw := valid()
			for key, value := range test.set {
				if value == nil {
					delete(raw, key)
				} else {
					raw[key] = value
				}
			}
			_, _, err := new(Builder).Prepare(raw)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error = %v\nwant it to have %q", err, test.want)
			}
		})
	}
}

func TestPrepareGathersAllMistakes(t *testing.T) {
	_, _, err := new(Builder).Prepare(map[string]any{"cloud": "azure", "region": "nowhere", "boot_mode": "x"})
	var all *packersdk.MultiError
	if !errors.As(err, &all) || len(all.Errors) != 5 {
		t.Errorf("error = %v\nwant five mistakes: cloud, region, source, ami_name, boot_mode", err)
	}
}

func TestUnknownOption(t *testing.T) {
	raw := valid()
	raw["ami_title"] = "x"
	if _, _, err := new(Builder).Prepare(raw); err == nil || !strings.Contains(err.Error(), "ami_title") {
		t.Errorf("error = %v, want one that names ami_title", err)
	}
}

func TestPrepareAcceptsWhatIsNotKnownYet(t *testing.T) {
	raw := valid()
	raw["source_ami"], raw["ami_name"] = "<unknown>", "shop-<unknown>"
	if _, _, err := new(Builder).Prepare(raw); err != nil {
		t.Errorf("values of data sources at validate: %v", err)
	}
}

func TestPrepareTwice(t *testing.T) {
	b := new(Builder)
	for range 2 {
		raw := valid()
		raw["tag"] = []map[string]any{{"key": "a", "value": "b"}}
		if _, _, err := b.Prepare(raw); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(map[string]string{"a": "b"}, b.config.Tags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
}

func TestCleanName(t *testing.T) {
	if got, want := cleanName("shop:1.4+ü"), "shop-1.4--"; got != want {
		t.Errorf("cleanName = %q, want %q", got, want)
	}
}

func TestImageIsWhatTheSourceIs(t *testing.T) {
	b := testBake(t, valid())
	if err := b.planImage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(testSource().Architecture, b.image.Architecture); diff != "" {
		t.Error(diff)
	}
	for what, pair := range map[string][2]any{
		"boot mode": {"uefi-preferred", b.image.BootMode}, "ENA": {true, b.image.ENA}, "IMDS": {"v2.0", b.image.IMDS},
		"root": {"/dev/xvda", b.image.RootDevice}, "virtualization": {"hvm", b.image.Virtualization},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s = %v, want the source's %v", what, pair[1], pair[0])
		}
	}
	root := b.rootDevice()
	if root.SizeGiB != 8 || root.Type != "gp3" || root.IOPS != 4000 || root.SnapshotID != "" || root.Encrypted != nil {
		t.Errorf("root device = %+v, want the source's size and type, and no snapshot yet", *root)
	}
}

func TestTemplateOverridesTheSource(t *testing.T) {
	raw := valid()
	maps.Copy(raw, map[string]any{
		"boot_mode": "legacy-bios", "ena_support": false, "root_volume_size": 20, "root_volume_type": "gp2",
		"ami_description": "from {{.SourceAMIName}}", "tags": map[string]string{"base": `{{index .SourceAMITags "version"}}`},
	})
	b := testBake(t, raw)
	if err := b.planImage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b.image.BootMode != "legacy-bios" || b.image.ENA || b.image.Description != "from the-source" || b.image.Tags["base"] != "7" {
		t.Errorf("image = %+v", b.image)
	}
	if root := b.rootDevice(); root.SizeGiB != 20 || root.Type != "gp2" || root.IOPS != 0 {
		t.Errorf("root device = %+v, want 20 GiB gp2 without the iops of gp3", *root)
	}
	if b.image.Tags["bakery:bake"] != b.id {
		t.Errorf("tags = %v, want the bake's own among them", b.image.Tags)
	}
}

// What amazon-chroot accepts of several ways of naming the source.
func TestSourcesBesideEachOther(t *testing.T) {
	filter := map[string]any{"filters": map[string]string{"name": "x"}}
	scratch := map[string]any{
		"from_scratch": true, "root_volume_size": 1, "root_device_name": "/dev/xvda", "pre_mount_commands": []string{"true"},
		"ami_block_device_mappings": []map[string]any{{"device_name": "/dev/xvda"}},
	}
	for name, test := range map[string]struct {
		set  map[string]any
		warn string // part of the only warning; empty: none
	}{
		"an image that must fit a filter": {map[string]any{"source_ami_filter": filter}, ""},
		"an image and from scratch":       {scratch, "from_scratch is true"},
		"owners alone": {map[string]any{"source_ami": "", "source_ami_filter": map[string]any{"owners": []string{"self"}, "most_recent": true}},
			"every image of its owners fits"},
	} {
		t.Run(name, func(t *testing.T) {
			raw := valid()
			maps.Copy(raw, test.set)
			_, warnings, err := new(Builder).Prepare(raw)
			if err != nil {
				t.Fatal(err)
			}
			if all := strings.Join(warnings, "\n"); test.warn == "" && all != "" || !strings.Contains(all, test.warn) || len(warnings) > 1 {
				t.Errorf("warnings = %q, want %q", warnings, test.warn)
			}
		})
	}
}

func TestTrilean(t *testing.T) {
	if !trilean(config.TriUnset, true) || trilean(config.TriFalse, true) || !trilean(config.TriTrue, false) {
		t.Error("an option that is set must win over the source")
	}
}
