package lineage

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	registryimage "github.com/hashicorp/packer-plugin-sdk/packer/registry/image"

	"github.com/imagebakery/packer-plugin-bakery/internal/handoff"
	"github.com/imagebakery/packer-plugin-bakery/registry"
	"github.com/imagebakery/packer-plugin-bakery/registry/sqlite"
)

// bench is a registry and the surroundings of one Packer build.
type bench struct {
	t    *testing.T
	path string
	ui   *packersdk.MockUi
}

func newBench(t *testing.T) *bench {
	t.Helper()
	for _, name := range []string{"BAKERY_CLOUD", "BAKERY_REGISTRY", "AWS_REGION", "AWS_DEFAULT_REGION"} {
		t.Setenv(name, "")
	}
	t.Setenv("BAKERY_HOME", t.TempDir())
	t.Setenv("BAKERY_ACTOR", "tester")
	t.Setenv(handoff.RunEnv, "run-1")
	return &bench{t: t, path: filepath.Join(t.TempDir(), "registry.db"), ui: &packersdk.MockUi{}}
}

// with calls do with the registry.
func (b *bench) with(do func(*registry.Registry)) {
	b.t.Helper()
	store, err := sqlite.Open(b.t.Context(), b.path)
	if err != nil {
		b.t.Fatal(err)
	}
	do(registry.New(store))
	if err := store.Close(); err != nil {
		b.t.Fatal(err)
	}
}

// show returns what is registered of an image.
func (b *bench) show(id string) (detail registry.Detail, err error) {
	b.t.Helper()
	b.with(func(reg *registry.Registry) { detail, err = reg.Show(b.t.Context(), id) })
	return detail, err
}

// base registers a base to bake from.
func (b *bench) base(id string) registry.Image {
	b.t.Helper()
	var img registry.Image
	b.with(func(reg *registry.Registry) {
		var err error
		img, _, err = reg.Register(b.t.Context(), registry.Image{
			Application: "base", Version: "1", Layer: "base", Release: "bookworm", Arch: "x86_64",
			Artifacts: []registry.Artifact{{Ref: registry.Ref{Cloud: "local", Region: "us-east-1", ID: id}}},
		})
		if err != nil {
			b.t.Fatal(err)
		}
	})
	return img
}

func (b *bench) options(more map[string]any) map[string]any {
	options := map[string]any{
		"application": "shop", "version": "1.4.2", "layer": "application", "write_tags": false,
		"registry": "sqlite:" + b.path, "packer_build_name": "shop",
	}
	maps.Copy(options, more)
	return options
}

// process runs the post-processor. It wants the artifact back as it went in.
func (b *bench) process(artifact packersdk.Artifact, more map[string]any) error {
	b.t.Helper()
	var p PostProcessor
	if err := p.Configure(b.options(more)); err != nil {
		b.t.Fatal(err)
	}
	got, keep, force, err := p.PostProcess(b.t.Context(), b.ui, artifact)
	if err != nil {
		return err
	}
	if same, ok := got.(passed); !ok || same.Artifact != artifact || !keep || !force {
		b.t.Errorf("the artifact came back as %v, keep %v, always %v; want it unchanged and kept", got, keep, force)
	}
	return nil
}

func (b *bench) handOver(results ...handoff.Result) {
	b.t.Helper()
	for _, r := range results {
		if err := handoff.ThisBuild("shop").Put(r); err != nil {
			b.t.Fatal(err)
		}
	}
}

// baked is the artifact of a bake on the local cloud, in the types that arrive
// over Packer's plugin wire.
func baked() *packersdk.MockArtifact {
	return &packersdk.MockArtifact{
		BuilderIdValue: "imagebakery.chroot", IdValue: "us-east-1:ami-shop",
		StateValues: map[string]any{handoff.StateKey: map[any]any{
			"id": "01BAKE", "cloud": "local", "region": "us-east-1", "account": "000000000000",
			"source_image": "ami-base", "source_name": "base-1", "image_name": "shop-1.4.2", "architecture": "x86_64",
			"key": "k", "tags": map[any]any{"Name": "shop"},
			"images": []any{
				map[any]any{"region": "us-east-1", "id": "ami-shop", "snapshots": []any{"snap-1"}},
				map[any]any{"region": "eu-west-1", "id": "ami-copy", "snapshots": []any{"snap-2"}},
			},
			"started_unix": int64(1767225600), "finished_unix": int64(1767225660),
		}},
	}
}

