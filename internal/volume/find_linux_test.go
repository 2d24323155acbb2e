package volume

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	testID     = "vol-0123456789abcdef0"
	testSerial = "vol0123456789abcdef0"
)

// fakeHost is a machine with devices of our choice. The nodes are real block
// devices, of a number that no driver has.
type fakeHost struct {
	host
	t *testing.T
}

func newFakeHost(t *testing.T) fakeHost {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: device nodes")
	}
	dir := t.TempDir()
	h := fakeHost{host: host{sys: filepath.Join(dir, "sys"), dev: filepath.Join(dir, "dev")}, t: t}
	for _, sub := range []string{"sys/block", "dev/disk/by-id"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// add makes a block device with a serial number, on a bus.
func (h fakeHost) add(name, serial, bus string) {
	h.t.Helper()
	device := filepath.Join(h.sys, "block", name, "device")
	errs := []error{
		os.MkdirAll(device, 0o755),
		unix.Mknod(filepath.Join(h.dev, name), unix.S_IFBLK|0o600, int(unix.Mkdev(4000, 1))),
	}
	if serial != "" {
		errs = append(errs, os.WriteFile(filepath.Join(device, "serial"), []byte(serial+"   \n"), 0o644))
	}
	if bus != "" {
		errs = append(errs, os.Symlink("../../../../bus/"+bus, filepath.Join(device, "subsystem")))
	}
	if err := errors.Join(errs...); err != nil {
		h.t.Fatal(err)
	}
}

// link makes a symbolic link in /dev.
func (h fakeHost) link(name, target string) {
	h.t.Helper()
	if err := os.Symlink(target, filepath.Join(h.dev, name)); err != nil {
		h.t.Fatal(err)
	}
}

func TestFindDevice(t *testing.T) {
	for name, tt := range map[string]struct {
		setup  func(h fakeHost)
		attach string
		want   string // "" if there is none to be believed
	}{
		"NVMe": {func(h fakeHost) {
			h.add("nvme0n1", "vol0fffffffffffffff0", "nvme")
			h.add("nvme1n1", testSerial, "nvme")
		}, "/dev/sdf", "nvme1n1"},
		"NVMe, serial number with a dash": {func(h fakeHost) { h.add("nvme2n1", testID, "nvme") }, "/dev/sdf", "nvme2n1"},
		"NVMe wins over a name": {func(h fakeHost) {
			h.add("nvme1n1", testSerial, "nvme")
			h.add("xvdf", "", "xen")
		}, "/dev/sdf", "nvme1n1"},
		"by id": {func(h fakeHost) {
			h.add("loop3", "", "")
			h.link(byID+testSerial, "../../loop3")
		}, "/dev/sdf", "loop3"},
		"by id, stale": {func(h fakeHost) {
			h.add("nvme1n1", "vol0fffffffffffffff0", "nvme")
			h.link(byID+testSerial, "../../nvme1n1")
		}, "/dev/sdf", ""},
		"by id, dangling": {func(h fakeHost) { h.link(byID+testSerial, "../../loop3") }, "/dev/sdf", ""},
		"Xen, renamed":    {func(h fakeHost) { h.add("xvdf", "", "xen") }, "/dev/sdf", "xvdf"},
		"Xen, as asked":   {func(h fakeHost) { h.add("xvdbc", "", "xen") }, "xvdbc", "xvdbc"},
		"Xen, another":    {func(h fakeHost) { h.add("xvdg", "", "xen") }, "/dev/sdf", ""},
		"disk of the host": {func(h fakeHost) {
			h.add("sdf", "", "scsi")
			h.add("xvdf", "", "scsi")
		}, "/dev/sdf", ""},
		"link of that name": {func(h fakeHost) {
			h.add("nvme1n1", "vol0fffffffffffffff0", "nvme")
			h.link("xvdf", "nvme1n1")
			h.link("sdf", "nvme1n1")
		}, "/dev/sdf", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFakeHost(t)
			tt.setup(h)
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // one look
			got, err := h.find(ctx, testID, tt.attach)
			if tt.want == "" {
				if !errors.Is(err, context.Canceled) {
					t.Errorf("find = %s, %v; want none", got, err)
				}
				return
			}
			if err != nil || got != filepath.Join(h.dev, tt.want) {
				t.Errorf("find = %s, %v; want %s", got, err, tt.want)
			}
		})
	}
}

func TestFindDeviceWaits(t *testing.T) {
	h := newFakeHost(t)
	appear := time.AfterFunc(120*time.Millisecond, func() { h.add("nvme1n1", testSerial, "nvme") })
	defer appear.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if got, err := h.find(ctx, testID, "/dev/sdf"); err != nil || filepath.Base(got) != "nvme1n1" {
		t.Errorf("find = %s, %v; want nvme1n1", got, err)
	}
}

func TestFindDeviceSaysWhatIsThere(t *testing.T) {
	h := newFakeHost(t)
	h.add("nvme0n1", "vol0fffffffffffffff0", "nvme")
	h.add("loop0", "", "")
	h.add("sda", "", "scsi")
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := h.find(ctx, testID, "/dev/sdf")
	if err == nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error = %v, want a deadline", err)
	}
	for _, want := range []string{testID, testSerial, "xvdf", "nvme0n1 (serial number vol0fffffffffffffff0), sda"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want %q in it", err, want)
		}
	}
	if strings.Contains(err.Error(), "loop0") {
		t.Errorf("error = %v, should leave out loop devices", err)
	}
}

func TestFindDeviceRefusesOddIDs(t *testing.T) {
	for _, id := range []string{"", "vol-", "vol-../../sda1", "snap-0123456789abcdef0"} {
		if got, err := FindDevice(t.Context(), id, "/dev/sdf"); err == nil || !strings.Contains(err.Error(), "no volume id") {
			t.Errorf("FindDevice(%q) = %s, %v; want a refusal", id, got, err)
		}
	}
}

func TestXenName(t *testing.T) {
	for name, want := range map[string]string{
		"/dev/sdf": "xvdf", "sdaa": "xvdaa", "/dev/xvdb": "xvdb", "xvdf": "xvdf",
		"/dev/sda1": "", "/dev/nvme1n1": "", "": "", "/dev/sd": "", "sd../f": "",
	} {
		if got := xenName(name); got != want {
			t.Errorf("xenName(%q) = %q, want %q", name, got, want)
		}
	}
}

func FuzzParseMap(f *testing.F) {
	f.Add("7f0000000000-7f0000001000 r-xp 00000000 07:03 1234                       /mnt/a b/lib.so (deleted)")
	f.Add("7ffd0000-7ffe0000 rw-p 00000000 00:00 0                          [stack]")
	f.Fuzz(func(t *testing.T, line string) {
		if path, _, ok := parseMap(line); ok && !strings.Contains(line, path) {
			t.Errorf("parseMap(%q) gives the path %q", line, path)
		}
	})
}

func TestParseMap(t *testing.T) {
	path, device, ok := parseMap("7f0000000000-7f0000001000 r-xp 00000000 07:10 1234                       /mnt/a b/lib.so")
	if !ok || path != "/mnt/a b/lib.so" || device != unix.Mkdev(7, 16) {
		t.Errorf("parseMap = %q, %d, %v", path, device, ok)
	}
	if _, _, ok := parseMap("7ffd0000-7ffe0000 rw-p 00000000 00:00 0                          [stack]"); ok {
		t.Error("a stack passes for a file")
	}
}
