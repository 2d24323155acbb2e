package check

import (
	"crypto/md5"
	"encoding/hex"
)

func md5Of(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}
