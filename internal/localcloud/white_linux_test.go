package localcloud

import (
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/imagebakery/packer-plugin-bakery/internal/loop"
)

func TestMatchWildcard(t *testing.T) {
	for _, test := range []struct {
		pattern, value string
		want           bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "anything", true},
		{"a*c", "abc", true},
		{"a*c", "ac", true},
		{"a*c", "abcd", false},
		{"*b*b*", "abab", true},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"a?", "aé", true},
		{`a\*`, "a*", true},
		{`a\*`, "ab", false},
		{`a\?*`, "a?bc", true},
		{`a\`, `a\`, true},
		{`*\*`, "ab*", true},
		{"A", "a", false},
	} {
		if got := matchWildcard(test.pattern, test.value); got != test.want {
			t.Errorf("matchWildcard(%q, %q) = %v", test.pattern, test.value, got)
		}
	}
}

func FuzzMatchWildcard(f *testing.F) {
	f.Add("a*b?", "axxbc")
	f.Add(`\*\?\\`, `*?\`)
	f.Fuzz(func(t *testing.T, pattern, value string) {
		matchWildcard(pattern, value)
		if value = strings.ToValidUTF8(value, ""); !matchWildcard("*", value) {
			t.Errorf("* does not match %q", value)
		}
		quoted := strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`).Replace(value)
		if !matchWildcard(quoted, value) {
			t.Errorf("%q does not match %q", quoted, value)
		}
	})
}

func TestDecodeQuery(t *testing.T) {
	form, err := url.ParseQuery("Action=RegisterImage&Version=2016-11-15&Name=shop&EnaSupport=TRUE&RootDeviceName=/dev/xvda" +
		"&BlockDeviceMapping.2.DeviceName=/dev/sdb&BlockDeviceMapping.2.VirtualName=ephemeral0" +
		"&BlockDeviceMapping.1.DeviceName=/dev/xvda&BlockDeviceMapping.1.Ebs.VolumeSize=8" +
		"&TagSpecification.1.ResourceType=image&TagSpecification.1.Tag.1.Key=a&TagSpecification.1.Tag.1.Value=")
	if err != nil {
		t.Fatal(err)
	}
	var in registerImageInput
	if err := decodeQuery(form, &in); err != nil {
		t.Fatal(err)
	}
	if in.Name != "shop" || !*in.EnaSupport || len(in.BlockDeviceMapping) != 2 || *in.BlockDeviceMapping[0].Ebs.VolumeSize != 8 {
		t.Errorf("decoded %+v", in)
	}
	if in.BlockDeviceMapping[1].Ebs != nil || in.BlockDeviceMapping[1].VirtualName != "ephemeral0" || *in.TagSpecification[0].Tag[0].Value != "" {
		t.Errorf("decoded %+v", in)
	}
	for query, want := range map[string]string{
		"":                  "MissingParameter: The request must contain the parameter Name",
		"Name=":             "MissingParameter: The request must contain the parameter Name",
		"Name=a&Colour=red": "UnknownParameter: The parameter Colour is not recognized",
		"Name=a&BlockDeviceMapping.1.Ebs.Speed=1":      "UnknownParameter: The parameter BlockDeviceMapping.1.Ebs.Speed is not recognized",
		"Name=a&BlockDeviceMapping.x.DeviceName=1":     "UnknownParameter: The parameter BlockDeviceMapping.x.DeviceName is not recognized",
		"Name=a&EnaSupport=maybe":                      "InvalidParameterValue: Value (maybe) for parameter EnaSupport is invalid. Invalid boolean value.",
		"Name=a&BlockDeviceMapping.1.Ebs.VolumeSize=x": "InvalidParameterValue: Value (x) for parameter BlockDeviceMapping.1.Ebs.VolumeSize is invalid. Invalid integer value.",
	} {
		form, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if err := decodeQuery(form, &registerImageInput{}); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", query, err, want)
		}
	}
}

func FuzzDecodeQuery(f *testing.F) {
	f.Add("Name=a&BlockDeviceMapping.1.Ebs.VolumeSize=8&TagSpecification.1.Tag.3.Key=k")
	f.Add("Name.1=a&Name=b&.=c&..=d&BlockDeviceMapping=")
	f.Fuzz(func(t *testing.T, query string) {
		form, err := url.ParseQuery(query)
		if err != nil {
			t.Skip()
		}
		var a, b registerImageInput
		errA, errB := decodeQuery(form, &a), decodeQuery(form, &b)
		if (errA == nil) != (errB == nil) || errA == nil && !reflect.DeepEqual(a, b) {
			t.Errorf("%q is decoded as %+v, %v and as %+v, %v", query, a, errA, b, errB)
		}
	})
}

func FuzzParseCursor(f *testing.F) {
	f.Add("eyJhIjoiMSIsInEiOiIyIn0")
	f.Fuzz(func(t *testing.T, token string) { _, _ = parseCursor(token) })
}

