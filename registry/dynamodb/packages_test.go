package dynamodb

import (
	"errors"
	"fmt"
	"hash/fnv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// listOf returns a list of n packages, whose names and versions compress as badly
// as real ones do.
func listOf(n int) registry.PackageList {
	list := registry.PackageList{Distro: "debian", Release: "12"}
	for i := range n {
		hash := fnv.New32a()
		_, _ = fmt.Fprint(hash, i)
		sum := hash.Sum32()
		list.Packages = append(list.Packages, registry.Package{
			Type: registry.PackageDeb, Name: fmt.Sprintf("lib%x-%d", sum, i), Arch: "amd64",
			Version: fmt.Sprintf("%d.%d.%d-%d+deb12u1", sum%9, sum>>4%40, sum>>9%99, sum>>16%9), Source: fmt.Sprintf("src-%d", i/3),
		})
	}
	return list
}

func TestManyPackagesFitIntoAnItem(t *testing.T) {
	list := listOf(20_000).Sorted()
	packed, err := compress(list)
	if err != nil {
		t.Fatal(err)
	}
	if len(packed) > maxPacked {
		t.Errorf("%d packages take %d bytes, more than %d", len(list.Packages), len(packed), maxPacked)
	}
	got, err := decompress(packed)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(list, got); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
}

func TestTooManyPackagesAreRefused(t *testing.T) {
	tx := &transaction{images: map[string]*touched{}}
	if err := tx.packages(listOf(60_000)); !errors.Is(err, registry.ErrUnsupported) || len(tx.items) > 0 {
		t.Errorf("error is %v with %d items, want ErrUnsupported and none", err, len(tx.items))
	}
}

func FuzzDecompress(f *testing.F) {
	packed, err := compress(listOf(3))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Add([]byte{0x1f, 0x8b})
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = decompress(data) })
}
