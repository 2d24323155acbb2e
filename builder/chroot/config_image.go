package chroot

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

func (c *Config) prepareImage() []error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.PackerForce {
		c.ForceDeregister = true
	}
	if c.ForceDeleteSnapshot && !c.ForceDeregister {
		wrong("force_delete_snapshot is set without force_deregister; it deletes the snapshots of an image that is replaced")
	}
	switch {
	case c.AMIName == "":
		wrong("ami_name is missing; name the image, for instance \"shop-1.4.2-{{timestamp}}\"")
	case !strings.Contains(c.AMIName, unknown) && !nameForm.MatchString(c.AMIName):
		hint := ""
		if clean := cleanName(c.AMIName); nameForm.MatchString(clean) {
			hint = fmt.Sprintf(" (%q would do)", clean)
		}
		wrong("ami_name is %q; EC2 takes 3 to 128 letters, digits, and ()[] ./-'@_%s", c.AMIName, hint)
	}
	errs = append(errs,
		oneOf("ami_architecture", c.Architecture, "x86_64", "arm64", "i386", "x86_64_mac", "arm64_mac"),
		oneOf("ami_virtualization_type", c.VirtualizationType, "hvm", "paravirtual"),
		oneOf("boot_mode", c.BootMode, "legacy-bios", "uefi", "uefi-preferred"),
		oneOf("tpm_support", c.TPMSupport, "v2.0"),
		oneOf("imds_support", c.IMDSSupport, "v2.0"),
	)
	if c.UEFIData != "" {
		if _, err := base64.StdEncoding.DecodeString(c.UEFIData); err != nil {
			wrong("uefi_data is not base64 (%v); write the output of uefivars as it is", err)
		}
	}
	if c.UEFIData != "" && c.BootMode == "legacy-bios" {
		wrong("uefi_data is set, but boot_mode is \"legacy-bios\"; an image with UEFI variables boots by UEFI")
	}
	if c.TPMSupport != "" && c.BootMode != "" && c.BootMode != "uefi" {
		wrong("tpm_support needs boot_mode = \"uefi\", not %q", c.BootMode)
	}
	if c.RootDeviceName != "" && !c.hasRootMapping() {
		wrong("root_device_name is %q, but ami_block_device_mappings has no device of that name; add one", c.RootDeviceName)
	}
	seen := map[string]bool{}
	for i, dev := range c.AMIMappings {
		errs = append(errs, dev.prepare(fmt.Sprintf("ami_block_device_mappings[%d]", i), dev.DeviceName == c.RootDeviceName)...)
		if seen[dev.DeviceName] {
			wrong("ami_block_device_mappings names the device %q twice", dev.DeviceName)
		}
		seen[dev.DeviceName] = true
	}
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

func (c *Config) hasRootMapping() bool {
	return slices.ContainsFunc(c.AMIMappings, func(d BlockDevice) bool { return d.DeviceName == c.RootDeviceName })
}

func (c *Config) prepareRoot() []error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.RootVolumeSize < 0 {
		wrong("root_volume_size is %d; write a size in GiB, or leave it out for that of the source", c.RootVolumeSize)
	}
	if err := oneOf("root_volume_type", c.RootVolumeType, volumeTypes()...); err != nil {
		errs = append(errs, err)
	} else {
		shape := volumeShape{c.RootVolumeType, c.RootVolumeSize, c.RootVolumeIOPS, c.RootVolumeThroughput}
		for _, problem := range shape.problems() {
			wrong("root_volume_%s", problem)
		}
	}
	if c.RootVolumeKMSKeyID != "" && c.RootVolumeEncryptBoot.False() {
		wrong("root_volume_kms_key_id is set, but root_volume_encrypt_boot is false; a volume with a key is encrypted")
	}
	if err := checkKMSKey("root_volume_kms_key_id", c.RootVolumeKMSKeyID); err != nil {
		errs = append(errs, err)
	}
	return errs
}
