package chroot

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/reap"
)

// imagesOf returns the images of an artifact by their region.
func (w *world) imagesOf(t *testing.T, a *Artifact) map[string]cloud.Image {
	t.Helper()
	images := map[string]cloud.Image{}
	for _, img := range a.bake.Images {
		found, err := w.client.InRegion(img.Region).Image(t.Context(), img.ID)
		if err != nil {
			t.Fatal(err)
		}
		images[img.Region] = found
	}
	return images
}

func TestCopies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tinyDisk(t))
	out := w.must(t, map[string]any{
		"ami_regions": []string{there, third}, "tags": map[string]string{"k": "image", "of": "{{.SourceAMIName}}"},
		"snapshot_tags": map[string]string{"k": "snapshot"}, "ami_description": "all of it", "imds_support": "v2.0",
		"ami_users": []string{"111122223333"}, "snapshot_users": []string{"444455556666"}, "ami_product_codes": []string{"abc"},
		"deprecate_after": "90d", "deregistration_protection": map[string]any{"enabled": true, "with_cooldown": true},
	})
	images := w.imagesOf(t, out.artifact)
	if len(images) != 3 {
		t.Fatalf("images = %v, want three\n%s", out.artifact, out.said)
	}
	for region, img := range images {
		c := w.client.InRegion(region)
		tags := map[string]string{"k": "image", "of": "tiny", reap.OwnerTag: out.artifact.bake.ID, reap.HeartbeatTag: reap.Ended}
		if diff := cmp.Diff(tags, img.Tags); diff != "" {
			t.Errorf("%s: tags (-want +got):\n%s", region, diff)
		}
		if who, err := c.ImagePermissions(t.Context(), img.ID); err != nil || !slices.Equal(who.Users, []string{"111122223333"}) {
			t.Errorf("%s: permissions = %+v, %v", region, who, err)
		}
		if img.Name != "baked" || img.Description != "all of it" || img.IMDS != "v2.0" || !img.Protected || !slices.Equal(img.ProductCodes, []string{"abc"}) {
			t.Errorf("%s: image = %+v", region, img)
		}
		if left := time.Until(img.DeprecateAt); left < 89*24*time.Hour || left > 91*24*time.Hour {
			t.Errorf("%s: deprecated at %v, want in 90 days", region, img.DeprecateAt)
		}
		snap, err := c.Snapshot(t.Context(), img.Snapshots()[0])
		if err != nil || snap.Tags["k"] != "snapshot" || snap.Tags[reap.OwnerTag] != out.artifact.bake.ID {
			t.Errorf("%s: snapshot = %+v, %v", region, snap, err)
		}
	}
	if want := []string{there + ":", ",", third + ":", here + ":"}; !containsAll(out.artifact.Id(), want) {
		t.Errorf("id = %q", out.artifact.Id())
	}
}

func containsAll(text string, parts []string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
}

func TestEncryptedCopiesHaveTheKeysOfTheirRegions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tinyDisk(t))
	out := w.must(t, map[string]any{
		"ami_regions": []string{there}, "encrypt_boot": true, "kms_key_id": "alias/mine",
		"region_kms_key_ids": map[string]string{there: "alias/theirs"},
	})
	for region, key := range map[string]string{here: "mine", there: "theirs"} {
		img := w.imagesOf(t, out.artifact)[region]
		snap, err := w.client.InRegion(region).Snapshot(t.Context(), img.Snapshots()[0])
		if err != nil || !snap.Encrypted || !strings.Contains(snap.KMSKeyID, key) {
			t.Errorf("%s: snapshot = %+v, %v; want it encrypted with %s", region, snap, err, key)
		}
	}
	if list := w.contents(t); len(list) != 5 {
		t.Errorf("there are %v\nwant the source, two images and two snapshots: encryption in line needs no copy at home", list)
	}
}

func TestEncryptionByCopyAtHome(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tinyDisk(t))
	out := w.must(t, map[string]any{"encrypt_boot": true, "root_volume_encrypt_boot": false})
	img := w.imagesOf(t, out.artifact)[here]
	if snap, err := w.client.Snapshot(t.Context(), img.Snapshots()[0]); err != nil || !snap.Encrypted || img.Name != "baked" {
		t.Errorf("image = %+v, snapshot = %+v, %v", img, snap, err)
	}
	if list := w.contents(t); len(list) != 3 {
		t.Errorf("there are %v\nwant the source, the image and its snapshot", list)
	}
}

func TestOnlyCopiesAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tinyDisk(t))
	w.must(t, map[string]any{"ami_name": "baked"}) // a taken name here does not matter
	before := w.contents(t)
	out := w.must(t, map[string]any{"ami_regions": []string{there}, "skip_save_build_region": true})
	images := w.imagesOf(t, out.artifact)
	if len(images) != 1 || images[there].Name != "baked" {
		t.Errorf("images = %+v, want the copy alone", images)
	}
	added := slices.DeleteFunc(w.contents(t), func(s string) bool { return slices.Contains(before, s) })
	if len(added) != 2 || !strings.HasPrefix(added[0], there) || !strings.HasPrefix(added[1], there) {
		t.Errorf("there are more: %v\nwant the copy and its snapshot", added)
	}
	if state := out.artifact.bake.State()["images"].([]any); len(state) != 1 {
		t.Errorf("handed over: %v", state)
	}
	if err := out.artifact.Destroy(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, w.contents(t)); diff != "" {
		t.Errorf("after Destroy (-want +got):\n%s", diff)
	}
}

func TestFailureInOneRegionUndoesAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tinyDisk(t))
	before := w.contents(t)
	for _, fault := range []string{
		"CopyImage=error:ResourceLimitExceeded:1@4", // after two dry runs
		"ModifyImageAttribute=error:InvalidAMIAttributeItemValue:1@3",
		"EnableImageDeprecation=error:InternalThing:1@2",
		"ModifySnapshotAttribute=error:UnauthorizedOperation:1@3",
	} {
		out := w.bake(t, attempt{faults: []string{fault}, options: map[string]any{
			"ami_regions": []string{there, third}, "ami_users": []string{"111122223333"}, "snapshot_users": []string{"111122223333"},
			"deprecate_after": "1y", "deregistration_protection": map[string]any{"enabled": true},
		}})
		_, rule, _ := strings.Cut(fault, "error:")
		code, _, _ := strings.Cut(rule, ":")
		if out.err == nil || !strings.Contains(out.err.Error(), code) {
			t.Errorf("%s: error = %v", fault, out.err)
		}
		if diff := cmp.Diff(before, w.contents(t)); diff != "" {
			t.Errorf("%s: left (-want +got):\n%s", fault, diff)
		}
	}
}

