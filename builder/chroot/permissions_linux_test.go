package chroot

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/imagebakery/packer-plugin-bakery/internal/iam"
	"github.com/imagebakery/packer-plugin-bakery/internal/reap"
)

var update = flag.Bool("update", false, "write the IAM policies of the documentation anew")

const (
	policyFolder  = "../../docs/iam"
	policyPartial = "../../docs-partials/builder/chroot/permissions.mdx"
	policyURL     = "https://github.com/imagebakery/packer-plugin-bakery/blob/main/docs/iam"
)

// feature is what a template may ask for that needs permissions of its own.
type feature struct {
	name, says string
	needs      []string // features that it is only used with; all need "basic"
	options    map[string]any
	before     map[string]any // options of a bake before it, if any
	fault      string         // late in the bake, so that it has to undo what it can
	keys       bool           // uses KMS
}

var features = []feature{
	{
		name: "basic", says: "Every bake, and undoing one that failed.",
		options: map[string]any{"boot_mode": "uefi-preferred"},    // asks for the UEFI variables of the source
		fault:   "DescribeImages=error:UnauthorizedOperation:1@3", // of the registered image
	},
	{
		name: "scratch", says: "`from_scratch`.",
		options: map[string]any{
			"from_scratch": true, "source_ami": "", "root_volume_size": 1, "root_device_name": "/dev/xvda",
			"ami_block_device_mappings": []map[string]any{{"device_name": "/dev/xvda"}},
			"pre_mount_commands":        []string{"mkfs.ext4 -q {{.Device}}"},
			"post_mount_commands":       []string{"cd {{.MountPath}} && mkdir dev etc proc run sys tmp"},
		},
		fault: "DescribeImages=error:UnauthorizedOperation:1@2",
	},
	{
		name: "copies", says: "`ami_regions`, `skip_save_build_region`.",
		options: map[string]any{"ami_regions": []string{there}},
		fault:   "CopyImage=error:UnauthorizedOperation:1@2", // the first is the dry run
	},
	{
		name: "encryption", says: "`encrypt_boot`, `root_volume_encrypt_boot` and the options that name keys. " +
			"The first two statements let EC2 use the keys; narrow their resource to yours.",
		options: map[string]any{"encrypt_boot": true, "root_volume_encrypt_boot": false},
		fault:   "CopyImage=error:UnauthorizedOperation:1@2", keys: true,
	},
	{
		name: "sharing", says: "`ami_users` and its like, `snapshot_users`, `snapshot_groups`, `ami_product_codes`; `imds_support` of copies.",
		options: map[string]any{
			"ami_users": []string{"111122223333"}, "snapshot_users": []string{"111122223333"}, "ami_product_codes": []string{"abc"},
		},
		fault: "ModifySnapshotAttribute=error:UnauthorizedOperation",
	},
	{
		name: "deprecation", says: "`deprecate_at`, `deprecate_after`.",
		options: map[string]any{"deprecate_after": "1y"},
		fault:   "EnableImageDeprecation=error:UnauthorizedOperation",
	},
	{
		name: "protection", says: "`deregistration_protection`; in several regions beside `copies`.", needs: []string{"copies"},
		options: map[string]any{"ami_regions": []string{there}, "deregistration_protection": map[string]any{"enabled": true}},
		fault:   "EnableImageDeregistrationProtection=error:UnauthorizedOperation:1@2", // so that the first is undone
	},
	{
		name: "replacing", says: "`force_deregister`, `force_delete_snapshot`, and putting back what was to be replaced. " +
			"Images that something else than bakery-chroot made have no tag `" + reap.OwnerTag + "`: give it to them, or remove the condition.",
		before: map[string]any{
			"ami_users": []string{"111122223333"}, "ami_product_codes": []string{"abc"}, "deprecate_after": "1y",
		},
		options: map[string]any{"force_deregister": true, "force_delete_snapshot": true},
		fault:   "RegisterImage=error:UnauthorizedOperation:1@3", // after the dry run and the interim name
	},
}

