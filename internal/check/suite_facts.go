package check

import (
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// Facts are what a suite may know of the image that it is run on.
type Facts struct {
	OS       string   // ID of os-release(5): debian
	Version  string   // VERSION_ID: 12; empty for a rolling release
	Codename string   // VERSION_CODENAME: bookworm
	Like     []string // ID_LIKE
	Family   string   // debian, redhat, alpine, or empty
	Arch     string   // of the image's shell, as Go names it: amd64, arm64, …; empty when it is none of these
	Mode     Mode
}

// factsValue is facts as expressions see them.
func (r *suiteReader) factsValue() cty.Value {
	f := r.facts
	if f == nil {
		unknown := cty.UnknownVal(cty.String)
		return cty.ObjectVal(map[string]cty.Value{
			"os": unknown, "version": unknown, "codename": unknown, "family": unknown, "arch": unknown, "mode": unknown,
			"like": cty.UnknownVal(cty.List(cty.String)),
		})
	}
	like := cty.ListValEmpty(cty.String)
	if len(f.Like) > 0 {
		var ids []cty.Value
		for _, id := range f.Like {
			ids = append(ids, cty.StringVal(id))
		}
		like = cty.ListVal(ids)
	}
	return cty.ObjectVal(map[string]cty.Value{
		"os": cty.StringVal(f.OS), "version": cty.StringVal(f.Version), "codename": cty.StringVal(f.Codename),
		"family": cty.StringVal(f.Family), "arch": cty.StringVal(f.Arch), "mode": cty.StringVal(string(f.Mode)), "like": like,
	})
}

// probeFacts asks an image for what suites may know of it.
func probeFacts(ctx context.Context, t Target, mode Mode) (Facts, error) {
	frames, _, err := execute(ctx, t, newFactsProbe(newNonce()), scriptTimeout, func(frame) string { return "looking what the image is" })
	if err != nil {
		return Facts{}, fmt.Errorf("find out what the image is: %w", err)
	}
	f := newFacts(mode)
	arch := ""
	for _, fr := range frames {
		if fr.tag == "elf" {
			arch = archOf(fr.body)
			continue
		}
		f.take(fr, &needs{}, nil)
	}
	if f.os["ID"] == "" {
		return Facts{}, errors.New("find out what the image is: it has no os-release, on which a condition of the checks depends")
	}
	return Facts{
		OS: f.os["ID"], Version: f.os["VERSION_ID"], Codename: f.os["VERSION_CODENAME"], Like: strings.Fields(f.os["ID_LIKE"]),
		Family: f.family(), Arch: arch, Mode: mode,
	}, nil
}

// archs are Go's names of the machines that an ELF file may be for.
var archs = map[elf.Machine]string{
	elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64", elf.EM_386: "386", elf.EM_ARM: "arm", elf.EM_RISCV: "riscv64",
	elf.EM_PPC64: "ppc64le", elf.EM_S390: "s390x", elf.EM_LOONGARCH: "loong64",
}

// archOf reads the machine of the beginning of an ELF file. It is "" when that is
// none that images are baked for.
func archOf(head []byte) string {
	if len(head) < 20 || string(head[:4]) != elf.ELFMAG {
		return ""
	}
	var order binary.ByteOrder = binary.LittleEndian
	if elf.Data(head[elf.EI_DATA]) == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	return archs[elf.Machine(order.Uint16(head[18:]))]
}
