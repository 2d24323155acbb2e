package volume

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/imagebakery/packer-plugin-bakery/internal/disk"
	"github.com/imagebakery/packer-plugin-bakery/internal/disk/disktest"
	"github.com/imagebakery/packer-plugin-bakery/internal/loop"
	"github.com/imagebakery/packer-plugin-bakery/internal/run"
)

// answers stands for lvm(8): it gives recorded answers and remembers the calls.
type answers struct {
	of    map[string]string // by command; "!" at the beginning is an error
	calls [][]string
}

func (a *answers) run(_ context.Context, args ...string) ([]byte, error) {
	a.calls = append(a.calls, args)
	text := a.of[args[0]]
	if message, failed := strings.CutPrefix(text, "!"); failed {
		return nil, errors.New(message)
	}
	return []byte(text), nil
}

// vgs is what `lvm vgs` of LVM 2.03.16 answers.
func vgs(name, disks, missing string) string {
	return `
  {
      "report": [
          {
              "vg": [
                  {"vg_name":"` + name + `", "pv_count":"` + disks + `", "vg_missing_pv_count":"` + missing + `"}
              ]
          }
      ]
  }`
}

func TestGroupIsActivatedAlone(t *testing.T) {
	a := &answers{of: map[string]string{"vgs": vgs("rhel", "1", "0")}}
	g := &group{device: "/dev/nvme1n1p3", lvm: a.run}
	if err := g.open(t.Context(), []string{"rhel--9-root", "rhel9-root", "data-rhel"}); err != nil {
		t.Fatal(err)
	}
	if err := g.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	const only = `devices{use_devicesfile=0 filter=["a|^/dev/nvme1n1p3$|","r|.*|"] global_filter=["a|^/dev/nvme1n1p3$|","r|.*|"]} ` +
		`global{use_lvmpolld=0} activation{monitoring=0 verify_udev_operations=1} backup{backup=0 archive=0}`
	want := [][]string{
		{"vgs", "--config", only, "--reportformat", "json", "--units", "b", "--nosuffix", "--options", "vg_name,pv_count,vg_missing_pv_count"},
		{"vgchange", "--config", only, "--yes", "--activate", "y", "rhel"},
		{"vgchange", "--config", only, "--yes", "--activate", "n", "rhel"},
	}
	if diff := cmp.Diff(want, a.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestGroupsThatAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		of     map[string]string
		active []string
		says   string
		calls  int
	}{
		"no group":              {map[string]string{"vgs": `{"report": [{"vg": []}]}`}, nil, "/dev/sdf2 belongs to no volume group", 1},
		"on several disks":      {map[string]string{"vgs": vgs("data", "3", "2")}, nil, "the volume group data has 3 physical volumes, of which 2 are on other disks", 1},
		"active on the host":    {map[string]string{"vgs": vgs("my-vg", "1", "0")}, []string{"other-x", "my--vg-root"}, "a volume group my-vg is active on this host already (my--vg-root)", 1},
		"no report":             {map[string]string{"vgs": "No such command"}, nil, "read the answer of lvm vgs", 1},
		"lvm fails":             {map[string]string{"vgs": "!vgs is broken"}, nil, "vgs is broken", 1},
		"cannot be activated":   {map[string]string{"vgs": vgs("rhel", "1", "0"), "vgchange": "!device-mapper: no"}, nil, "device-mapper: no", 3},
		"named like an example": {map[string]string{"vgs": vgs("", "1", "0")}, nil, "belongs to no volume group", 1},
	} {
		t.Run(name, func(t *testing.T) {
			a := &answers{of: test.of}
			err := (&group{device: "/dev/sdf2", lvm: a.run}).open(t.Context(), test.active)
			if err == nil || !strings.Contains(err.Error(), test.says) || len(a.calls) != test.calls {
				t.Errorf("%d calls, error %v; want %d and %q", len(a.calls), err, test.calls, test.says)
			}
		})
	}
}

func TestVolumeOfTheRoot(t *testing.T) {
	lv := func(number int, name string, gib int64, fs string) disk.Partition {
		return disk.Partition{Number: number, Label: name, Size: gib << 30, Filesystem: disk.Filesystem{Type: fs}}
	}
	for name, test := range map[string]struct {
		volumes  []disk.Partition
		selector string
		want     string
		err      error
	}{
		"Red Hat":                {[]disk.Partition{lv(1, "home", 90, "xfs"), lv(2, "root", 50, "xfs"), lv(3, "swap", 8, "swap")}, "", "root", nil},
		"Red Hat's cloud images": {[]disk.Partition{lv(1, "homelv", 1, "xfs"), lv(2, "rootlv", 2, "xfs"), lv(3, "usrlv", 10, "xfs")}, "", "rootlv", nil},
		"old CentOS":             {[]disk.Partition{lv(1, "lv_root", 7, "ext4"), lv(2, "lv_swap", 1, "swap")}, "", "lv_root", nil},
		"Ubuntu":                 {[]disk.Partition{lv(1, "ubuntu-lv", 20, "ext4")}, "", "ubuntu-lv", nil},
		"largest":                {[]disk.Partition{lv(1, "one", 2, "ext4"), lv(2, "two", 4, "ext4")}, "", "two", nil},
		"named":                  {[]disk.Partition{lv(1, "one", 2, "ext4"), lv(2, "two", 4, "ext4")}, "one", "one", nil},
		"named, not there":       {[]disk.Partition{lv(1, "one", 2, "ext4")}, "three", "", disk.ErrNoPartition},
		"named, no file system":  {[]disk.Partition{lv(1, "swap", 2, "swap")}, "swap", "", disk.ErrNotFilesystem},
		"none":                   {[]disk.Partition{lv(1, "swap", 2, "swap")}, "", "", disk.ErrNoRoot},
		"encrypted":              {[]disk.Partition{lv(1, "root", 2, "crypto_LUKS")}, "", "", disk.ErrEncrypted},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := chooseVolume(disk.Disk{Table: "lvm", Partitions: test.volumes}, test.selector)
			if !errors.Is(err, test.err) || err == nil && p.Label != test.want {
				t.Errorf("chose %q, %v; want %q, %v", p.Label, err, test.want, test.err)
			}
		})
	}
}

