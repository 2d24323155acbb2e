package volume

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/imagebakery/packer-plugin-bakery/internal/disk"
	"github.com/imagebakery/packer-plugin-bakery/internal/run"
)

// controlNode is where programs talk to device-mapper.
const controlNode = "/dev/mapper/control"

// lvmReady returns why volumes of LVM cannot be opened here, or nil.
func lvmReady() error {
	if _, err := os.Stat(controlNode); err != nil {
		return fmt.Errorf("this host has none: %w (load the kernel module dm_mod, or bake on a host that has it)", err)
	}
	if _, err := exec.LookPath("lvm"); err != nil {
		return fmt.Errorf("%w (install lvm2)", err)
	}
	return nil
}

// group is the volume group on a physical volume of the image.
type group struct {
	device string // node of the physical volume
	name   string

	// lvm runs a command of lvm(8).
	lvm func(ctx context.Context, args ...string) ([]byte, error)
}

func runLVM(ctx context.Context, args ...string) ([]byte, error) {
	return run.Output(ctx, "lvm", args...)
}

// only is the configuration with which LVM sees the group's device and no other,
// remembers nothing of it on this host, and starts no daemon for it
// (lvm.conf(5)). So it minds neither that the host has the same groups, as it
// does when it was launched from the image, nor do tools of the host see what
// happens here. Nodes that no udev makes LVM makes itself.
func (g *group) only() string {
	filter := fmt.Sprintf(`["a|^%s$|","r|.*|"]`, regexp.QuoteMeta(g.device))
	return "devices{use_devicesfile=0 filter=" + filter + " global_filter=" + filter + "} " +
		"global{use_lvmpolld=0} activation{monitoring=0 verify_udev_operations=1} backup{backup=0 archive=0}"
}

