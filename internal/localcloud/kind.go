package localcloud

import (
	"crypto/rand"
	"encoding/hex"
	"regexp"
	"strings"
)

// kind is a kind of resource, by the name that tags and tag specifications
// have for it.
type kind string

const (
	kindVolume   kind = "volume"
	kindSnapshot kind = "snapshot"
	kindImage    kind = "image"
	kindInstance kind = "instance"
)

func (k kind) prefix() string {
	switch k {
	case kindVolume:
		return "vol-"
	case kindSnapshot:
		return "snap-"
	case kindImage:
		return "ami-"
	}
	return "i-"
}

// newID makes an id as EC2 gives them: the kind's prefix and 17 hex digits, of
// which the first is 0.
func newID(k kind) string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, says its documentation
	return k.prefix() + "0" + hex.EncodeToString(b[:])
}

var idDigits = regexp.MustCompile(`^([0-9a-f]{8}|[0-9a-f]{17})$`)

// checkID says whether id could name a resource of that kind.
func checkID(k kind, id string) error {
	digits, ok := strings.CutPrefix(id, k.prefix())
	if !ok || !idDigits.MatchString(digits) {
		return errMalformedID(k, id)
	}
	return nil
}

// kindOf tells the kind from an id.
func kindOf(id string) (kind, error) {
	for _, k := range []kind{kindVolume, kindSnapshot, kindImage, kindInstance} {
		if strings.HasPrefix(id, k.prefix()) {
			return k, checkID(k, id)
		}
	}
	return "", errorf("InvalidID", "The ID '%s' is not valid", id)
}