func TestNamesInDeviceMapper(t *testing.T) {
	for _, test := range []struct {
		name, group string
		want        bool
	}{
		{"rhel-root", "rhel", true}, {"rhel--a-root", "rhel", false}, {"rhel--a-root", "rhel-a", true}, {"rhel-root--a", "rhel", true},
		{"rhel-", "rhel", false}, {"rhel", "rhel", false}, {"other-rhel", "rhel", false}, {"rhel2-root", "rhel", false},
	} {
		if got := ofGroup(test.name, test.group); got != test.want {
			t.Errorf("ofGroup(%q, %q) = %v", test.name, test.group, got)
		}
	}
}

func TestWhyVolumesOfLVMCannotBeOpened(t *testing.T) {
	if _, err := os.Stat(controlNode); err == nil {
		t.Skip("this host has device-mapper")
	}
	if err := lvmReady(); err == nil || !strings.Contains(err.Error(), "dm_mod") || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error = %v, want that there is no device-mapper, and what to do", err)
	}
}

// grouped makes a disk with a boot partition and a volume group, as installers
// of Red Hat's family do, and binds it to a device.
func grouped(t *testing.T) (device string) {
	t.Helper()
	needRoot(t)
	if err := lvmReady(); err != nil {
		t.Skipf("needs device-mapper and lvm2: %v", err)
	}
	file := disktest.Partitioned(t, 200*mib, "label: gpt\nsize=20MiB, name=boot\nname=pv, type=lvm\n", map[int][]string{1: {"mkfs.ext4", "-q"}})
	device = attach(t, file, loop.Options{})
	d, err := disk.Read(t.Context(), device)
	if err != nil {
		t.Fatal(err)
	}
	node, own, err := partitionNode(t.Context(), device, d.Partitions[1])
	if err != nil {
		t.Fatal(err)
	}
	g := &group{device: node, name: "bakery-test", lvm: runLVM}
	for _, argv := range [][]string{
		{"pvcreate", node},
		{"vgcreate", g.name, node},
		{"lvcreate", "--wipesignatures", "n", "--zero", "n", "--name", "root", "--size", "40M", g.name},
		{"lvcreate", "--wipesignatures", "n", "--zero", "n", "--name", "home", "--size", "80M", g.name},
	} {
		if _, err := runLVM(t.Context(), append([]string{argv[0], "--config", g.only(), "--yes"}, argv[1:]...)...); err != nil {
			t.Fatal(err)
		}
	}
	for _, volume := range []string{"root", "home"} {
		if err := run.Run(t.Context(), "mkfs.ext4", "-q", "/dev/mapper/bakery--test-"+volume); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if own != nil {
		if err := own.Detach(); err != nil {
			t.Fatal(err)
		}
	}
	return device
}

// nothingMapped fails the test when volumes of the test's group are active.
func nothingMapped(t *testing.T) {
	t.Helper()
	names, err := mappedNames()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if ofGroup(name, "bakery-test") {
			t.Errorf("%s is still active", name)
		}
	}
}

// The root in a volume group is found, mounted, and let go of, in each of the
// ways that there are.
func TestMountOfAVolumeGroup(t *testing.T) {
	device := grouped(t)
	target := filepath.Join(t.TempDir(), "root")
	m, err := Mount(t.Context(), MountOptions{Device: device, Target: target, Log: func(s string) { t.Log(s) }})
	if err != nil {
		t.Fatal(err)
	}
	if m.Source != "/dev/mapper/bakery--test-root" || m.Filesystem != "ext4" {
		t.Errorf("mounted %s, %s", m.Source, m.Filesystem)
	}
	if err := os.WriteFile(filepath.Join(m.Target, "baked"), []byte("yes\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// A second bake of the same image has to wait its turn.
	if _, err := Mount(t.Context(), MountOptions{Device: device, Target: target + "2"}); err == nil || !strings.Contains(err.Error(), "is active on this host already") {
		t.Errorf("error = %v", err)
	}
	if err := m.Unmount(t.Context()); err != nil {
		t.Fatal(err)
	}
	nothingMapped(t)

	// After a crash there is the folder alone.
	if m, err = Mount(t.Context(), MountOptions{Device: device, Partition: "2", Target: target}); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(m.Target, "baked")); err != nil || string(text) != "yes\n" {
		t.Errorf("what was written is %q, %v", text, err)
	}
	if err := Unmount(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	nothingMapped(t)

	if m, err = Mount(t.Context(), MountOptions{Device: device, Partition: "home", Target: target + "3"}); err != nil {
		t.Fatal(err)
	}
	if err := m.Unmount(t.Context()); err != nil || m.Filesystem != "ext4" {
		t.Errorf("%s: %v", m.Filesystem, err)
	}
	// A mount that fails lets go too.
	for _, o := range []MountOptions{{Partition: "swap"}, {Options: []string{"nonsense"}}} {
		o.Device, o.Target = device, target+"4"
		if _, err := Mount(t.Context(), o); err == nil {
			t.Errorf("%+v was mounted", o)
		}
		nothingMapped(t)
	}
	if left, err := loop.Find(device); err != nil || len(left) > 0 {
		t.Errorf("loop devices are left: %v, %v", left, err)
	}
}
