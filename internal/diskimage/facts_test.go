package diskimage

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOSRelease(t *testing.T) {
	got := osRelease([]byte("# comment\nID=amzn\r\n  VERSION_ID=\"2023\"\nNAME='Amazon \\ Linux'\nQ=\"a\\\"b\\$c\"\nMIX=a\"b c\"'d'\nOPEN=\"x\nEMPTY=\nnonsense\n"))
	want := map[string]string{"ID": "amzn", "VERSION_ID": "2023", "NAME": `Amazon \ Linux`, "Q": `a"b$c`, "MIX": "ab cd", "OPEN": "x", "EMPTY": ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestImageName(t *testing.T) {
	for want, tt := range map[string]struct {
		facts Facts
		src   string
	}{
		"debian-12-x86_64":    {Facts{OSID: "debian", OSVersion: "12", OSCodename: "bookworm", Architecture: "x86_64"}, "disk.raw"},
		"debian-trixie-arm64": {Facts{OSID: "debian", OSCodename: "trixie", Architecture: "arm64"}, "disk.raw"},
		"arch-x86_64":         {Facts{OSID: "arch", Architecture: "x86_64"}, "disk.raw"},
		"my-disk-1.0-x86_64":  {Facts{Architecture: "x86_64"}, "/images/my disk 1.0.qcow2"},
		"disk-a":              {Facts{}, "a.raw"},
	} {
		if got := tt.facts.imageName(tt.src); got != want {
			t.Errorf("name of %+v from %s = %s, want %s", tt.facts, tt.src, got, want)
		}
	}
	long := Facts{OSID: strings.Repeat("x", 200)}
	if got := long.imageName(""); len(got) != 128 {
		t.Errorf("a name has %d characters, EC2 takes 128", len(got))
	}
}

func TestBootMode(t *testing.T) {
	for _, tt := range []struct {
		legacy, uefi bool
		arch, want   string
	}{
		{false, false, archX8664, ""},
		{true, false, archX8664, "legacy-bios"},
		{false, true, archX8664, "uefi"},
		{true, true, archX8664, "uefi-preferred"},
		{true, true, archARM64, "uefi"},
		{true, false, archARM64, ""},
	} {
		if got := bootMode(tt.legacy, tt.uefi, tt.arch); got != tt.want {
			t.Errorf("bootMode(%v, %v, %s) = %q, want %q", tt.legacy, tt.uefi, tt.arch, got, tt.want)
		}
	}
}

func FuzzOSRelease(f *testing.F) {
	f.Add([]byte("ID=debian\nVERSION_ID=\"12\"\n"))
	f.Add([]byte("A='\\\"\nB=\\"))
	f.Fuzz(func(t *testing.T, text []byte) {
		values := osRelease(text)
		name := Facts{OSID: values["ID"], OSVersion: values["VERSION_ID"]}.imageName("disk.raw")
		if len(name) < 3 || len(name) > 128 || strings.Map(nameRune, name) != name {
			t.Errorf("%q gives the name %q", text, name)
		}
	})
}

func FuzzELF(f *testing.F) {
	f.Add([]byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"))
	f.Fuzz(func(t *testing.T, header []byte) {
		if arch, _ := elfArchitecture(header); arch != "" && !bytes.HasPrefix(header, []byte("\x7fELF")) {
			t.Errorf("%q is for %s", header, arch)
		}
	})
}

// FuzzQcow2 reads all of any file that passes for a qcow2.
func FuzzQcow2(f *testing.F) {
	header := make([]byte, 4096)
	copy(header, "QFI\xfb\x00\x00\x00\x03")
	header[23] = 9    // clusters of 512 bytes
	header[30] = 0x40 // 16 KiB
	header[39] = 1    // one entry
	header[46] = 2    // table at 512
	header[103] = 104 // header length
	copy(header[512:], "\x80\x00\x00\x00\x00\x00\x04\x00")
	copy(header[1024:], "\x80\x00\x00\x00\x00\x00\x06\x00")
	f.Add(header)
	f.Fuzz(func(t *testing.T, content []byte) {
		img, err := openQcow2(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			return
		}
		buffer := make([]byte, 64<<10)
		for at := int64(0); at < min(img.Size(), 1<<20); at += int64(len(buffer)) {
			length := min(int64(len(buffer)), img.Size()-at)
			if _, err := img.Extent(at, length); err != nil {
				return
			}
			if _, err := img.ReadAt(buffer[:length], at); err != nil {
				return
			}
		}
	})
}
