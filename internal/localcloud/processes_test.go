package localcloud_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"github.com/imagebakery/packer-plugin-bakery/internal/localcloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/loop"
)

// Variables that make this test binary a worker: a process of its own that
// uses a store together with others.
const (
	workerDir    = "BAKERY_TEST_WORKER_DIR"
	workerName   = "BAKERY_TEST_WORKER_NAME"   // of its device and images
	workerRounds = "BAKERY_TEST_WORKER_ROUNDS" // 0: until it is killed
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(workerDir); dir != "" {
		rounds := 0
		_, _ = fmt.Sscan(os.Getenv(workerRounds), &rounds)
		if err := work(context.Background(), dir, os.Getenv(workerName), rounds); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// marker is what a worker writes at markerAt of its volumes.
func marker(volume string) string { return "this is " + volume }

const markerAt = 1 << 20

// work does rounds of a bake. Each line on stdout is a fact that was
// acknowledged: "has ID", or a deletion about to be asked for: "drops ID".
func work(ctx context.Context, dir, name string, rounds int) error {
	cloud, err := localcloud.Open(ctx, dir)
	if err != nil {
		return err
	}
	api := client(cloud.Transport(), "us-east-1")
	instances, err := api.DescribeInstances(ctx, &ec2.DescribeInstancesInput{})
	if err != nil {
		return err
	}
	instance := instances.Reservations[0].Instances[0].InstanceId
	for n := 0; rounds == 0 || n < rounds; n++ {
		if err := workRound(ctx, api, instance, name, n); err != nil {
			return fmt.Errorf("round %d of %s: %w", n, name, err)
		}
	}
	return cloud.Close()
}

func workRound(ctx context.Context, api *ec2.Client, instance *string, name string, n int) error {
	vol, err := api.CreateVolume(ctx, &ec2.CreateVolumeInput{AvailabilityZone: aws.String("us-east-1a"), Size: aws.Int32(1)})
	if err != nil {
		return err
	}
	id := *vol.VolumeId
	fmt.Println("has", id)
	if err := ec2.NewVolumeAvailableWaiter(api, quick[ec2.VolumeAvailableWaiterOptions]).Wait(ctx, &ec2.DescribeVolumesInput{VolumeIds: []string{id}}, time.Minute); err != nil {
		return err
	}
	device := "/dev/xvd" + name
	if _, err := api.AttachVolume(ctx, &ec2.AttachVolumeInput{VolumeId: &id, InstanceId: instance, Device: &device}); err != nil {
		return err
	}
	f, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(marker(id)), markerAt)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if _, err := api.DetachVolume(ctx, &ec2.DetachVolumeInput{VolumeId: &id}); err != nil {
		return err
	}
	snap, err := api.CreateSnapshot(ctx, &ec2.CreateSnapshotInput{VolumeId: &id, TagSpecifications: []types.TagSpecification{{
		ResourceType: types.ResourceTypeSnapshot, Tags: []types.Tag{{Key: aws.String("marker"), Value: aws.String(marker(id))}},
	}}})
	if err != nil {
		return err
	}
	fmt.Println("has", *snap.SnapshotId)
	if err := ec2.NewSnapshotCompletedWaiter(api, quick[ec2.SnapshotCompletedWaiterOptions]).Wait(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{*snap.SnapshotId}}, time.Minute); err != nil {
		return err
	}
	image, err := api.RegisterImage(ctx, registration(fmt.Sprintf("%s %d %d", name, os.Getpid(), n), *snap.SnapshotId))
	if err != nil {
		return err
	}
	fmt.Println("has", *image.ImageId)
	if err := ec2.NewVolumeAvailableWaiter(api, quick[ec2.VolumeAvailableWaiterOptions]).Wait(ctx, &ec2.DescribeVolumesInput{VolumeIds: []string{id}}, time.Minute); err != nil {
		return err
	}
	fmt.Println("drops", id)
	if _, err := api.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: &id}); err != nil {
		return err
	}
	if n%2 == 1 { // every other image goes again
		fmt.Println("drops", *image.ImageId)
		fmt.Println("drops", *snap.SnapshotId)
		_, err = api.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: image.ImageId, DeleteAssociatedSnapshots: aws.Bool(true)})
	}
	return err
}

// quick makes a waiter of the SDK look often.
func quick[T any](o *T) {
	switch o := any(o).(type) {
	case *ec2.VolumeAvailableWaiterOptions:
		o.MinDelay, o.MaxDelay = 2*time.Millisecond, 20*time.Millisecond
	case *ec2.SnapshotCompletedWaiterOptions:
		o.MinDelay, o.MaxDelay = 2*time.Millisecond, 20*time.Millisecond
	}
}

// worker starts a worker; its facts come out of the scanner.
func worker(t *testing.T, dir, name string, rounds int) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), workerDir+"="+dir, workerName+"="+name, fmt.Sprintf("%s=%d", workerRounds, rounds))
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(stdout)
}

