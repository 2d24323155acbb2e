//go:build unix

package treediff

import (
	"io/fs"
	"syscall"
)

// owner returns user and group of a file.
func owner(info fs.FileInfo) [2]uint32 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return [2]uint32{st.Uid, st.Gid}
	}
	return [2]uint32{}
}
