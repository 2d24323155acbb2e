package disk

// GPT partition types, from the Discoverable Partitions Specification and the
// UEFI specification.
const (
	TypeESP       = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" // EFI system partition
	TypeBIOSBoot  = "21686148-6449-6e6f-744e-656564454649" // where GRUB keeps its core on BIOS machines
	TypeXBOOTLDR  = "bc13c2ff-59e6-4262-a352-b275fd6f7172" // extended boot loader partition: /boot
	TypeSwap      = "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"
	TypeLinux     = "0fc63daf-8483-4772-8e79-3d69d8477de4" // generic Linux data
	TypeRootX86   = "44479540-f297-41b2-9af7-d131d5f0458a"
	TypeRootX8664 = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
	TypeRootARM64 = "b921b045-1df0-41c3-af44-4c6f280d3fae"
)

// rootTypes are the specification's types for roots, by architecture as
// `uname -m` says it.
var rootTypes = map[string]string{
	TypeRootX8664:                          "x86_64",
	TypeRootARM64:                          "aarch64",
	TypeRootX86:                            "i686",
	"69dad710-2ce4-4e3c-b16c-21a1d49abed3": "armv7l",
	"72ec70a6-cf74-40e6-bd49-4bda08e8f224": "riscv64",
	"c31c45e6-3f39-412e-80fb-4809c4980599": "ppc64le",
	"5eead9a9-fe09-4a1e-a1d7-520d00531306": "s390x",
	"77055800-792c-4f94-b39a-98c91b762bb6": "loongarch64",
}

// notRootTypes are those that never hold a root, of GPT and of MBR.
var notRootTypes = map[string]bool{
	TypeESP:                                true,
	TypeBIOSBoot:                           true,
	TypeXBOOTLDR:                           true,
	TypeSwap:                               true,
	"9e1a2d38-c612-4316-aa26-8b49521e5a8b": true, // PReP boot
	"933ac7e1-2eb4-4f13-b844-0e14e2aef915": true, // /home
	"3b8f8425-20e0-4f3b-907f-1a25a76f98e8": true, // /srv
	"4d21b016-b534-45c2-a9fb-5c16e091fd2d": true, // /var
	"7ec6f557-3bc5-4aca-b293-16ef5df639d1": true, // /var/tmp
	"8484680c-9521-48c6-9c11-b0720656f69e": true, // /usr of x86_64
	"b0e01050-ee5f-4390-949a-9101b17104e9": true, // /usr of aarch64
	"2c7357ed-ebd2-46d9-aec1-23d437ec2bf5": true, // dm-verity data of an x86_64 root
	"df3300ce-d69f-4c92-978c-9bfb0f38d820": true, // dm-verity data of an aarch64 root
	"e3c9e316-0b5c-4db8-817d-f92df00215ae": true, // Microsoft reserved
	"ebd0a0a2-b9e5-4433-87c0-68b6b72699c7": true, // Microsoft basic data

	"ef": true, // EFI system partition
	"82": true, // swap
	"41": true, // PReP boot
}

// typeNames say what a type is for, in messages.
var typeNames = map[string]string{
	TypeESP:       "EFI system",
	TypeBIOSBoot:  "BIOS boot",
	TypeXBOOTLDR:  "Linux extended boot",
	TypeSwap:      "swap",
	TypeLinux:     "Linux",
	TypeRootX8664: "Linux root (x86_64)",
	TypeRootARM64: "Linux root (aarch64)",

	"e6d6d379-f507-44c2-a23c-238f2a3df928": "Linux LVM",

	"83": "Linux",
	"82": "swap",
	"8e": "Linux LVM",
	"ef": "EFI system",
	"05": "extended",
	"0f": "extended",
	"85": "extended",
}

// RootArchitecture returns the architecture, as `uname -m` says it, whose root
// partitions have the given GPT type, and "" for other types.
func RootArchitecture(partitionType string) string { return rootTypes[partitionType] }

// extended tells whether p only holds the logical partitions of an MBR.
func (p Partition) extended() bool {
	return p.Number > 0 && (p.Type == "05" || p.Type == "0f" || p.Type == "85")
}