func result(suite, outcome string, checks ...string) handoff.Result {
	r := handoff.Result{
		BakeID: "01BAKE", Suite: suite, SuiteDigest: "d", Mode: "offline", Outcome: outcome, Tool: "bakery-spec 0.1",
		Started: time.Date(2026, 1, 1, 0, 0, 30, 0, time.UTC), Seconds: 1.5,
	}
	for _, c := range checks {
		id, outcome, _ := strings.Cut(c, "=")
		r.Checks = append(r.Checks, handoff.Check{ID: id, Outcome: outcome, Message: "message of " + id})
	}
	return r
}

func TestBakedImage(t *testing.T) {
	b := newBench(t)
	base := b.base("ami-base")
	b.handOver(result("shop.spec.hcl", "passed", "a=passed", "b=passed", "c=deferred", "d=waived"))
	err := b.process(baked(), map[string]any{
		"environment": "prod", "owner": "shop-team", "labels": map[string]string{"kernel": "6.1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.show("ami-shop")
	if err != nil {
		t.Fatal(err)
	}
	ref := func(region, id string) registry.Ref { return registry.Ref{Cloud: "local", Region: region, ID: id} }
	want := registry.Image{
		ID: got.ID, Application: "shop", Version: "1.4.2", Layer: "application", Environment: "prod",
		Release: "bookworm", Arch: "x86_64", Owner: "shop-team", Labels: map[string]string{"kernel": "6.1"},
		Parent: base.ID, ParentImage: ref("us-east-1", "ami-base"),
		Artifacts: []registry.Artifact{
			{
				Ref: ref("eu-west-1", "ami-copy"), Account: "000000000000", Name: "shop-1.4.2",
				Snapshots: []string{"snap-2"}, Tags: map[string]string{"Name": "shop"},
			},
			{
				Ref: ref("us-east-1", "ami-shop"), Account: "000000000000", Name: "shop-1.4.2",
				Snapshots: []string{"snap-1"}, Tags: map[string]string{"Name": "shop"},
			},
		},
		Bake: registry.Bake{
			ID: "01BAKE", Builder: "imagebakery.chroot", Build: "shop", Run: "run-1", Key: "k",
			StartedAt: time.Unix(1767225600, 0).UTC(), FinishedAt: time.Unix(1767225660, 0).UTC(),
		},
		CreatedAt: time.Unix(1767225660, 0).UTC(), RegisteredAt: got.RegisteredAt,
	}
	if diff := cmp.Diff(want, got.Image); diff != "" {
		t.Errorf("image (-want +got):\n%s", diff)
	}
	wantResult := registry.TestResult{
		ID: got.Results[0].ID, Image: got.ID, Suite: "shop.spec.hcl", SuiteDigest: "d", Mode: "offline", Outcome: registry.Passed,
		Counts: registry.Counts{Passed: 2, Skipped: 2}, Tool: "bakery-spec 0.1", Actor: "tester",
		StartedAt: time.Date(2026, 1, 1, 0, 0, 30, 0, time.UTC), Seconds: 1.5,
	}
	if diff := cmp.Diff([]registry.TestResult{wantResult}, got.Results); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	if got.Status != registry.StatusTested {
		t.Errorf("status is %s, want tested", got.Status)
	}
	if left, err := handoff.ThisBuild("shop").Results(""); len(left) != 0 || err != nil {
		t.Errorf("results are left behind: %v, %v", left, err)
	}
	said := said(b.ui)
	for _, want := range []string{"Registered shop 1.4.2 as " + got.ID, "local/us-east-1/ami-shop", "parent:   base 1 (ami-base)", "status:   tested (2 of 4 checks passed, 2 skipped)"} {
		if !strings.Contains(said, want) {
			t.Errorf("it did not say %q:\n%s", want, said)
		}
	}
}

func said(ui *packersdk.MockUi) string {
	var text strings.Builder
	for _, message := range ui.SayMessages {
		text.WriteString(message.Message + "\n")
	}
	return text.String() + ui.ErrorMessage
}

func TestResults(t *testing.T) {
	for name, test := range map[string]struct {
		results []handoff.Result
		require bool
		want    registry.Status
		wrong   string
	}{
		"none":                     {want: registry.StatusBuilt},
		"failed, build went on":    {results: []handoff.Result{result("s", "failed", "a=passed", "b=failed")}, want: registry.StatusRejected},
		"of another bake":          {results: []handoff.Result{{BakeID: "01OTHER", Suite: "s", Outcome: "passed"}}, want: registry.StatusBuilt},
		"nothing decided":          {results: []handoff.Result{result("s", "passed", "a=deferred")}, want: registry.StatusBuilt},
		"required and there":       {results: []handoff.Result{result("s", "passed", "a=passed")}, require: true, want: registry.StatusTested},
		"required and none":        {require: true, wrong: "no test result was handed over"},
		"required and failed":      {results: []handoff.Result{result("s", "failed", "a=failed")}, require: true, wrong: "suite s (offline) ended as failed"},
		"required, none decided":   {results: []handoff.Result{result("s", "passed", "a=deferred")}, require: true, wrong: "no test result was handed over"},
		"an outcome of the future": {results: []handoff.Result{result("s", "passed", "a=maybe")}, wrong: `check a ended as "maybe"`},
		"contradiction":            {results: []handoff.Result{result("s", "passed", "a=failed")}, wrong: "is said to have passed"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.handOver(test.results...)
			err := b.process(baked(), map[string]any{"require_tests": test.require})
			got, showErr := b.show("ami-shop")
			if test.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), test.wrong) || !strings.Contains(err.Error(), "The image us-east-1:ami-shop is not registered") {
					t.Errorf("error is %v, want one with %q", err, test.wrong)
				}
				if !errors.Is(showErr, registry.ErrNotFound) {
					t.Errorf("the image is registered: %v", showErr)
				}
				return
			}
			if err != nil || showErr != nil || got.Status != test.want {
				t.Errorf("status is %s, %v, %v; want %s", got.Status, err, showErr, test.want)
			}
		})
	}
}

