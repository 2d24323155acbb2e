package lineage

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// nullBuilder is the builder id of Packer's null, which makes nothing.
const nullBuilder = "fnoeding.null"

// byContents names an image that consists of files after what they contain.
// Builders such as qemu, file and docker's export give every image that they
// make the same id, and its files the same names: by those the next image would
// be taken for this one.
func byContents(ctx context.Context, artifact packersdk.Artifact, f *facts) error {
	files := slices.Clone(artifact.Files())
	if len(files) == 0 || len(f.artifacts) != 1 || f.artifacts[0].Cloud != artifact.BuilderId() {
		return nil // it is in a place that names its images
	}
	slices.Sort(files)
	id, err := contentID(ctx, files)
	if err != nil {
		return fmt.Errorf("read the files of the image: %w", err)
	}
	a := &f.artifacts[0]
	a.Name = cmp.Or(a.Name, filepath.Base(files[0]))
	// What builders put into the region is a folder of this host, which is
	// nothing that an image could be found by elsewhere.
	a.Ref = registry.Ref{Cloud: a.Cloud, ID: id}
	// The same goes for the path of a file that it was made from, or the file
	// builder's words for none.
	f.parent = registry.Ref{}
	return nil
}

// contentID is "sha256:" and the digest of a file, or of the list that sha256sum
// prints for several.
func contentID(ctx context.Context, files []string) (string, error) {
	var list strings.Builder
	for _, path := range files {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		sum, err := fileDigest(path)
		if err != nil {
			return "", err
		}
		if len(files) == 1 {
			return "sha256:" + sum, nil
		}
		fmt.Fprintf(&list, "%s  %s\n", sum, filepath.Base(path))
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(list.String()))), nil
}

func fileDigest(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil {
		return "", err
	} else if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s: %w", path, errNoFile)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

var errNoFile = errors.New("it is no file")
