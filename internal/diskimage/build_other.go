//go:build !linux

package diskimage

import (
	"context"
	"errors"
)

func build(context.Context, string, string, Options) (Facts, error) {
	return Facts{}, errors.New("disk images can be made on Linux only")
}
