package chroot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/imagebakery/packer-plugin-bakery/internal/bakekey"
	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/disk/disktest"
	"github.com/imagebakery/packer-plugin-bakery/internal/localcloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/reap"
)

// Regions that the tests bake in and copy to.
const (
	here  = "us-east-1"
	there = "eu-central-1"
	third = "eu-west-1"
)

// tinyDisk makes a disk with a small file system that no program is needed in.
func tinyDisk(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: loop devices and mounts")
	}
	disktest.NeedTools(t, "mkfs.ext4", "blkid", "mount")
	return diskOf(t, tinyRoot(t))
}

// tinyRoot makes a folder with what a sandbox wants in a root, and more folders.
func tinyRoot(t *testing.T, more ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range append([]string{"dev", "etc", "proc", "run", "sys", "tmp"}, more...) {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "etc/os-release"), []byte("ID=tiny\nVERSION_ID=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return root
}

// diskOf makes a disk with a small file system that holds the root.
func diskOf(t *testing.T, root string) string {
	t.Helper()
	disk := disktest.New(t, 16*disktest.MiB)
	disktest.Mkfs(t, disk, "mkfs.ext4", "-q", "-d", root)
	return disk
}

// world is a local cloud with a source image in it.
type world struct {
	dir    string // of the cloud, and of the journals of its bakes
	local  *localcloud.Cloud
	client *cloud.Client // without faults
	source localcloud.Image
}

// newWorld makes a cloud that serves bakes with faults, and the test without.
func newWorld(t *testing.T, disk string) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{dir: dir, local: openCloud(t, dir)}
	var err error
	w.source, err = w.local.Import(t.Context(), localcloud.ImportInput{Source: disk, Name: "tiny", Architecture: "x86_64"})
	if err != nil {
		t.Fatal(err)
	}
	w.client, err = cloud.New(t.Context(), cloud.Config{Region: here, AccessKey: "a", SecretKey: "b", Transport: w.local.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func openCloud(t *testing.T, dir string, faults ...string) *localcloud.Cloud {
	t.Helper()
	local, err := localcloud.Open(context.WithoutCancel(t.Context()), dir, localcloud.WithFaults(faults...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := local.Close(); err != nil {
			t.Error(err)
		}
	})
	return local
}

// attempt is one bake.
type attempt struct {
	options map[string]any
	faults  []string
	ctx     context.Context                                     // nil: the test's
	hook    func(context.Context, packersdk.Communicator) error // nil: upload a file
	watch   func(call, region string)                           // hears of each call
	call    func() (bakekey.Call, error)                        // how Packer was called
	hear    func(text string)                                   // hears what is said
	beat    time.Duration                                       // between signs of life; 0: as often as usual
	through func(http.RoundTripper) http.RoundTripper           // what the bake's calls go through; nil: nothing
}

// outcome is what a bake came to.
type outcome struct {
	artifact *Artifact
	err      error
	said     string // on the UI
}

// bake runs a bake through the builder, as Packer does.
func (w *world) bake(t *testing.T, a attempt) outcome {
	t.Helper()
	raw := map[string]any{
		"cloud": "local", "region": here, "source_ami": w.source.ID, "ami_name": "baked", "copy_files": []string{},
		"packer_build_name": "tiny", "packer_builder_type": "bakery-chroot",
	}
	maps.Copy(raw, a.options)
	b := new(Builder)
	if _, _, err := b.Prepare(raw); err != nil {
		t.Fatal(err)
	}
	b.journals = filepath.Join(w.dir, "journal")
	b.call, b.beat = a.call, a.beat
	transport := openCloud(t, w.dir, a.faults...).Transport()
	if a.through != nil {
		transport = a.through(transport)
	}
	b.config.UseTransport(transport)
	if a.watch != nil {
		b.config.Watch(a.watch)
	}
	ctx := a.ctx
	if ctx == nil {
		ctx = t.Context()
	}
	out := &said{hear: a.hear}
	ui := &packersdk.BasicUi{Reader: strings.NewReader(""), Writer: out, ErrorWriter: out, PB: new(packersdk.NoopProgressTracker)}
	artifact, err := b.Run(ctx, ui, hookFunc(func(ctx context.Context, comm packersdk.Communicator) error {
		if a.hook != nil {
			return a.hook(ctx, comm)
		}
		return comm.Upload("/etc/baked", strings.NewReader("yes\n"), nil)
	}))
	result := outcome{err: err, said: out.String()}
	if artifact != nil {
		result.artifact = artifact.(*Artifact)
	}
	return result
}

// must runs a bake that has to end well.
func (w *world) must(t *testing.T, options map[string]any) outcome {
	t.Helper()
	out := w.bake(t, attempt{options: options})
	if out.err != nil {
		t.Fatalf("%v\n%s", out.err, out.said)
	}
	return out
}

// hookFunc stands for all provisioners.
type hookFunc func(context.Context, packersdk.Communicator) error

func (f hookFunc) Run(ctx context.Context, name string, _ packersdk.Ui, comm packersdk.Communicator, _ any) error {
	if name != packersdk.HookProvision {
		return nil
	}
	return f(ctx, comm)
}

type said struct {
	hear func(text string)
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) Write(p []byte) (int, error) {
	if s.hear != nil {
		s.hear(string(p))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// contents lists what there is in the regions, by kind and id.
func (w *world) contents(t *testing.T) []string {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	var list []string
	for _, region := range []string{here, there, third} {
		c := w.client.InRegion(region)
		images, err := c.Images(ctx, cloud.ImageQuery{Owners: []string{"self"}})
		snapshots, err2 := c.SnapshotsWithTag(ctx, reap.OwnerTag, "*")
		volumes, err3 := c.VolumesWithTag(ctx, reap.OwnerTag, "*")
		if err := errors.Join(err, err2, err3); err != nil {
			t.Fatal(err)
		}
		for _, img := range images {
			list = append(list, fmt.Sprintf("%s image %s %s", region, img.ID, img.Name))
		}
		for _, snap := range snapshots {
			list = append(list, region+" snapshot "+snap.ID)
		}
		for _, id := range volumes {
			list = append(list, region+" volume "+id)
		}
	}
	slices.Sort(list)
	return list
}

// onHost lists the journals of the world's bakes, and what is mounted of them.
func (w *world) onHost(t *testing.T) []string {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(w.dir, "journal", "*"))
	if err != nil {
		t.Fatal(err)
	}
	loops, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, loop := range loops {
		if backing, err := os.ReadFile(loop); err == nil && strings.HasPrefix(string(backing), w.dir) {
			left = append(left, loop)
		}
	}
	return left
}
