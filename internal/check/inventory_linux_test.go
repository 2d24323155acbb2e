package check

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const dpkgStatus = `Package: libc6
Status: install ok installed
Source: glibc (2.36-9)
Architecture: amd64
Version: 2.36-9+deb12u7

Package: bash
Status: hold ok installed
Source: bash
Architecture: amd64
Version: 5.2.15-2+b7

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
`

func TestReadInventory(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string // beside those of a root of busybox; "" removes one
		want  *Inventory
		wrong string
	}{
		"apk": {
			files: map[string]string{"lib/apk/db/installed": "P:libssl3\nV:3.3.1-r0\nA:x86_64\no:openssl\n\nP:musl\nV:1.2.5-r0\nA:x86_64\no:musl\n"},
			want: &Inventory{Distro: "alpine", Release: "3.20.1", Packages: []Installed{
				{Type: "apk", Name: "libssl3", Version: "3.3.1-r0", Arch: "x86_64", Source: "openssl"},
				{Type: "apk", Name: "musl", Version: "1.2.5-r0", Arch: "x86_64"},
			}},
		},
		"dpkg": {
			files: map[string]string{
				"lib/apk/db/installed": "", "var/lib/dpkg/status": dpkgStatus, "etc/os-release": "ID=debian\nVERSION_ID=\"12\"\n",
			},
			want: &Inventory{Distro: "debian", Release: "12", Packages: []Installed{
				{Type: "deb", Name: "bash", Version: "5.2.15-2+b7", Arch: "amd64"},
				{Type: "deb", Name: "libc6", Version: "2.36-9+deb12u7", Arch: "amd64", Source: "glibc"},
			}},
		},
		"rpm": {
			files: map[string]string{
				"lib/apk/db/installed": "", "var/lib/rpm/rpmdb.sqlite": "x", "etc/os-release": "ID=\"amzn\"\nVERSION_ID=\"2023\"\n",
				"bin/rpm": "#!/bin/sh\nprintf 'libs\\tx86_64\\t1:3.0.8-1.amzn2023\\tshop-libs-3.0.8-1.amzn2023.src.rpm\\n'\nprintf 'gpg-pubkey\\t(none)\\t1-2\\t(none)\\n'\n",
			},
			want: &Inventory{Distro: "amzn", Release: "2023", Packages: []Installed{
				{Type: "rpm", Name: "libs", Version: "1:3.0.8-1.amzn2023", Arch: "x86_64", Source: "shop-libs"},
			}},
		},
		"an interrupted dpkg": {
			files: map[string]string{
				"lib/apk/db/installed": "", "var/lib/dpkg/status": dpkgStatus, "var/lib/dpkg/updates/0001": "x",
			},
			wrong: "dpkg was interrupted",
		},
		"none": {files: map[string]string{"lib/apk/db/installed": ""}, wrong: "no package database"},
		"an rpm that fails": {
			files: map[string]string{"lib/apk/db/installed": "", "var/lib/rpm/rpmdb.sqlite": "x", "bin/rpm": "#!/bin/sh\nexit 1\n"},
			wrong: "could not be read",
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := busyboxRoot(t, append(busyboxTools, "touch", "cp", "printf")...)
			for file, content := range test.files {
				path := filepath.Join(root, file)
				if content == "" {
					if err := os.Remove(path); err != nil {
						t.Fatal(err)
					}
					continue
				}
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				writeTestFile(t, path, content, 0o755)
			}
			before := treeDigest(t, root)
			got, err := ReadInventory(t.Context(), Target{Shell: inRoot(root), Mounted: true})
			if test.wrong != "" {
				if !errors.Is(err, ErrNoInventory) || !strings.Contains(err.Error(), test.wrong) {
					t.Errorf("error is %v, want ErrNoInventory with %q", err, test.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("inventory (-want +got):\n%s", diff)
			}
			if treeDigest(t, root) != before {
				t.Error("reading the packages has changed the image's files")
			}
		})
	}
}