func TestParseFault(t *testing.T) {
	for rule, want := range map[string]faultRule{
		"RegisterImage=error:InternalError:2":   {action: "RegisterImage", kind: "error", code: "InternalError", count: 2, first: 1},
		"DeleteVolume=error:VolumeInUse.X":      {action: "DeleteVolume", kind: "error", code: "VolumeInUse.X", first: 1},
		"*=throttle":                            {action: "*", kind: "throttle", first: 1},
		"CreateVolume=throttle:1@3":             {action: "CreateVolume", kind: "throttle", count: 1, first: 3},
		"AttachVolume=late:1.5s":                {action: "AttachVolume", kind: "late", delay: 1500 * time.Millisecond, first: 1},
		"CreateSnapshot=lose:1":                 {action: "CreateSnapshot", kind: "lose", count: 1, first: 1},
		"GetCallerIdentity=error:Unavailable:7": {action: "GetCallerIdentity", kind: "error", code: "Unavailable", count: 7, first: 1},
	} {
		got, err := parseFault(rule)
		if err != nil {
			t.Errorf("%s: %v", rule, err)
		} else if *got != want {
			t.Errorf("%s is %+v, want %+v", rule, *got, want)
		}
	}
	for _, rule := range []string{
		"", "CreateVolume", "CreateVolume=", "CreateVolume=explode", "CreateVolume=error", "CreateVolume=late", "CreateVolume=late:soon",
		"CreateVolume=throttle:0", "CreateVolume=throttle:1@0", "CreateVolume=throttle:x", "RunInstances=throttle", "createvolume=throttle",
	} {
		if _, err := parseFault(rule); err == nil {
			t.Errorf("%q was taken", rule)
		}
	}
}

func FuzzParseFault(f *testing.F) {
	f.Add("CreateVolume=late:300ms:2@4")
	f.Fuzz(func(t *testing.T, rule string) {
		if got, err := parseFault(rule); err == nil && (got.count < 0 || got.first < 1 || got.delay < 0) {
			t.Errorf("%q is %+v", rule, *got)
		}
	})
}

func TestDeviceNamesOf(t *testing.T) {
	for device, want := range map[string][]string{
		"/dev/sdf":   {"/dev/sdf", "/dev/xvdf"},
		"/dev/xvdf":  {"/dev/xvdf", "/dev/sdf"},
		"xvdba":      {"/dev/xvdba", "/dev/sdba"},
		"/dev/sdf1":  {"/dev/sdf1", "/dev/xvdf1"},
		"/dev/sda1":  nil,
		"/dev/nvme1": nil,
		"../sdf":     nil,
		"/dev/sdf/x": nil,
	} {
		got, err := deviceNames(device)
		if diff := cmp.Diff(want, got); diff != "" || (err == nil) != (want != nil) {
			t.Errorf("%s: %v (-want +got):\n%s", device, err, diff)
		}
	}
}

// TestReboot: after the machine went down no attachment holds any more, and
// what was not on the disk yet is given up.
func TestReboot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: loop devices and mounts")
	}
	dir := t.TempDir()
	c, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	now := time.Now()
	volumes := map[string]*volume{}
	for name, v := range map[string]*volume{
		"attached":    {Synced: true, Attachment: &attachment{Instance: c.host.id, Device: "/dev/sdzn", Ready: true, Boot: "before"}},
		"detaching":   {Synced: true, Attachment: &attachment{Instance: c.host.id, Device: "/dev/sdzm", Ready: true, Boot: "before", Detaching: true}},
		"half copied": {Boot: "before"},
	} {
		v.ID, v.Region, v.Zone, v.Size, v.Type, v.Created = newID(kindVolume), c.region, c.zone, 1, "gp3", now
		if err := makeEmpty(c.files.volume(v.ID), gib); err != nil {
			t.Fatal(err)
		}
		volumes[name] = v
	}
	lost := &snapshot{ID: newID(kindSnapshot), Region: c.region, Size: 1, Created: now, Boot: "before"}
	if err := makeEmpty(c.files.snapshot(lost.ID), gib); err != nil {
		t.Fatal(err)
	}
	if err := c.store.write(t.Context(), func(t *tx) error {
		for _, v := range volumes {
			if err := t.put(v); err != nil {
				return err
			}
		}
		return t.put(lost)
	}); err != nil {
		t.Fatal(err)
	}

	again, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	again.behind.wait()
	defer func() { _ = again.Close() }()
	if err := again.store.read(t.Context(), func(tx *tx) error {
		later := now.Add(time.Minute)
		for name, want := range map[string]string{"attached": "available", "detaching": "available", "half copied": "error"} {
			v, err := get[volume](tx, c.region, volumes[name].ID)
			if err != nil {
				return err
			}
			if got := v.state(later); got != want {
				t.Errorf("the volume %s is %s, want %s", name, got, want)
			}
		}
		s, err := get[snapshot](tx, c.region, lost.ID)
		if err == nil && s.state(later) != "error" {
			t.Errorf("the snapshot is %s, want error", s.state(later))
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

// TestReclaim: what no row knows goes, what another process works on stays.
func TestReclaim(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: loop devices and mounts")
	}
	c, err := Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	stray, strayAttached := c.files.snapshot(newID(kindSnapshot)), c.files.volume(newID(kindVolume))
	for _, path := range []string{stray, strayAttached} {
		if err := makeEmpty(path, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	if err := attachNodes(t.Context(), strayAttached, filepath.Base(strayAttached), []string{"/dev/xvdzl"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = detachNodes(strayAttached, filepath.Base(strayAttached), []string{"/dev/xvdzl"}) })
	dead := filepath.Join(c.files.work(), "dead")
	if err := os.MkdirAll(filepath.Join(dead, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	busy, err := c.files.workspace(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer busy.remove()

	if err := c.Reclaim(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.behind.wait()
	for _, path := range []string{stray, strayAttached, dead, filepath.Join(c.files.work(), filepath.Base(stray))} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	if devices, err := loop.Find(strayAttached); err != nil || len(devices) > 0 {
		t.Errorf("devices of a volume that nobody knows: %v, %v", devices, err)
	}
	if _, err := os.Stat(busy.dir); err != nil {
		t.Errorf("the workspace of a process at work: %v", err)
	}
	// The name that it had is free: a link to nothing stops nobody.
	if taken, err := takenNames("/dev/xvdzl"); err != nil || len(taken) > 0 {
		t.Errorf("names taken: %v, %v", taken, err)
	}
}