func TestRevokedParent(t *testing.T) {
	b := newBench(t)
	base := b.base("ami-base")
	b.with(func(reg *registry.Registry) {
		if _, err := reg.Mark(t.Context(), registry.Mark{Image: base.ID, Kind: registry.MarkRevoked, Reason: "CVE-2026-1"}); err != nil {
			t.Fatal(err)
		}
	})
	err := b.process(baked(), nil)
	if !errors.Is(err, registry.ErrRevoked) || !strings.Contains(err.Error(), "CVE-2026-1") {
		t.Errorf("error is %v, want ErrRevoked with the reason", err)
	}
	if _, err := b.show("ami-shop"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("the image is registered: %v", err)
	}
}

func TestSecondRegistrationIsTheSame(t *testing.T) {
	b := newBench(t)
	if err := b.process(baked(), nil); err != nil {
		t.Fatal(err)
	}
	first, err := b.show("ami-shop")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.process(baked(), nil); err != nil {
		t.Fatal(err)
	}
	second, err := b.show("ami-shop")
	if err != nil || second.ID != first.ID || len(second.Events) != len(first.Events) {
		t.Errorf("second registration made %s with %d events, %v; want %s with %d", second.ID, len(second.Events), err, first.ID, len(first.Events))
	}
	if err := b.process(baked(), map[string]any{"version": "2"}); !errors.Is(err, registry.ErrExists) {
		t.Errorf("error of another version is %v, want ErrExists", err)
	}
}