// report asks for fields of what is on the device. Sizes are in bytes.
func (g *group) report(ctx context.Context, command, fields string) ([]map[string]string, error) {
	out, err := g.lvm(ctx, command, "--config", g.only(), "--reportformat", "json", "--units", "b", "--nosuffix", "--options", fields)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Report []map[string][]map[string]string `json:"report"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return nil, fmt.Errorf("read the answer of lvm %s: %w", command, err)
	}
	var rows []map[string]string
	for _, part := range answer.Report {
		for _, list := range part {
			rows = append(rows, list...)
		}
	}
	return rows, nil
}

// openGroup activates the volume group on a device. What is active on the host
// already is told by its names in device-mapper.
func openGroup(ctx context.Context, device string, active []string) (*group, error) {
	g := &group{device: device, lvm: runLVM}
	return g, g.open(ctx, active)
}

func (g *group) open(ctx context.Context, active []string) error {
	found, err := g.report(ctx, "vgs", "vg_name,pv_count,vg_missing_pv_count")
	if err != nil {
		return err
	}
	if len(found) != 1 || found[0]["vg_name"] == "" {
		return fmt.Errorf("the physical volume %s belongs to no volume group", g.device)
	}
	g.name = found[0]["vg_name"]
	if found[0]["vg_missing_pv_count"] != "0" {
		return fmt.Errorf("the volume group %s has %s physical volumes, of which %s are on other disks; only groups on one disk can be baked on",
			g.name, found[0]["pv_count"], found[0]["vg_missing_pv_count"])
	}
	for _, name := range active {
		if ofGroup(name, g.name) {
			return fmt.Errorf("a volume group %s is active on this host already (%s), and device-mapper cannot have two of one name: "+
				"wait for the bake that uses it, or bake on a host whose own disks have no such group", g.name, name)
		}
	}
	if _, err = g.lvm(ctx, "vgchange", "--config", g.only(), "--yes", "--activate", "y", g.name); err != nil {
		return errors.Join(err, g.close(ctx)) // some of them may be active
	}
	return nil
}

// closeWithin bounds the deactivation of a group.
const closeWithin = time.Minute

// close makes the volumes of the group disappear again, also when ctx has ended.
func (g *group) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
	defer cancel()
	_, err := g.lvm(ctx, "vgchange", "--config", g.only(), "--yes", "--activate", "n", g.name)
	return err
}

// volumes returns the group as a disk whose partitions are its active volumes,
// each with its name as its label, and their nodes by number.
func (g *group) volumes(ctx context.Context) (disk.Disk, map[int]string, error) {
	found, err := g.report(ctx, "lvs", "lv_name,lv_dm_path,lv_size,lv_active")
	if err != nil {
		return disk.Disk{}, nil, err
	}
	d, nodes := disk.Disk{Table: "lvm"}, map[int]string{}
	for _, row := range found {
		if row["lv_active"] != "active" {
			continue
		}
		content, err := disk.Read(ctx, row["lv_dm_path"])
		if err != nil {
			return disk.Disk{}, nil, err
		}
		p := disk.Partition{Number: len(nodes) + 1, Label: row["lv_name"], Filesystem: content.Filesystem}
		if p.Size, err = strconv.ParseInt(row["lv_size"], 10, 64); err != nil {
			return disk.Disk{}, nil, fmt.Errorf("size of the volume %s: %w", p.Label, err)
		}
		d.Size += p.Size
		d.Partitions, nodes[p.Number] = append(d.Partitions, p), row["lv_dm_path"]
	}
	return d, nodes, nil
}

// rootVolume are the names that installers and images give to the volume of the
// root.
var rootVolume = regexp.MustCompile(`(?i)^(lv[_-]?)?root([_-]?(fs|vol|lv))?$`)

// chooseVolume returns what selector names of the volumes, or the root.
func chooseVolume(d disk.Disk, selector string) (disk.Partition, error) {
	if selector != "" {
		p, err := d.FindPartition(selector)
		if err == nil {
			err = p.Mountable()
		}
		return p, err
	}
	var named []disk.Partition
	for _, p := range d.Partitions {
		if rootVolume.MatchString(p.Label) && p.Mountable() == nil {
			named = append(named, p)
		}
	}
	if len(named) == 1 {
		return named[0], nil
	}
	return d.Root()
}

// physicalVolumeOf returns the only physical volume of LVM on a disk.
func physicalVolumeOf(d disk.Disk) (disk.Partition, bool) {
	var found []disk.Partition
	for _, p := range append([]disk.Partition{{Size: d.Size, Filesystem: d.Filesystem}}, d.Partitions...) {
		if errors.Is(p.Mountable(), disk.ErrLVM) {
			found = append(found, p)
		}
	}
	if len(found) != 1 {
		return disk.Partition{}, false
	}
	return found[0], true
}

// ofGroup tells whether a name in device-mapper is of a volume of a group. There,
// a hyphen inside a name is doubled and one between names is not.
func ofGroup(name, vg string) bool {
	rest, found := strings.CutPrefix(name, strings.ReplaceAll(vg, "-", "--")+"-")
	return found && rest != "" && rest[0] != '-'
}

// mappedNames are the names of all devices of device-mapper.
func mappedNames() ([]string, error) {
	files, err := filepath.Glob("/sys/block/dm-*/dm/name")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil { // else it has just gone
			names = append(names, strings.TrimSpace(string(text)))
		}
	}
	return names, nil
}

// groupBelow finds the volume group of a mounted volume, and nil for the node of
// anything else.
func groupBelow(ctx context.Context, node string) (*group, error) {
	var st unix.Stat_t
	if err := unix.Stat(node, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return nil, nil //nolint:nilerr // no device, or it is gone
	}
	dir := fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	if uuid, err := os.ReadFile(filepath.Join(dir, "dm/uuid")); err != nil || !strings.HasPrefix(string(uuid), "LVM-") {
		return nil, nil //nolint:nilerr // no volume of LVM
	}
	below, err := os.ReadDir(filepath.Join(dir, "slaves"))
	if err != nil {
		return nil, err
	}
	if len(below) != 1 {
		return nil, errors.New("its volume group is not one that a bake has activated: it lies on several devices")
	}
	g := &group{device: filepath.Join("/dev", below[0].Name()), lvm: runLVM}
	found, err := g.report(ctx, "vgs", "vg_name")
	if err != nil {
		return nil, err
	}
	if len(found) == 1 {
		g.name = found[0]["vg_name"]
	}
	return g, nil
}
