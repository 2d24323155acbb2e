package chroot

import (
	"maps"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/imagebakery/packer-plugin-bakery/internal/disk/disktest"
)

// fromScratch are the options of a bake that starts from an empty volume, with
// others.
func fromScratch(others map[string]any) map[string]any {
	options := map[string]any{
		"from_scratch": true, "source_ami": "", "root_volume_size": 1, "root_device_name": "/dev/xvda",
		"ami_block_device_mappings": []map[string]any{{"device_name": "/dev/xvda", "delete_on_termination": true}},
		"pre_mount_commands":        []string{"mkfs.ext4 -q {{.Device}}"},
		"post_mount_commands":       []string{"mkdir {{.MountPath}}/dev {{.MountPath}}/etc {{.MountPath}}/proc {{.MountPath}}/run {{.MountPath}}/sys {{.MountPath}}/tmp"},
	}
	maps.Copy(options, others)
	return options
}

// Each way of asking for it encrypts what is made from an empty volume: the
// volume that is baked on, so that nothing is ever stored in the clear, and with
// it the snapshot and the image, by the key that is named.
func TestFromScratchIsEncryptedAsAsked(t *testing.T) {
	t.Parallel()
	disktest.NeedTools(t, "mkfs.ext4")
	disk := tinyDisk(t)
	mapping := func(more map[string]any) []map[string]any {
		maps.Copy(more, map[string]any{"device_name": "/dev/xvda", "delete_on_termination": true})
		return []map[string]any{more}
	}
	for name, test := range map[string]struct {
		options map[string]any
		key     string // part of the key's ARN; "-" for not encrypted
	}{
		"not asked for":                {nil, "-"},
		"root_volume_encrypt_boot":     {map[string]any{"root_volume_encrypt_boot": true}, ""},
		"root_volume_kms_key_id":       {map[string]any{"root_volume_kms_key_id": "alias/mine"}, "alias/mine"},
		"encrypt_boot":                 {map[string]any{"encrypt_boot": true}, ""},
		"encrypt_boot and a key":       {map[string]any{"encrypt_boot": true, "kms_key_id": "alias/mine"}, "alias/mine"},
		"the block device":             {map[string]any{"ami_block_device_mappings": mapping(map[string]any{"encrypted": true})}, ""},
		"the block device and its key": {map[string]any{"ami_block_device_mappings": mapping(map[string]any{"encrypted": true, "kms_key_id": "alias/mine"})}, "alias/mine"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, disk)
			var copied atomic.Bool
			out := w.bake(t, attempt{options: fromScratch(test.options), watch: func(call, _ string) {
				if call == "ec2:CopyImage" {
					copied.Store(true)
				}
			}})
			if out.err != nil {
				t.Fatalf("%v\n%s", out.err, out.said)
			}
			img := w.imagesOf(t, out.artifact)[here]
			snap, err := w.client.Snapshot(t.Context(), img.Snapshots()[0])
			if err != nil || snap.Encrypted != (test.key != "-") || !strings.Contains(snap.KMSKeyID, strings.Trim(test.key, "-")) {
				t.Errorf("snapshot = %+v, %v; want key %q", snap, err, test.key)
			}
			if list := w.contents(t); len(list) != 3 || copied.Load() {
				t.Errorf("there are %v\nwant the source, the image and its snapshot, and that nothing was copied", list)
			}
		})
	}
}

// A source that is named and has to fit a filter.
func TestSourceFitsTheFilter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tinyDisk(t))
	fits := map[string]any{"filters": map[string]string{"name": "tin*", "architecture": "x86_64"}, "owners": []string{"self"}}
	out := w.must(t, map[string]any{"source_ami_filter": fits, "skip_create_ami": true})
	if !strings.Contains(out.said, "Source: "+w.source.ID) {
		t.Errorf("said: %s", out.said)
	}
	others := map[string]any{"filters": map[string]string{"name": "large*"}}
	if out := w.bake(t, attempt{options: map[string]any{"source_ami_filter": others}}); out.err == nil ||
		!strings.Contains(out.err.Error(), w.source.ID+" does not fit source_ami_filter") {
		t.Errorf("error = %v", out.err)
	}
	out = w.must(t, map[string]any{"source_ami": "", "source_ami_filter": map[string]any{"owners": []string{"self"}}, "skip_create_ami": true})
	if !strings.Contains(out.said, "Source: "+w.source.ID) {
		t.Errorf("said: %s", out.said)
	}
}
