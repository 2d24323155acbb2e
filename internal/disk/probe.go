package disk

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"github.com/imagebakery/packer-plugin-bakery/internal/run"
)

// Exit statuses of blkid, from its manual page.
const (
	blkidNothing    = 2
	blkidAmbivalent = 8
)

// probed is what blkid says of a range of bytes.
type probed struct {
	Filesystem
	table string // as blkid calls it: gpt, dos, PMBR, …
}

// probe asks blkid what is at a range of a device or file. A range in which
// blkid knows nothing gives the zero value.
func probe(ctx context.Context, path string, offset, size int64) (probed, error) {
	// The udev format encodes what is written on the disk so that it can be
	// decoded exactly; blkid's other formats do not.
	out, err := run.Output(ctx, "blkid", "--probe", "--output", "udev",
		"--offset", strconv.FormatInt(offset, 10), "--size", strconv.FormatInt(size, 10), "--", path)
	switch {
	case err == nil:
		return parseProbe(out), nil
	case errors.Is(err, exec.ErrNotFound):
		return probed{}, fmt.Errorf("%w (install util-linux)", err)
	case run.ExitCode(err) == blkidNothing:
		return probed{}, nil
	case run.ExitCode(err) == blkidAmbivalent:
		return probed{}, fmt.Errorf("signatures of several file systems or tables are at byte %d; remove the stale ones with wipefs", offset)
	default:
		return probed{}, err
	}
}

// parseProbe reads blkid's udev format: KEY=VALUE lines, in which the keys that
// end in _ENC have unusual bytes as \xNN.
func parseProbe(out []byte) probed {
	values := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), "="); ok {
			values[key] = value
		}
	}
	return probed{
		Filesystem: Filesystem{
			Type:  values["ID_FS_TYPE"],
			Label: decodeUdev(values["ID_FS_LABEL_ENC"]),
			UUID:  decodeUdev(values["ID_FS_UUID_ENC"]),
		},
		table: values["ID_PART_TABLE_TYPE"],
	}
}

// decodeUdev undoes libblkid's encoding of bytes as \xNN.
func decodeUdev(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if strings.HasPrefix(s[i:], `\x`) && i+4 <= len(s) {
			if code, err := strconv.ParseUint(s[i+2:i+4], 16, 8); err == nil {
				b.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