func TestOtherBuilders(t *testing.T) {
	aws := func(region, id string) registry.Ref { return registry.Ref{Cloud: "aws", Region: region, ID: id} }
	for name, test := range map[string]struct {
		artifact *packersdk.MockArtifact
		options  map[string]any
		refs     []registry.Ref
		parent   registry.Ref
	}{
		"amazon-ebs by its metadata": {
			artifact: &packersdk.MockArtifact{
				BuilderIdValue: "mitchellh.amazonebs", IdValue: "eu-west-1:ami-2,us-east-1:ami-1",
				StateValues: map[string]any{
					registryimage.ArtifactStateURI: []any{
						map[any]any{"ImageID": "ami-2", "ProviderName": "aws", "ProviderRegion": "eu-west-1", "SourceImageID": "ami-vendor", "Labels": map[any]any{}},
						map[any]any{"ImageID": "ami-1", "ProviderName": "aws", "ProviderRegion": "us-east-1", "SourceImageID": "ami-vendor", "Labels": map[any]any{}},
					},
					"generated_data": map[any]any{"BuildRegion": "us-east-1", "SourceAMI": "ami-vendor", "Number": 1},
				},
			},
			refs: []registry.Ref{aws("eu-west-1", "ami-2"), aws("us-east-1", "ami-1")}, parent: aws("us-east-1", "ami-vendor"),
		},
		"amazon-chroot by its id": {
			artifact: &packersdk.MockArtifact{
				BuilderIdValue: "mitchellh.amazon.chroot", IdValue: "us-east-1:ami-1",
				StateValues: map[string]any{"generated_data": map[any]any{"SourceAMI": "ami-vendor"}},
			},
			refs: []registry.Ref{aws("us-east-1", "ami-1")}, parent: aws("us-east-1", "ami-vendor"),
		},
		"in the process": {
			artifact: &packersdk.MockArtifact{StateValues: map[string]any{
				registryimage.ArtifactStateURI: []*registryimage.Image{{ImageID: "sha256:1", ProviderName: "docker", SourceImageID: "debian:12"}},
			}},
			refs:   []registry.Ref{{Cloud: "docker", ID: "sha256:1"}},
			parent: registry.Ref{Cloud: "docker", ID: "debian:12"},
		},
		"one image alone": {
			artifact: &packersdk.MockArtifact{StateValues: map[string]any{
				registryimage.ArtifactStateURI: map[any]any{"ImageID": "i/m", "ProviderName": "gce", "ProviderRegion": "z"},
			}},
			refs: []registry.Ref{{Cloud: "gce", Region: "z", ID: "i/m"}},
		},
		"a builder that says nothing": {
			artifact: &packersdk.MockArtifact{BuilderIdValue: "transcend.qemu", IdValue: "VM/1", FilesValue: []string{}},
			refs:     []registry.Ref{{Cloud: "transcend.qemu", ID: "VM/1"}},
		},
		"docker": {
			artifact: &packersdk.MockArtifact{BuilderIdValue: "packer.docker", IdValue: "sha256:aa", StateValues: map[string]any{
				registryimage.ArtifactStateURI: map[any]any{
					"ImageID": "sha256:aa", "ProviderName": "docker", "ProviderRegion": "docker", "SourceImageID": "sha256:debian",
					"Labels": map[any]any{"ImageSha256": "sha256:aa", "PackerArtifactID": "sha256:aa", "SourceImageDigest": "debian@sha256:bb"},
				},
			}},
			refs:   []registry.Ref{{Cloud: "docker", Region: "docker", ID: "sha256:aa"}},
			parent: registry.Ref{Cloud: "docker", Region: "docker", ID: "sha256:debian"},
		},
		"a parent by hand": {
			artifact: &packersdk.MockArtifact{BuilderIdValue: "mitchellh.amazonebs", IdValue: "us-east-1:ami-1"},
			options:  map[string]any{"parent": "ami-mine"},
			refs:     []registry.Ref{aws("us-east-1", "ami-1")}, parent: aws("us-east-1", "ami-mine"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			if err := b.process(test.artifact, test.options); err != nil {
				t.Fatal(err)
			}
			got, err := b.show(test.refs[0].String())
			if err != nil {
				t.Fatal(err)
			}
			var refs []registry.Ref
			for _, a := range got.Artifacts {
				refs = append(refs, a.Ref)
			}
			if diff := cmp.Diff(test.refs, refs); diff != "" {
				t.Errorf("images (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.parent, got.ParentImage); diff != "" {
				t.Errorf("parent (-want +got):\n%s", diff)
			}
			if got.Bake.Builder != test.artifact.BuilderId() {
				t.Errorf("builder is %q, want %q", got.Bake.Builder, test.artifact.BuilderId())
			}
		})
	}
}

func TestUnreadableArtifacts(t *testing.T) {
	for name, test := range map[string]struct {
		artifact *packersdk.MockArtifact
		want     string
	}{
		"no image":            {&packersdk.MockArtifact{StateValues: map[string]any{handoff.StateKey: map[any]any{"id": "01"}}}, "the bake made no image"},
		"broken bake":         {&packersdk.MockArtifact{StateValues: map[string]any{handoff.StateKey: "x"}}, "decode bakery.bake"},
		"broken metadata":     {&packersdk.MockArtifact{StateValues: map[string]any{registryimage.ArtifactStateURI: 7}}, "par.artifact.metadata"},
		"image without id":    {&packersdk.MockArtifact{StateValues: map[string]any{registryimage.ArtifactStateURI: map[any]any{"ProviderName": "aws"}}}, "valid ImageId"},
		"the null builder":    {&packersdk.MockArtifact{BuilderIdValue: "fnoeding.null", IdValue: "Null"}, "the null builder makes no image"},
		"files that are gone": {&packersdk.MockArtifact{BuilderIdValue: "packer.file", FilesValue: []string{"/none"}}, "read the files of the image: open /none"},
		"odd amazon id":       {&packersdk.MockArtifact{BuilderIdValue: "mitchellh.amazonebs", IdValue: "ami-1"}, `"ami-1" of builder mitchellh.amazonebs is not region:ami`},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			if err := b.process(test.artifact, nil); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestTagsOnlyWhereTheyCanBeWritten(t *testing.T) {
	b := newBench(t)
	docker := &packersdk.MockArtifact{StateValues: map[string]any{
		registryimage.ArtifactStateURI: map[any]any{"ImageID": "sha256:1", "ProviderName": "docker"},
	}}
	if err := b.process(docker, map[string]any{"write_tags": true}); err == nil || !strings.Contains(err.Error(), "write_tags is set, but the image is in docker") {
		t.Errorf("error is %v", err)
	}
	if err := b.process(baked(), map[string]any{"write_tags": true, "cloud": "aws"}); err == nil || !strings.Contains(err.Error(), `cloud is "aws", but the image is in "local"`) {
		t.Errorf("error is %v", err)
	}
	var p PostProcessor
	options := b.options(nil)
	delete(options, "write_tags")
	if err := p.Configure(options); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := p.PostProcess(t.Context(), b.ui, docker); err != nil {
		t.Errorf("without write_tags: %v", err)
	}
}

func TestTags(t *testing.T) {
	t.Setenv("BAKERY_ACTOR", "tester")
	img := tagged{Image: registry.Image{
		ID: "01", Application: "shop", Version: "1.4-2", Layer: "application", Release: "bookworm",
		Parent: "00", ParentImage: registry.Ref{Cloud: "aws", Region: "us-east-1", ID: "ami-base"},
		CreatedAt: time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("", 3600)),
	}, ancestors: []registry.Image{{Application: "base", Version: "7"}, {Application: "debian", Version: "12"}}}
	bakery := map[string]string{
		"bakery:id": "01", "bakery:application": "shop", "bakery:version": "1.4-2", "bakery:layer": "application",
		"bakery:release": "bookworm", "bakery:parent": "00", "bakery:parent-image": "ami-base",
	}
	pinterest := map[string]string{"application": "shop", "version": "1.4-2", "release": "bookworm", "ancestor": "ami-base"}
	both := maps.Clone(bakery)
	maps.Copy(both, pinterest)
	for _, test := range []struct {
		styles []string
		want   map[string]string
	}{
		{[]string{"bakery"}, bakery},
		{[]string{"aminator"}, map[string]string{
			"appversion": "shop-1.4-2", "creator": "tester", "creation_time": "2026-03-01 11:00:00 UTC", "base_ami_version": "base-7",
		}},
		{[]string{"pinterest"}, pinterest},
		{[]string{"bakery", "pinterest"}, both},
	} {
		if diff := cmp.Diff(test.want, tagsOf(img, test.styles)); diff != "" {
			t.Errorf("tags of %v (-want +got):\n%s", test.styles, diff)
		}
	}
}

func TestMistakesComeAtOnce(t *testing.T) {
	newBench(t)
	err := new(PostProcessor).Configure(map[string]any{
		"cloud": "gcp", "registry": "mysql:x", "labels": map[string]string{"": "x"}, "versions": "1", "layer": " ",
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"application is not set", "version is not set", "layer is not set", "without a name", `cloud is "gcp"`,
		`registry "mysql:x" is of no known kind`, "versions",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %s:\n%v", want, err)
		}
	}
}

func TestBrokenRegistryIsFoundBeforeTheBake(t *testing.T) {
	b := newBench(t)
	if err := os.WriteFile(b.path, []byte(strings.Repeat("no database", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := new(PostProcessor).Configure(b.options(nil)); err == nil || !strings.Contains(err.Error(), "it is no SQLite database") {
		t.Errorf("error is %v", err)
	}
}

func TestOutsidePacker(t *testing.T) {
	b := newBench(t)
	t.Setenv(handoff.RunEnv, "")
	if err := b.process(baked(), nil); err == nil || !strings.Contains(err.Error(), "run inside `packer build`") {
		t.Errorf("error is %v", err)
	}
}