// record bakes with the feature twice, well and with the fault, and returns the
// calls of EC2 that were made.
func (f feature) record(t *testing.T, disk string) []string {
	t.Helper()
	w := newWorld(t, disk)
	made := new(calls)
	if f.before != nil {
		w.must(t, f.before)
	}
	if out := w.bake(t, attempt{options: f.options, faults: []string{f.fault}, watch: made.add}); out.err == nil {
		t.Errorf("%s: the bake with %s went well; the fault comes too late\n%s", f.name, f.fault, out.said)
	}
	if out := w.bake(t, attempt{options: f.options, watch: made.add}); out.err != nil {
		t.Fatalf("%s: %v\n%s", f.name, out.err, out.said)
	}
	return slices.DeleteFunc(made.list(), func(call string) bool { return !strings.HasPrefix(call, "ec2:") })
}

// policy permits the calls that the features before do not need.
func (f feature) policy(t *testing.T, recorded map[string][]string) iam.Policy {
	t.Helper()
	more := slices.Clone(recorded[f.name])
	if f.name != "basic" {
		for _, name := range append([]string{"basic"}, f.needs...) {
			more = slices.DeleteFunc(more, func(call string) bool { return slices.Contains(recorded[name], call) })
		}
	}
	p, err := iam.Builder{Owner: reap.OwnerTag}.For(more)
	if err != nil {
		t.Fatal(err)
	}
	if f.keys {
		p = iam.Join(iam.Keys(), p)
	}
	return p
}

// TestPermissions records what bakes call and makes sure that the policies of
// the documentation permit that and nothing else. With -update it writes them.
func TestPermissions(t *testing.T) {
	disk := tinyDisk(t)
	recorded := map[string][]string{}
	for _, f := range features {
		recorded[f.name] = f.record(t, disk)
	}
	var page strings.Builder
	page.WriteString("<!-- Written by go test ./builder/chroot -run TestPermissions -update; DO NOT EDIT MANUALLY -->\n\n" +
		"| policy | for | allows, beside those above |\n|---|---|---|\n")
	basic := ""
	for _, f := range features {
		p := f.policy(t, recorded)
		file := filepath.Join(policyFolder, f.name+".json")
		if len(p.Statement) == 0 {
			if _, err := os.Stat(file); err == nil {
				t.Errorf("%s is there, but the feature needs no permissions of its own", file)
			}
			fmt.Fprintf(&page, "| none | %s | nothing |\n", f.says)
			continue
		}
		text, err := p.JSON()
		if err != nil {
			t.Fatal(err)
		}
		golden(t, file, text)
		if f.name == "basic" {
			basic = text
		}
		fmt.Fprintf(&page, "| [%s](%s/%s.json) | %s | `%s` |\n", f.name, policyURL, f.name, f.says, strings.Join(p.Actions(), "`, `"))
	}
	fmt.Fprintf(&page, "\nThe policy `basic`:\n\n```json\n%s```\n", basic)
	golden(t, policyPartial, page.String())
}

// golden compares text with a file, or writes it.
func golden(t *testing.T, file, text string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("%s is not what bakes call (-documented +called); see whether that is meant, then run with -update:\n%s", file, diff)
	}
}

// permitted are the actions that the documentation has policies for.
func permitted(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(policyFolder, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no policies in %s: %v", policyFolder, err)
	}
	var all []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p, err := iam.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p.Actions()...)
	}
	return all
}

// wantPermitted makes sure that the documented policies permit calls.
func wantPermitted(t *testing.T, calls []string) {
	t.Helper()
	allowed := permitted(t)
	for _, call := range calls {
		if strings.HasPrefix(call, "ec2:") && !slices.Contains(allowed, call) {
			t.Errorf("a bake calls %s, which no policy of the documentation permits", call)
		}
	}
}
