package diskimage

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strings"
)

// EC2's words for architectures and boot modes.
const (
	archX8664 = "x86_64"
	archARM64 = "arm64"
	archI386  = "i386"

	bootLegacy    = "legacy-bios"
	bootUEFI      = "uefi"
	bootPreferred = "uefi-preferred"
)

// elfHeaderSize is as much of an ELF file as says what machine it is for.
const elfHeaderSize = 20

// elfArchitecture returns the architecture of the ELF file that begins with
// header, "" if it is none.
func elfArchitecture(header []byte) (string, error) {
	if len(header) < elfHeaderSize || string(header[:4]) != "\x7fELF" {
		return "", nil
	}
	order := binary.ByteOrder(binary.LittleEndian)
	if header[5] == 2 { // EI_DATA: ELFDATA2MSB
		order = binary.BigEndian
	}
	switch machine := order.Uint16(header[18:]); machine {
	case 62: // EM_X86_64
		return archX8664, nil
	case 183: // EM_AARCH64
		return archARM64, nil
	case 3: // EM_386
		return archI386, nil
	default:
		return "", fmt.Errorf("its programs are for ELF machine %d; EC2 has no such architecture", machine)
	}
}

// osRelease reads os-release(5): shell-like assignments, of which only what the
// manual page allows is understood. Later assignments win.
func osRelease(text []byte) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		values[key] = unquote(value)
	}
	return values
}

// unquote undoes the quoting of a POSIX shell's word, without expansions.
func unquote(s string) string {
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && quote != '\'' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// imageName returns a name that EC2 accepts for the image of a system; src names
// it if the system does not.
func (f Facts) imageName(src string) string {
	version := f.OSVersion
	if version == "" {
		version = f.OSCodename
	}
	words := []string{f.OSID, version}
	if f.OSID == "" {
		base := filepath.Base(src)
		words = []string{strings.TrimSuffix(base, filepath.Ext(base))}
	}
	if f.Architecture != "" {
		words = append(words, f.Architecture)
	}
	var b strings.Builder
	for _, word := range words {
		if word == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('-')
		}
		b.WriteString(strings.Map(nameRune, word))
	}
	// RegisterImage takes 3 to 128 characters.
	name := b.String()
	if len(name) < 3 {
		name = "disk-" + name
	}
	return name[:min(len(name), 128)]
}

// nameRune maps what EC2 allows in no name to a dash.
func nameRune(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("()[]./-'@_", r) {
		return r
	}
	return '-'
}

// bootMode says how a disk boots. EC2 takes "uefi-preferred" for a disk that can
// do both; its Arm instances know nothing but UEFI.
func bootMode(legacy, uefi bool, architecture string) string {
	switch {
	case uefi && legacy && architecture != archARM64:
		return bootPreferred
	case uefi:
		return bootUEFI
	case legacy && architecture != archARM64:
		return bootLegacy
	}
	return ""
}