func TestCooldownBeginsOnlyWhenAllAgree(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tinyDisk(t))
	before := w.contents(t)
	out := w.bake(t, attempt{faults: []string{"EnableImageDeregistrationProtection=error:UnauthorizedOperation:1@2"}, options: map[string]any{
		"ami_regions": []string{there}, "deregistration_protection": map[string]any{"with_cooldown": true},
	}})
	if out.err == nil || !strings.Contains(out.err.Error(), "protect: ") {
		t.Errorf("error = %v, want one of the step protect", out.err)
	}
	if diff := cmp.Diff(before, w.contents(t)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestTakenNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tinyDisk(t))
	first := w.must(t, map[string]any{"ami_regions": []string{there}})
	before := w.contents(t)
	calls := new(calls)
	out := w.bake(t, attempt{options: map[string]any{"ami_regions": []string{there}}, watch: calls.add})
	for _, img := range first.artifact.bake.Images {
		if out.err == nil || !strings.Contains(out.err.Error(), img.Region+": the name \"baked\" is taken by image "+img.ID) {
			t.Errorf("error = %v, want it to name %s in %s", out.err, img.ID, img.Region)
		}
	}
	if slices.Contains(calls.list(), "ec2:CreateVolume") {
		t.Errorf("calls = %v, want nothing created", calls.list())
	}
	if diff := cmp.Diff(before, w.contents(t)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestReplacing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tinyDisk(t))
	share := map[string]any{"ami_regions": []string{there}, "ami_users": []string{"111122223333"}, "deprecate_after": "1y", "tags": map[string]string{"v": "1"}}
	first := w.must(t, share)
	old := w.imagesOf(t, first.artifact)

	replace := map[string]any{"ami_regions": []string{there}, "force_deregister": true, "tags": map[string]string{"v": "2"}}
	for _, fault := range []string{
		"RegisterImage=error:InternalThing:1@4",   // one dry run, one for the time being, then the second of two replacements
		"DeregisterImage=error:InternalThing:1@4", // two dry runs, then the second
		"DescribeImageAttribute=error:InternalThing:1@2",
	} {
		out := w.bake(t, attempt{options: replace, faults: []string{fault}})
		if out.err == nil {
			t.Fatalf("%s: no error\n%s", fault, out.said)
		}
		list := w.contents(t)
		if len(list) != 5 {
			t.Errorf("%s: there are %v\nwant the source, the two old images and their snapshots\n%s", fault, list, out.said)
		}
		for region, was := range old {
			now, err := w.client.InRegion(region).ImageNamed(t.Context(), "baked")
			if err != nil {
				t.Fatalf("%s: %s: %v\n%s", fault, region, err, out.said)
			}
			who, err := w.client.InRegion(region).ImagePermissions(t.Context(), now.ID)
			if err != nil || !slices.Equal(who.Users, []string{"111122223333"}) || !now.DeprecateAt.Equal(was.DeprecateAt) {
				t.Errorf("%s: %s: permissions %+v, %v, deprecated at %v", fault, region, who, err, now.DeprecateAt)
			}
			was.ID, was.CreatedAt = now.ID, now.CreatedAt
			// EC2 knows what copies were made of, not what was registered.
			was.SourceImage, was.SourceRegion = now.SourceImage, now.SourceRegion
			if diff := cmp.Diff(was, now); diff != "" {
				t.Errorf("%s: %s: the old image (-was +is):\n%s", fault, region, diff)
			}
		}
	}

	replace["force_delete_snapshot"] = true
	second := w.must(t, replace)
	for region, img := range w.imagesOf(t, second.artifact) {
		if img.Name != "baked" || img.Tags["v"] != "2" {
			t.Errorf("%s: image = %+v", region, img)
		}
		if _, err := w.client.InRegion(region).Snapshot(t.Context(), old[region].Snapshots()[0]); err == nil {
			t.Errorf("%s: the old snapshot is still there", region)
		}
	}
	if list := w.contents(t); len(list) != 5 {
		t.Errorf("there are %v\nwant the source, two images and two snapshots\n%s", list, second.said)
	}
}

func TestProtectedImageIsNotReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tinyDisk(t))
	w.must(t, map[string]any{"deregistration_protection": map[string]any{"enabled": true}})
	before := w.contents(t)
	out := w.bake(t, attempt{options: map[string]any{"force_deregister": true}})
	if out.err == nil || !strings.Contains(out.err.Error(), "is protected from deregistration") {
		t.Errorf("error = %v", out.err)
	}
	if diff := cmp.Diff(before, w.contents(t)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestMarketplaceSourceIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tinyDisk(t))
	if err := w.client.AddProductCodes(t.Context(), w.source.ID, []string{"abc"}); err != nil {
		t.Fatal(err)
	}
	out := w.bake(t, attempt{})
	if out.err == nil || !strings.Contains(out.err.Error(), "product code abc; EC2 attaches volumes of such images to stopped") {
		t.Errorf("error = %v", out.err)
	}
}

func TestDeniedBeforeAnythingIsCreated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tinyDisk(t))
	for _, call := range []string{"CreateVolume", "RegisterImage", "CopyImage"} {
		calls := new(calls)
		out := w.bake(t, attempt{
			options: map[string]any{"ami_regions": []string{there}}, faults: []string{call + "=error:UnauthorizedOperation:1"},
			watch: calls.add,
		})
		if out.err == nil || !strings.Contains(out.err.Error(), "check: the credentials do not permit this bake: "+call) {
			t.Errorf("%s: error = %v", call, out.err)
		}
		if slices.Contains(calls.list(), "ec2:AttachVolume") {
			t.Errorf("%s: calls = %v", call, calls.list())
		}
	}
}