// facts collects what a worker has and what it may have dropped.
func facts(has map[string]bool, lines *bufio.Scanner) {
	for lines.Scan() {
		switch verb, id, _ := strings.Cut(lines.Text(), " "); verb {
		case "has":
			has[id] = true
		case "drops":
			delete(has, id)
		}
	}
}

func TestProcessesShareAStore(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	l := openLab(t, dir)
	var cmds []*exec.Cmd
	var outputs []*bufio.Scanner
	for _, name := range []string{"yf", "yg", "yh", "yi"} {
		cmd, lines := worker(t, dir, name, 6)
		cmds, outputs = append(cmds, cmd), append(outputs, lines)
	}
	has := map[string]bool{}
	for i, cmd := range cmds {
		facts(has, outputs[i])
		if err := cmd.Wait(); err != nil {
			t.Errorf("worker %d: %v", i, err)
		}
	}
	checkStore(t, l, has)
	if out := must(l.DescribeImages(t.Context(), &ec2.DescribeImagesInput{}))(t); len(out.Images) != 4*3 {
		t.Errorf("there are %d images, want 12", len(out.Images))
	}
}

// TestKilledProcesses kills a worker at any moment, again and again, while
// another goes on. What was acknowledged must be there, whole; what was not
// must leave nothing.
func TestKilledProcesses(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	l := openLab(t, dir)
	has := map[string]bool{}
	steady, steadyLines := worker(t, dir, "yj", 12)
	for range 12 {
		cmd, lines := worker(t, dir, "yk", 0)
		timer := time.AfterFunc(time.Duration(20+rand.IntN(400))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		facts(has, lines)
		timer.Stop()
		err := cmd.Wait()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Errorf("the worker ended by itself: %v", err)
		}
		// The next worker wants the same device name; the volume that has it
		// must be found and freed, as a reaper would.
		l.freeDevice("/dev/xvdyk")
	}
	facts(has, steadyLines)
	if err := steady.Wait(); err != nil {
		t.Errorf("the steady worker: %v", err)
	}
	again, err := localcloud.Open(t.Context(), dir) // reclaims
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	checkStore(t, l, has)
}

func (l *lab) freeDevice(device string) {
	l.t.Helper()
	out := must(l.DescribeVolumes(l.t.Context(), &ec2.DescribeVolumesInput{Filters: []types.Filter{
		{Name: aws.String("attachment.device"), Values: []string{device}},
	}}))(l.t)
	for _, v := range out.Volumes {
		if _, err := l.DetachVolume(l.t.Context(), &ec2.DetachVolumeInput{VolumeId: v.VolumeId}); err != nil {
			var api smithy.APIError
			if !errors.As(err, &api) || api.ErrorCode() != "IncorrectState" { // detaching already
				l.t.Fatal(err)
			}
		}
		l.waitVolume(*v.VolumeId, types.VolumeStateAvailable)
	}
}

// checkStore holds a store against what was acknowledged and against its files
// and devices.
func checkStore(t *testing.T, l *lab, has map[string]bool) {
	t.Helper()
	known := map[string]bool{}
	for _, v := range must(l.DescribeVolumes(t.Context(), &ec2.DescribeVolumesInput{}))(t).Volumes {
		known[*v.VolumeId] = true
		if v.State != types.VolumeStateAvailable {
			t.Errorf("%s is %s", *v.VolumeId, v.State)
		}
	}
	for _, im := range must(l.DescribeImages(t.Context(), &ec2.DescribeImagesInput{}))(t).Images {
		known[*im.ImageId] = true
	}
	for _, s := range must(l.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{}))(t).Snapshots {
		known[*s.SnapshotId] = true
		l.waitSnapshot(*s.SnapshotId)
		want := *s.Tags[0].Value
		if got := readDevice(t, filepath.Join(l.dir, "local", "snapshots", *s.SnapshotId), markerAt, len(want)); got != want {
			t.Errorf("%s has %q, want %q", *s.SnapshotId, got, want)
		}
	}
	for id := range has {
		if !known[id] {
			t.Errorf("%s was acknowledged and is lost", id)
		}
	}
	strays := func() []string {
		return slices.DeleteFunc(l.dataFiles(), func(file string) bool {
			return known[filepath.Base(file)] && !strings.HasPrefix(file, filepath.Join(l.dir, "local", "work"))
		})
	}
	until(t, fmt.Sprint("nothing is nobody's: ", strays()), func() bool { return len(strays()) == 0 })
	devices, err := loop.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range devices {
		if strings.HasPrefix(d.Backing, l.dir+"/") {
			t.Errorf("%s is still bound to %s", d.Path, d.Backing)
		}
	}
	for _, pattern := range []string{"/dev/xvdy[f-k]*", "/dev/sdy[f-k]*"} {
		if links, _ := filepath.Glob(pattern); len(links) > 0 {
			t.Errorf("links left: %v", links)
		}
	}
}
