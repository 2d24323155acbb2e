package volume

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	firstLook  = 50 * time.Millisecond
	longestGap = time.Second
)

// byID is how udev names an EBS volume on an instance with NVMe: the vendor's
// string and the serial number.
const byID = "disk/by-id/nvme-Amazon_Elastic_Block_Store_"

// volumeID is what EC2 gives out; it becomes part of a path.
var volumeID = regexp.MustCompile(`^vol-[0-9a-f]{8,17}$`)

// FindDevice waits for the block device of an EBS volume and returns its node,
// such as /dev/nvme1n1. It looks at once, then ever more slowly until ctx ends;
// the error then says what it has looked for and what there is.
//
// attachName is the name in the request to attach, such as /dev/sdf. A device is
// only believed to be the volume if one of these holds, in this order:
//
//   - it is an NVMe device whose serial number is the volume's id, which is how
//     EC2 marks EBS volumes ("Identify the EBS device" in the EBS user guide);
//   - /dev/disk/by-id names it by the volume's id, and it has no serial number
//     that says otherwise;
//   - it is a Xen block device with the letters of attachName, where sd and xvd
//     mean the same. Xen takes the name from the request, so it cannot be
//     another volume.
//
// That a device has the name and is none of these, as the host's own /dev/sdf,
// proves nothing, and neither does that it is new.
func FindDevice(ctx context.Context, id, attachName string) (string, error) {
	return host{sys: "/sys", dev: "/dev"}.find(ctx, id, attachName)
}

// host is where a machine's devices are to be seen.
type host struct{ sys, dev string }

func (h host) find(ctx context.Context, id, attachName string) (string, error) {
	if !volumeID.MatchString(id) {
		return "", fmt.Errorf("find the device of volume %q: that is no volume id", id)
	}
	serial := strings.Replace(id, "-", "", 1)
	for wait := firstLook; ; wait = min(2*wait, longestGap) {
		if node := h.look(serial, attachName); node != "" {
			return node, nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("find the device of volume %s: %w; looked for an NVMe device with serial number %s, %s, and the Xen device %s; block devices here: %s",
				id, context.Cause(ctx), serial, filepath.Join(h.dev, byID+serial), xenName(attachName), h.describe())
		case <-time.After(wait):
		}
	}
}

// look returns the node of the volume if it is there now.
func (h host) look(serial, attachName string) string {
	for _, name := range h.blockDevices() {
		if h.serial(name) == serial && h.isBlock(name) {
			return filepath.Join(h.dev, name)
		}
	}
	if node, err := filepath.EvalSymlinks(filepath.Join(h.dev, byID+serial)); err == nil {
		name := filepath.Base(node)
		if filepath.Dir(node) == h.dev && h.isBlock(name) && h.serial(name) == "" {
			return node
		}
	}
	if name := xenName(attachName); name != "" && h.isXen(name) && h.isBlock(name) {
		return filepath.Join(h.dev, name)
	}
	return ""
}

// xenName returns the name that a Xen guest's kernel gives to a device that was
// attached under attachName, "" if that is none for a whole disk.
func xenName(attachName string) string {
	name := strings.TrimPrefix(attachName, "/dev/")
	letters, ok := strings.CutPrefix(name, "sd")
	if !ok {
		if letters, ok = strings.CutPrefix(name, "xvd"); !ok {
			return ""
		}
	}
	if letters == "" || strings.Trim(letters, "abcdefghijklmnopqrstuvwxyz") != "" {
		return ""
	}
	return "xvd" + letters
}

func (h host) blockDevices() []string {
	entries, _ := os.ReadDir(filepath.Join(h.sys, "block"))
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names
}

// serial returns the serial number of an NVMe device that is EBS, normalised,
// and "" for others.
func (h host) serial(name string) string {
	if !strings.HasPrefix(name, "nvme") {
		return ""
	}
	text, _ := os.ReadFile(filepath.Join(h.sys, "block", name, "device/serial"))
	return strings.Replace(strings.TrimSpace(string(text)), "-", "", 1)
}

// isXen tells whether the device belongs to Xen's bus.
func (h host) isXen(name string) bool {
	bus, err := os.Readlink(filepath.Join(h.sys, "block", name, "device/subsystem"))
	return err == nil && filepath.Base(bus) == "xen"
}

// isBlock tells whether the node is there: sysfs is sometimes earlier.
func (h host) isBlock(name string) bool {
	info, err := os.Stat(filepath.Join(h.dev, name))
	return err == nil && info.Mode()&os.ModeType == os.ModeDevice
}

// describe lists the block devices for an error, without those that are never a
// volume.
func (h host) describe() string {
	var words []string
	for _, name := range h.blockDevices() {
		if strings.HasPrefix(name, "loop") || strings.HasPrefix(name, "ram") {
			continue
		}
		if serial := h.serial(name); serial != "" {
			name += " (serial number " + serial + ")"
		}
		words = append(words, name)
	}
	if len(words) == 0 {
		return "none"
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}
